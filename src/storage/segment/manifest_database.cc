#include "storage/segment/manifest_database.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "protocol/record_batch.h"
#include "storage/segment/manifest_codec.h"
#include "storage/segment/segment_names.h"

namespace weir::storage {

namespace {

constexpr int64_t kFormat = 8;
constexpr int64_t kLastUncheckedFormat = 5;
constexpr const char* kSalvage =
    ". Bring the file back from a copy, or have `weir log salvage` read the partition's files instead";

constexpr const char* kSegmentsTable =
    "CREATE TABLE segments (partition_id INTEGER NOT NULL, base_offset INTEGER NOT NULL, next_offset INTEGER NOT NULL,"
    " length INTEGER NOT NULL, max_timestamp INTEGER NOT NULL, first_timestamp INTEGER NOT NULL, created_ms INTEGER NOT NULL,"
    " generation INTEGER NOT NULL DEFAULT 0, directory INTEGER NOT NULL DEFAULT 0, modified_ms INTEGER NOT NULL DEFAULT 0,"
    " times_known INTEGER NOT NULL DEFAULT 0, aborted INTEGER NOT NULL DEFAULT 0, aborted_crc INTEGER NOT NULL DEFAULT 0,"
    " hash INTEGER NOT NULL AS (row_hash('segments', partition_id, base_offset, next_offset, length, max_timestamp,"
    " first_timestamp, created_ms, generation, directory, modified_ms, times_known, aborted, aborted_crc)) STORED,"
    " PRIMARY KEY (partition_id, base_offset)) WITHOUT ROWID;";

constexpr const char* kGuestsTable =
    "CREATE TABLE wal_guests (shard INTEGER NOT NULL, incarnation INTEGER NOT NULL, topic BLOB NOT NULL, partition INTEGER NOT "
    "NULL,"
    " hash INTEGER NOT NULL AS (row_hash('wal_guests', shard, incarnation, topic, partition)) STORED,"
    " PRIMARY KEY (shard, incarnation, topic, partition)) WITHOUT ROWID;";

// All tables but `segments` and `wal_guests`. Partitions have a short row number because it is repeated in every segment and
// producer row.
constexpr const char* kOtherTables =
    "CREATE TABLE format (version INTEGER NOT NULL, hash INTEGER NOT NULL AS (row_hash('format', version)) STORED);"
    "CREATE TABLE partitions (id INTEGER PRIMARY KEY, topic BLOB NOT NULL, partition INTEGER NOT NULL,"
    " log_start_offset INTEGER NOT NULL, end_offset INTEGER NOT NULL, epochs BLOB NOT NULL,"
    " first_dirty_offset INTEGER NOT NULL DEFAULT 0, generation INTEGER NOT NULL DEFAULT 0,"
    " hash INTEGER NOT NULL AS (row_hash('partitions', id, topic, partition, log_start_offset, end_offset, epochs,"
    " first_dirty_offset, generation)) STORED, UNIQUE (topic, partition));"
    "CREATE TABLE producers (partition_id INTEGER NOT NULL, producer_id INTEGER NOT NULL, entry BLOB NOT NULL,"
    " hash INTEGER NOT NULL AS (row_hash('producers', partition_id, producer_id, entry)) STORED,"
    " PRIMARY KEY (partition_id, producer_id)) WITHOUT ROWID;"
    "CREATE TABLE wal_sessions (shard INTEGER NOT NULL, incarnation INTEGER NOT NULL, first_chunk INTEGER NOT NULL,"
    " last_chunk INTEGER NOT NULL, sealed INTEGER NOT NULL,"
    " hash INTEGER NOT NULL AS (row_hash('wal_sessions', shard, incarnation, first_chunk, last_chunk, sealed)) STORED,"
    " PRIMARY KEY (shard, incarnation)) WITHOUT ROWID;"
    "CREATE TABLE wal_files (shard INTEGER NOT NULL, generation INTEGER NOT NULL,"
    " hash INTEGER NOT NULL AS (row_hash('wal_files', shard, generation)) STORED,"
    " PRIMARY KEY (shard, generation)) WITHOUT ROWID;"
    "CREATE TABLE directories (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, path TEXT NOT NULL,"
    " hash INTEGER NOT NULL AS (row_hash('directories', number, id, path)) STORED);"
    "CREATE TABLE places (topic BLOB NOT NULL, partition INTEGER NOT NULL, directory INTEGER NOT NULL, target INTEGER NOT NULL,"
    " hash INTEGER NOT NULL AS (row_hash('places', topic, partition, directory, target)) STORED,"
    " PRIMARY KEY (topic, partition)) WITHOUT ROWID;";
constexpr const char* kFirstRow = "INSERT INTO format VALUES (8);";

// Format 1 knew no compaction.
constexpr const char* kFromFormat1 =
    "ALTER TABLE partitions ADD COLUMN first_dirty_offset INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE partitions ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE segments ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;";

// Format 2 did not note the files of the write-ahead log; the next start does.
constexpr const char* kFromFormat2 =
    "CREATE TABLE wal_files (shard INTEGER NOT NULL, generation INTEGER NOT NULL, PRIMARY KEY (shard, "
    "generation)) WITHOUT ROWID;"
    "UPDATE format SET version = 3;";

// Format 3 knew one log directory.
constexpr const char* kFromFormat3 =
    "ALTER TABLE segments ADD COLUMN directory INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE directories (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, path TEXT NOT NULL);"
    "CREATE TABLE places (topic BLOB NOT NULL, partition INTEGER NOT NULL, directory INTEGER NOT NULL, target INTEGER "
    "NOT NULL, PRIMARY KEY (topic, partition)) WITHOUT ROWID;"
    "UPDATE format SET version = 4;";

// Format 4 had times that headers said.
constexpr const char* kFromFormat4 =
    "ALTER TABLE segments ADD COLUMN modified_ms INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE segments ADD COLUMN times_known INTEGER NOT NULL DEFAULT 0;"
    "UPDATE format SET version = 5;";

// Format 5 had no hashes. SQLite cannot add a stored column that it computes.
constexpr const char* kFromFormat5 =
    "ALTER TABLE segments ADD COLUMN aborted INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE segments ADD COLUMN aborted_crc INTEGER NOT NULL DEFAULT 0;";

// Format 6 did not know transactions.
constexpr const char* kMoveSegments = "ALTER TABLE segments RENAME TO earlier_segments;";
constexpr const char* kFromFormat6 =
    "INSERT INTO segments SELECT partition_id, base_offset, next_offset, length, max_timestamp, first_timestamp, created_ms,"
    " generation, directory, modified_ms, times_known, 0, 0 FROM earlier_segments;"
    "DROP TABLE earlier_segments;";
// Format 7 did not note guests; no partition was ever handed over.
constexpr const char* kPresentFormat = "UPDATE format SET version = 8;";

std::string all_tables() { return std::string(kOtherTables) + kSegmentsTable + kGuestsTable; }

// Values of segments.times_known.
constexpr int64_t kTimesKnown = 1;
constexpr int64_t kAgeKnown = 2;

// Nobody should act upon rows that contradict each other. So the start stops with the name of the partition.
Result<void> check_manifest(const PartitionManifest& manifest, int64_t generation) {
  int64_t next = 0;
  bool sound = generation >= 0 && generation <= UINT32_MAX && manifest.first_dirty_offset >= 0 &&
               manifest.first_dirty_offset <= manifest.end_offset && manifest.log_start_offset >= 0 && manifest.end_offset >= 0 &&
               manifest.partition.index >= 0;
  for (const SegmentInfo& segment : manifest.segments) {
    sound = sound && segment.base_offset >= next && segment.next_offset > segment.base_offset &&
            segment.length >= protocol::BatchHeader::kSize && segment.length <= INT64_MAX && segment.generation <= generation;
    next = segment.next_offset;
  }
  if (sound && next <= manifest.end_offset) return {};
  return fail(ErrorCode::kCorrupt,
              fmt::format("manifest.db: the rows of {} contradict each other", partition_folder_name(manifest.partition)));
}

}  // namespace

ManifestDatabase::ManifestDatabase()
    : NotedDatabase({.schema = all_tables() + kFirstRow,
                     .cache_bytes = 2 << 20,
                     .select_format = "SELECT version FROM format",
                     .newest_format = kFormat,
                     .last_unchecked_format = kLastUncheckedFormat}) {}

Result<std::unique_ptr<ManifestDatabase>> ManifestDatabase::open(runtime::FileSystem& files, const std::string& path,
                                                                 const runtime::Clock* clock, bool paired) {
  auto manifests = std::make_unique<ManifestDatabase>();
  auto done = manifests->open_file(files, path, clock);
  if (done && !paired) done = manifests->adopt();
  if (!done) return std::unexpected(std::move(done.error()));
  return manifests;
}

Result<void> ManifestDatabase::upgrade(int64_t from) {
  Result<void> done;
  const char* const steps[] = {kFromFormat1, kFromFormat2, kFromFormat3, kFromFormat4, kFromFormat5};
  for (int64_t version = from; version <= 5 && done; ++version) done = database_->execute(steps[version - 1]);
  if (from <= 5 && done) {
    done = database_->rebuild(
        {"format", "partitions", "segments", "producers", "wal_sessions", "wal_files", "directories", "places"},
        all_tables().c_str());
  } else if (done) {
    for (const char* step : {kMoveSegments, kSegmentsTable, kFromFormat6}) {
      if (done && from == 6) done = database_->execute(step);
    }
    if (done) done = database_->execute(kGuestsTable);
  }
  return done ? database_->execute(kPresentFormat) : done;
}

Result<void> ManifestDatabase::prepare() {
  const std::pair<Statement*, const char*> statements[] = {
      {&insert_partition_, "INSERT INTO partitions VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0)"},
      {&update_partition_, "UPDATE partitions SET log_start_offset = ?2, end_offset = ?3, epochs = ?4 WHERE id = ?1"},
      {&remove_partition_, "DELETE FROM partitions WHERE id = ?1"},
      {&put_segment_, "INSERT OR REPLACE INTO segments VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"},
      {&remove_segment_, "DELETE FROM segments WHERE partition_id = ?1 AND base_offset = ?2"},
      {&remove_segments_, "DELETE FROM segments WHERE partition_id = ?1"},
      {&put_producer_, "INSERT OR REPLACE INTO producers VALUES (?1, ?2, ?3)"},
      {&remove_producer_, "DELETE FROM producers WHERE partition_id = ?1 AND producer_id = ?2"},
      {&remove_producers_, "DELETE FROM producers WHERE partition_id = ?1"},
      {&put_generation_, "UPDATE partitions SET generation = ?2 WHERE id = ?1"},
      {&put_dirty_, "UPDATE partitions SET first_dirty_offset = ?2 WHERE id = ?1"},
      {&put_place_, "INSERT OR REPLACE INTO places VALUES (?1, ?2, ?3, ?4)"},
      {&remove_place_, "DELETE FROM places WHERE topic = ?1 AND partition = ?2"},
      {&put_directory_, "INSERT INTO directories VALUES (?1, ?2, ?3)"},
      {&put_session_, "INSERT INTO wal_sessions VALUES (?1, ?2, ?3, ?4, ?5)"},
      {&note_file_, "INSERT OR REPLACE INTO wal_files VALUES (?1, ?2)"},
      {&forget_file_, "DELETE FROM wal_files WHERE shard = ?1 AND generation = ?2"},
      {&note_guest_,
       "INSERT OR REPLACE INTO wal_guests VALUES (?1, (SELECT incarnation FROM wal_sessions WHERE shard = ?1 AND sealed = 0), "
       "?2, "
       "?3)"},
  };
  for (const auto& [statement, sql] : statements) {
    auto prepared = database_->prepare(sql);
    if (!prepared) return std::unexpected(std::move(prepared.error()));
    *statement = std::move(*prepared);
  }
  return {};
}

Result<void> ManifestDatabase::settle() {
  std::lock_guard lock(database_mutex_);
  return settle_now();
}

Result<void> ManifestDatabase::in_transaction(Function<Result<void>()> work) {
  {
    std::lock_guard lock(database_mutex_);
    if (auto begun = database_->begin(); !begun) return begun;
    if (auto done = work(); !done) {
      database_->rollback();
      return done;
    }
    auto committed = database_->commit();
    // This tries at once to make the failure certain. The caller may retry either way.
    if (!committed) {
      (void)settle_now();
      return committed;
    }
  }
  announce();
  return {};
}

Result<std::vector<ManifestDatabase::Loaded>> ManifestDatabase::load() {
  auto all = load_damaged();
  if (!all) return all;
  for (const Loaded& loaded : *all) {
    if (!loaded.fault.empty()) return fail(ErrorCode::kCorrupt, loaded.fault + kSalvage);
  }
  return all;
}

Result<std::vector<ManifestDatabase::Loaded>> ManifestDatabase::load_damaged() {
  std::lock_guard lock(database_mutex_);
  auto scan = database_->prepare(
      "SELECT id, topic, partition, log_start_offset, end_offset, epochs, first_dirty_offset, generation "
      "FROM partitions ORDER BY id");
  if (!scan) return std::unexpected(std::move(scan.error()));
  std::vector<Loaded> partitions;
  while (true) {
    auto row = scan->step();
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) break;
    Loaded& loaded = partitions.emplace_back();
    loaded.row = scan->integer(0);
    PartitionManifest& manifest = loaded.partition.manifest;
    const Bytes topic = scan->blob(1);
    if (topic.size() == manifest.partition.topic.bytes.size()) {
      std::memcpy(manifest.partition.topic.bytes.data(), topic.data(), topic.size());
    } else {
      loaded.fault = fmt::format("manifest.db: the row {} of a partition has a malformed topic id", loaded.row);
    }
    manifest.partition.index = static_cast<int32_t>(scan->integer(2));
    manifest.log_start_offset = scan->integer(3);
    manifest.end_offset = scan->integer(4);
    auto epochs = decode_epochs(scan->blob(5));
    if (epochs) manifest.epochs = std::move(*epochs);
    else loaded.fault = fmt::format("manifest.db: {}: {}", partition_folder_name(manifest.partition), epochs.error().message);
    manifest.first_dirty_offset = scan->integer(6);
    loaded.generation = scan->integer(7);
  }
  if (auto done = load_segments(partitions); !done) return std::unexpected(std::move(done.error()));
  if (auto done = load_producers(partitions); !done) return std::unexpected(std::move(done.error()));
  for (Loaded& loaded : partitions) {
    if (!loaded.fault.empty()) continue;
    auto sound = check_manifest(loaded.partition.manifest, loaded.generation);
    if (!sound) loaded.fault = sound.error().message;
  }
  tell_damage(partitions);
  return partitions;
}

// Both lists ascend by partition, so one pass joins them.
Result<void> ManifestDatabase::load_segments(std::vector<Loaded>& partitions) {
  auto scan = database_->prepare(
      "SELECT partition_id, base_offset, next_offset, length, max_timestamp, first_timestamp, created_ms, "
      "generation, directory, modified_ms, times_known, aborted, aborted_crc FROM segments"
      " ORDER BY partition_id, base_offset");
  if (!scan) return std::unexpected(std::move(scan.error()));
  auto at = partitions.begin();
  while (true) {
    auto row = scan->step();
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return {};
    while (at != partitions.end() && at->row < scan->integer(0)) ++at;
    if (at == partitions.end() || at->row != scan->integer(0)) at = orphan(partitions, scan->integer(0));
    at->partition.manifest.segments.push_back(
        {scan->integer(1), scan->integer(2), static_cast<uint64_t>(scan->integer(3)), scan->integer(4), scan->integer(5),
         scan->integer(6), static_cast<uint32_t>(scan->integer(7)), static_cast<uint32_t>(scan->integer(8)), scan->integer(9),
         scan->integer(10) == kTimesKnown, scan->integer(10) == kAgeKnown, static_cast<uint32_t>(scan->integer(11)),
         static_cast<uint32_t>(scan->integer(12))});
  }
}

Result<void> ManifestDatabase::load_producers(std::vector<Loaded>& partitions) {
  auto scan = database_->prepare("SELECT partition_id, producer_id, entry FROM producers ORDER BY partition_id, producer_id");
  if (!scan) return std::unexpected(std::move(scan.error()));
  auto at = partitions.begin();
  while (true) {
    auto row = scan->step();
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return {};
    while (at != partitions.end() && at->row < scan->integer(0)) ++at;
    if (at == partitions.end() || at->row != scan->integer(0)) at = orphan(partitions, scan->integer(0));
    auto entry = decode_producer(scan->integer(1), scan->blob(2));
    if (entry) at->partition.producers.push_back(std::move(*entry));
    else
      at->fault =
          fmt::format("manifest.db: {}: {}", partition_folder_name(at->partition.manifest.partition), entry.error().message);
  }
}

Result<void> ManifestDatabase::commit(std::span<const Change> changes) {
  return in_transaction([&]() -> Result<void> {
    for (const Change& change : changes) {
      if (auto done = store_change(change); !done) return done;
    }
    return {};
  });
}

Result<void> ManifestDatabase::store_change(const Change& change) {
  const PartitionManifest& after = change.plan->after;
  const std::vector<uint8_t> epochs = encode_epochs(after.epochs);
  Result<void> done;
  if (change.created) {
    done = insert_partition_.bind(1, change.row)
               .bind(2, Bytes(after.partition.topic.bytes))
               .bind(3, after.partition.index)
               .bind(4, after.log_start_offset)
               .bind(5, after.end_offset)
               .bind(6, epochs)
               .run();
  } else {
    done = update_partition_.bind(1, change.row).bind(2, after.log_start_offset).bind(3, after.end_offset).bind(4, epochs).run();
  }
  if (!done) return done;
  if (change.place) {
    if (done = store_place(after.partition, after.place); !done) return done;
  }
  for (const int64_t base_offset : change.plan->dropped) {
    if (done = remove_segment_.bind(1, change.row).bind(2, base_offset).run(); !done) return done;
  }
  for (size_t i = change.plan->first_changed; i < after.segments.size(); ++i) {
    if (done = put_segment(change.row, after.segments[i]); !done) return done;
  }
  for (const int64_t producer_id : change.checkpoint->expired_producers) {
    if (done = remove_producer_.bind(1, change.row).bind(2, producer_id).run(); !done) return done;
  }
  for (const ProducerEntry& producer : change.checkpoint->producers) {
    if (done = store_producer(change.row, producer); !done) return done;
  }
  return {};
}

Result<void> ManifestDatabase::put_segment(int64_t row, const SegmentInfo& segment) {
  return put_segment_.bind(1, row)
      .bind(2, segment.base_offset)
      .bind(3, segment.next_offset)
      .bind(4, static_cast<int64_t>(segment.length))
      .bind(5, segment.max_timestamp)
      .bind(6, segment.first_timestamp)
      .bind(7, segment.created_ms)
      .bind(8, segment.generation)
      .bind(9, segment.directory)
      .bind(10, segment.modified_ms)
      .bind(11, segment.times_known ? kTimesKnown
                : segment.age_known ? kAgeKnown
                                    : 0)
      .bind(12, segment.aborted)
      .bind(13, segment.aborted_crc)
      .run();
}

Result<void> ManifestDatabase::put_generation(int64_t row, uint32_t generation) {
  return in_transaction([&] { return put_generation_.bind(1, row).bind(2, generation).run(); });
}

Result<void> ManifestDatabase::replace_segments(int64_t row, std::span<const int64_t> removed, std::span<const SegmentInfo> added,
                                                int64_t first_dirty_offset, const Places& places) {
  return in_transaction([&]() -> Result<void> {
    for (const int64_t base_offset : removed) {
      if (auto done = remove_segment_.bind(1, row).bind(2, base_offset).run(); !done) return done;
    }
    for (const SegmentInfo& segment : added) {
      if (auto done = put_segment(row, segment); !done) return done;
    }
    for (const auto& [partition, place] : places) {
      if (auto done = store_place(partition, place); !done) return done;
    }
    return put_dirty_.bind(1, row).bind(2, first_dirty_offset).run();
  });
}

Result<void> ManifestDatabase::store_producer(int64_t row, const ProducerEntry& entry) {
  const std::vector<uint8_t> bytes = encode_producer(entry);
  return put_producer_.bind(1, row).bind(2, entry.producer_id).bind(3, bytes).run();
}

Result<void> ManifestDatabase::drop(int64_t row, const PartitionId& partition) {
  return in_transaction([&]() -> Result<void> {
    auto done = remove_place_.bind(1, Bytes(partition.topic.bytes)).bind(2, partition.index).run();
    return done ? remove_rows(row) : done;
  });
}

}  // namespace weir::storage
