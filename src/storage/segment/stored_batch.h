// The header of a record batch as it is met in a segment file, where any byte may have been damaged.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>

#include "base/bytes.h"
#include "protocol/record_batch.h"

namespace weir::storage {

using protocol::BatchHeader;

// Nothing if `bytes` (at least BatchHeader::kSize) cannot be the start of a stored batch.
inline std::optional<BatchHeader> parse_stored_header(Bytes bytes) {
  if (bytes.size() < BatchHeader::kSize) return std::nullopt;
  const BatchHeader header = BatchHeader::parse(bytes.data());
  if (header.magic != BatchHeader::kMagic) return std::nullopt;
  if (header.batch_length < static_cast<int32_t>(BatchHeader::kSize - BatchHeader::kLengthEnd)) return std::nullopt;
  if (header.base_offset < 0 || header.last_offset_delta < 0) return std::nullopt;
  if (header.base_offset > std::numeric_limits<int64_t>::max() - 1 - header.last_offset_delta) return std::nullopt;
  return header;
}

}  // namespace weir::storage
