#include "storage/log/log_salvage.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "base/counted.h"
#include "storage/segment/aborted_index.h"
#include "storage/segment/segment_dump.h"
#include "storage/segment/segment_names.h"
#include "storage/segment/stored_batch.h"

namespace weir::storage {

std::string LogSalvage::directory_path(uint32_t number) const {
  if (const auto found = directories_.find(number); found != directories_.end()) return found->second;
  const auto lost = given_up_.find(number);
  return lost == given_up_.end() ? "(unknown log directory)" : lost->second.path;
}

std::string LogSalvage::folder_of(const PartitionId& partition, uint32_t directory) const {
  return directory_path(directory) + "/" + partition_folder_name(partition);
}

Result<SalvageReport> LogSalvage::look() {
  if (auto done = load_rows(); !done) return std::unexpected(done.error());
  if (auto done = load_markers(); !done) return std::unexpected(done.error());
  if (auto done = replay(); !done) return std::unexpected(done.error());
  // Rows of the log's sessions may be missing as well.
  const bool unknown_files =
      std::ranges::any_of(replayed_, [](const auto& shard) { return !shard.second.unknown_files.empty(); });
  if (!manifests_.distrusted().empty() && unknown_files) return fail(ErrorCode::kCorrupt, manifests_.distrusted());
  if (auto done = find_files(); !done) return std::unexpected(done.error());
  if (!unknown_.empty()) {
    std::string named;
    for (const std::string& each : unknown_) named += (named.empty() ? "" : ", ") + each;
    return fail(ErrorCode::kCorrupt,
                fmt::format("{} holds data of partitions that meta.db does not know: {}. meta.db is damaged, "
                            "or older than the data; bring it back first. Nothing was changed",
                            log_dir_, named));
  }
  for (auto& [id, piece] : pieces_) {
    if (auto done = check_parts(piece); !done) return std::unexpected(done.error());
    close_tail(piece);
  }
  return report();
}

LogSalvage::Piece* LogSalvage::piece_of(const PartitionId& partition) {
  const auto known = known_(partition);
  if (!known) unknown_.insert(partition_folder_name(partition));
  if (!known || known->deleted) return nullptr;
  const auto [found, fresh] = pieces_.try_emplace(partition);
  Piece& piece = found->second;
  if (fresh) {
    piece.rows.partition.manifest.partition = piece.told.partition = partition;
    piece.told.topic = known->topic_name;
    piece.compacted = known->config.cleanup_compact;
  }
  return &piece;
}

Result<void> LogSalvage::load_rows() {
  auto directories = manifests_.directories();
  if (!directories) return std::unexpected(std::move(directories.error()));
  directories_[0] = log_dir_;
  for (const auto& directory : *directories) {
    if (without_.contains(directory.number)) given_up_[directory.number] = directory;
    else directories_[directory.number] = directory.path;
  }
  auto rows = manifests_.load_damaged();
  if (!rows) return std::unexpected(std::move(rows.error()));
  for (auto& loaded : *rows) {
    next_row_ = std::max(next_row_, loaded.row + 1);
    const PartitionId id = loaded.partition.manifest.partition;
    // The damage may be in the id.
    const auto known = known_(id);
    if (!loaded.fault.empty() && (!known || known->deleted)) {
      nobodys_.push_back(std::move(loaded));
      continue;
    }
    Piece* piece = piece_of(id);
    if (!piece) continue;
    piece->rows = std::move(loaded);
    piece->has_row = true;
    piece->sound = piece->rows.fault.empty();
    if (!piece->sound) piece->told.damage.push_back(std::exchange(piece->rows.fault, {}));
  }
  return {};
}

Result<void> LogSalvage::load_markers() {
  auto offline = markers_.load();
  if (!offline) return std::unexpected(offline.error());
  for (const OfflineMarker& marker : *offline) {
    Piece* piece = piece_of(marker.partition);
    if (!piece) continue;
    piece->offline = piece->rewrite = true;
    piece->told.damage.push_back("marked offline: " + marker.reason);
    if (auto done = load_kept(marker.partition, *piece); !done) return done;
    // Kept batches came behind the lost ones.
    if (piece->tail.empty() && marker.lost_in_write_ahead_log()) piece->lost_in_log = marker.reason;
  }
  return {};
}

// No checksum covers base offsets. An offset is damaged if it does not fit its neighbours, or lies further off than records can
// be lost.
Result<void> LogSalvage::load_kept(const PartitionId& id, Piece& piece) {
  size_t size = 0;
  const auto memory = markers_.kept(id, size);
  if (!memory) return std::unexpected(memory.error());
  if (size == 0) return {};
  auto kept = salvage_segment({memory->data(), size}, {});
  const bool end_known = piece.has_row ? piece.sound : manifests_.distrusted().empty();
  int64_t at = end_known ? piece.rows.partition.manifest.end_offset : -1;
  for (const Bytes batch : kept.batches) {
    const BatchHeader header = BatchHeader::parse(batch.data());
    if (at >= 0 && header.base_offset > at && header.base_offset - at > kOffsetsOfUnknownEnd) {
      kept.damaged_bytes += batch.size();
      continue;
    }
    piece.tail.try_emplace(header.base_offset, Slice::copy_of(batch));
    at = header.next_offset();
  }
  piece.told.mended += kept.mended;
  if (kept.damaged_bytes == 0) return {};
  piece.kept_damaged = true;
  piece.told.damage.push_back(
      fmt::format("{} has {} of no batch that fits", markers_.kept_path(id), counted(kept.damaged_bytes, "byte")));
  // The last batch may be among the damaged bytes.
  piece.told.end_unknown = true;
  return {};
}

// Takes segments from rows that can be trusted, else from the files. In a sound log, a partition without a row has no segments,
// or only files of a checkpoint that did not commit. Then the write-ahead log still has all of its batches.
Result<void> LogSalvage::find_files() {
  for (const auto& [number, path] : directories_) {
    auto entries = files_.list(path);
    if (!entries) return std::unexpected(entries.error());
    for (const runtime::DirectoryEntry& entry : *entries) {
      const auto id = entry.is_directory ? parse_partition_folder_name(entry.name) : std::nullopt;
      if (!id) continue;
      const std::string folder = path + "/" + entry.name;
      auto found = files_.list(folder);
      if (!found) return std::unexpected(found.error());
      std::erase_if(*found, [](const auto& file) { return !file.name.ends_with(".log") || file.size == 0; });
      Piece* piece = found->empty() ? nullptr : piece_of(*id);
      if (!piece || (piece->has_row && piece->sound)) continue;
      if (!piece->has_row && !piece->tail.empty() && piece->tail.begin()->first == 0) continue;
      for (const runtime::DirectoryEntry& file : *found) {
        const auto name = parse_segment_file_name(file.name);
        if (!name) continue;
        Part part{.path = folder + "/" + file.name, .length_known = false};
        part.info.base_offset = part.info.next_offset = name->base_offset;
        part.info.generation = name->generation;
        part.info.directory = number;
        piece->parts.push_back(std::move(part));
      }
      if (!piece->has_row && !piece->parts.empty()) {
        piece->sound = false;
        piece->told.damage.push_back("manifest.db has no row for the files in " + folder);
      }
    }
  }
  for (auto& [id, piece] : pieces_) {
    if (!piece.sound) {
      order_found_files(piece);
      continue;
    }
    for (const SegmentInfo& info : piece.rows.partition.manifest.segments) {
      piece.parts.push_back({info, folder_of(id, info.directory) + "/" + segment_file_name(info.base_offset, info.generation)});
      // Compaction and salvage make files of higher generations. Kafka's files of a compacted topic may have gaps.
      piece.parts.back().contiguous =
          info.generation == 0 && !piece.compacted && piece.rows.partition.manifest.first_dirty_offset == 0;
    }
  }
  return {};
}

// Compaction and moves leave old files for a while. Their offsets are in the new files as well.
void LogSalvage::order_found_files(Piece& piece) {
  std::ranges::sort(piece.parts, {}, [](const Part& part) { return std::pair(part.info.base_offset, part.info.generation); });
}

Result<std::string> LogSalvage::fault_of(const Piece& piece, const Part& part, SegmentInfo& found) {
  if (given_up_.contains(part.info.directory)) return "is missing";
  auto file = files_.open(part.path, {});
  if (!file && file.error().code == ErrorCode::kNotFound) return "is missing";
  if (!file) return std::unexpected(file.error());
  auto size = (*file)->size();
  if (!size) return std::unexpected(size.error());
  SegmentDumpOptions options;
  options.verify_only = true;
  const PartitionManifest& manifest = piece.rows.partition.manifest;
  const ManifestedSegment by_rows{part.info, manifest.log_start_offset, manifest.epochs};
  if (part.length_known) options.manifest = &by_rows;
  auto summary = dump_segment_file(files_, part.path, options, [](std::string_view) {});
  if (!summary) return std::unexpected(summary.error());
  found.length = summary->valid_bytes;
  found.next_offset = std::max(summary->next_offset, found.base_offset);
  if (part.length_known && *size < part.info.length) {
    return fmt::format("is cut short: {} bytes of {} are there", *size, part.info.length);
  }
  if (!summary->contradictions.empty()) return fmt::format("is not as it was: {}", fmt::join(summary->contradictions, "; "));
  if (summary->damaged()) {
    return fmt::format("has {} and {} of no batch", counted(summary->damaged_batches, "damaged batch", "damaged batches"),
                       counted(summary->trailing_bytes, "byte"));
  }
  if (!part.length_known) return std::string();
  auto aborted = load_aborted(files_, aborted_path(part), part.info);
  const bool unreadable = !aborted && aborted.error().code != ErrorCode::kCorrupt && aborted.error().code != ErrorCode::kNotFound;
  if (unreadable) return std::unexpected(aborted.error());
  return aborted ? std::string() : "has lost its aborted transactions: " + aborted.error().message;
}

std::string LogSalvage::aborted_path(const Part& part) {
  const size_t folder = part.path.rfind('/') + 1;
  return part.path.substr(0, folder) + aborted_index_file_name(part.info.base_offset, part.info.generation);
}

Result<void> LogSalvage::check_parts(Piece& piece) {
  SalvagedPartition& told = piece.told;
  int64_t next = 0;
  for (Part& part : piece.parts) {
    SegmentInfo found = part.info;
    auto fault = fault_of(piece, part, found);
    if (!fault) return std::unexpected(fault.error());
    part.there = *fault != "is missing";
    part.whole = fault->empty();
    if (!part.whole) told.damage.push_back(part.path + " " + *fault);
    if (!part.length_known) {
      part.from = next;
      part.info.length = found.length;
      part.info.next_offset = found.next_offset;
      part.whole &= part.from <= part.info.base_offset;
    }
    if (!part.there) told.lost.push_back({part.info.base_offset, part.info.next_offset});
    if (part.there && !part.whole) {
      Buffer memory;
      auto salvaged = read_damaged(piece, part, memory);
      if (!salvaged) return std::unexpected(salvaged.error());
      if (!salvaged->foreign.empty()) {
        told.damage.back() += fmt::format("; it is another file, and nothing of it is taken: {}", salvaged->foreign);
      }
      told.rescued += salvaged->batches.size();
      told.mended += salvaged->mended;
      told.lost.insert(told.lost.end(), salvaged->lost.begin(), salvaged->lost.end());
      if (!salvaged->batches.empty()) {
        part.info.next_offset =
            std::max(part.info.next_offset, BatchHeader::parse(salvaged->batches.back().data()).next_offset());
      }
    }
    next = std::max(next, part.info.next_offset);
  }
  piece.rewrite |= !told.damage.empty();
  if (piece.sound) return {};
  // No row tells which segments were in a directory that is given up.
  told.end_unknown |= !given_up_.empty();
  PartitionManifest& manifest = piece.rows.partition.manifest;
  // Deleted records stay deleted, and no offset is given twice. A log without files may have had many offsets.
  const bool bounded = piece.has_row && piece.rows.bounds_known && manifest.log_start_offset >= 0 &&
                       manifest.log_start_offset <= manifest.end_offset;
  if (bounded) piece.least_end = manifest.end_offset;
  else manifest.log_start_offset = 0;
  manifest.end_offset = next;
  if (!piece.parts.empty()) manifest.log_start_offset = std::max(manifest.log_start_offset, piece.parts.front().info.base_offset);
  manifest.first_dirty_offset = 0;
  return {};
}

Result<SegmentSalvage> LogSalvage::read_damaged(const Piece& piece, const Part& part, Buffer& memory) {
  auto file = files_.open(part.path, {});
  if (!file) return std::unexpected(file.error());
  auto size = (*file)->size();
  if (!size) return std::unexpected(size.error());
  const auto length = static_cast<size_t>(part.length_known ? std::min(*size, part.info.length) : *size);
  memory = Buffer::allocate(std::max<size_t>(length, 1));
  auto got = (*file)->read_at(0, {memory.data(), length});
  if (!got) return std::unexpected(got.error());
  ExpectedSegment expected{.base_offset = part.info.base_offset, .contiguous = part.contiguous};
  if (part.length_known) expected.next_offset = part.info.next_offset;
  if (part.length_known && part.info.times_known) expected.first_timestamp = part.info.first_timestamp;
  if (part.length_known) expected.epochs = piece.rows.partition.manifest.epochs;
  auto salvaged = salvage_segment({memory.data(), *got}, expected);
  std::erase_if(salvaged.batches, [&](Bytes batch) { return BatchHeader::parse(batch.data()).base_offset < part.from; });
  return salvaged;
}

// --- the write-ahead log --------------------------------------------------------------------------------------------

Result<void> LogSalvage::replay() {
  auto sessions = manifests_.wal_sessions();
  if (!sessions) return std::unexpected(sessions.error());
  auto noted = manifests_.wal_files();
  if (!noted) return std::unexpected(noted.error());
  auto guests = manifests_.wal_guests();
  if (!guests) return std::unexpected(guests.error());
  unsigned shards = 0;
  for (const auto& session : *sessions) shards = std::max(shards, session.shard + 1);
  const auto there = [&] { return files_.exists(fmt::format("{}/wal/{}", log_dir_, shards)).value_or(false); };
  while (!manifests_.distrusted().empty() && there()) ++shards;
  for (uint32_t shard = 0; shard < shards; ++shard) {
    std::vector<WalSession> rows;
    for (const auto& session : *sessions) {
      if (session.shard == shard) rows.push_back(session);
    }
    WalReplayOptions how;
    how.take_what_is_there = true;
    for (uint32_t other = 0; other < shards; ++other) {
      if (other != shard) how.more_directories.push_back(fmt::format("{}/wal/{}", log_dir_, other));
    }
    for (const auto& file : *noted) {
      if (file.shard == shard) how.noted.push_back(file.generation);
    }
    auto result = replay_wal(files_, fmt::format("{}/wal/{}", log_dir_, shard), shard, rows, *this, how);
    if (!result) return std::unexpected(result.error());
    replayed_.emplace(shard, std::move(*result));
    end_suspicion(shard, shards, *guests);
  }
  // Damage that the log still shows has told by now which records are lost.
  for (auto& [id, piece] : pieces_) {
    if (piece.lost_in_log.empty()) continue;
    piece.told.end_unknown |= std::ranges::find(log_damage_, piece.lost_in_log) == log_damage_.end();
  }
  return {};
}

// As a start does, also suspects partitions without any data left.
void LogSalvage::end_suspicion(uint32_t shard, uint32_t shards, std::span<const WalGuest> guests) {
  if (!suspicion_) return;
  std::set<PartitionId> in_log;
  for (const auto& [id, piece] : pieces_) {
    if (shard_of(id, shards) == shard) in_log.insert(id);
  }
  for (const PartitionId& id : all_ ? all_() : std::vector<PartitionId>()) {
    if (shard_of(id, shards) == shard) in_log.insert(id);
  }
  for (const WalGuest& guest : guests) {
    if (guest.shard == shard) in_log.insert(guest.partition);
  }
  for (const PartitionId& id : in_log) {
    if (trusted_.contains(id)) continue;
    if (Piece* piece = piece_of(id)) piece->told.end_unknown = true;
  }
  suspicion_ = false;
  trusted_.clear();
}

void LogSalvage::on_batch(ChunkNumber, const BatchInfo& info, Slice bytes) {
  Piece* piece = piece_of(info.partition);
  if (!piece) return;
  // Its missing batches before this one are known.
  if (suspicion_) trusted_.insert(info.partition);
  if (piece->has_row && piece->sound && info.last_offset() < piece->rows.partition.manifest.end_offset) return;
  piece->tail.try_emplace(info.base_offset, std::move(bytes));
}

void LogSalvage::on_corruption(const WalCorruption& corruption) {
  log_damage_.push_back(corruption.message);
  for (const BatchInfo& batch : corruption.lost) {
    if (Piece* piece = piece_of(batch.partition)) piece->lost_tail.push_back({batch.base_offset, batch.next_offset()});
  }
  if (!corruption.unknown_partitions) return;
  suspicion_ = true;
  trusted_.clear();
}

// Finds the batches of the tail that continue the segments, and the lost offsets between them.
void LogSalvage::close_tail(Piece& piece) {
  const PartitionManifest& manifest = piece.rows.partition.manifest;
  SalvagedPartition& told = piece.told;
  int64_t at = std::max(manifest.end_offset, int64_t{0});
  const auto lose = [&](int64_t next) {
    const OffsetRange lost{std::max(at, manifest.log_start_offset), next};
    if (lost.first < lost.next) told.lost.push_back(lost);
    at = next;
  };
  for (auto batch = piece.tail.begin(); batch != piece.tail.end();) {
    const BatchHeader header = BatchHeader::parse(batch->second.data);
    if (header.base_offset < at) {
      batch = piece.tail.erase(batch);
      continue;
    }
    if (header.base_offset > at) lose(header.base_offset);
    at = header.next_offset();
    ++batch;
  }
  for (const OffsetRange& lost : piece.lost_tail) {
    if (lost.next > at) lose(lost.next);
  }
  if (piece.least_end > at) lose(piece.least_end);
  if (told.end_unknown) at += kOffsetsOfUnknownEnd;
  piece.rewrite |=
      !told.damage.empty() || !told.lost.empty() || told.end_unknown || (!log_damage_.empty() && !piece.tail.empty());
  std::erase_if(told.lost, [&](const OffsetRange& lost) { return lost.next <= manifest.log_start_offset; });
  std::ranges::sort(told.lost, {}, &OffsetRange::first);
  if (piece.rewrite) told.rescued += piece.tail.size();
  told.log_start_offset = manifest.log_start_offset;
  told.log_end_offset = at;
}

SalvageReport LogSalvage::report() const {
  SalvageReport all;
  all.damage = log_damage_;
  if (!manifests_.distrusted().empty()) all.damage.push_back(manifests_.distrusted());
  for (const auto& rows : nobodys_) all.damage.push_back(rows.fault);
  for (const auto& [number, directory] : given_up_) {
    all.damage.push_back(fmt::format("log directory {} (directory.id {}) is given up, and with it {}", directory.path,
                                     directory.id.to_string(), counted(directory.segments, "segment")));
  }
  for (const auto& [id, piece] : pieces_) {
    const SalvagedPartition& told = piece.told;
    if (!told.damage.empty() || !told.lost.empty() || told.end_unknown) all.partitions.push_back(told);
    for (const Part& part : piece.parts) {
      if (part.there && !part.whole) all.set_aside.push_back(part.path);
    }
    if (piece.kept_damaged) all.set_aside.push_back(markers_.kept_path(id));
  }
  if (log_damage_.empty()) return all;
  for (const auto& [shard, result] : replayed_) {
    all.set_aside.insert(all.set_aside.end(), result.all_files.begin(), result.all_files.end());
    all.set_aside.insert(all.set_aside.end(), result.given_up.begin(), result.given_up.end());
  }
  return all;
}

}  // namespace weir::storage
