#include "storage/compaction/offset_map.h"

#include <algorithm>
#include <utility>

namespace weir::storage {

namespace {

constexpr size_t kSlotsMin = 16;

// Maps a uniform 64-bit number to [0, slots).
size_t scale(uint64_t number, size_t slots) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<size_t>((static_cast<Wide>(number) * slots) >> 64);
}

size_t keys_for(size_t slots, double load_factor) {
  return std::clamp<size_t>(static_cast<size_t>(static_cast<double>(slots) * load_factor), 1, slots - 1);
}

}  // namespace

OffsetMap::OffsetMap(size_t bytes_max, size_t keys_expected, HashSecret secret, double load_factor)
    : secret_(secret), load_factor_(load_factor), slots_max_(std::max(bytes_max / kEntryBytes, kSlotsMin)) {
  const double wanted = static_cast<double>(keys_expected) / load_factor + 1;
  slots_.resize(wanted >= static_cast<double>(slots_max_) ? slots_max_ : std::max(static_cast<size_t>(wanted), kSlotsMin));
  size_max_ = keys_for(slots_.size(), load_factor_);
}

size_t OffsetMap::place(const KeyHash& hash) const {
  size_t at = scale(hash.low, slots_.size());
  while (slots_[at].offset >= 0 && slots_[at].hash != hash) at = at + 1 == slots_.size() ? 0 : at + 1;
  return at;
}

bool OffsetMap::put(Bytes key, int64_t offset) {
  const KeyHash hash = hash_key(secret_, key);
  Slot* slot = &slots_[place(hash)];
  if (slot->offset < 0) {
    if (size_ >= size_max_) {
      if (!grow()) return false;
      slot = &slots_[place(hash)];
    }
    ++size_;
    slot->hash = hash;
  }
  slot->offset = std::max(slot->offset, offset);
  return true;
}

int64_t OffsetMap::get(Bytes key) const { return slots_[place(hash_key(secret_, key))].offset; }

// Both tables exist while the entries move, so doubling reaches at most 2/3 of the bound.
bool OffsetMap::grow() {
  const size_t room = slots_max_ - std::min(slots_max_, slots_.size());
  const size_t wanted = std::min(slots_.size() * 2, room);
  if (wanted <= slots_.size()) return false;
  std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(wanted));
  for (const Slot& slot : old) {
    if (slot.offset >= 0) slots_[place(slot.hash)] = slot;
  }
  size_max_ = keys_for(wanted, load_factor_);
  return true;
}

}  // namespace weir::storage
