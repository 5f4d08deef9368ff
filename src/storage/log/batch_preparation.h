// Work on a produced batch that is too much for the loop's thread: looking into compressed records and compressing
// anew. It is done on the pool before the append (preparation_turns.h), which keeps its place in line meanwhile
// (awaited_appends.h).
//
// Prepared are batches whose compression is not what `compression.type` asks for, and all compressed ones: their records are
// checked as those of others are, and their times are taken from the records, as Kafka does. A header is never believed about
// time: it decides what is deleted and found (docs/decisions/0010-times-come-from-records.md).
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
  bool large = false;    // more than a turn is for
  AppendResult refusal;  // if its error is set, it is the answer
};

// Whether `records`, as a producer sent them, have to be prepared. Looks at the header of the first batch only.
bool needs_preparation(Bytes records, const LogConfig& config);

// Checks all records and has `records` (memory that nobody else reads) be what is to be stored. On refusal fills `refusal`
// and returns false. Thread-safe.
bool prepare_batch(Slice& records, const LogConfig& config, int64_t now_ms, AppendResult& refusal,
                   const OpeningLimits& limits = {});

// The same for an append, which is ready then. On a thread of the pool, while nobody else touches it.
void prepare_one(PreparedAppend& append, const LogConfig& config, const runtime::Clock& clock, const OpeningLimits& limits);
// Prepares them in their order as long as there is time. One that needs more than a turn's limits is marked as large, and those
// behind it stay as they are.
void prepare_turn(std::span<const std::shared_ptr<PreparedAppend>> appends, const LogConfig& config, const runtime::Clock& clock);

}  // namespace weir::storage
