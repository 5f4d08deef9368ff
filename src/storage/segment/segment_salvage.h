// Finds the intact batches of a damaged segment file, for `weir log salvage`. Pure.
//
// Batches are told apart by their checksums, not by the chain of their lengths, which may be broken. No checksum covers a
// batch's base offset, length and magic: where only these were damaged they follow from its neighbours, and are mended.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"

namespace weir::storage {

struct OffsetRange {
  int64_t first = 0;
  int64_t next = 0;  // after the last one
  bool operator==(const OffsetRange&) const = default;
};

struct SegmentSalvage {
  std::vector<Bytes> batches;     // intact ones in ascending order, in the file's memory
  std::vector<OffsetRange> lost;  // what may have been there and cannot be read; compaction may have taken some of it before
  uint64_t mended = 0;            // batches among the intact ones
  uint64_t damaged_bytes = 0;     // that are part of none
};

inline constexpr int64_t kUnknownOffset = INT64_MAX;

// `file`: the valid bytes of the segment, changed where a batch is mended. `first`: its base offset. `next`: the offset after
// its last batch, or kUnknownOffset.
SegmentSalvage salvage_segment(MutableBytes file, int64_t first, int64_t next);

}  // namespace weir::storage
