// All partitions of one shard over one write-ahead log. Its parts, each with its contract:
//
//   AppendAdmission   what an append passes before it is looked at: answers it awaits, the bound of the dirty tail, checks
//   PendingAnswers    answers in the order in which chunks become durable
//   TailCache         memory of the tails
//   LogCheckpointer         tails become segments
//   Retention         old segments and idle producers go
//
// Append: admission -> producer state -> offset -> WAL chunk -> (flush) -> durable: the high watermark advances and the append
// completes. A response that depends on speculative state (duplicates, sequence errors) is held until the chunk it depends on is
// durable. A failed flush ends the shard's session: every pending and later append answers KAFKA_STORAGE_ERROR; what was durable
// stays readable; a restart recovers.
//
// Loop thread only, unless said otherwise. Completion callbacks run on the loop, possibly inline.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/lifetime.h"
#include "base/rate_limit.h"
#include "runtime/runtime.h"
#include "storage/background/background_throttle.h"
#include "storage/compaction/clean_range.h"
#include "storage/log/append_admission.h"
#include "storage/log/failing_reads.h"
#include "storage/log/log_checkpointer.h"
#include "storage/log/opening_memory.h"
#include "storage/log/partition.h"
#include "storage/log/partition_set.h"
#include "storage/log/pending_answers.h"
#include "storage/log/producer_bound.h"
#include "storage/log/recovered_partition.h"
#include "storage/log/retention.h"
#include "storage/log/tail_cache.h"
#include "storage/log/timestamp_searches.h"
#include "storage/log/topic_names.h"
#include "storage/log/transaction_guards.h"
#include "storage/log/transactions.h"
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

struct CleaningInput;  // partition_cleaning.h

struct LogShardOptions {
  std::string log_dir;                      // for offline markers (offline_markers.h)
  uint64_t dirty_bytes_max = 256ull << 20;  // the bound on the dirty tail; appends are held back at it
  uint64_t tail_cache_bytes = 64ull << 20;  // kept in memory, checkpointed or not
  OpeningMemory opening = {};               // of compressed batches, of all shards
  int64_t retention_check_interval_ms = 300'000;
  int64_t producer_id_expiration_ms = 86'400'000;
  size_t producers_max = 100'000;            // that are remembered, see ProducerBound
  BackgroundThrottle* throttle = nullptr;    // told how near the dirty tail is to its bound; outlives the shard
  TopicNames topic_names = {};               // for messages
  LogDirectoryStore* directories = nullptr;  // null: a partition has no place; outlives the shard
};

class LogShard final : private LogCheckpointer::Shard, private Retention::Shard {
 public:
  LogShard(runtime::Runtime& runtime, runtime::Loop& loop, std::unique_ptr<WalBackend> wal, SegmentStore& store,
           LogShardOptions options);
  ~LogShard();

  // Partitions. `add` takes a new one.
  Partition& add(std::unique_ptr<Partition> partition);
  // Serves a partition as a start found it: one that is this shard's by its hash.
  Partition& add_recovered(PartitionSnapshot snapshot, const LogConfig& config, int32_t leader_epoch, RecoveredTail tail);
  // Serves a partition that another owner released (log_shard_handover.cc), once it is noted durably that its batches may be in
  // this shard's log. `done` has it then. If that fails nobody serves it, and it can be acquired again.
  void acquire(PartitionSnapshot snapshot, const LogConfig& config, int32_t leader_epoch,
               Function<void(Result<Partition*>)> done);
  // Gives the partition to another owner. From now on appends to it are refused with NOT_LEADER_OR_FOLLOWER; those that have an
  // offset are answered as ever, and readers are served. Once all of it is durable and checkpointed, the shard has forgotten it,
  // and `done` has what acquire() takes: neither this shard nor the store on its behalf changes the partition any more. Fails if
  // that cannot be: the log ends, the partition goes offline or is dropped. It is not released then.
  void release(const PartitionId& id, Function<void(Result<PartitionSnapshot>)> done);
  Partition* find(const PartitionId& id) override;
  void set_config(const PartitionId& id, const LogConfig& config);
  // Deleted topic: later requests do not find it; waiters are woken, manifest and files go.
  void drop(const PartitionId& id);
  size_t partition_count() const { return partitions_.size(); }
  template <typename Visitor>
  void for_each(Visitor visit) {
    for (Partition* partition : listed_.all()) visit(*partition);
  }
  // Appends the record batches in `records`: memory that nobody else reads, whose base offsets, epochs and (with
  // LogAppendTime) timestamps are patched in place. `client` true: the rules for produce requests (one batch, no control
  // batches). Completes when durable, or at once with an error. With a guard it waits for verified() first; appends of its
  // producer that come meanwhile wait behind it (awaited_appends.h). The broker's own appends wait for nobody: they are looked at
  // within the call, so a check made just before still holds.
  void append(Partition& partition, Slice records, bool client, Function<void(AppendResult)> done, AppendOptions options = {});

  // Transactions (log_shard_transactions.cc; KIP-890).
  //
  // To be asked of each transactional batch of a client just before append(), and of a coordinator's before the step that appends
  // it. If a guard is needed, append() gets it; a batch without one is appended only to an open transaction. If `ask`, the
  // caller then asks the transaction's coordinator about this partition, once for all batches with that guard, and calls
  // verified(). A caller that asks nobody (transaction.partition.verification.enable=false) calls verified() at once. Errors are
  // for the append to find: it holds them back until what they rest on is durable.
  Verification check_producer(Partition& partition, const TransactionalBatch& batch);
  // The coordinator's answer, without an error or with that of the batches. NOT_ENOUGH_REPLICAS and CONCURRENT_TRANSACTIONS mean
  // that the client tries again. Any other error ends the guard. One whose partition has gone is ignored.
  void verified(GuardSerial guard, const AppendResult& answer);
  // Calls `answered` with the answer for the guard, maybe inline: for a coordinator's step, which has to wait before it appends.
  void when_verified(GuardSerial guard, Function<void(AppendResult)> answered);
  // The error that a coordinator's transactional batch would be refused with now; kNone: it may be appended.
  protocol::ErrorCode check_batch(const Partition& partition, const TransactionalBatch& batch, GuardSerial guard) const;

  // Appends the marker that ends a transaction here; completes when it is durable. INVALID_PRODUCER_EPOCH: the producer has gone
  // on. TRANSACTION_COORDINATOR_FENCED: a marker of a later coordinator is here. A marker without an open transaction is taken.
  // It waits for no other append.
  void append_marker(Partition& partition, const MarkerAppend& marker, Function<void(AppendResult)> done);
  // The error that append_marker() would refuse it with now, for a coordinator that appends it in a step of its own. Pass the
  // transaction version with that append.
  protocol::ErrorCode check_marker(const Partition& partition, const MarkerAppend& marker) const;

  // Open transactions of all partitions, some at a time: from `from` on, at most kOpenTransactionsListed. Those that begin or end
  // between two calls may be missing.
  static constexpr size_t kOpenTransactionsListed = 1000;
  OpenTransactions list_open_transactions(const OpenTransactions::Position& from) const;
  size_t guards() const { return guards_.size(); }

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
    admission_.set_disk_full(full);
    report_pressure();
  }
  bool lacks_space() const { return admission_.lacks_space(); }
  bool checkpoint_failing() const { return checkpointer_.failing(); }

  WalBackend& wal() { return *wal_; }
  bool failed() const { return wal_->ended(); }
  uint64_t dirty_bytes() const { return wal_->unreleased_bytes(); }
  // Memory of the tails; thread-safe.
  uint64_t tail_cache_bytes() const { return tail_cache_.bytes(); }
  // Appends that wait: for durability, and those held back because the dirty tail is at its bound.
  size_t pending_appends() const { return answers_.size(); }
  size_t held_appends() const { return admission_.held(); }
  // Idempotent producers that are remembered, and how many were forgotten early because there were more than there is memory for.
  size_t producers() const { return producer_bound_.count(); }
  uint64_t producers_evicted() const { return producers_evicted_; }
  const CheckpointTotals& checkpoint_totals() const { return checkpointer_.totals(); }
  const PartitionTraffic& dropped_traffic() const { return dropped_traffic_; }  // of partitions that are gone

  // Flushes what is open and calls `done` once every append so far has completed.
  void quiesce(Function<void()> done);

  // Starts checkpointing everything that is durable now and calls `done` when the WAL holds nothing dirty (shard count
  // changes, tests).
  void checkpoint_all(Function<void(Result<void>)> done);
  // Compaction (log_shard_compaction.cc), driven by the LogCleaner.
  struct Cleanable {
    PartitionId partition;
    CleanRange range;
    bool due = false;
  };
  // Partitions of compacted topics with more than an active segment. What would roll an active segment is checkpointed first.
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
  const FailingReads& failing_reads() const { return failing_reads_; }
  std::vector<FailingRead> list_failing_reads() const {
    return failing_reads_.list([this](const PartitionId& id) { return text_of(id); });
  }
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

  void run_retention() { retention_.run(); }  // also by timer, once start_timers was called
  // Also checkpoints what earlier sessions left: without it their files would stay until somebody writes.
  void start_timers() {
    retention_.run_every(std::min(options_.retention_check_interval_ms, kLongestDelayMs));
    checkpointer_.look();
  }
  // Told of each partition that goes offline while the shard runs.
  void watch_offline(Function<void(const PartitionId&)> watcher) { offline_watcher_ = std::move(watcher); }
  void set_producer_id_expiration_ms(int64_t ms) { retention_.set_producer_id_expiration_ms(ms); }

 private:
  struct Release {
    Partition* partition;
    Function<void(Result<PartitionSnapshot>)> done;
  };

  // Of LogCheckpointer::Shard.
  bool awaits_durability() const override { return !answers_.empty(); }
  void log_start_moved(Partition& partition) override;
  void checkpointed() override { tail_cache_.evict(); }
  void checkpoint_ended() override;
  // Of Retention::Shard. Partitions that come while it walks may be left out.
  void walk(Function<size_t(Partition&)> visit, Function<void()> done) override { walk_down(std::move(visit), std::move(done)); }
  void producers_forgotten(Partition& partition, size_t count) override;
  void log_start_moves(Partition& partition) override { checkpointer_.changed(partition); }
  void expire_guards(int64_t before_ms) override { guards_.expire(before_ms); }
  void retained(bool changed) override;
  std::string text_of(const PartitionId& partition) const override {
    return partition_text(options_.topic_names, loop_.index(), partition);
  }

  void write_checked(Partition& partition, CheckedAppend append);
  ProducerState::Verdict judge(const Partition& partition, const CheckedAppend& append, const BatchInfo& info) const;
  void write(Partition& partition, const Slice& records, ValidatedBatch& batch, int64_t now_ms);
  void note_transactions(Partition& partition);
  void on_durable(ChunkNumber durable);
  void on_failed(const Error& error);
  void bound_producers();
  void report_pressure();
  void store_changed(const PartitionId& partition);
  bool settled(Partition& partition);
  void advance_releases();
  void fail_release(const Partition& partition, const Error& error);
  PartitionSnapshot let_go(Partition& partition);
  void forget(Partition& partition);
  void let_dropped_go();
  void walk_down(Function<size_t(Partition&)> visit, Function<void()> done, size_t left = SIZE_MAX);
  void list_cleanable(Function<void(std::vector<Cleanable>)> done);
  // Has the store take `outcome`, or drop its files; `then` comes before `done`, with the new manifest in force.
  void replace_segments(SegmentReplacement outcome, Function<void(const SegmentReplacement&)> then,
                        Function<void(Result<void>)> done);
  // For how long files that were replaced stay: reads under way have the manifest as it was when they began, and open what it
  // names.
  static constexpr int64_t kLongestDelayMs = int64_t{10} * 365 * 24 * 3600 * 1000;  // 64 bits of ns hold 292 years
  static int64_t file_delete_delay_ms(const Partition& partition) {
    constexpr int64_t kReadsMayTakeMs = 5'000;
    return std::clamp(partition.config().file_delete_delay_ms, kReadsMayTakeMs, kLongestDelayMs);
  }
  void forget_tail(const PartitionId& id, int64_t offset);
  void begin_searches(TimestampSearches& searches);
  void search_timestamp(Partition& partition, int64_t timestamp, Function<void(Result<TimestampPosition>)> done);
  struct SegmentSearch;
  void search_segments(SegmentSearch search);
  void find_in_batches(SegmentSearch search);
  // `remember`: across restarts, though the files may be there then.
  // `manifests_taken`: of the partition, when the read began.
  void read_failed(Partition& partition, uint64_t manifests_taken, const Error& error);
  void tell_failed_read(const PartitionId& partition, const Error& error);  // that is no damage
  void take_offline(Partition& partition, const std::string& reason, bool remember = true);
  struct TimesLeft;
  TimesLeft times_left(const Partition& partition) const;
  void forget_unreadable(const Partition& partition);  // that is gone
  bool in_several_directories() const { return options_.directories && options_.directories->directories().several(); }
  void read_cold(Partition& partition, const ReadRequest& request, int64_t end_offset, ReadResult result,
                 Function<void(ReadResult)> done);

  runtime::Runtime runtime_;
  runtime::Loop& loop_;
  std::unique_ptr<WalBackend> wal_;
  SegmentStore& store_;
  LogShardOptions options_;
  std::unordered_map<PartitionId, std::unique_ptr<Partition>> partitions_;
  PartitionSet listed_{&Partition::ShardNotes::place};  // all of them
  std::vector<std::unique_ptr<Partition>> dropped_;     // that something still refers to
  std::vector<Release> releases_;                       // under way
  PendingAnswers answers_;
  TailCache tail_cache_;
  LogCheckpointer checkpointer_;
  AppendAdmission admission_;
  TransactionGuards guards_;
  std::set<PartitionId> in_transaction_;  // partitions with open transactions
  Retention retention_;
  uint64_t next_waiter_ = 1;
  RateLimit read_error_lines_;
  FailingReads failing_reads_;
  ProducerBound producer_bound_;
  uint64_t producers_evicted_ = 0;
  RateLimit producer_lines_{1};
  Function<void(const PartitionId&)> offline_watcher_;
  Function<void()> move_watcher_;
  UnknownTimes unknown_times_;
  TimestampSearches searches_{kSearchesAtOnce, SIZE_MAX};
  TimestampSearches reading_searches_{1, kReadingSearchesMax};  // of partitions with segments whose times are not known
  std::set<PartitionId> moving_;  // partitions that may have segments where or as they should not be
  std::map<PartitionId, std::map<int64_t, std::string>> unreadable_;  // segments by base offset, and why
  PartitionTraffic dropped_traffic_;
  // Completions of the segment store may come after this object is gone.
  Lifetime lifetime_;
};

}  // namespace weir::storage
