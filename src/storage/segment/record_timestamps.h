// Search by timestamp inside one stored batch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "runtime/file.h"
#include "storage/segment/header_scanner.h"
#include "storage/segment/segment_store.h"

namespace weir::storage {

// The batch's first record at or above `lowest_offset` with a timestamp >= `timestamp`; nothing if it has none. `name` is
// for messages. kCorrupt if the records contradict the header.
Result<std::optional<TimestampPosition>> first_record_at(runtime::File& file, const std::string& name, const HeaderScanner::Position& batch,
                                                         int64_t timestamp, int64_t lowest_offset);

}  // namespace weir::storage
