// The memory that a shard receives into: blocks of 64 KiB that all its connections share. So a connection that waits for data
// holds none. Requests point into a block until they are released. A block without such requests is reused. Blocks beyond the
// first few are reserved in the budget. Loop thread only.
#pragma once

#include <vector>

#include "base/buffer.h"
#include "broker/server/memory_budget.h"

namespace weir::broker {

class ReceiveBuffers {
 public:
  static constexpr size_t kBlockBytes = 64 * 1024;

  explicit ReceiveBuffers(MemoryBudget& budget) : budget_(budget) {}

  // Makes room for at least kLeastRoom bytes. Returns false if the budget has no room for another block.
  bool make_room();
  // Gives back reserved blocks that are idle. Returns false once none is reserved.
  bool give_back_idle();
  // Adds a block from a reservation of kBlockBytes that was waited for.
  void add_block(Reservation reservation);

  const Buffer& buffer() const { return current_.buffer; }
  MutableBytes room() const { return current_.buffer.bytes().subspan(position_); }
  void take(size_t bytes) { position_ += bytes; }

 private:
  static constexpr size_t kLeastRoom = 16 * 1024;
  static constexpr size_t kKeepIdle = 4;
  static constexpr size_t kOwnBlocks = 16;  // so that small requests need not wait for the memory of large ones
  struct Block {
    Buffer buffer;
    Reservation reservation;
  };
  bool switch_to_idle_block();

  MemoryBudget& budget_;
  Block current_;
  size_t position_ = 0;
  std::vector<Block> others_;  // full or idle
};

}  // namespace weir::broker
