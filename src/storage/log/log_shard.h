// All partitions of one shard over one write-ahead log: append, read, merge, retention.
//
// Append: validate -> producer state -> assign offset -> WAL chunk -> (flush) -> durable: the high watermark advances and
// the append completes. A response that depends on speculative state (duplicates, sequence errors) is held until the
// chunk it depends on is durable. A failed flush ends the shard's session: every pending and later append answers
// KAFKA_STORAGE_ERROR; what was durable stays readable; a restart recovers.
//
// Loop thread only, unless said otherwise. Completion callbacks run on the loop, possibly inline.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/rate_limit.h"
#include "runtime/runtime.h"
#include "storage/background/background_throttle.h"
#include "storage/compaction/clean_range.h"
#include "storage/log/awaited_appends.h"
#include "storage/log/opening_memory.h"
#include "storage/log/partition.h"
#include "storage/log/preparation_turns.h"
#include "storage/log/producer_bound.h"
#include "storage/log/recovered_partition.h"
#include "storage/log/timestamp_searches.h"
#include "storage/log/topic_names.h"
#include "storage/segment/log_directory_store.h"
#include "storage/segment/segment_store.h"
#include "storage/wal/wal.h"

namespace weir::storage {

struct ReadRequest {
  int64_t offset = 0;
  uint64_t max_bytes = 0;
  bool at_least_one = true;  // one whole batch is returned whatever max_bytes says
  bool read_committed = false;
};

struct ReadResult {
  protocol::ErrorCode error{};
  std::vector<FetchPiece> pieces;
  uint64_t bytes = 0;
  int64_t high_watermark = -1;
  int64_t last_stable_offset = -1;
  int64_t log_start_offset = -1;
  // With read_committed: the transactions of which `pieces` may hold records that the reader skips.
  std::vector<AbortedTransaction> aborted;
};

struct ValidatedBatch;  // append_validation.h
struct CleaningInput;   // partition_cleaning.h

// Merges since the start; for metrics.
struct MergeTotals {
  uint64_t merges = 0;
  uint64_t failures = 0;
  int64_t busy_ns = 0;  // from start to completion
  int64_t last_ns = 0;

  void add(int64_t duration_ns, bool succeeded) {
    ++merges;
    failures += succeeded ? 0 : 1;
    busy_ns += duration_ns;
    last_ns = duration_ns;
  }
};

struct LogShardOptions {
  std::string log_dir;                         // for offline markers (offline_markers.h)
  uint64_t unmerged_bytes_max = 256ull << 20;  // the bound on the dirty tail; appends are held back at it
  uint64_t tail_cache_bytes = 64ull << 20;     // kept in memory, merged or not
  OpeningMemory opening = {};                  // of compressed batches, of all shards
  int64_t retention_check_interval_ms = 300'000;
  int64_t producer_id_expiration_ms = 86'400'000;
  size_t producers_max = 100'000;            // that are remembered, see ProducerBound
  BackgroundThrottle* throttle = nullptr;    // told how near the dirty tail is to its bound; outlives the shard
  TopicNames topic_names = {};               // for messages
  LogDirectoryStore* directories = nullptr;  // null: a partition has no place; outlives the shard
};

class LogShard {
 public:
  LogShard(runtime::Runtime& runtime, runtime::Loop& loop, std::unique_ptr<WalBackend> wal, SegmentStore& store,
           LogShardOptions options);
  ~LogShard();

  // Partitions. `add` takes a new one.
  Partition& add(std::unique_ptr<Partition> partition);
  // Serves a partition that is there already, as a start found it or another owner released it (log_shard_handover.cc). Nobody
  // else serves it.
  Partition& acquire(PartitionSnapshot snapshot, const LogConfig& config, int32_t leader_epoch, RecoveredTail tail = {});
  // Gives the partition to another owner. From now on appends to it are refused with NOT_LEADER_OR_FOLLOWER; those that have an
  // offset are answered as ever, and readers are served. Once all of it is durable and merged, the shard has forgotten it, and
  // `done` has what acquire() takes: neither this shard nor the store on its behalf changes the partition any more. Fails if that
  // cannot be: the log ends, the partition goes offline or is dropped. It is not released then.
  void release(const PartitionId& id, Function<void(Result<PartitionSnapshot>)> done);
  Partition* find(const PartitionId& id);
  void set_config(const PartitionId& id, const LogConfig& config);
  // Deleted topic: later requests do not find it; waiters are woken, manifest and files go.
  void drop(const PartitionId& id);
  size_t partition_count() const { return partitions_.size(); }
  template <typename Visitor>
  void for_each(Visitor visit) {
    for (Partition* partition : listed_) visit(*partition);
  }
  // What has to do with all partitions, or all that a merge is about, is done in slices: so much in one turn of the loop.
  static constexpr size_t kPartitionsPerTurn = 256;
  static constexpr size_t kBatchesPerTurn = 4096;

  // Appends the record batches in `records`: memory that nobody else reads, whose base offsets, epochs and (with
  // LogAppendTime) timestamps are patched in place. `client` true: the rules for produce requests (one batch, no control
  // batches). Completes when durable, or at once with an error. `stages`: what it waits for before it is looked at; appends of
  // its producer that come meanwhile wait behind it (awaited_appends.h).
  void append(Partition& partition, Slice records, bool client, Function<void(AppendResult)> done,
              std::vector<AppendStage> stages = {});

  // True if answered inline into `result`. Otherwise the data is not in memory and `done` is called later.
  bool read(Partition& partition, const ReadRequest& request, ReadResult& result, Function<void(ReadResult)> done);

  // First record whose timestamp is >= `timestamp`; kLargestTimestamp asks for the record with the largest one. Look-ups have to
  // wait for their turn; see TimestampSearches. `wanted` is asked then; without it, the look-up is. With `read_committed` one at
  // or above the last stable offset counts as none, as in Kafka. While times of its segments are not known this may read all of
  // the partition: one such search at a time, some more wait, others fail at once.
  static constexpr int64_t kLargestTimestamp = SegmentStore::kLargestTimestamp;
  static constexpr size_t kSearchesAtOnce = 2;
  static constexpr size_t kReadingSearchesMax = 16;
  void find_timestamp(Partition& partition, int64_t timestamp, bool read_committed,
                      Function<void(Result<TimestampPosition>)> done, Function<bool()> wanted = {});

  // DeleteRecords: moves the log start (-1: to the high watermark); durable when `done` says so. The result is the new
  // log start, or kInvalid if `offset` is past the high watermark.
  void delete_records(Partition& partition, int64_t offset, Function<void(Result<int64_t>)> done);

  // Calls `wake` once when the high watermark (with read_committed: the last stable offset) or log start moves, or the partition
  // is dropped or goes offline. remove_waiter forgets it.
  uint64_t add_waiter(Partition& partition, bool read_committed, Function<void()> wake) {
    partition.add_waiter(next_waiter_, read_committed, std::move(wake));
    return next_waiter_++;
  }
  void remove_waiter(Partition& partition, uint64_t waiter) { partition.remove_waiter(waiter); }

  // While set, produce requests are refused with a retriable error; the broker's own appends go on (disk_reserve.h).
  void set_disk_full(bool full) {
    disk_full_ = full;
    wal_->save_space(full);
    report_pressure();
  }
  bool lacks_space() const { return disk_full_ || wal_->stalled(); }
  bool merge_failing() const { return merge_failing_; }

  WalBackend& wal() { return *wal_; }
  bool failed() const { return wal_->ended(); }
  uint64_t unmerged_bytes() const { return wal_->unreleased_bytes(); }
  // Memory of the tails; thread-safe.
  uint64_t tail_cache_bytes() const { return cached_bytes_.load(std::memory_order_relaxed); }
  // Appends that wait: for durability, and those held back because the dirty tail is at its bound.
  size_t pending_appends() const { return acks_.size(); }
  size_t held_appends() const { return held_.size(); }
  // Idempotent producers that are remembered, and how many were forgotten early because there were more than there is memory for.
  size_t producers() const { return producer_bound_.count(); }
  uint64_t producers_evicted() const { return producers_evicted_; }
  const MergeTotals& merge_totals() const { return merge_totals_; }
  const PartitionTraffic& dropped_traffic() const { return dropped_traffic_; }  // of partitions that are gone

  // Flushes what is open and calls `done` once every append so far has completed.
  void quiesce(Function<void()> done);

  // Starts merging everything that is durable now and calls `done` when the WAL holds nothing unmerged (shard count
  // changes, tests).
  void merge_all(Function<void(Result<void>)> done);
  // Compaction (log_shard_compaction.cc), driven by the LogCleaner.
  struct Cleanable {
    PartitionId partition;
    CleanRange range;
    bool due = false;
  };
  // Partitions of compacted topics with more than an active segment. What would roll an active segment is merged first.
  // `done` may be called inline; not at all once the log has failed.
  void find_cleanable(Function<void(std::vector<Cleanable>)> done);
  // What a cleaning needs to know; null if there is nothing to clean (any more).
  std::unique_ptr<CleaningInput> begin_cleaning(const PartitionId& id);
  // Has the outcome take the place of what it was made of, durably when `done` says so.
  void finish_cleaning(SegmentReplacement outcome, Function<void(Result<void>)> done);

  // Several log directories (log_shard_move.cc). Has the partition go to `directory`, durably when `done` says so; what it has
  // is moved by the LogDirMover.
  void set_directory(Partition& partition, uint32_t directory, Function<void(Result<void>)> done);
  LogDirectories& directories() { return options_.directories->directories(); }  // of a store that has some
  // As DescribeLogDirs tells it: where the partition is and, while it moves, what is already where it goes to.
  struct Replica {
    uint32_t directory = 0;
    uint64_t bytes = 0;
    int64_t offset_lag = 0;
    bool future = false;
  };
  static std::vector<Replica> replicas(const Partition& partition);
  // A segment that is not as or where it should be. An empty one says that nothing is left to be moved though the partition
  // has not arrived.
  struct Misplaced {
    PartitionId partition;
    std::optional<SegmentInfo> segment;
    uint32_t target = 0;
    int64_t file_delete_delay_ms = 0;
    bool times_only = false;  // it is where it should be, but its times are not known (segment_time_check.h)
    bool may_write = true;    // else producers lack the space
  };
  // Looks at up to kMisplacedLooks partitions from `from` on, but for those in `skipped`. `next`: where to go on.
  static constexpr int kMisplacedLooks = 1000;
  struct MisplacedLook {
    std::optional<Misplaced> found{};
    std::optional<PartitionId> next{};
    bool waits_for_space = false;  // some is not as it should be, but writing it anew takes space that producers lack
  };
  MisplacedLook find_misplaced(const std::set<PartitionId>& skipped, const PartitionId& from);
  void finish_move(SegmentReplacement outcome, Function<void(Result<void>)> done);
  // `damage`: why the times of the segment cannot be found out. It is not looked at again before the next start.
  void finish_check(SegmentReplacement outcome, const std::string& damage, Function<void(Result<void>)> done);
  // Such segments, as long as they are there.
  struct UnreadableSegment {
    std::string partition;  // partition_text()
    std::string reason;     // names the file
  };
  static constexpr size_t kUnreadableListed = 10;
  size_t unreadable_segments() const;
  std::vector<UnreadableSegment> list_unreadable() const;  // some of them
  // Segments whose times were not known at the start.
  struct UnknownTimes {
    uint64_t segments = 0;
    uint64_t bytes = 0;
  };
  UnknownTimes unknown_times() const { return unknown_times_; }
  // Called when some partition is to be moved.
  void watch_moves(Function<void()> watcher) { move_watcher_ = std::move(watcher); }

  void run_retention();  // also by timer, once start_timers was called
  void start_timers() { schedule_retention(); }
  // Told of each partition that goes offline while the shard runs.
  void watch_offline(Function<void(const PartitionId&)> watcher) { offline_watcher_ = std::move(watcher); }
  void set_producer_id_expiration_ms(int64_t ms) { options_.producer_id_expiration_ms = ms; }

 private:
  friend class LogRecovery;
  struct PendingAppend {  // held back: the dirty tail is at its bound
    Partition* partition;
    Slice records;
    AppendFrom from;
    Function<void(AppendResult)> done;
  };
  struct PendingAck {
    ChunkNumber chunk;
    Partition* partition;
    int64_t next_offset;  // the high watermark once durable; -1: nothing was appended
    AppendResult result;
    Function<void(AppendResult)> done;
  };
  struct CachedBatch {
    Partition* partition;
    uint32_t bytes;
  };
  struct Release {
    Partition* partition;
    Function<void(Result<PartitionSnapshot>)> done;
  };

  void take(Partition& partition, AwaitedAppend append);
  void admit(Partition& partition, Slice records, AppendFrom from, Function<void(AppendResult)> done);
  void check_and_write(Partition& partition, Slice records, AppendFrom from, Function<void(AppendResult)> done);
  void write(Partition& partition, const Slice& records, ValidatedBatch& batch, int64_t now_ms);
  void hold(ChunkNumber chunk, Partition* partition, int64_t next_offset, AppendResult result, Function<void(AppendResult)> done);
  void on_durable(ChunkNumber durable);
  void on_failed(const Error& error);
  void bound_producers();
  void producers_forgotten(Partition& partition, size_t count);
  void retry_held_appends();
  void report_pressure();
  void maybe_merge();
  void start_merge(ChunkNumber up_to);
  void plan_slice();
  void end_planning_of(Partition& partition);
  void merge_planned();
  void merge_done(ChunkNumber up_to, Result<std::vector<PartitionManifest>> result);
  void merge_failed(const Error& error);
  void adopt_slice(ChunkNumber up_to);
  void merge_adopted(ChunkNumber up_to);
  void in_store_order(runtime::Task task);
  void adopt_manifest(PartitionManifest manifest);
  void mark_dirty(Partition& partition);
  void store_changed(const PartitionId& partition);
  bool settled(Partition& partition);
  void advance_releases();
  void fail_release(const Partition& partition, const Error& error);
  PartitionSnapshot let_go(Partition& partition);
  void refuse_held_appends(Partition& partition);
  static AppendResult not_leader(const Partition& partition);
  void forget(Partition& partition);
  static void list(std::vector<Partition*>& partitions, size_t Partition::* place, Partition& partition);
  static void unlist(std::vector<Partition*>& partitions, size_t Partition::* place, Partition& partition);
  void fail_all(const std::string& reason);
  void finish_merge_all(const Result<void>& result);
  void evict_tail();
  void schedule_retention();
  int64_t expired_before(const Partition& partition, int64_t now_ms) const;
  bool retain(Partition& partition, int64_t now_ms);
  // `visit` for every partition, in slices, then `done`. Partitions that come meanwhile may be left out. What it did beyond
  // looking at the partition is what it returns, in such looks.
  void walk(Function<size_t(Partition&)> visit, Function<void()> done, size_t left = SIZE_MAX);
  void list_cleanable(Function<void(std::vector<Cleanable>)> done);
  // Has the store take `outcome`, or drop its files; `then` comes before `done`, with the new manifest in force.
  void replace_segments(SegmentReplacement outcome, Function<void(const SegmentReplacement&)> then,
                        Function<void(Result<void>)> done);
  // For how long files that were replaced stay: reads under way have the manifest as it was when they began, and open what it
  // names.
  static constexpr int64_t kLongestDelayMs = int64_t{10} * 365 * 24 * 3600 * 1000;  // 64 bits of ns hold 292 years
  static int64_t file_delete_delay_ms(const Partition& partition) {
    constexpr int64_t kReadsMayTakeMs = 5'000;
    return std::clamp(partition.config_.file_delete_delay_ms, kReadsMayTakeMs, kLongestDelayMs);
  }
  void forget_tail(const PartitionId& id, int64_t offset);
  void release_tail(Partition& partition);
  void begin_searches(TimestampSearches& searches);
  void search_timestamp(Partition& partition, int64_t timestamp, Function<void(Result<TimestampPosition>)> done);
  struct SegmentSearch;
  void search_segments(SegmentSearch search);
  void find_in_batches(SegmentSearch search);
  void count_cached(int64_t bytes) {
    cached_bytes_.store(tail_cache_bytes() + static_cast<uint64_t>(bytes), std::memory_order_relaxed);
  }
  // `remember`: across restarts, though the files may be there then.
  void read_failed(Partition& partition, const SegmentInfo& from, int64_t offset, const Error& error);
  void take_offline(Partition& partition, const std::string& reason, bool remember = true);
  struct TimesLeft;
  TimesLeft times_left(const Partition& partition) const;
  void forget_unreadable(const Partition& partition);  // that is gone
  bool in_several_directories() const { return options_.directories && options_.directories->directories().several(); }
  std::string text_of(const PartitionId& partition) const {
    return partition_text(options_.topic_names, loop_.index(), partition);
  }
  void read_cold(Partition& partition, const ReadRequest& request, int64_t end_offset, ReadResult result,
                 Function<void(ReadResult)> done);

  runtime::Runtime runtime_;
  runtime::Loop& loop_;
  std::unique_ptr<WalBackend> wal_;
  SegmentStore& store_;
  LogShardOptions options_;
  std::unordered_map<PartitionId, std::unique_ptr<Partition>> partitions_;
  std::vector<Partition*> listed_;  // all of them
  std::vector<std::unique_ptr<Partition>> dropped_;
  std::vector<Partition*> dirty_;  // have batches that are not merged, or a manifest change
  AwaitedAppends awaited_;
  PreparationTurns preparation_;
  std::deque<PendingAck> acks_;  // ascending by chunk
  std::deque<PendingAppend> held_;
  std::vector<Release> releases_;          // under way
  std::deque<CachedBatch> cached_;         // in append order
  std::atomic<uint64_t> cached_bytes_{0};  // written on the loop only
  uint64_t next_waiter_ = 1;
  bool merging_ = false;
  uint64_t merge_number_ = 0;
  struct MergePlanning {
    ChunkNumber up_to = 0;
    size_t left = 0;  // of dirty_
    std::vector<MergePartition> input;
    bool dropped = false;  // some partition of `input` is, so it must not come back
    Partition* partition = nullptr;
    std::optional<MergeInput> building;  // of `partition`
  };
  std::optional<MergePlanning> plan_;        // of a merge that begins
  std::vector<PartitionManifest> adopting_;  // of a merge that ends
  std::vector<runtime::Task> after_adoption_;
  bool retaining_ = false;
  bool evicting_ = false;   // goes on in another turn
  ChunkNumber merged_ = 0;  // chunks up to this one are merged and released
  bool merge_everything_ = false;
  bool early_merges_ = false;  // some partition is to be merged, or its manifest changed, before its WAL file is full
  std::vector<Function<void(Result<void>)>> merge_waiters_;
  bool disk_full_ = false;
  RateLimit read_error_lines_;
  ProducerBound producer_bound_;
  uint64_t producers_evicted_ = 0;
  RateLimit producer_lines_{1};
  bool merge_failing_ = false;  // the last merge failed; held appends are refused instead of waiting
  // DeleteRecords callers: of the merge in flight, and of the one after it.
  std::vector<Function<void(const Result<void>&)>> commit_waiters_;
  std::vector<Function<void(const Result<void>&)>> next_commit_waiters_;
  Function<void(const PartitionId&)> offline_watcher_;
  Function<void()> move_watcher_;
  UnknownTimes unknown_times_;
  TimestampSearches searches_{kSearchesAtOnce, SIZE_MAX};
  TimestampSearches reading_searches_{1, kReadingSearchesMax};  // of partitions with segments whose times are not known
  std::set<PartitionId> moving_;  // partitions that may have segments where or as they should not be
  std::map<PartitionId, std::map<int64_t, std::string>> unreadable_;  // segments by base offset, and why
  runtime::TimerId retention_timer_;
  runtime::TimerId merge_retry_;
  MergeTotals merge_totals_;
  int64_t merge_started_ns_ = 0;
  PartitionTraffic dropped_traffic_;
  // Completions of the segment store may come after this object is gone.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace weir::storage
