// Bounds the memory and time of opening produced compressed batches (batch_preparation.h), whatever a few bytes decompress to.
#pragma once

#include <cstdint>

namespace weir::storage {

// Records that decompress to more are refused. Later readers of the batch must hold them in memory, or need time for them.
inline constexpr uint64_t kDecompressedBytesMax = 128ull << 20;

// Limits of one batch, which is opened through a window. Half of the memory is for the codec. The other half is for its records,
// if they are compressed anew.
struct OpeningLimits {
  uint64_t memory_bytes = 64 << 20;
  uint64_t decompressed_bytes = kDecompressedBytesMax;
  // Records that are compressed anew, at a level that takes its time for it or at another one.
  uint64_t compressed_bytes = UINT64_MAX;
  uint64_t thoroughly_compressed_bytes = UINT64_MAX;
};

// Batches are opened in turns of their partitions, within limits of some milliseconds. A batch that exceeds them is tried again
// beside the turns, where only other such batches wait for it.
struct OpeningMemory {
  static constexpr OpeningLimits kTurn = {8 << 20, 8 << 20, 256 << 10, 4 << 10};
  static constexpr uint64_t kLeastLargeBytes = 16 << 20;
  // The bound leaves threads of the pool to the turns.
  static constexpr unsigned kLargeMax = 2;

  unsigned turns = 4;  // at once, of all shards
  unsigned large = kLargeMax;
  OpeningLimits large_limits = {};

  // Returns the bounds of a broker that may use `total` bytes: a sixteenth of it, or the need of one turn and one large batch.
  static OpeningMemory of(uint64_t total);
};

}  // namespace weir::storage
