// LocalSegmentStore: several log directories. The store learns the directories before it loads anything. A partition's place is a
// row of its own, beside the manifest.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/counted.h"
#include "base/log.h"
#include "storage/segment/local_segment_store.h"
#include "storage/segment/segment_copy.h"
#include "storage/segment/segment_names.h"

namespace weir::storage {

namespace {

Result<bool> has_partition_folders(runtime::FileSystem& files, const std::string& path) {
  auto entries = files.list(path);
  if (!entries && entries.error().code == ErrorCode::kNotFound) return false;  // a new directory, made later
  if (!entries) return std::unexpected(std::move(entries.error()));
  return std::ranges::any_of(*entries, [](const runtime::DirectoryEntry& entry) {
    return entry.is_directory && parse_partition_folder_name(entry.name);
  });
}

std::unexpected<Error> missing(runtime::FileSystem& files, const std::string& home, const ManifestDatabase::Directory& known,
                               const std::vector<LocalSegmentStore::ExtraDirectory>& extra) {
  const auto at_its_path = std::ranges::find(extra, known.path, &LocalSegmentStore::ExtraDirectory::path);
  const std::string what =
      at_its_path == extra.end() ? "is not among log.dirs: name it there. To do without it, move its partitions to another "
                                   "directory first (kafka-reassign-partitions)"
      : !at_its_path->fresh      ? "has another directory.id now, " + at_its_path->id.to_string() + ": is the right disk mounted?"
      : files.exists(known.path).value_or(false) ? "is empty now: is its disk mounted?"
                                                 : "does not exist: is its disk mounted?";
  return fail(ErrorCode::kNotFound,
              fmt::format("log directory {} (directory.id {}) holds {} but {} If it is lost, `weir log salvage {} "
                          "--without {}` says what is lost with it, and serves the rest; nothing was changed",
                          known.path, known.id.to_string(), counted(known.segments, "segment"),
                          what.ends_with('?') ? what : what + ".", home, known.path));
}

// Returns whether the partition may have a folder in the directory.
bool lives_in(const PartitionManifest& manifest, uint32_t directory) {
  return manifest.place.target == directory ||
         std::ranges::find(manifest.segments, directory, &SegmentInfo::directory) != manifest.segments.end();
}

}  // namespace

Result<void> LocalSegmentStore::use_directories(const std::vector<ExtraDirectory>& extra) {
  std::lock_guard lock(mutex_);
  auto known = manifests_->directories();
  if (!known) return std::unexpected(std::move(known.error()));
  std::vector<ManifestDatabase::Directory> now;
  uint32_t next = 1;
  bool changed = false;
  for (const auto& directory : *known) {
    next = std::max(next, directory.number + 1);
    if (std::ranges::find(extra, directory.id, &ExtraDirectory::id) != extra.end()) continue;
    if (directory.segments > 0) return missing(files_, options_.log_dir, directory, extra);
    changed = true;
  }
  for (const ExtraDirectory& directory : extra) {
    const auto found = std::ranges::find(*known, directory.id, &ManifestDatabase::Directory::id);
    if (found != known->end()) {
      changed |= found->path != directory.path;
      now.push_back({found->number, found->id, directory.path, 0});
      continue;
    }
    auto foreign = has_partition_folders(files_, directory.path);
    if (!foreign) return std::unexpected(std::move(foreign.error()));
    if (*foreign) {
      return fail(ErrorCode::kInvalid,
                  fmt::format("log directory {} (directory.id {}) has partition folders, but {}/{} does not know it: it is of "
                              "another broker, or was taken out of log.dirs before. Move its contents away; nothing was "
                              "changed",
                              directory.path, directory.id.to_string(), options_.log_dir, "manifest.db"));
    }
    changed = true;
    now.push_back({next++, directory.id, directory.path, 0});
  }
  if (changed) {
    if (auto done = manifests_->put_directories(now); !done) return done;
  }
  for (const auto& directory : now) {
    const auto given = std::ranges::find(extra, directory.id, &ExtraDirectory::id);
    directories_.add(directory.number, directory.path, given->marker);
  }
  return {};
}

// Comes after the manifests are loaded. A partition without a manifest may have a place as well.
Result<void> LocalSegmentStore::load_places(std::vector<LoadedPartition>& loaded) {
  for (const auto& [id, state] : partitions_) {
    for (const SegmentInfo& segment : state.manifest.segments) {
      if (directories_.knows(segment.directory)) continue;
      return fail(ErrorCode::kInvalid, fmt::format("{} has segments in log directory number {}, which was not given",
                                                   partition_folder_name(id), segment.directory));
    }
  }
  if (!directories_.several()) return {};
  auto places = manifests_->places();
  if (!places) return std::unexpected(std::move(places.error()));
  std::unordered_map<PartitionId, PartitionPlace> stored;
  for (const auto& [id, place] : *places) {
    if (directories_.knows(place.directory) && directories_.knows(place.target)) stored[id] = place;
  }
  for (LoadedPartition& one : loaded) {
    PartitionManifest& manifest = one.manifest;
    const uint32_t last = manifest.segments.empty() ? 0 : manifest.segments.back().directory;
    const auto found = stored.find(manifest.partition);
    manifest.place = found != stored.end() ? found->second : PartitionPlace{last, last};
    partitions_.at(manifest.partition).manifest.place = manifest.place;
    directories_.set(manifest.partition, manifest.place);
  }
  for (const auto& [id, place] : stored) {
    if (partitions_.contains(id)) continue;
    directories_.set(id, place);
    LoadedPartition& one = loaded.emplace_back();
    one.manifest.partition = id;
    one.manifest.place = place;
  }
  return {};
}

// A folder of a partition without a row is left by a checkpoint that did not commit, or by a drop. The checkpoint comes again and
// uses the folder. A dropped partition's folder goes in the background. In the folder of a partition that was compacted or may
// have moved, only files stay that the manifest names.
Result<void> LocalSegmentStore::sort_out_folders(const LogDirectories::Directory& directory, const PartitionDeleted& deleted,
                                                 std::vector<LoadedPartition>& loaded) {
  auto entries = files_.list(directory.path);
  if (!entries) return std::unexpected(std::move(entries.error()));
  for (const auto& entry : *entries) {
    if (!entry.is_directory) continue;
    if (entry.name.ends_with(kDeletedSuffix)) {
      doomed_.push_back({directory.path + "/" + entry.name, 0});
      // The rename may not be durable yet.
      if (const auto dropped = parse_partition_folder_name(entry.name.substr(0, entry.name.find('.')))) {
        LoadedPartition& one = loaded.emplace_back();
        one.manifest.partition = *dropped;
        one.has_row = false;
      }
      continue;
    }
    const auto partition = parse_partition_folder_name(entry.name);
    if (!partition) continue;
    const auto known = partitions_.find(*partition);
    Result<void> done;
    if (known == partitions_.end()) {
      auto held = files_.list(directory.path + "/" + entry.name);
      if (!held) return std::unexpected(std::move(held.error()));
      LoadedPartition& one = loaded.emplace_back();
      one.manifest.partition = *partition;
      one.has_row = false;
      one.has_files = !held->empty();
      if (deleted && deleted(*partition)) done = doom_folder(directory.path, entry.name, 0);
    } else if (!lives_in(known->second.manifest, directory.number)) {
      done = doom_folder(directory.path, entry.name, 0);
    } else if (directories_.several() || known->second.generation > 0) {
      done = sweep_segments(known->second.manifest, directory.number);
    }
    if (!done) return done;
  }
  return {};
}

Result<void> LocalSegmentStore::sync_removals() {
  for (const LogDirectories::Directory& directory : directories_.all()) {
    if (auto done = files_.sync_directory(directory.path); !done) return done;
  }
  return {};
}

Result<void> LocalSegmentStore::doom_folder(const std::string& log_dir, const std::string& name, int64_t due_ms) {
  std::string doomed;
  while (true) {
    doomed = fmt::format("{}/{}.{}{}", log_dir, name, next_doomed_++, kDeletedSuffix);
    auto exists = files_.exists(doomed);
    if (!exists) return std::unexpected(std::move(exists.error()));
    if (!*exists) break;
  }
  auto renamed = files_.rename(log_dir + "/" + name, doomed);
  if (!renamed) {
    if (renamed.error().code == ErrorCode::kNotFound) return {};  // never written
    return renamed;
  }
  doomed_.push_back({std::move(doomed), due_ms});
  return {};
}

void LocalSegmentStore::set_directory(const PartitionId& partition, uint32_t directory, runtime::Executor& reply_to,
                                      Function<void(Result<PartitionPlace>)> done) {
  struct Call {
    Function<void(Result<PartitionPlace>)> done;
    Result<PartitionPlace> result;
  };
  auto call = std::make_shared<Call>();
  call->done = std::move(done);
  queue_.submit(
      [this, call, partition, directory] {
        call->result = set_directory_now(partition, directory);
        return true;
      },
      reply_to, [call] { call->done(std::move(call->result)); });
}

Result<PartitionPlace> LocalSegmentStore::set_directory_now(const PartitionId& partition, uint32_t directory) {
  std::lock_guard lock(mutex_);
  if (!directories_.knows(directory)) return fail(ErrorCode::kNotFound, "there is no such log directory");
  if (!directories_.several()) return PartitionPlace{};
  const PartitionPlace before = directories_.place(partition);
  PartitionPlace place{before.directory, directory};
  const auto found = partitions_.find(partition);
  const auto elsewhere = [&](const SegmentInfo& segment) { return segment.directory != directory; };
  if (found == partitions_.end() || std::ranges::none_of(found->second.manifest.segments, elsewhere)) place.directory = directory;
  if (place != before) {
    if (auto done = manifests_->settle(); !done) return std::unexpected(std::move(done.error()));
    if (auto done = manifests_->put_places({{partition, place}}); !done) return std::unexpected(std::move(done.error()));
  }
  directories_.set(partition, place);
  if (found != partitions_.end()) found->second.manifest.place = place;
  return place;
}

Result<std::unique_ptr<SegmentCopy>> LocalSegmentStore::copy_segment(const PartitionId& partition, const SegmentInfo& segment,
                                                                     CopyTarget target) {
  if (auto made = make_folder(partition, target.directory); !made) return std::unexpected(std::move(made.error()));
  SegmentInfo copy = segment;
  copy.directory = target.directory;
  copy.generation = target.generation;
  const auto paths = [&](const SegmentInfo& of) {
    return SegmentCopy::Paths{log_path(partition, of), index_path(partition, of), aborted_path(partition, of)};
  };
  return SegmentCopy::create(files_, paths(segment), paths(copy), copy);
}

// A file written to the mount point of a missing disk would be hidden once the disk is back.
Result<void> LocalSegmentStore::make_folder(const PartitionId& partition, uint32_t directory) {
  const std::string& marker = directories_.at(directory).marker;
  if (!marker.empty()) {
    auto there = files_.exists(marker);
    if (!there) return std::unexpected(std::move(there.error()));
    if (!*there) {
      return fail(ErrorCode::kIo,
                  fmt::format("log directory {} is not what it was when the broker started ({} is gone): is its disk "
                              "mounted? Nothing is written there",
                              directories_.path(directory), marker));
    }
  }
  return files_.create_directory(folder_of(partition, directory));
}

// Makes the names of new files and of their folders durable.
Result<void> LocalSegmentStore::sync_names(const PartitionId& partition, const std::vector<SegmentInfo>& added) {
  std::set<uint32_t> touched;
  for (const SegmentInfo& segment : added) touched.insert(segment.directory);
  for (const uint32_t directory : touched) {
    if (auto done = files_.sync_directory(folder_of(partition, directory)); !done) return done;
    if (!directories_.several()) continue;
    if (auto done = files_.sync_directory(directories_.path(directory)); !done) return done;
  }
  return {};
}

// Removes the partition's folder if a move left nothing there. The next start cleans up a folder that is not empty.
void LocalSegmentStore::remove_empty_folder(const PartitionId& partition, uint32_t directory) {
  if (!directories_.knows(directory)) return;
  const auto known = partitions_.find(partition);
  if (known != partitions_.end()) {
    const PartitionManifest& manifest = known->second.manifest;
    if (manifest.place.target == directory) return;
    if (std::ranges::find(manifest.segments, directory, &SegmentInfo::directory) != manifest.segments.end()) return;
  }
  (void)files_.remove(folder_of(partition, directory));
}

// Stores the places chosen for new partitions. Before that a restart may choose others. That does no harm, for the partitions
// have no files yet.
void LocalSegmentStore::save_places() {
  if (!directories_.several()) return;
  const auto places = directories_.take_unsaved();
  if (places.empty()) return;
  auto done = manifests_->settle();
  if (done) done = manifests_->put_places(places);
  if (done) return;
  log_warn("storage", "the log directories of new partitions could not be noted: {}", done.error().message);
  directories_.not_saved(places);
}

std::string LocalSegmentStore::folder_of(const PartitionId& partition, uint32_t directory) const {
  return directories_.path(directory) + "/" + partition_folder_name(partition);
}

std::string LocalSegmentStore::log_path(const PartitionId& partition, const SegmentInfo& segment) const {
  return folder_of(partition, segment.directory) + "/" + segment_file_name(segment.base_offset, segment.generation);
}

std::string LocalSegmentStore::index_path(const PartitionId& partition, const SegmentInfo& segment) const {
  return folder_of(partition, segment.directory) + "/" + index_file_name(segment.base_offset, segment.generation);
}

std::string LocalSegmentStore::aborted_path(const PartitionId& partition, const SegmentInfo& segment) const {
  return folder_of(partition, segment.directory) + "/" + aborted_index_file_name(segment.base_offset, segment.generation);
}

}  // namespace weir::storage
