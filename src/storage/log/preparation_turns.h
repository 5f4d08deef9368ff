// Has the pool prepare appends of a shard (batch_preparation.h), in the order of each partition. Partitions share the time: each
// has one turn in the pool's queue at a time, and a batch that takes longer than a turn does not hold up the turns of others
// (docs/decisions/0016-compressed-batches-are-opened-through-a-window.md).
//
// Loop thread only. A dropped partition must live as long as it has appends here.
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

  // A stage of `append`. Once `answered` is called, the records of the append are as they will be stored.
  void prepare(Partition& partition, AwaitedAppend& append, Function<void(AppendResult)> answered);

 private:
  struct Waiting {
    std::shared_ptr<PreparedAppend> prepared;  // while the pool has it, nobody else uses it
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
