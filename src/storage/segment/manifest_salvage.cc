// ManifestDatabase: rows that are wrong, and their replacement as a whole.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "storage/segment/manifest_codec.h"
#include "storage/segment/manifest_database.h"

namespace weir::storage {

Result<std::unique_ptr<ManifestDatabase>> ManifestDatabase::open_damaged(runtime::FileSystem& files, const std::string& path,
                                                                         const runtime::Clock* clock,
                                                                         const NotedDatabase* metadata) {
  auto manifests = std::make_unique<ManifestDatabase>();
  auto done = manifests->open_file(files, path, clock, &manifests->damage_);
  if (done) done = manifests->find_damage(metadata);
  if (done) done = manifests->adopt();
  if (!done) return std::unexpected(std::move(done.error()));
  return manifests;
}

Result<void> ManifestDatabase::find_damage(const NotedDatabase* metadata) {
  for (const ContentDamage::Row& row : damage_.rows) {
    if (row.table == "partitions") continue;
    if (row.table != "segments" && row.table != "producers") return fail(ErrorCode::kCorrupt, row.what);
    // The change may be in the name of the partition. Then another partition lacks the row.
    damage_.whole = row.what;
  }
  if (auto known = check_directories(); !known) return known;
  if (!metadata) return {};
  if (auto current = metadata->check_noted_by(*this); !current) return current;
  if (auto current = check_noted_by(*metadata); !current) {
    damage_.whole = current.error().message;
    least_revision_ = metadata->noted();
  }
  return {};
}

// Without the row of a directory nobody would look into it, or miss its files.
Result<void> ManifestDatabase::check_directories() {
  if (!database_->content_kept()) return {};
  auto scan = database_->prepare(
      "SELECT count(*) FROM (SELECT directory AS number FROM segments WHERE ?1 UNION SELECT directory FROM places UNION SELECT "
      "target "
      "FROM places) WHERE number <> 0 AND number NOT IN (SELECT number FROM directories)");
  if (!scan) return std::unexpected(std::move(scan.error()));
  scan->bind(1, int64_t{damage_.rows.empty()});
  auto row = scan->step();
  if (!row) return std::unexpected(std::move(row.error()));
  if (scan->integer(0) == 0) return {};
  return fail(ErrorCode::kCorrupt,
              fmt::format("{} lacks the row of a log directory. {}", database_->path(), database_remedy(database_->path())));
}

void ManifestDatabase::tell_damage(std::vector<Loaded>& partitions) const {
  for (const ContentDamage::Row& row : damage_.rows) {
    const auto loaded = std::ranges::find(partitions, row.number, &Loaded::row);
    if (row.table != "partitions" || loaded == partitions.end()) continue;
    if (loaded->fault.empty()) loaded->fault = row.what;
    loaded->bounds_known = false;
  }
  if (damage_.whole.empty()) return;
  for (Loaded& loaded : partitions) {
    if (loaded.fault.empty()) loaded.fault = "its rows in manifest.db cannot be trusted";
  }
}

// Finds or adds the place of a partition that has segments or producers, but no row of its own.
std::vector<ManifestDatabase::Loaded>::iterator ManifestDatabase::orphan(std::vector<Loaded>& partitions, int64_t row) {
  const auto after = std::ranges::find_if(partitions, [&](const Loaded& loaded) { return loaded.row >= row; });
  if (after != partitions.end() && after->row == row) return after;
  return partitions.insert(
      after, Loaded{.row = row, .fault = fmt::format("manifest.db: rows of a partition {} that it does not know", row)});
}

Result<void> ManifestDatabase::remove_rows(int64_t row) {
  if (auto done = remove_producers_.bind(1, row).run(); !done) return done;
  if (auto done = remove_segments_.bind(1, row).run(); !done) return done;
  return remove_partition_.bind(1, row).run();
}

Result<void> ManifestDatabase::put_exactly(const Loaded& loaded) {
  if (auto done = remove_rows(loaded.row); !done) return done;
  if (!loaded.fault.empty()) return {};
  const PartitionManifest& manifest = loaded.partition.manifest;
  const std::vector<uint8_t> epochs = encode_epochs(manifest.epochs);
  auto done = insert_partition_.bind(1, loaded.row)
                  .bind(2, Bytes(manifest.partition.topic.bytes))
                  .bind(3, manifest.partition.index)
                  .bind(4, manifest.log_start_offset)
                  .bind(5, manifest.end_offset)
                  .bind(6, epochs)
                  .run();
  if (!done) return done;
  if (done = put_dirty_.bind(1, loaded.row).bind(2, manifest.first_dirty_offset).run(); !done) return done;
  if (done = put_generation_.bind(1, loaded.row).bind(2, loaded.generation).run(); !done) return done;
  for (const SegmentInfo& segment : manifest.segments) {
    if (done = put_segment(loaded.row, segment); !done) return done;
  }
  for (const ProducerEntry& producer : loaded.partition.producers) {
    if (done = store_producer(loaded.row, producer); !done) return done;
  }
  return {};
}

Result<void> ManifestDatabase::put_partitions(std::span<const Loaded> all, const std::vector<WalFile>* files,
                                              const Remaining* directories) {
  return in_transaction([&]() -> Result<void> {
    for (const Loaded& loaded : all) {
      if (auto done = put_exactly(loaded); !done) return done;
    }
    if (directories) {
      if (auto done = store_directories(directories->directories); !done) return done;
      for (const auto& [partition, place] : directories->places) {
        if (auto done = store_place(partition, place); !done) return done;
      }
    }
    if (!damage_.rows.empty() || !damage_.whole.empty()) database_->mend(least_revision_);
    return files ? put_files(*files) : Result<void>();
  });
}

}  // namespace weir::storage
