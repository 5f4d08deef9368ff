// The header of a record batch in a segment file, where any byte may be damaged.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "protocol/record_batch.h"
#include "storage/types.h"

namespace weir::storage {

using protocol::BatchHeader;

// Returns the header at the start of `bytes`. Nothing if they are too few, or cannot be the start of a stored batch.
inline std::optional<BatchHeader> parse_stored_header(Bytes bytes) {
  if (bytes.size() < BatchHeader::kSize) return std::nullopt;
  const BatchHeader header = BatchHeader::parse(bytes.data());
  if (header.magic != BatchHeader::kMagic) return std::nullopt;
  if (header.batch_length < static_cast<int32_t>(BatchHeader::kSize - BatchHeader::kLengthEnd)) return std::nullopt;
  if (header.base_offset < 0 || header.last_offset_delta < 0) return std::nullopt;
  if (header.base_offset > std::numeric_limits<int64_t>::max() - 1 - header.last_offset_delta) return std::nullopt;
  return header;
}

// Returns the leader epoch of a batch by its partition's history, if the batch says another one. No checksum covers that field.
// Early versions of Kafka wrote none, and a batch without records may only hold a place.
inline std::optional<int32_t> other_epoch(const BatchHeader& header, std::span<const EpochStart> history) {
  if (header.partition_leader_epoch == -1 || header.record_count == 0) return std::nullopt;
  const int32_t known = epoch_at(history, header.base_offset);
  if (known == -1 || known == header.partition_leader_epoch) return std::nullopt;
  return known;
}

}  // namespace weir::storage
