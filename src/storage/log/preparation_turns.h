// Appends of a shard that are prepared on the pool (batch_preparation.h), each partition's in their order. Time is shared: a
// partition has one turn in the pool's queue at a time, and a batch that takes longer than a turn does not hold up the turns of
// others (docs/decisions/0016-compressed-batches-are-opened-through-a-window.md).
//
// Loop thread only. A dropped partition has to live as long as it has appends here.
#pragma once

#include <deque>
#include <memory>
#include <unordered_map>

#include "base/lifetime.h"
#include "runtime/runtime.h"
#include "storage/log/awaited_appends.h"
#include "storage/log/batch_preparation.h"
#include "storage/log/opening_memory.h"

namespace weir::storage {

class PreparationTurns {
 public:
  PreparationTurns(runtime::Runtime& runtime, runtime::Loop& loop, const OpeningMemory& memory)
      : runtime_(runtime), loop_(loop), memory_(memory) {}
  ~PreparationTurns() { lifetime_.end(); }

  // Is a stage of `append`. Once it has answered, the append's records are in the form in which they are stored.
  void prepare(Partition& partition, AwaitedAppend& append, Function<void(AppendResult)> answered);

 private:
  struct Waiting {
    std::shared_ptr<PreparedAppend> prepared;  // the pool may have it, then nobody else touches it
    AwaitedAppend* append;
    Function<void(AppendResult)> answered;
  };
  struct Queue {
    std::deque<Waiting> waiting;  // none is ready
    bool out = false;             // the pool has some of them
  };

  void begin_turn(Partition& partition, Queue& queue);
  void end_turn(Partition& partition);

  runtime::Runtime& runtime_;
  runtime::Loop& loop_;
  const OpeningMemory memory_;
  std::unordered_map<Partition*, Queue> queues_;
  Lifetime lifetime_;
};

}  // namespace weir::storage
