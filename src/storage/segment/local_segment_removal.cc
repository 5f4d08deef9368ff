// LocalSegmentStore: removes files that nobody needs any more. These are segments that retention dropped or compaction replaced,
// and folders of dropped partitions. Files go one after the other, and the throttle counts each. If a crash leaves some, the next
// start finds them. It leaves segments below the log start until the partition drops segments again.
#include <algorithm>

#include "base/log.h"
#include "storage/segment/local_segment_store.h"
#include "storage/segment/segment_names.h"

namespace weir::storage {

namespace {

constexpr size_t kRemovedPerJob = 64;   // checkpoints wait meanwhile
constexpr size_t kEntriesPerPiece = 8;  // of a folder: half of them are small indexes
constexpr int64_t kRetryMs = 60'000;

}  // namespace

void LocalSegmentStore::maintain(runtime::Executor& reply_to, Function<void()> done) {
  submit_maintenance(reply_to, std::move(done));
}

void LocalSegmentStore::maintain_now() {
  std::lock_guard lock(mutex_);
  const int64_t now_ms = clock_.wall_ms();
  save_places();
  while (remove_something(now_ms)) {
  }
}

void LocalSegmentStore::submit_maintenance(runtime::Executor& reply_to, runtime::Task done) {
  queue_.submit(
      [this, &reply_to, left = kRemovedPerJob]() mutable {
        {
          std::lock_guard lock(mutex_);
          save_places();
          if (!remove_something(clock_.wall_ms())) return true;
        }
        if (--left > 0) return false;
        submit_maintenance(reply_to, [] {});  // behind the checkpoints that wait
        return true;
      },
      reply_to, std::move(done));
}

// For a checkpoint whose caller waits until its files are gone.
void LocalSegmentStore::remove_dropped_segments() {
  std::lock_guard lock(mutex_);
  while (remove_doomed_segment(kDueAtOnce)) {
  }
}

// Returns false if nothing is due.
bool LocalSegmentStore::remove_something(int64_t now_ms) {
  if (!remove_doomed_segment(now_ms) && !remove_from_doomed_folder(now_ms)) return false;
  if (options_.throttle) options_.throttle->removed_file();
  return true;
}

bool LocalSegmentStore::remove_doomed_segment(int64_t now_ms) {
  const auto due = std::ranges::find_if(doomed_files_, [&](const DoomedFile& file) { return file.due_ms <= now_ms; });
  if (due == doomed_files_.end()) return false;
  const DoomedFile file = *due;
  doomed_files_.erase(due);
  remove_segment_files(file.partition, file.segment);
  if (directories_.several()) remove_empty_folder(file.partition, file.segment.directory);
  return true;
}

bool LocalSegmentStore::remove_from_doomed_folder(int64_t now_ms) {
  const auto due = std::ranges::find_if(doomed_, [&](const DoomedFolder& folder) { return folder.due_ms <= now_ms; });
  if (due == doomed_.end()) return false;
  const std::string& path = due->path;
  Result<void> removed;
  auto entries = files_.list(path);
  if (entries && entries->size() > kEntriesPerPiece) {
    for (size_t i = 0; i < kEntriesPerPiece && removed; ++i) removed = files_.remove_all(path + "/" + (*entries)[i].name);
    if (removed) return true;
  } else {
    removed = files_.remove_all(path);
  }
  if (!removed) {
    log_warn("storage", "the folder of a deleted partition could not be removed: {}", removed.error().message);
    due->due_ms = now_ms + kRetryMs;
    return true;
  }
  doomed_.erase(due);
  return true;
}

void LocalSegmentStore::remove_segment_files(const PartitionId& partition, const SegmentInfo& segment) {
  for (const std::string& path :
       {log_path(partition, segment), index_path(partition, segment), aborted_path(partition, segment)}) {
    auto removed = files_.remove(path);
    if (!removed && removed.error().code != ErrorCode::kNotFound) {
      log_warn("storage", "a segment that is not used any more could not be removed: {}", removed.error().message);
    }
  }
  reader_.forget(partition, segment);  // last: a reader may just have opened it
}

}  // namespace weir::storage
