// LocalSegmentStore: new files in the place of old ones (compaction, moves to another log directory). Order: outputs are complete
// and synced, their names are synced, the transaction commits, and only later the old files go. A crash leaves either the old
// segments or the new ones; files of the other kind are swept at the next start.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "storage/segment/aborted_index.h"
#include "storage/segment/file_source.h"
#include "storage/segment/local_segment_store.h"
#include "storage/segment/replace_plan.h"
#include "storage/segment/rewritten_segment.h"
#include "storage/segment/segment_names.h"

namespace weir::storage {

Result<uint32_t> LocalSegmentStore::begin_rewrite(const PartitionId& partition) {
  std::lock_guard lock(mutex_);
  const auto found = partitions_.find(partition);
  if (found == partitions_.end()) return fail(ErrorCode::kNotFound, "the partition is gone");
  if (auto done = manifests_->settle(); !done) return std::unexpected(std::move(done.error()));
  PartitionState& state = found->second;
  // No generation is used twice, whatever became of the transaction.
  const uint32_t generation = ++state.generation;
  if (auto done = manifests_->put_generation(state.row, generation); !done) return std::unexpected(std::move(done.error()));
  return generation;
}

Result<std::unique_ptr<SegmentSource>> LocalSegmentStore::open_segment(const PartitionId& partition, const SegmentInfo& segment) {
  auto file = files_.open(log_path(partition, segment), {.direct = true});
  if (!file) return std::unexpected(std::move(file.error()));
  return std::make_unique<FileSource>(std::move(*file));
}

Result<std::vector<AbortedTransaction>> LocalSegmentStore::aborted_transactions(const PartitionId& partition,
                                                                                const SegmentInfo& segment) {
  return load_aborted(files_, aborted_path(partition, segment), segment);
}

Result<std::unique_ptr<SegmentSink>> LocalSegmentStore::create_segment(const PartitionId& partition, int64_t base_offset,
                                                                       uint32_t generation) {
  SegmentInfo segment;
  segment.base_offset = base_offset;
  segment.generation = generation;
  segment.directory = directories_.place(partition).target;
  if (directories_.several()) {
    auto made = make_folder(partition, segment.directory);
    if (!made) return std::unexpected(std::move(made.error()));
  }
  return RewrittenSegment::create(
      files_, {log_path(partition, segment), index_path(partition, segment), aborted_path(partition, segment), segment.directory},
      base_offset, generation, clock_.wall_ms(), options_.reading.spacing);
}

void LocalSegmentStore::replace(SegmentReplacement replacement, runtime::Executor& reply_to,
                                Function<void(Result<PartitionManifest>)> done) {
  struct Call {
    SegmentReplacement replacement;
    Function<void(Result<PartitionManifest>)> done;
    Result<PartitionManifest> result;
  };
  auto call = std::make_shared<Call>();
  call->replacement = std::move(replacement);
  call->done = std::move(done);
  queue_.submit(
      [this, call] {
        call->result = replace_now(call->replacement);
        return true;
      },
      reply_to, [call] { call->done(std::move(call->result)); });
}

void LocalSegmentStore::discard(const SegmentReplacement& replacement, runtime::Executor& reply_to) {
  queue_.submit(
      [this, replacement] {
        discard_now(replacement);
        return true;
      },
      reply_to, [] {});
}

void LocalSegmentStore::discard_now(const SegmentReplacement& replacement) {
  std::lock_guard lock(mutex_);
  // A commit with an open outcome may name these files.
  if (!manifests_->settle()) return;
  const auto known = partitions_.find(replacement.partition);
  for (const auto& group : replacement.groups) {
    for (const SegmentInfo& output : group.outputs) {
      const bool used = known != partitions_.end() && find_segment(known->second.manifest.segments, output);
      if (used) continue;
      remove_segment_files(replacement.partition, output);
      if (known == partitions_.end()) remove_empty_folder(replacement.partition, output.directory);
    }
  }
}

Result<PartitionManifest> LocalSegmentStore::replace_now(const SegmentReplacement& replacement) {
  std::lock_guard lock(mutex_);
  const auto found = partitions_.find(replacement.partition);
  if (found == partitions_.end()) return fail(ErrorCode::kNotFound, "the partition is gone");
  if (auto done = manifests_->settle(); !done) return std::unexpected(std::move(done.error()));
  PartitionState& state = found->second;
  auto planned = plan_replacement(state.manifest, replacement);
  if (!planned) return std::unexpected(std::move(planned.error()));
  ReplacePlan& plan = *planned;
  if (!plan.added.empty()) {
    if (auto done = sync_names(replacement.partition, plan.added); !done) return std::unexpected(std::move(done.error()));
  }
  std::vector<int64_t> removed;
  for (const SegmentInfo& segment : plan.removed) removed.push_back(segment.base_offset);
  const int64_t first_dirty = std::max(state.manifest.first_dirty_offset, replacement.first_dirty_offset);
  PartitionPlace place = state.manifest.place;
  const auto elsewhere = [&](const SegmentInfo& segment) { return segment.directory != place.target; };
  if (std::ranges::none_of(plan.segments, elsewhere)) place.directory = place.target;
  ManifestDatabase::Places arrived;
  if (place != state.manifest.place) arrived.push_back({replacement.partition, place});
  if (auto done = manifests_->replace_segments(state.row, removed, plan.added, first_dirty, arrived); !done)
    return std::unexpected(std::move(done.error()));

  state.manifest.segments = std::move(plan.segments);
  state.manifest.first_dirty_offset = first_dirty;
  state.manifest.place = place;
  directories_.set(replacement.partition, place);
  const int64_t due_ms = clock_.wall_ms() + replacement.file_delete_delay_ms;
  // The same file with another row stays.
  for (const SegmentInfo& segment : plan.removed) {
    if (!find_segment(plan.added, segment)) doomed_files_.push_back({replacement.partition, segment, due_ms});
  }
  for (const SegmentInfo& segment : plan.unused) {
    if (!find_segment(plan.removed, segment)) remove_segment_files(replacement.partition, segment);
  }
  return state.manifest;
}

// Removes files of rewrites that a crash ended, and replaced files that the crash kept from going. Only a partition that was ever
// rewritten or may have moved has any.
Result<void> LocalSegmentStore::sweep_segments(const PartitionManifest& manifest, uint32_t directory) {
  const std::string folder = folder_of(manifest.partition, directory);
  auto entries = files_.list(folder);
  if (!entries) {
    if (entries.error().code == ErrorCode::kNotFound) return {};
    return std::unexpected(std::move(entries.error()));
  }
  for (const auto& entry : *entries) {
    const auto name = parse_segment_file_name(entry.name);
    if (entry.is_directory || !name) continue;
    SegmentInfo wanted;
    wanted.base_offset = name->base_offset;
    wanted.generation = name->generation;
    const SegmentInfo* found = find_segment(manifest.segments, wanted);
    if (found && found->directory == directory) continue;
    if (auto removed = files_.remove(folder + "/" + entry.name); !removed) return removed;
  }
  return {};
}

}  // namespace weir::storage
