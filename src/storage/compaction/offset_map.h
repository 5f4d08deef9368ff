// The newest offset of each key in a part of a log. Compaction decides by it which records stay. The map knows keys by their
// 128-bit fingerprints only, so an entry has 24 bytes, however long its key is. Memory is bounded: when put() returns false, the
// part ends there, and another cleaning goes on behind it.
//
// One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "storage/compaction/key_hash.h"

namespace weir::storage {

class OffsetMap {
 public:
  // The table takes at most `bytes_max`, also while it grows. It begins with room for `keys_expected`.
  OffsetMap(size_t bytes_max, size_t keys_expected, HashSecret secret, double load_factor = 0.9);

  static constexpr size_t kEntryBytes = 24;

  // Keeps the larger offset of a known key. False if the key is new and there is no room for it.
  bool put(Bytes key, int64_t offset);
  int64_t get(Bytes key) const;  // -1: the key is not there

  // The map covers everything up to this offset.
  int64_t latest_offset() const { return latest_offset_; }
  void update_latest_offset(int64_t offset) { latest_offset_ = offset; }

  size_t size() const { return size_; }
  size_t memory_bytes() const { return slots_.capacity() * sizeof(Slot); }

 private:
  struct Slot {
    KeyHash hash;
    int64_t offset = -1;
  };
  static_assert(sizeof(Slot) == kEntryBytes);

  size_t place(const KeyHash& hash) const;  // the slot of the hash, or the free slot where it belongs
  bool grow();

  const HashSecret secret_;
  const double load_factor_;
  const size_t slots_max_;
  std::vector<Slot> slots_;
  size_t size_ = 0;
  size_t size_max_ = 0;  // of the present table
  int64_t latest_offset_ = -1;
};

}  // namespace weir::storage
