// The stream framing of the xerial snappy library, which Java clients put around snappy: 8 bytes of magic,
// two 32-bit version numbers, then blocks of a 32-bit length and that many bytes of plain snappy. All
// big-endian.
#pragma once

#include <cstddef>
#include <cstdint>

namespace weir::protocol::xerial {

inline constexpr uint8_t kMagic[8] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};
inline constexpr size_t kHeaderSize = 16;
inline constexpr size_t kBlockSize = 32 * 1024;  // uncompressed bytes of a block that we write

}  // namespace weir::protocol::xerial
