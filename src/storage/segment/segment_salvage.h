// Finds the intact batches of a damaged segment file, for `weir log salvage`. Pure.
//
// Batches are told apart by their checksums, not by the chain of their lengths, which may be broken. No checksum covers a
// batch's base offset, length and magic: where only these were damaged they follow from its neighbours, and are mended. Nor does
// one cover its leader epoch: the partition's history tells that, and a batch that says another one is mended.
//
// Nothing in a batch says whose it is. A file that begins otherwise than its segment does is another one, and nothing of it is
// taken.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "storage/types.h"

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
  std::string foreign;            // why the file is another one; else empty
};

inline constexpr int64_t kUnknownOffset = INT64_MAX;

// What is known of the segment that the file should be.
struct ExpectedSegment {
  int64_t base_offset = 0;
  int64_t next_offset = kUnknownOffset;         // after its last batch
  bool contiguous = false;                      // compaction never took anything of it
  std::optional<int64_t> first_timestamp = {};  // max timestamp of its first batch
  std::span<const EpochStart> epochs = {};      // of its partition; empty if they are not known
};

// `file`: the valid bytes of the segment, changed where a batch is mended.
SegmentSalvage salvage_segment(MutableBytes file, const ExpectedSegment& expected);

}  // namespace weir::storage
