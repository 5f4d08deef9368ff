#include "storage/log/preparation_turns.h"

#include <utility>
#include <vector>

#include "storage/log/partition.h"

namespace weir::storage {

namespace {
// The pool runs tasks with the same key one after the other.
constexpr uint64_t kTurnKey = 0x7072'6570'0000'0000;
constexpr uint64_t kLargeKey = kTurnKey + (1 << 16);  // OpeningMemory::turns is less
constexpr size_t kAppendsPerTurn = 64;
}  // namespace

void PreparationTurns::prepare(Partition& partition, AwaitedAppend& append, Function<void(AppendResult)> answered) {
  Queue& queue = queues_[&partition];
  auto prepared = std::make_shared<PreparedAppend>();
  prepared->records = std::move(append.records);
  queue.waiting.push_back({std::move(prepared), &append, std::move(answered)});
  if (!queue.out) begin_turn(partition, queue);
}

// Begins the next turn, or the large batch that is first.
void PreparationTurns::begin_turn(Partition& partition, Queue& queue) {
  std::vector<std::shared_ptr<PreparedAppend>> appends;
  const bool large = queue.waiting.front().prepared->large;
  for (const Waiting& each : queue.waiting) {
    appends.push_back(each.prepared);
    if (large || appends.size() == kAppendsPerTurn) break;
  }
  queue.out = true;
  runtime_.pool->submit(
      [appends = std::move(appends), large, limits = memory_.large_limits, config = partition.config(), clock = runtime_.clock] {
        if (large) prepare_one(*appends.front(), config, *clock, limits);
        else prepare_turn(appends, config, *clock);
      },
      loop_,
      [this, alive = lifetime_.observe(), &partition] {
        if (alive) end_turn(partition);
      },
      large ? kLargeKey + loop_.index() % memory_.large : kTurnKey + loop_.index() % memory_.turns);
}

// `out` stays true until all are answered, because an answered client may append at once.
void PreparationTurns::end_turn(Partition& partition) {
  for (;;) {
    auto& waiting = queues_.at(&partition).waiting;
    if (waiting.empty() || !waiting.front().prepared->ready) break;
    Waiting next = std::move(waiting.front());
    waiting.pop_front();
    next.append->records = std::move(next.prepared->records);
    next.append->from = AppendFrom::kPreparation;
    next.answered(std::move(next.prepared->refusal));
  }
  Queue& queue = queues_.at(&partition);
  queue.out = false;
  if (queue.waiting.empty()) queues_.erase(&partition);
  else begin_turn(partition, queue);
}

}  // namespace weir::storage
