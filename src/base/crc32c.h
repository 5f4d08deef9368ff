// CRC-32C (Castagnoli), the checksum of record batches, WAL chunks and our other files. Uses the CPU's instructions.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace weir {

// Checksum of `data`. To go on over several pieces pass the previous result as `crc`.
uint32_t crc32c(Bytes data, uint32_t crc = 0);

}  // namespace weir
