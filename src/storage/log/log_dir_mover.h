// Moves the segments of partitions whose target is another log directory (AlterReplicaLogDirs), one segment after the other. The
// pool copies a segment in pieces, asks the throttle between them, and syncs the copy. Then the owning shard puts the copy in
// place in one transaction. A crash at any time leaves each segment in the one place or the other, and the next start goes on.
// Compaction keeps away from a partition while a segment of it is copied. A failed move is tried again after kRetryNs, and others
// go on.
//
// In the same way it finds out the times of segments whose rows have the times of batch headers (segment_time_check.h), one after
// the other, before it moves them. The process log tells the progress. While producers lack space nothing is written anew for
// that, but retention learns how old segments are. A segment that is damaged, or whose reads fail again and again, is left to the
// shard, which tells of it (LogShard::unreadable_segments). Then the next segment is checked.
//
// It belongs to one loop, home. All calls come from there. It is destroyed before the shards and the cleaner, after the loops
// have stopped.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "base/lifetime.h"
#include "runtime/homebound.h"
#include "runtime/runtime.h"
#include "storage/background/background_throttle.h"
#include "storage/log/log_cleaner.h"
#include "storage/log/log_shard.h"

namespace weir::storage {

struct LogDirMoverOptions {
  uint64_t step_bytes = 4 << 20;
  BackgroundThrottle* throttle = nullptr;    // outlives the mover
  LogDirectoryStore* directories = nullptr;  // of the store; null: it has none, and nothing moves
  TopicNames topic_names = {};               // for messages
};

class LogDirMover {
 public:
  static constexpr int64_t kRetryNs = 30 * runtime::kSecond;
  static constexpr int64_t kNoSpaceRetryNs = 3600 * runtime::kSecond;
  static constexpr int64_t kProgressNs = 30 * runtime::kSecond;
  static constexpr int64_t kCleanedNs = runtime::kSecond;  // looks again at a partition that was being compacted
  static constexpr int kFailuresMax = 3;                   // failed checks of one partition in a row

  // shards[i] belongs to runtime.loops[i]; home is loops[0]. Before the loops run.
  LogDirMover(const runtime::Runtime& runtime, std::vector<LogShard*> shards, SegmentStore& store, LogCleaner& cleaner,
              LogDirMoverOptions options);
  ~LogDirMover();

  // Looks for segments to move, now and whenever a shard says that it has some.
  void start();
  // Copies no further piece. The next start goes on.
  void stop() { stopped_ = true; }

  struct Stats {
    uint64_t segments = 0;
    uint64_t bytes = 0;
    uint64_t failures = 0;
  };
  Stats stats() const {  // thread-safe
    const std::lock_guard lock(stats_mutex_);
    return stats_;
  }

 private:
  struct Move;

  void look();
  void ask(unsigned shard, const PartitionId& from = {});
  void begin(unsigned shard, LogShard::Misplaced misplaced);
  void arrive(const runtime::HomeRef<Move>& move);
  void step(runtime::HomeRef<Move> move);
  void stepped(runtime::HomeRef<Move> move);
  void wait_and_step(runtime::HomeRef<Move> move);
  void put_in_place(const runtime::HomeRef<Move>& move);
  void ended(const Move& move, const Result<void>& result);
  void check_ended(const Move& move, const Result<void>& result);
  bool stays_unreadable(const Move& move);
  void tell_progress(bool end);
  void remove_old_file_later(const Move& move);
  void skip(const PartitionId& partition, int64_t delay_ns);
  std::string text_of(const PartitionId& partition) const {
    return partition_text(options_.topic_names, home_.index(), partition);
  }

  const runtime::Runtime runtime_;
  runtime::Loop& home_;
  const std::vector<LogShard*> shards_;
  SegmentStore& store_;
  LogCleaner& cleaner_;
  const LogDirMoverOptions options_;
  bool busy_ = false;
  bool look_again_ = false;
  bool waits_for_space_ = false;  // this round has seen segments that lack only the space to be written anew
  bool stopped_ = false;
  std::set<PartitionId> skipped_;  // until a timer says otherwise
  // Partitions whose times are checked: failures in a row, and partitions without room to write a segment anew.
  std::map<PartitionId, int> failures_;
  std::set<PartitionId> no_room_;
  LogShard::UnknownTimes to_check_;  // at the start
  struct Checked {
    uint64_t segments = 0, bytes = 0;
    uint64_t mended = 0, unreadable = 0;  // batches
    uint64_t damaged = 0;                 // segments
  };
  Checked checked_;
  int64_t progress_told_ns_ = 0;
  mutable std::mutex stats_mutex_;
  Stats stats_;
  Lifetime lifetime_;
};

}  // namespace weir::storage
