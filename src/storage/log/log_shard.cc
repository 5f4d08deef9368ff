#include "storage/log/log_shard.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "storage/log/append_validation.h"
#include "storage/log/batch_preparation.h"
#include "storage/log/offline_markers.h"

namespace weir::storage {

using protocol::ErrorCode;

LogShard::LogShard(runtime::Runtime& runtime, runtime::Loop& loop, std::unique_ptr<WalBackend> wal, SegmentStore& store,
                   LogShardOptions options)
    : runtime_(runtime),
      loop_(loop),
      wal_(std::move(wal)),
      store_(store),
      options_(options),
      awaited_([this](Partition& partition, AwaitedAppend append) { take(partition, std::move(append)); }),
      preparation_(runtime_, loop, options_.opening),
      producer_bound_(options_.producers_max) {
  wal_->on_durable([this](ChunkNumber durable) { on_durable(durable); });
  wal_->on_ended([this](const Error& error) { on_failed(error); });
}

LogShard::~LogShard() { *alive_ = false; }

Partition& LogShard::add(std::unique_ptr<Partition> partition) {
  Partition& added = *partition;
  const bool inserted = partitions_.emplace(added.id(), std::move(partition)).second;
  WEIR_CHECK(inserted);
  list(listed_, &Partition::place_, added);
  producer_bound_.added(added, added.producers().size());
  for (size_t i = added.tail_head_; i < added.tail_.size(); ++i) {
    cached_.push_back({&added, added.tail_[i].facts.size});
    count_cached(added.tail_[i].facts.size);
  }
  if (options_.directories) added.manifest_.place = directories().place(added.id());
  const uint64_t unknown_before = unknown_times_.segments;
  for (const SegmentInfo& segment : added.manifest_.segments) {
    if (segment.times_known) continue;
    ++unknown_times_.segments;
    unknown_times_.bytes += segment.length;
  }
  if (in_several_directories() || unknown_times_.segments > unknown_before) moving_.insert(added.id());
  if (added.unmerged() || added.pending_log_start_ != added.manifest_.log_start_offset) mark_dirty(added);
  bound_producers();  // at the start: there may be less memory than before
  return added;
}

Partition* LogShard::find(const PartitionId& id) {
  const auto it = partitions_.find(id);
  return it == partitions_.end() ? nullptr : it->second.get();
}

void LogShard::set_config(const PartitionId& id, const LogConfig& config) {
  if (Partition* partition = find(id)) partition->config_ = config;
}

// Downwards, as plan_slice: nobody that stays is missed, and some are visited twice if others go meanwhile.
void LogShard::walk(Function<size_t(Partition&)> visit, Function<void()> done, size_t left) {
  constexpr size_t kSegmentsAsOnePartition = 16;
  left = std::min(left, listed_.size());
  for (size_t work = 0; left > 0 && work < kPartitionsPerTurn;) {
    Partition& partition = *listed_[--left];
    work += 1 + partition.segment_count() / kSegmentsAsOnePartition;
    work += visit(partition);
  }
  if (left == 0) return done();
  loop_.post([this, alive = alive_, visit = std::move(visit), done = std::move(done), left]() mutable {
    if (*alive) walk(std::move(visit), std::move(done), left);
  });
}

void LogShard::drop(const PartitionId& id) {
  Partition* const partition = find(id);
  if (!partition) return;
  fail_release(*partition, {weir::ErrorCode::kNotFound, "the partition was dropped"});
  const int64_t delay_ms = std::clamp<int64_t>(partition->config_.file_delete_delay_ms, 0, kLongestDelayMs);
  forget(*partition);
  store_.drop(id, delay_ms, loop_, [this, alive = alive_, name = text_of(id), delay_ms](Result<void> result) {
    if (result && *alive) {
      loop_.schedule_after((delay_ms + 1000) * runtime::kMillisecond, [this, alive] {
        if (*alive) store_.maintain(loop_, [] {});
      });
    } else if (!result) {
      log_warn("log", "Folder of deleted partition {} is not removed yet: {}. It is removed at the next start.", name,
               result.error().message);
    }
  });
  evict_tail();  // last, for it may end the partition
}

// Later requests do not find it. What still points to it keeps it, but its records' memory goes now.
void LogShard::forget(Partition& partition) {
  const PartitionId id = partition.id_;
  partition.dropped_ = true;
  unlist(listed_, &Partition::place_, partition);
  unlist(dirty_, &Partition::dirty_place_, partition);
  unreadable_.erase(id);
  producer_bound_.dropped(partition);
  if (plan_) {
    plan_->dropped = true;
    if (plan_->partition == &partition) plan_->building.reset();
  }
  dropped_traffic_ += partition.traffic_;
  // Pending acks, held appends and the tail cache still point at it, so it is kept until they let go.
  const auto it = partitions_.find(id);
  dropped_.push_back(std::move(it->second));
  partitions_.erase(it);
  // Its records' memory goes now: on an idle shard nothing else would come to let go of it.
  release_tail(partition);
  partition.wake_all();
}

// --- append ---------------------------------------------------------------------------------------------------------

void LogShard::append(Partition& partition, Slice records, bool client, Function<void(AppendResult)> done,
                      std::vector<AppendStage> stages) {
  const AppendFrom from = client ? AppendFrom::kClient : AppendFrom::kBroker;
  if (client && !partition.dropped_ && needs_preparation(records.bytes(), partition.config_)) {
    stages.push_back([this, &partition](AwaitedAppend& append, Function<void(AppendResult)> answered) {
      preparation_.prepare(partition, append, std::move(answered));
    });
  }
  if (stages.empty() && !awaited_.in_line(partition, records.bytes())) {
    return admit(partition, std::move(records), from, std::move(done));
  }
  awaited_.add(partition, {std::move(records), from, std::move(done), {}}, std::move(stages));
}

void LogShard::take(Partition& partition, AwaitedAppend append) {
  if (append.refusal.error != ErrorCode::kNone) return append.done(std::move(append.refusal));
  admit(partition, std::move(append.records), append.from, std::move(append.done));
}

void LogShard::admit(Partition& partition, Slice records, AppendFrom from, Function<void(AppendResult)> done) {
  ++partition.traffic_.produce_requests;
  if (partition.releasing_) return done(not_leader(partition));
  const bool full = wal_->unreleased_bytes() >= options_.unmerged_bytes_max;
  if (!wal_->ended() && (full || !held_.empty())) {
    if (full && merge_failing_) {
      AppendResult refused;
      refused.error = ErrorCode::kKafkaStorageError;
      refused.message = "The log cannot be written to its segments (disk full or failing); retry later";
      done(std::move(refused));
      return;
    }
    held_.push_back({&partition, std::move(records), from, std::move(done)});
    report_pressure();
    maybe_merge();
    return;
  }
  check_and_write(partition, std::move(records), from, std::move(done));
}

void LogShard::check_and_write(Partition& partition, Slice records, AppendFrom from, Function<void(AppendResult)> done) {
  AppendResult result;
  result.log_start_offset = partition.log_start_offset_;
  if (partition.dropped_) {
    result.error = ErrorCode::kUnknownTopicOrPartition;
    return done(std::move(result));
  }
  if (wal_->ended() || partition.offline()) {
    result.error = ErrorCode::kKafkaStorageError;
    result.message = partition.offline() ? partition.offline_reason_ : "The log directory is offline after a failed write";
    return done(std::move(result));
  }
  if (from != AppendFrom::kBroker && lacks_space()) {
    result.error = ErrorCode::kKafkaStorageError;
    const auto trouble = wal_->trouble();
    const bool no_space = disk_full_ || !trouble || trouble->code == weir::ErrorCode::kNoSpace;
    result.message = no_space ? "The broker's disk is full; retry later"
                              : fmt::format("The log cannot be written at the moment ({}); retry later", trouble->message);
    return done(std::move(result));
  }
  ValidatedBatches batches;
  const int64_t now_ms = runtime_.clock->wall_ms();
  if (!validate_append(records, partition.config_, from, now_ms, batches, result)) return done(std::move(result));

  int64_t wanted = 0;
  for (const ValidatedBatch& batch : batches) wanted += int64_t{batch.facts.last_offset_delta} + 1;
  if (wanted > std::numeric_limits<int64_t>::max() - partition.log_end_offset()) {
    result.error = ErrorCode::kUnknownServerError;  // no client may try again
    result.message = "The offsets of this partition are used up";
    return done(std::move(result));
  }

  // Sequence checks look at speculative state, so even their refusals wait until that state is durable.
  for (ValidatedBatch& batch : batches) {
    batch.facts.partition = partition.id_;
    if (batch.facts.producer_id == kNoProducerId || batch.facts.control()) continue;
    const auto verdict = partition.producers().check(batch.facts);
    if (verdict.check == SequenceCheck::kAccept) continue;
    describe_verdict(verdict, batch.facts, partition.config_, result);
    return hold(partition.last_append_chunk_, &partition, -1, std::move(result), std::move(done));
  }

  result.base_offset = partition.log_end_offset();
  const size_t producers = partition.producers().size();
  for (ValidatedBatch& batch : batches) write(partition, records, batch, now_ms);
  if (partition.producers().size() > producers) {
    producer_bound_.added(partition, partition.producers().size() - producers);
    bound_producers();
  }
  result.last_offset = partition.log_end_offset() - 1;
  if (partition.config_.log_append_time) result.log_append_time_ms = now_ms;
  hold(partition.last_append_chunk_, &partition, partition.log_end_offset(), std::move(result), std::move(done));
}

void LogShard::write(Partition& partition, const Slice& records, ValidatedBatch& batch, int64_t now_ms) {
  BatchFacts& facts = batch.facts;
  facts.base_offset = partition.log_end_offset();
  facts.appended_ms = now_ms;
  facts.leader_epoch = partition.leader_epoch_;
  stamp_batch(batch, partition.config_, now_ms);
  Slice bytes{records.owner, batch.data.data(), batch.data.size()};
  WalBackend::Appended appended = wal_->append(facts, bytes);
  partition.append(facts, std::move(appended.bytes), appended.chunk, now_ms);
  partition.traffic_.messages_in += facts.last_offset_delta + 1;
  partition.traffic_.bytes_in += facts.size;
  cached_.push_back({&partition, facts.size});
  count_cached(facts.size);
  mark_dirty(partition);
}

void LogShard::hold(ChunkNumber chunk, Partition* partition, int64_t next_offset, AppendResult result,
                    Function<void(AppendResult)> done) {
  if (acks_.empty() && chunk <= wal_->durable()) {
    done(std::move(result));
    return;
  }
  if (!acks_.empty()) chunk = std::max(chunk, acks_.back().chunk);
  acks_.push_back({chunk, partition, next_offset, std::move(result), std::move(done)});
}

void LogShard::on_durable(ChunkNumber durable) {
  // First all high watermarks, so that a woken reader sees everything this flush made durable.
  for (const PendingAck& ack : acks_) {
    if (ack.chunk > durable) break;
    if (ack.next_offset >= 0) ack.partition->advance_high_watermark(ack.next_offset);
  }
  while (!acks_.empty() && acks_.front().chunk <= durable) {
    PendingAck ack = std::move(acks_.front());
    acks_.pop_front();
    if (ack.next_offset >= 0) ack.partition->wake_readers();
    ack.done(std::move(ack.result));
  }
  evict_tail();
  report_pressure();
  advance_releases();
  maybe_merge();
}

void LogShard::on_failed(const Error& error) {
  log_event(LogLevel::kError, "log",
            {.what = fmt::format("Shard {}: writing the log failed; the log directory is offline and nothing more is "
                                 "acknowledged",
                                 loop_.index()),
             .reason = error.message,
             .remedy = "Check the disk, then restart Weir; it recovers everything that was acknowledged"});
  fail_all("The log directory is offline after a failed write");
}

void LogShard::fail_all(const std::string& reason) {
  auto acks = std::move(acks_);
  auto held = std::move(held_);
  acks_.clear();
  held_.clear();
  const auto refuse = [&](AppendResult result, Function<void(AppendResult)>& done) {
    result.error = ErrorCode::kKafkaStorageError;
    result.base_offset = result.last_offset = -1;
    result.message = reason;
    done(std::move(result));
  };
  for (PendingAck& ack : acks) refuse(std::move(ack.result), ack.done);
  for (PendingAppend& append : held) refuse({}, append.done);
  const Result<void> failure = fail(weir::ErrorCode::kIo, reason);
  for (auto& waiter : std::exchange(next_commit_waiters_, {})) waiter(failure);  // no merge begins any more
  while (!releases_.empty()) fail_release(*releases_.back().partition, failure.error());
  finish_merge_all(failure);
}

void LogShard::retry_held_appends() {
  while (!held_.empty() && !wal_->ended() && wal_->unreleased_bytes() < options_.unmerged_bytes_max) {
    PendingAppend next = std::move(held_.front());
    held_.pop_front();
    check_and_write(*next.partition, std::move(next.records), next.from, std::move(next.done));
  }
  if (!held_.empty() && merge_failing_) {
    auto held = std::move(held_);
    held_.clear();
    for (PendingAppend& append : held) {
      AppendResult refused;
      refused.error = ErrorCode::kKafkaStorageError;
      refused.message = "The log cannot be written to its segments (disk full or failing); retry later";
      append.done(std::move(refused));
    }
  }
}

void LogShard::quiesce(Function<void()> done) {
  wal_->flush_now();
  if (acks_.empty()) return done();
  hold(acks_.back().chunk, nullptr, -1, {}, [done = std::move(done)](AppendResult) mutable { done(); });
}

// --- read -----------------------------------------------------------------------------------------------------------

bool LogShard::read(Partition& partition, const ReadRequest& request, ReadResult& result, Function<void(ReadResult)> done) {
  ++partition.traffic_.fetch_requests;
  const int64_t limit = request.read_committed ? partition.last_stable_offset() : partition.high_watermark_;
  result.high_watermark = partition.high_watermark_;
  result.last_stable_offset = partition.last_stable_offset();
  result.log_start_offset = partition.log_start_offset_;
  if (partition.offline()) {
    result.error = ErrorCode::kKafkaStorageError;
    return true;
  }
  if (request.offset < partition.log_start_offset_ || request.offset > partition.high_watermark_) {
    result.error = ErrorCode::kOffsetOutOfRange;
    return true;
  }
  if (request.offset >= limit || (request.max_bytes == 0 && !request.at_least_one)) return true;
  if (request.offset >= partition.tail_start()) {
    const auto [bytes, end] = partition.read_tail(request.offset, request.max_bytes, request.at_least_one, limit, result.pieces);
    result.bytes = bytes;
    if (request.read_committed) partition.state().list_aborted(request.offset, end, result.aborted);
    return true;
  }
  read_cold(partition, request, limit, std::move(result), std::move(done));
  return false;
}

void LogShard::read_failed(Partition& partition, const SegmentInfo& from, int64_t offset, const Error& error) {
  if (error.code == weir::ErrorCode::kCorrupt) return take_offline(partition, error.message);
  // Compaction and retention remove files under a reader; then the rows have changed, too.
  const size_t now = segment_of(partition.manifest_, offset);
  const bool same = now < partition.manifest_.segments.size() &&
                    partition.manifest_.segments[now].base_offset == from.base_offset &&
                    partition.manifest_.segments[now].generation == from.generation;
  if (error.code == weir::ErrorCode::kNotFound && same) return take_offline(partition, error.message, false);
  uint64_t suppressed = 0;
  if (!read_error_lines_.admit(runtime_.clock->monotonic_ns() / runtime::kMillisecond, suppressed)) return;
  log_error("log", "Reading partition {} failed{}: {}", text_of(partition.id_),
            suppressed > 0 ? fmt::format(" (as {} reads before, of which nothing was said)", suppressed) : std::string(),
            error.message);
}

void LogShard::read_cold(Partition& partition, const ReadRequest& request, int64_t end_offset, ReadResult result,
                         Function<void(ReadResult)> done) {
  const size_t segment = segment_of(partition.manifest_, request.offset);
  SegmentInfo from;
  if (segment < partition.manifest_.segments.size()) from = partition.manifest_.segments[segment];
  const auto max_bytes = static_cast<uint32_t>(std::min<uint64_t>(request.max_bytes, 1u << 30));
  store_.read(partition.manifest_, request.offset, {max_bytes, end_offset, request.read_committed}, loop_,
              [this, alive = alive_, id = partition.id_, request, from, end_offset, merged = partition.manifest_.end_offset,
               result = std::move(result), done = std::move(done)](Result<SegmentRead> read) mutable {
                if (!*alive) return;
                Partition* now = find(id);
                if (!now) {
                  result.error = ErrorCode::kUnknownTopicOrPartition;
                } else if (!read) {
                  result.error = ErrorCode::kKafkaStorageError;
                  if (request.offset < now->log_start_offset_) {
                    result.error = ErrorCode::kOffsetOutOfRange;  // retention overtook the reader
                  } else {
                    read_failed(*now, from, request.offset, read.error());
                  }
                } else if (size_of(read->bytes) > 0 && (size_of(read->bytes) <= request.max_bytes || request.at_least_one)) {
                  // Entries that a merge took from memory meanwhile are none of those that this read found.
                  if (request.read_committed && now->manifest().end_offset != merged) {
                    return read_cold(*now, request, end_offset, std::move(result), std::move(done));
                  }
                  result.aborted = std::move(read->aborted);
                  if (request.read_committed) now->state().list_aborted(request.offset, read->next_offset, result.aborted);
                  result.bytes = size_of(read->bytes);
                  result.pieces.emplace_back(std::move(read->bytes));
                }
                done(std::move(result));
              });
}

void LogShard::take_offline(Partition& partition, const std::string& reason, bool remember) {
  if (partition.offline()) return;
  partition.take_offline(reason);
  log_event(LogLevel::kError, "log",
            {.what = fmt::format("Partition {} is offline, others serve on", text_of(partition.id_)),
             .reason = reason,
             .remedy = kOfflineRemedy});
  partition.wake_all();
  if (offline_watcher_) offline_watcher_(partition.id());
  if (!remember) return;
  // Should the machine die first, the damage is found again.
  runtime_.pool->submit(
      [files = runtime_.files, log_dir = options_.log_dir, id = partition.id_, reason] {
        if (auto stored = OfflineMarkers(*files, log_dir).put(id, reason); !stored) {
          log_error("log", "Marking the partition as offline failed: {}", stored.error().message);
        }
      },
      loop_, [] {});
}

// --- tail cache -----------------------------------------------------------------------------------------------------

// Of a dropped partition, whatever it is: it may be long, so the pool lets go of it.
void LogShard::release_tail(Partition& partition) {
  count_cached(-static_cast<int64_t>(partition.cached_bytes_));
  partition.forgotten_batches_ += partition.cached_batches_;
  partition.cached_batches_ = 0;
  partition.cached_bytes_ = partition.tail_head_ = 0;
  auto tail = std::make_shared<std::vector<TailBatch>>(std::exchange(partition.tail_, {}));
  if (!tail->empty()) runtime_.pool->submit([tail] { tail->clear(); }, loop_, [] {});
}

void LogShard::evict_tail() {
  size_t work = 0;
  while (!cached_.empty()) {
    if (++work > kBatchesPerTurn) {
      if (std::exchange(evicting_, true)) break;
      loop_.post([this, alive = alive_] {
        if (!*alive) return;
        evicting_ = false;
        evict_tail();
      });
      break;
    }
    Partition& partition = *cached_.front().partition;
    if (partition.forgotten_batches_ > 0) {
      --partition.forgotten_batches_;
      cached_.pop_front();
      continue;
    }
    const bool dropped = partition.dropped_;
    if (!dropped) {
      if (tail_cache_bytes() <= options_.tail_cache_bytes) break;
      const TailBatch& oldest = partition.tail_[partition.tail_head_];
      if (oldest.facts.last_offset() >= partition.manifest_.end_offset) break;  // not merged yet
    }
    count_cached(-int64_t{cached_.front().bytes});
    cached_.pop_front();
    partition.pop_tail();
  }
  if (dropped_.empty()) return;
  std::erase_if(dropped_, [&](const std::unique_ptr<Partition>& partition) {
    const auto refers = [&](const auto& entry) { return entry.partition == partition.get(); };
    return partition->cached_batches_ == 0 && partition->forgotten_batches_ == 0 && !awaited_.holds(*partition) &&
           std::ranges::none_of(acks_, refers) && std::ranges::none_of(held_, refers);
  });
}

}  // namespace weir::storage
