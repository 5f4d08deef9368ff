// Prepares a produced batch for its append: opens compressed records and compresses anew. That is too much work for the loop's
// thread, so the pool does it (preparation_turns.h). The append keeps its place in line meanwhile (awaited_appends.h).
//
// All compressed batches are prepared, and so are batches with another compression than `compression.type` asks for. The
// preparation checks records as an append checks uncompressed ones, and takes the times from the records, as Kafka does. A header
// is never believed about time, because times decide what is deleted and found (docs/decisions/0010-times-come-from-records.md).
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/buffer.h"
#include "runtime/clock.h"
#include "storage/log/append_result.h"
#include "storage/log/log_config.h"
#include "storage/log/opening_memory.h"

namespace weir::storage {

struct PreparedAppend {
  Slice records;
  bool ready = false;
  bool large = false;    // too much work for a turn
  AppendResult refusal;  // the answer, if its error is set
};

// Returns whether `records`, as a producer sent them, have to be prepared. Looks at the header of the first batch only.
bool needs_preparation(Bytes records, const LogConfig& config);

// Checks all records, and turns `records` into the bytes to store. Nobody else reads that memory. On refusal fills `refusal` and
// returns false. Thread-safe.
bool prepare_batch(Slice& records, const LogConfig& config, int64_t now_ms, AppendResult& refusal,
                   const OpeningLimits& limits = {});

// The same for an append, which is ready then. On a thread of the pool, while nobody else uses the append.
void prepare_one(PreparedAppend& append, const LogConfig& config, const runtime::Clock& clock, const OpeningLimits& limits);
// Prepares appends in their order, as long as there is time. Marks an append that needs more than the limits of a turn as large.
// Appends behind it stay as they are.
void prepare_turn(std::span<const std::shared_ptr<PreparedAppend>> appends, const LogConfig& config, const runtime::Clock& clock);

}  // namespace weir::storage
