// Compressed record batches for tests, as a producer makes them.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "protocol/compression.h"
#include "protocol/record_batch.h"

namespace weir::protocol {

// The uncompressed batch `plain`, with its records compressed.
inline std::vector<uint8_t> compressed_batch(Bytes plain, CompressionType type) {
  std::vector<uint8_t> batch(plain.begin(), plain.begin() + BatchHeader::kSize);
  WEIR_CHECK(compress(type, plain.subspan(BatchHeader::kSize), batch));
  BatchHeader header = BatchHeader::parse(batch.data());
  header.attributes = static_cast<int16_t>(header.attributes | static_cast<int16_t>(type));
  header.batch_length = static_cast<int32_t>(batch.size() - BatchHeader::kLengthEnd);
  header.store(batch.data());
  patch_crc(batch);
  return batch;
}

}  // namespace weir::protocol
