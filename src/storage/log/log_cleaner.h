// Compacts the partitions of all shards. Each cleaner takes one partition at a time, the dirtiest first. The work is done on the
// pool, in steps. Steps are spread over time if the settings limit I/O, or if the throttle holds the background back. The owning
// shard puts the outcome in place. A cleaner that loses ground, with more to clean than when the last run began, is not held
// back. A damaged partition is left out until a restart, and the others go on.
//
// It belongs to one loop, home. All calls come from there. It is destroyed before the shards, after the loops have stopped.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/lifetime.h"
#include "runtime/homebound.h"
#include "storage/compaction/partition_cleaning.h"
#include "storage/log/log_shard.h"
#include "storage/log/topic_names.h"

namespace weir::storage {

// Kafka's settings log.cleaner.*, for all cleaners together.
struct LogCleanerOptions {
  unsigned threads = 1;
  size_t dedupe_buffer_bytes = 128 << 20;
  double load_factor = 0.9;  // of the dedupe buffer
  double io_bytes_per_second_max = 1e308;
  int64_t backoff_ms = 15'000;  // between looks when there is nothing to clean
  uint64_t step_bytes = 4 << 20;
  BackgroundThrottle* throttle = nullptr;  // outlives the cleaner
  bool operator==(const LogCleanerOptions&) const = default;
};

// A partition that compaction leaves out, because it met damage or the disk failed again and again.
struct UncleanablePartition {
  PartitionId partition;
  std::string name;    // partition_text()
  std::string reason;  // names the file
};

struct LogCleanerStats {
  static constexpr size_t kListedMax = 10;
  std::vector<UncleanablePartition> uncleanable;  // some of them
  uint64_t runs = 0;
  uint64_t failed_runs = 0;
  size_t uncleanable_partitions = 0;
  size_t running = 0;
  int max_dirty_percent = 0;  // of the partitions seen in the last look
  int64_t last_look_ms = -1;  // wall clock
  int64_t last_run_ms = 0;    // how long the last run took
  uint64_t bytes_before = 0;  // of all runs, the rewritten bytes
  uint64_t bytes_after = 0;   // and the bytes that were left
  CleaningStats last_run;
};

class LogCleaner {
 public:
  // shards[i] belongs to runtime.loops[i]; home is loops[0].
  LogCleaner(const runtime::Runtime& runtime, std::vector<LogShard*> shards, SegmentStore& store, LogCleanerOptions options);
  ~LogCleaner();

  void start();
  // Gives names for messages. Before start().
  void name_topics(TopicNames names) { names_ = std::move(names); }
  // Begins no further step. A cleaning under way is given up.
  void stop() { stopped_ = true; }
  // Sets the settings of cleanings that begin from now on. A cleaning under way keeps its memory and takes the next step at the
  // new rate. Additional cleaners start at once. Surplus cleaners end with their run.
  void set_options(LogCleanerOptions options);
  // Cleans all partitions that are due, also without start(). `done` is called when none is left. For tests and simulation.
  void clean_all(Function<void()> done);

  // Keeps away from a partition whose segments the caller will replace. Returns false if the partition is being cleaned.
  bool hold(const PartitionId& partition) { return in_progress_.insert(partition).second; }
  void release(const PartitionId& partition) { in_progress_.erase(partition); }

  // Thread-safe.
  LogCleanerStats stats() const {
    const std::lock_guard lock(stats_mutex_);
    return stats_;
  }
  bool uncleanable(const PartitionId& partition) const { return uncleanable_.contains(partition); }

 private:
  struct Candidate {
    LogShard::Cleanable cleanable;
    unsigned shard = 0;
  };
  static constexpr int kIoErrorsMax = 3;
  struct Look;
  struct Run;
  using Idle = Function<void()>;  // what a cleaner does when there is nothing to clean

  void look(Idle idle);
  void choose(std::vector<Candidate> candidates, Idle idle);
  void begin(const Candidate& candidate, bool behind, Idle idle);
  void step(runtime::HomeRef<Run> run);
  void stepped(runtime::HomeRef<Run> run);
  void wait_and_step(runtime::HomeRef<Run> run);
  void put_in_place(runtime::HomeRef<Run> run);
  void ended(Run& run, const Result<void>& result);
  bool is_damage(const PartitionId& partition, ErrorCode code);
  void count(const Run& run, bool succeeded);
  std::string text_of(const PartitionId& partition) const { return partition_text(names_, home_.index(), partition); }
  void list_uncleanable();
  void wait_and_look();
  void start_cleaners();

  const runtime::Runtime runtime_;
  runtime::Loop& home_;
  const std::vector<LogShard*> shards_;
  SegmentStore& store_;
  LogCleanerOptions options_;
  uint64_t generation_ = 0;  // of options_: timers of former options do nothing
  bool started_ = false;
  TopicNames names_;
  unsigned cleaners_ = 0;  // they wait, look or clean since start()
  unsigned waiting_ = 0;   // of them
  std::set<PartitionId> in_progress_;
  std::map<PartitionId, std::string> uncleanable_;  // and why
  std::map<PartitionId, int> io_errors_;            // in a row
  uint64_t due_bytes_ = 0;                          // waited for cleaning when the last run began
  mutable std::mutex stats_mutex_;
  LogCleanerStats stats_;  // changed at home
  bool stopped_ = false;
  Lifetime lifetime_;
};

}  // namespace weir::storage
