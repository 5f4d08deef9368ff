// Finds the times of the records of one stored batch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "runtime/file.h"
#include "storage/segment/header_scanner.h"
#include "storage/segment/segment_data.h"

namespace weir::storage {

// Returns the largest timestamp of the records of `batch` (all its bytes) at or above `lowest_offset`. For a batch without
// records, or with LogAppendTime, returns the time in the header. kCorrupt if the records cannot be read.
Result<int64_t> max_timestamp_in(Bytes batch, int64_t lowest_offset = 0);

// Returns the first record of `batch` (all its bytes) at or above `lowest_offset` with a timestamp >= `timestamp`; nothing
// without one. kCorrupt if the records contradict the header. Compressed batches are unpacked in small steps.
Result<std::optional<TimestampPosition>> first_record_in(Bytes batch, int64_t timestamp, int64_t lowest_offset);

// Returns all bytes of a batch in a file. `name` is for messages.
Result<Slice> read_batch(runtime::File& file, const std::string& name, const HeaderScanner::Position& batch);

// first_record_in for a batch in a file.
Result<std::optional<TimestampPosition>> first_record_at(runtime::File& file, const std::string& name,
                                                         const HeaderScanner::Position& batch, int64_t timestamp,
                                                         int64_t lowest_offset);

}  // namespace weir::storage
