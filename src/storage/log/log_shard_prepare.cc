// Appends that need the pool first; see batch_preparation.h. Whoever appends to the partition later waits behind them, so
// that a partition's batches stay in the order in which they came.
//
// Time is shared: a partition has one turn in the pool's queue at a time, and a batch that takes longer than a turn does not hold
// up the turns of others (docs/decisions/0016).
#include "storage/log/batch_preparation.h"
#include "storage/log/log_shard.h"

namespace weir::storage {

namespace {
// The pool does one after the other what has the same key.
constexpr uint64_t kTurnKey = 0x7072'6570'0000'0000;
constexpr uint64_t kLargeKey = kTurnKey + (1 << 16);  // OpeningMemory::turns is less
constexpr size_t kAppendsPerTurn = 64;
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
  partition.preparing_.push_back(std::move(append));
  prepare_next(partition);
}

// The next turn, or the large batch that is first.
void LogShard::prepare_next(Partition& partition) {
  if (partition.preparation_out_ || partition.preparing_.empty()) return;
  std::vector<std::shared_ptr<PreparedAppend>> appends;
  const bool large = partition.preparing_.front()->large;
  for (const auto& append : partition.preparing_) {
    if (!append->ready) appends.push_back(append);
    if (large || appends.size() == kAppendsPerTurn) break;
  }
  partition.preparation_out_ = true;
  const OpeningMemory& memory = options_.opening;
  runtime_.pool->submit(
      [appends = std::move(appends), large, limits = memory.large_limits, config = partition.config_, clock = runtime_.clock] {
        if (large) prepare_one(*appends.front(), config, *clock, limits);
        else prepare_turn(appends, config, *clock);
      },
      loop_,
      [this, alive = alive_, waiting_in = &partition] {
        if (*alive) take_prepared(*waiting_in);
      },
      large ? kLargeKey + loop_.index() % memory.large : kTurnKey + loop_.index() % memory.turns);
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
  partition.preparation_out_ = false;  // not before: an answered client may append at once
  prepare_next(partition);
}

}  // namespace weir::storage
