// Work on a produced batch that is too much for the loop's thread: looking into compressed records and compressing
// anew. It is done on the pool before the append, which keeps its place in its partition's queue meanwhile
// (log_shard_prepare.cc).
//
// Prepared are batches whose compression is not what `compression.type` asks for, and all compressed ones: their records are
// checked as those of others are, and their times are taken from the records, as Kafka does. A header is never believed about
// time: it decides what is deleted and found (docs/decisions/0010-times-come-from-records.md).
#pragma once

#include <cstdint>

#include "base/buffer.h"
#include "base/function.h"
#include "storage/log/log_config.h"
#include "storage/log/log_shard.h"

namespace weir::storage {

// Records that decompress to more are refused: what opens a batch later has to hold it, or takes its time.
inline constexpr uint64_t kDecompressedBytesMax = 128ull << 20;

// The memory that opening takes, whatever batches of a few bytes decompress to: so many at once, so much each. A batch is opened
// through a window; half of its memory is for the codec, half for its records if they are compressed anew.
struct OpeningMemory {
  static constexpr uint64_t kLeastBytesEach = 16 << 20;
  unsigned at_once = 4;
  uint64_t bytes_each = 64 << 20;

  // For a broker that may use `total` bytes: a sixteenth of it, or kLeastBytesEach for one at a time.
  static OpeningMemory of(uint64_t total);
};

// An append that waits for its turn in its partition.
struct PreparedAppend {
  Slice records;
  AppendFrom from = AppendFrom::kClient;
  Function<void(AppendResult)> done;
  bool ready = false;
  AppendResult refusal;  // if its error is set, it is the answer
};

// Whether `records`, as a producer sent them, have to be prepared. Looks at the header of the first batch only.
bool needs_preparation(Bytes records, const LogConfig& config);

// Checks all records and has `records` (memory that nobody else reads) be what is to be stored. On refusal fills `refusal`
// and returns false. Thread-safe.
bool prepare_batch(Slice& records, const LogConfig& config, int64_t now_ms, AppendResult& refusal,
                   uint64_t memory_bytes = OpeningMemory().bytes_each);

}  // namespace weir::storage
