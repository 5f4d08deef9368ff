// Epoch histories and producer entries as they are stored in blobs of manifest.db. Format:
// docs/formats/segments.md.
#pragma once

#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "storage/types.h"

namespace weir::storage {

std::vector<uint8_t> encode_epochs(const std::vector<EpochStart>& epochs);
Result<std::vector<EpochStart>> decode_epochs(Bytes bytes);

// Without the producer id, which is the row's key.
std::vector<uint8_t> encode_producer(const ProducerEntry& entry);
Result<ProducerEntry> decode_producer(int64_t producer_id, Bytes bytes);

}  // namespace weir::storage
