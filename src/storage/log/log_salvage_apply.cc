// LogSalvage::apply: the findings of look() become the log.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/paths.h"
#include "protocol/record_batch_builder.h"
#include "runtime/copy_file.h"
#include "storage/batch_info.h"
#include "storage/compaction/segment_batches.h"
#include "storage/log/log_salvage.h"
#include "storage/log/partition_state.h"
#include "storage/segment/aborted_index.h"
#include "storage/segment/file_source.h"
#include "storage/segment/rewritten_segment.h"
#include "storage/segment/segment_names.h"

namespace weir::storage {

namespace {

constexpr uint64_t kSegmentBytesMax = 512 << 20;
constexpr int64_t kNotKnown = 0;  // when the last append was

}  // namespace

// The new log of a partition in the making.
struct LogSalvage::Output {
  runtime::FileSystem& files;
  const PartitionId partition;
  const uint32_t generation;
  const int64_t now_ms;
  std::string folder = {};  // of new files
  uint32_t directory = 0;
  std::vector<SegmentInfo> segments = {};
  PartitionState state{};       // by the rows, if they are sound, and by the batches behind them
  PartitionState below_rows{};  // by the batches that sound rows count: for the transactions that these end
  std::unique_ptr<RewrittenSegment> open = {};

  // Takes the next batch of the log into account. Returns the transaction that it ends, if that was aborted.
  std::optional<AbortedTransaction> apply(Bytes batch, PartitionState& to) const {
    const BatchInfo info = info_of(BatchHeader::parse(batch.data()), batch);
    if (&to == &below_rows && !info.transactional()) return std::nullopt;  // the rows know the producer
    to.apply(info, now_ms);
    std::optional<AbortedTransaction> ended;
    if (!to.aborted().empty()) ended = to.aborted().back();
    to.forget_aborted_before(info.next_offset());
    return ended;
  }

  // Makes a batch without records in the place of offsets from `first` on, below `end`.
  std::vector<uint8_t> placeholder(int64_t first, int64_t end) const {
    protocol::RecordBatchBuilder empty({.base_offset = first, .partition_leader_epoch = std::max(state.epoch_at(first), 0)});
    empty.set_last_offset(first + std::min<int64_t>(end - 1 - first, INT32_MAX / 2));
    const Bytes batch = empty.finish();
    return {batch.begin(), batch.end()};
  }

  Result<void> begin(int64_t base_offset, int64_t created_ms) {
    if (auto done = files.create_directories(folder); !done) return done;
    auto made = RewrittenSegment::create(
        files,
        {folder + "/" + segment_file_name(base_offset, generation), folder + "/" + index_file_name(base_offset, generation),
         folder + "/" + aborted_index_file_name(base_offset, generation), directory},
        base_offset, generation, created_ms, IndexSpacing{});
    if (!made) return std::unexpected(std::move(made.error()));
    open = std::move(*made);
    return {};
  }
  Result<void> end(int64_t modified_ms) {
    if (!open) return {};
    auto info = std::exchange(open, nullptr)->finish();
    if (!info) return std::unexpected(std::move(info.error()));
    info->modified_ms = modified_ms;
    // An earlier version may have taken times from headers. The broker checks them while it runs.
    info->times_known = false;
    segments.push_back(*info);
    return {};
  }
};

Result<void> LogSalvage::apply(const std::string& aside) {
  std::vector<ManifestDatabase::Loaded> rows;
  for (auto& [id, piece] : pieces_) {
    if (!piece.rewrite) continue;
    if (auto done = rebuild(piece); !done) return done;
    for (const Part& part : piece.parts) {
      if (!part.there || part.whole) continue;
      if (auto done = copy_aside({part.path, aborted_path(part)}, name_in(parent_of(part.path)), aside); !done) return done;
    }
    if (piece.kept_damaged) {
      if (auto done = copy_aside({markers_.kept_path(id)}, "offline", aside); !done) return done;
    }
    rows.push_back(piece.rows);
  }
  for (const auto& row : nobodys_) rows.push_back(row);
  const std::vector<WalFile> no_files;
  const bool log_too = !log_damage_.empty();
  const bool unknown_end = std::ranges::any_of(pieces_, [](const auto& each) { return each.second.told.end_unknown; });
  if (unknown_end && !log_too) {
    if (auto done = unseal_last_session(); !done) return done;
  }
  auto remaining = remaining_directories();
  if (!remaining) return std::unexpected(remaining.error());
  if (auto done = manifests_.put_partitions(rows, log_too ? &no_files : nullptr, given_up_.empty() ? nullptr : &*remaining);
      !done) {
    return done;
  }
  // Nothing needs the files that go from here on.
  if (auto done = remove_used_up(); !done) return done;
  return log_too ? put_log_aside(aside) : Result<void>();
}

// Without the seal, leader epochs move on at the next start. The log is intact, so a start finds its end.
Result<void> LogSalvage::unseal_last_session() {
  auto sessions = manifests_.wal_sessions();
  if (!sessions) return std::unexpected(sessions.error());
  if (sessions->empty() || !sessions->back().sealed) return {};
  sessions->back().sealed = false;
  sessions->back().last_chunk = 0;
  return manifests_.put_wal(*sessions, nullptr);
}

// A partition that was moving gets the place that is left. A partition without any place left is at home.
Result<ManifestDatabase::Remaining> LogSalvage::remaining_directories() {
  ManifestDatabase::Remaining remaining;
  auto directories = manifests_.directories();
  if (!directories) return std::unexpected(directories.error());
  std::erase_if(*directories, [this](const auto& directory) { return given_up_.contains(directory.number); });
  remaining.directories = std::move(*directories);
  auto places = manifests_.places();
  if (!places) return std::unexpected(places.error());
  for (auto& [partition, place] : *places) {
    const bool left = given_up_.contains(place.directory), right = given_up_.contains(place.target);
    if (!left && !right) continue;
    place = left && right ? PartitionPlace{}
            : left        ? PartitionPlace{place.target, place.target}
                          : PartitionPlace{place.directory, place.directory};
    remaining.places.emplace_back(partition, place);
  }
  return remaining;
}

Result<void> LogSalvage::rebuild(Piece& piece) {
  PartitionManifest& manifest = piece.rows.partition.manifest;
  auto generation = static_cast<uint32_t>(piece.rows.generation);
  for (const auto& [number, path] : directories_) {
    auto entries = files_.list(folder_of(manifest.partition, number));
    if (!entries && entries.error().code == ErrorCode::kNotFound) continue;
    if (!entries) return std::unexpected(entries.error());
    for (const auto& entry : *entries) {
      if (const auto name = parse_segment_file_name(entry.name)) generation = std::max(generation, name->generation);
    }
  }
  const int64_t now_ms = std::max<int64_t>(clock_.wall_ms(), 1);
  Output output{.files = files_, .partition = manifest.partition, .generation = ++generation, .now_ms = now_ms};
  if (piece.sound) {
    output.state.restore(manifest.end_offset, manifest.epochs, piece.rows.partition.producers);
  }
  // Below it the rows tell which transactions were ended.
  const int64_t known_to = piece.sound ? manifest.end_offset : 0;
  int64_t lost_to = piece.told.end_unknown    ? std::numeric_limits<int64_t>::max()
                    : piece.told.lost.empty() ? 0
                                              : piece.told.lost.back().next;
  for (const Part& part : piece.parts) {
    // Without rows nobody knows whether a file is missing where batches do not follow each other.
    const bool gap = !output.segments.empty() && part.info.base_offset > output.segments.back().next_offset;
    if (!piece.sound && gap) lost_to = std::max(lost_to, part.info.base_offset);
    if (auto done = add_part(piece, part, output); !done) return done;
  }
  output.directory = piece.parts.empty() ? 0 : piece.parts.back().info.directory;
  if (given_up_.contains(output.directory)) output.directory = 0;
  output.folder = folder_of(manifest.partition, output.directory);
  int64_t end = manifest.log_start_offset;
  if (!output.segments.empty()) end = std::max(end, output.segments.back().next_offset);
  const auto append = [&](Bytes batch) -> Result<void> {
    const int64_t offset = BatchHeader::parse(batch.data()).base_offset;
    if (output.open && output.open->info().length + batch.size() > kSegmentBytesMax) {
      if (auto done = output.end(kNotKnown); !done) return done;
    }
    if (!output.open) {
      if (auto done = output.begin(offset, now_ms); !done) return done;
    }
    end = BatchHeader::parse(batch.data()).next_offset();
    return output.open->append(batch);
  };
  for (const auto& [offset, batch] : piece.tail) {
    const auto aborted = output.apply(batch.bytes(), output.state);
    if (auto done = append(batch.bytes()); !done) return done;
    if (aborted) output.open->add_aborted(*aborted);
  }
  // The log ends where it did, so that no offset is given twice. Batches without records take the place of lost ones.
  while (end < piece.told.log_end_offset) {
    if (auto done = append(output.placeholder(end, piece.told.log_end_offset)); !done) return done;
  }
  if (auto done = output.end(kNotKnown); !done) return done;
  for (const auto& [number, path] : directories_) {
    const std::string folder = folder_of(manifest.partition, number);
    auto there = files_.exists(folder);
    if (!there) return std::unexpected(there.error());
    if (!*there) continue;
    if (auto done = files_.sync_directory(folder); !done) return done;
    if (auto done = files_.sync_directory(path); !done) return done;
  }
  manifest.segments = std::move(output.segments);
  manifest.end_offset = std::max(end, piece.told.log_end_offset);
  manifest.epochs = output.state.epochs();
  piece.rows.generation = generation;
  piece.rows.partition.producers.clear();
  for (ProducerEntry entry : output.state.producers().entries()) {
    // Its marker may be among what is lost: what may be committed stays visible.
    if (std::max(entry.transaction_first_offset, known_to) < lost_to) entry.transaction_first_offset = -1;
    piece.rows.partition.producers.push_back(std::move(entry));
  }
  // Batches that only hold places have an epoch, too. A client that asks for the epoch of lost records learns that the log went
  // on.
  if (manifest.epochs.empty() && manifest.end_offset > manifest.log_start_offset) {
    manifest.epochs.push_back({0, manifest.log_start_offset});
  }
  if (!piece.has_row) piece.rows.row = next_row_++;
  return {};
}

Result<void> LogSalvage::add_part(Piece& piece, const Part& part, Output& output) {
  if (given_up_.contains(part.info.directory)) return {};
  if (part.there && part.whole) return add_whole_part(piece, part, output);
  Buffer memory;
  auto salvaged = part.there ? read_damaged(piece, part, memory) : Result<SegmentSalvage>();
  if (!salvaged) return std::unexpected(salvaged.error());
  // Markers may be lost, so intact entries know more than the batches.
  const auto known = piece.sound ? load_aborted(files_, aborted_path(part), part.info) : std::vector<AbortedTransaction>();
  const bool derived = !piece.sound || !known;
  std::vector<uint8_t> placeholder;
  if (salvaged->batches.empty()) {
    if (derived || known->empty()) return {};
    // Records of these transactions are in earlier segments, and readers look for the entries from there on.
    placeholder = output.placeholder(part.info.base_offset, part.info.next_offset);
    salvaged->batches.push_back(placeholder);
  }
  output.directory = part.info.directory;
  output.folder = folder_of(output.partition, output.directory);
  const int64_t first = BatchHeader::parse(salvaged->batches.front().data()).base_offset;
  if (auto done = output.begin(piece.sound ? part.info.base_offset : first, part.info.created_ms); !done) return done;
  for (const Bytes batch : salvaged->batches) {
    const auto aborted = output.apply(batch, piece.sound ? output.below_rows : output.state);
    if (auto done = output.open->append(batch); !done) return done;
    if (aborted && derived) output.open->add_aborted(*aborted);
  }
  for (size_t i = 0; !derived && i < known->size(); ++i) output.open->add_aborted((*known)[i]);
  return output.end(part.info.modified_ms);
}

Result<void> LogSalvage::add_whole_part(const Piece& piece, const Part& part, Output& output) {
  auto file = files_.open(part.path, {});
  if (!file) return std::unexpected(file.error());
  SegmentInfo info = part.info;
  std::vector<AbortedTransaction> aborted;
  SegmentBatches batches(std::make_unique<FileSource>(std::move(*file)), part.path, info);
  while (true) {
    auto batch = batches.next();
    if (!batch) return std::unexpected(batch.error());
    if (!*batch) break;
    if (const auto ended = output.apply(**batch, piece.sound ? output.below_rows : output.state)) aborted.push_back(*ended);
    if (piece.sound) continue;
    const int64_t time = BatchHeader::parse((*batch)->data()).max_timestamp;
    if (info.first_timestamp == kNoTimestamp) info.first_timestamp = time;
    info.max_timestamp = std::max(info.max_timestamp, time);
  }
  if (!piece.sound) {
    // The broker checks its times while it runs (SegmentInfo::times_known).
    info.created_ms = clock_.wall_ms();
    if (auto done = put_aborted(part, aborted, info); !done) return done;
  }
  if (info.length > 0) output.segments.push_back(info);
  return {};
}

// Writes the aborted transactions of the batches, if no row tells the entries of the file. A second run writes the same.
Result<void> LogSalvage::put_aborted(const Part& part, std::span<const AbortedTransaction> entries, SegmentInfo& info) {
  if (entries.empty()) return {};
  add_aborted(info, entries);
  if (load_aborted(files_, aborted_path(part), info)) return {};
  auto file = write_aborted(files_, aborted_path(part), 0, entries);
  return file ? (*file)->sync() : std::unexpected(file.error());
}

// Makes copies, which are durable before the rows go. A start would sweep files without rows.
Result<void> LogSalvage::copy_aside(const std::vector<std::string>& paths, const std::string& folder_name,
                                    const std::string& aside) {
  const std::string folder = aside + "/" + folder_name;
  if (auto done = files_.create_directories(folder); !done) return done;
  for (const std::string& path : paths) {
    auto there = files_.exists(path);
    if (!there) return std::unexpected(there.error());
    if (!*there) continue;
    auto copy = runtime::copy_file(files_, path, folder + "/" + name_in(path));
    if (!copy) return std::unexpected(copy.error());
    if (auto done = (*copy)->sync(); !done) return done;
  }
  for (const std::string& each : {folder, aside, log_dir_}) {
    if (auto done = files_.sync_directory(each); !done) return done;
  }
  return {};
}

Result<void> LogSalvage::remove_used_up() {
  const auto remove = [this](const std::string& path) -> Result<void> {
    auto done = files_.remove(path);
    return !done && done.error().code == ErrorCode::kNotFound ? Result<void>() : done;
  };
  for (const auto& [id, piece] : pieces_) {
    if (!piece.rewrite) continue;
    for (const Part& part : piece.parts) {
      if (!part.there || part.whole) continue;
      if (auto done = remove(part.path); !done) return done;
      if (auto done = remove(parent_of(part.path) + "/" + index_file_name(part.info.base_offset, part.info.generation)); !done)
        return done;
      if (auto done = remove(aborted_path(part)); !done) return done;
    }
    if (!piece.offline) continue;
    if (auto done = markers_.remove(id); !done) return done;
  }
  return {};
}

// All of the log lies in segments now. The files go first, the oldest before the others, then their rows.
Result<void> LogSalvage::put_log_aside(const std::string& aside) {
  std::vector<WalSession> sessions;
  for (const auto& [shard, result] : replayed_) {
    const std::string from = fmt::format("{}/wal/{}", log_dir_, shard), to = fmt::format("{}/wal-{}", aside, shard);
    auto entries = files_.list(from);
    if (!entries && entries.error().code != ErrorCode::kNotFound) return std::unexpected(entries.error());
    if (auto done = files_.create_directories(to); !done) return done;
    if (entries) {
      for (const auto& entry : *entries) {
        const auto name = parse_wal_file_name(entry.name);
        if (!name || (name->kind != WalFileKind::kLog && name->kind != WalFileKind::kGivenUp)) continue;
        if (auto done = files_.rename(from + "/" + entry.name, to + "/" + entry.name); !done) return done;
      }
      if (auto done = files_.sync_directory(from); !done) return done;
    }
    for (const std::string& each : {to, aside, log_dir_}) {
      if (auto done = files_.sync_directory(each); !done) return done;
    }
    // The session is not sealed, so leader epochs move on.
    if (!result.sessions.empty())
      sessions.push_back({shard, result.sessions.back().row.incarnation, result.next_chunk, 0, false});
  }
  return manifests_.put_wal(sessions, nullptr);
}

}  // namespace weir::storage
