#include "broker/server/receive_buffers.h"

#include <algorithm>
#include <utility>

namespace weir::broker {

bool ReceiveBuffers::make_room() {
  if (!current_.buffer) {
    current_.buffer = Buffer::allocate(kBlockBytes);
    position_ = 0;
    return true;
  }
  if (current_.buffer.unique()) {
    position_ = 0;
    return true;
  }
  if (kBlockBytes - position_ >= kLeastRoom) return true;
  if (switch_to_idle_block()) return true;
  if (others_.size() < kOwnBlocks) {
    add_block(Reservation());
  } else if (auto reservation = budget_.try_reserve(MemoryShare::kRequests, kBlockBytes)) {
    add_block(std::move(*reservation));
  } else {
    return false;
  }
  return true;
}

bool ReceiveBuffers::give_back_idle() {
  std::erase_if(others_, [](const Block& block) { return block.reservation.bytes() > 0 && block.buffer.unique(); });
  if (current_.reservation.bytes() > 0 && current_.buffer.unique()) current_ = Block();
  return current_.reservation.bytes() > 0 ||
         std::ranges::any_of(others_, [](const Block& block) { return block.reservation.bytes() > 0; });
}

void ReceiveBuffers::add_block(Reservation reservation) {
  Block block{Buffer::allocate(kBlockBytes), std::move(reservation)};
  std::swap(current_, block);
  position_ = 0;
  if (block.buffer) others_.push_back(std::move(block));
}

bool ReceiveBuffers::switch_to_idle_block() {
  size_t idle = 0;
  bool found = false;
  for (size_t i = 0; i < others_.size();) {
    if (!others_[i].buffer.unique()) {
      ++i;
    } else if (!found) {
      std::swap(current_, others_[i++]);
      position_ = 0;
      found = true;
    } else if (++idle > kKeepIdle) {
      std::swap(others_[i], others_.back());
      others_.pop_back();
    } else {
      ++i;
    }
  }
  return found;
}

}  // namespace weir::broker
