#include "storage/log/log_shard.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/counted.h"
#include "base/log.h"
#include "storage/log/offline_markers.h"
#include "storage/log/turns.h"

namespace weir::storage {

using protocol::ErrorCode;

LogShard::LogShard(runtime::Runtime& runtime, runtime::Loop& loop, std::unique_ptr<WalBackend> wal, SegmentStore& store,
                   LogShardOptions options)
    : runtime_(runtime),
      loop_(loop),
      wal_(std::move(wal)),
      store_(store),
      options_(options),
      answers_(*wal_),
      tail_cache_(runtime_, loop, options_.tail_cache_bytes, [this] { let_dropped_go(); }),
      checkpointer_(runtime_, loop, *wal_, store, *this, options_.dirty_bytes_max),
      admission_(
          runtime_, loop, *wal_, checkpointer_, {options_.dirty_bytes_max, options_.opening},
          [this](Partition& partition, CheckedAppend append) { write_checked(partition, std::move(append)); },
          [this] {
            report_pressure();
            checkpointer_.look();
          }),
      guards_(loop, guards_max(options_.producers_max)),
      retention_(runtime_, loop, *wal_, *this, options_.producer_id_expiration_ms),
      producer_bound_(options_.producers_max) {
  wal_->on_durable([this](ChunkNumber durable) { on_durable(durable); });
  wal_->on_ended([this](const Error& error) { on_failed(error); });
}

LogShard::~LogShard() { lifetime_.end(); }

Partition& LogShard::add(std::unique_ptr<Partition> partition) {
  Partition& added = *partition;
  const bool inserted = partitions_.emplace(added.id(), std::move(partition)).second;
  WEIR_CHECK(inserted);
  listed_.add(added);
  producer_bound_.added(added, added.producers().size());
  tail_cache_.add_all(added);
  if (options_.directories) added.set_place(directories().place(added.id()));
  const uint64_t unknown_before = unknown_times_.segments;
  for (const SegmentInfo& segment : added.manifest().segments) {
    if (segment.times_known) continue;
    ++unknown_times_.segments;
    unknown_times_.bytes += segment.length;
  }
  if (in_several_directories() || unknown_times_.segments > unknown_before) moving_.insert(added.id());
  note_transactions(added);
  if (added.has_dirty_batches() || added.pending_log_start() != added.manifest().log_start_offset) checkpointer_.changed(added);
  bound_producers();  // at the start: there may be less memory than before
  return added;
}

Partition* LogShard::find(const PartitionId& id) {
  const auto it = partitions_.find(id);
  return it == partitions_.end() ? nullptr : it->second.get();
}

void LogShard::set_config(const PartitionId& id, const LogConfig& config) {
  if (Partition* partition = find(id)) partition->set_config(config);
}

// Downwards: nobody that stays is missed, and some are visited twice if others go meanwhile.
void LogShard::walk_down(Function<size_t(Partition&)> visit, Function<void()> done, size_t left) {
  constexpr size_t kSegmentsAsOnePartition = 16;
  left = std::min(left, listed_.size());
  for (size_t work = 0; left > 0 && work < kPartitionsPerTurn;) {
    Partition& partition = listed_[--left];
    work += 1 + partition.segment_count() / kSegmentsAsOnePartition;
    work += visit(partition);
  }
  if (left == 0) return done();
  loop_.post([this, alive = lifetime_.observe(), visit = std::move(visit), done = std::move(done), left]() mutable {
    if (alive) walk_down(std::move(visit), std::move(done), left);
  });
}

void LogShard::drop(const PartitionId& id) {
  Partition* const partition = find(id);
  if (!partition) return;
  fail_release(*partition, {weir::ErrorCode::kNotFound, "the partition was dropped"});
  const int64_t delay_ms = std::clamp<int64_t>(partition->config().file_delete_delay_ms, 0, kLongestDelayMs);
  forget(*partition);
  store_.drop(id, delay_ms, loop_, [this, alive = lifetime_.observe(), name = text_of(id), delay_ms](Result<void> result) {
    if (result && alive) {
      loop_.schedule_after((delay_ms + 1000) * runtime::kMillisecond, [this, alive] {
        if (alive) store_.maintain(loop_, [] {});
      });
    } else if (!result) {
      log_warn("log", "Folder of deleted partition {} is not removed yet: {}. It is removed at the next start.", name,
               result.error().message);
    }
  });
  tail_cache_.evict();  // last, for it may end the partition
}

// Later requests do not find it. What still points to it keeps it, but its records' memory goes now.
void LogShard::forget(Partition& partition) {
  const PartitionId id = partition.id();
  partition.of_shard.dropped = true;
  listed_.remove(partition);
  unreadable_.erase(id);
  failing_reads_.ended(id);
  in_transaction_.erase(id);
  guards_.forget(id);
  producer_bound_.dropped(partition);
  checkpointer_.dropped(partition);
  dropped_traffic_ += partition.traffic();
  // Others still point at it, so it is kept until they let go.
  const auto it = partitions_.find(id);
  dropped_.push_back(std::move(it->second));
  partitions_.erase(it);
  // Its records' memory goes now: on an idle shard nothing else would come to let go of it.
  tail_cache_.release(partition);
  partition.wake_all();
}

// --- append ---------------------------------------------------------------------------------------------------------

// Sequence checks look at speculative state, so even their refusals wait until that state is durable.
void LogShard::write_checked(Partition& partition, CheckedAppend append) {
  AppendResult& result = append.result;
  int64_t wanted = 0;
  for (const ValidatedBatch& batch : append.batches) wanted += int64_t{batch.info.last_offset_delta} + 1;
  if (wanted > std::numeric_limits<int64_t>::max() - partition.log_end_offset()) {
    result.error = ErrorCode::kUnknownServerError;  // no client may try again
    result.message = "The offsets of this partition are used up";
    return append.done(std::move(result));
  }
  for (ValidatedBatch& batch : append.batches) {
    batch.info.partition = partition.id();
    if (batch.info.producer_id == kNoProducerId) continue;
    if (batch.info.control()) batch.info.transaction_version = append.options.transaction_version;
    const auto verdict = judge(partition, append, batch.info);
    if (verdict.check == ProducerCheck::kAccept) continue;
    describe_verdict(verdict, batch.info, partition.config(), result);
    return answers_.add(partition.last_append_chunk(), &partition, -1, std::move(result), std::move(append.done));
  }

  result.base_offset = partition.log_end_offset();
  const size_t producers = partition.producers().size();
  for (ValidatedBatch& batch : append.batches) write(partition, append.records, batch, append.now_ms);
  if (partition.producers().size() > producers) {
    producer_bound_.added(partition, partition.producers().size() - producers);
    bound_producers();
  }
  result.last_offset = partition.log_end_offset() - 1;
  if (partition.config().log_append_time) result.log_append_time_ms = append.now_ms;
  answers_.add(partition.last_append_chunk(), &partition, partition.log_end_offset(), std::move(result), std::move(append.done));
}

void LogShard::write(Partition& partition, const Slice& records, ValidatedBatch& batch, int64_t now_ms) {
  BatchInfo& info = batch.info;
  info.base_offset = partition.log_end_offset();
  info.appended_ms = now_ms;
  info.leader_epoch = partition.leader_epoch();
  stamp_batch(batch, partition.config(), now_ms);
  Slice bytes{records.owner, batch.data.data(), batch.data.size()};
  WalBackend::Appended appended = wal_->append(info, bytes);
  partition.append(info, std::move(appended.bytes), appended.chunk, now_ms);
  if (info.transactional()) {
    guards_.appended(partition.id(), info);
    note_transactions(partition);
  }
  partition.traffic().messages_in += info.last_offset_delta + 1;
  partition.traffic().bytes_in += info.size;
  tail_cache_.add(partition, info.size);
  checkpointer_.changed(partition);
}

void LogShard::on_durable(ChunkNumber durable) {
  answers_.complete(durable);
  tail_cache_.evict();
  report_pressure();
  advance_releases();
  checkpointer_.look();
}

void LogShard::on_failed(const Error& error) {
  log_event(LogLevel::kError, "log",
            {.what = fmt::format("Shard {}: writing the log failed; the log directory is offline and nothing more is "
                                 "acknowledged",
                                 loop_.index()),
             .reason = error.message,
             .remedy = "Check the disk, then restart Weir; it recovers everything that was acknowledged"});
  const std::string reason = "The log directory is offline after a failed write";
  answers_.fail(reason);
  admission_.fail(reason);
  const Result<void> failure = fail(weir::ErrorCode::kIo, reason);
  while (!releases_.empty()) fail_release(*releases_.back().partition, failure.error());
  checkpointer_.fail(failure);
}

// The background must not fall behind, nor keep anybody waiting for it: then it is not held back.
void LogShard::report_pressure() {
  if (!options_.throttle) return;
  const bool awaited = admission_.held() > 0 || checkpointer_.awaited() || !releases_.empty();
  const double dirty =
      static_cast<double>(wal_->unreleased_bytes()) / static_cast<double>(std::max<uint64_t>(options_.dirty_bytes_max, 1));
  options_.throttle->set_pressure(loop_.index(), awaited || lacks_space() ? 1.0 : dirty);
}

void LogShard::quiesce(Function<void()> done) {
  wal_->flush_now();
  answers_.add_last(std::move(done));
}

// --- checkpoint ----------------------------------------------------------------------------------------------------------

void LogShard::log_start_moved(Partition& partition) {
  forget_unreadable(partition);
  partition.wake_all();
}

void LogShard::checkpoint_ended() {
  admission_.checkpoint_ended();
  report_pressure();
  advance_releases();  // what was asked for is asked for again if it failed
}

void LogShard::checkpoint_all(Function<void(Result<void>)> done) {
  if (wal_->ended()) return done(fail(weir::ErrorCode::kIo, "the log is offline"));
  checkpointer_.checkpoint_all([done = std::move(done)](const Result<void>& result) mutable { done(result); });
  report_pressure();
  quiesce([this, alive = lifetime_.observe()] {
    if (alive) checkpointer_.look();
  });
}

void LogShard::delete_records(Partition& partition, int64_t offset, Function<void(Result<int64_t>)> done) {
  const int64_t target = offset == -1 ? partition.high_watermark() : offset;
  if (target < 0 || target > partition.high_watermark()) {
    return done(fail(weir::ErrorCode::kInvalid, "offset is past the high watermark"));
  }
  if (wal_->ended() || partition.offline()) return done(fail(weir::ErrorCode::kIo, "the log is offline"));
  if (partition.of_shard.releasing) return done(fail(weir::ErrorCode::kClosed, "the partition goes to another owner"));
  if (target <= partition.log_start_offset()) return done(partition.log_start_offset());
  partition.move_log_start(target);
  checkpointer_.changed(partition);
  checkpointer_.when_committed([target, done = std::move(done)](const Result<void>& result) mutable {
    if (result) return done(target);
    done(std::unexpected(result.error()));
  });
  report_pressure();
  checkpointer_.look();
}

void LogShard::retained(bool changed) {
  if (!changed) return;
  checkpointer_.make_early();
  checkpointer_.look();
}

// --- read -----------------------------------------------------------------------------------------------------------

bool LogShard::read(Partition& partition, const ReadRequest& request, ReadResult& result, Function<void(ReadResult)> done) {
  ++partition.traffic().fetch_requests;
  const int64_t limit = request.read_committed ? partition.last_stable_offset() : partition.high_watermark();
  result.high_watermark = partition.high_watermark();
  result.last_stable_offset = partition.last_stable_offset();
  result.log_start_offset = partition.log_start_offset();
  if (partition.offline()) {
    result.error = ErrorCode::kKafkaStorageError;
    return true;
  }
  if (request.offset < partition.log_start_offset() || request.offset > partition.high_watermark()) {
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

void LogShard::read_failed(Partition& partition, uint64_t manifests_taken, const Error& error) {
  if (error.code == weir::ErrorCode::kCorrupt) return take_offline(partition, error.message);
  // Compaction and retention remove files under a reader; then the manifest has changed, too. A client that comes again finds
  // out.
  const bool same = partition.manifests_taken() == manifests_taken;
  if (error.code == weir::ErrorCode::kNotFound && same) return take_offline(partition, error.message, false);
  if (error.code != weir::ErrorCode::kNotFound) tell_failed_read(partition.id(), error);
}

void LogShard::tell_failed_read(const PartitionId& partition, const Error& error) {
  failing_reads_.failed(partition, error.message);
  uint64_t suppressed = 0;
  if (!read_error_lines_.admit(runtime_.clock->monotonic_ns() / runtime::kMillisecond, suppressed)) return;
  log_event(
      LogLevel::kError, "log",
      {.what = fmt::format("Reading partition {} failed{}", text_of(partition),
                           suppressed > 0 ? fmt::format(" (as {} before, of which nothing was said)", counted(suppressed, "read"))
                                          : std::string()),
       .reason = error.message,
       .remedy = remedy_of(error, "Check the disk. Clients try again, and are served once it can be read")});
}

void LogShard::read_cold(Partition& partition, const ReadRequest& request, int64_t end_offset, ReadResult result,
                         Function<void(ReadResult)> done) {
  const auto max_bytes = static_cast<uint32_t>(std::min<uint64_t>(request.max_bytes, 1u << 30));
  store_.read(partition.manifest(), request.offset, {max_bytes, end_offset, request.read_committed}, loop_,
              [this, alive = lifetime_.observe(), id = partition.id(), request, end_offset, taken = partition.manifests_taken(),
               checkpointed = partition.manifest().end_offset, result = std::move(result),
               done = std::move(done)](Result<SegmentRead> read) mutable {
                if (!alive) return;
                Partition* now = find(id);
                if (!now) {
                  result.error = ErrorCode::kUnknownTopicOrPartition;
                } else if (!read) {
                  result.error = ErrorCode::kKafkaStorageError;
                  if (request.offset < now->log_start_offset()) {
                    result.error = ErrorCode::kOffsetOutOfRange;  // retention overtook the reader
                  } else {
                    read_failed(*now, taken, read.error());
                  }
                } else if (failing_reads_.ended(id);
                           size_of(read->bytes) > 0 && (size_of(read->bytes) <= request.max_bytes || request.at_least_one)) {
                  // Entries that a checkpoint took from memory meanwhile are none of those that this read found.
                  if (request.read_committed && now->manifest().end_offset != checkpointed) {
                    return read_cold(*now, request, end_offset, std::move(result), std::move(done));
                  }
                  result.aborted = std::move(read->aborted);
                  if (request.read_committed) {
                    // The tail may know of some that are in the segments, too.
                    now->state().list_aborted(std::max(request.offset, checkpointed), read->next_offset, result.aborted);
                  }
                  result.bytes = size_of(read->bytes);
                  result.pieces.emplace_back(std::move(read->bytes));
                }
                done(std::move(result));
              });
}

void LogShard::take_offline(Partition& partition, const std::string& reason, bool remember) {
  if (partition.offline()) return;
  partition.take_offline(reason);
  failing_reads_.ended(partition.id());
  log_event(LogLevel::kError, "log",
            {.what = fmt::format("Partition {} is offline, others serve on", text_of(partition.id())),
             .reason = reason,
             .remedy = kOfflineRemedy});
  partition.wake_all();
  if (offline_watcher_) offline_watcher_(partition.id());
  if (!remember) return;
  // Should the machine die first, the damage is found again.
  runtime_.pool->submit(
      [files = runtime_.files, log_dir = options_.log_dir, id = partition.id(), reason] {
        if (auto stored = OfflineMarkers(*files, log_dir).put(id, reason); !stored) {
          log_error("log", "Marking the partition as offline failed: {}", stored.error().message);
        }
      },
      loop_, [] {});
}

void LogShard::let_dropped_go() {
  std::erase_if(dropped_, [&](const std::unique_ptr<Partition>& partition) {
    return !TailCache::holds(*partition) && !admission_.holds(*partition) && !answers_.holds(*partition);
  });
}

}  // namespace weir::storage
