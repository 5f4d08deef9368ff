// Appends that need the pool first; see batch_preparation.h. Whoever appends to the partition later waits behind them, so
// that a partition's batches stay in the order in which they came.
#include "storage/log/batch_preparation.h"
#include "storage/log/log_shard.h"

namespace weir::storage {

namespace {
// One batch of a shard at a time, or of several that share a turn: bounds the memory of opened batches, and leaves the pool to others.
constexpr uint64_t kPreparationKey = 0x7072'6570'0000'0000;
}  // namespace

void LogShard::append(Partition& partition, Slice records, bool client, Function<void(AppendResult)> done) {
  const AppendFrom from = client ? AppendFrom::kClient : AppendFrom::kBroker;
  const bool prepare = client && !partition.dropped_ && needs_preparation(records.bytes(), partition.config_);
  if (!prepare && partition.preparing_.empty()) {
    return append_prepared(partition, std::move(records), from, std::move(done));
  }
  auto append = std::make_shared<PreparedAppend>();
  append->records = std::move(records);
  append->from = prepare ? AppendFrom::kPreparation : from;
  append->done = std::move(done);
  append->ready = !prepare;
  partition.preparing_.push_back(append);
  if (!prepare) return;
  runtime_.pool->submit(
      [append, config = partition.config_, now_ms = runtime_.clock->wall_ms(), memory = options_.opening_bytes_max] {
        prepare_batch(append->records, config, now_ms, append->refusal, memory);
      },
      loop_,
      [this, alive = alive_, append, waiting_in = &partition] {
        if (!*alive) return;
        append->ready = true;
        take_prepared(*waiting_in);
      },
      kPreparationKey + loop_.index() % options_.openings_max);
}

// A dropped partition lives until its queue is empty.
void LogShard::take_prepared(Partition& partition) {
  while (!partition.preparing_.empty() && partition.preparing_.front()->ready) {
    const std::shared_ptr<PreparedAppend> next = std::move(partition.preparing_.front());
    partition.preparing_.pop_front();
    if (next->refusal.error != protocol::ErrorCode::kNone) {
      next->done(std::move(next->refusal));
    } else {
      append_prepared(partition, std::move(next->records), next->from, std::move(next->done));
    }
  }
}

}  // namespace weir::storage
