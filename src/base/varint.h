// Variable-length integers of the Kafka protocol: unsigned LEB128 and zig-zag signed. Bounds-checked.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace weir {

// Decoders return the number of bytes read, or 0 if the input is truncated or over-long.
inline size_t read_uvarint32(Bytes in, uint32_t& value) {
  uint32_t result = 0;
  for (size_t i = 0; i < in.size() && i < 5; ++i) {
    if (i == 4 && in[i] > 0x0f) return 0;
    result |= static_cast<uint32_t>(in[i] & 0x7f) << (7 * i);
    if (!(in[i] & 0x80)) {
      value = result;
      return i + 1;
    }
  }
  return 0;
}

inline size_t read_uvarint64(Bytes in, uint64_t& value) {
  uint64_t result = 0;
  for (size_t i = 0; i < in.size() && i < 10; ++i) {
    if (i == 9 && in[i] > 1) return 0;
    result |= static_cast<uint64_t>(in[i] & 0x7f) << (7 * i);
    if (!(in[i] & 0x80)) {
      value = result;
      return i + 1;
    }
  }
  return 0;
}

inline size_t read_varint32(Bytes in, int32_t& value) {
  uint32_t raw = 0;
  const size_t n = read_uvarint32(in, raw);
  value = static_cast<int32_t>((raw >> 1) ^ (0u - (raw & 1)));
  return n;
}

inline size_t read_varint64(Bytes in, int64_t& value) {
  uint64_t raw = 0;
  const size_t n = read_uvarint64(in, raw);
  value = static_cast<int64_t>((raw >> 1) ^ (0ull - (raw & 1)));
  return n;
}

// Encoders write at most 5 (32 bit) or 10 (64 bit) bytes and return how many.
inline size_t write_uvarint(uint8_t* out, uint64_t value) {
  size_t n = 0;
  while (value >= 0x80) {
    out[n++] = static_cast<uint8_t>(value | 0x80);
    value >>= 7;
  }
  out[n++] = static_cast<uint8_t>(value);
  return n;
}

inline size_t write_varint32(uint8_t* out, int32_t value) {
  return write_uvarint(out, (static_cast<uint32_t>(value) << 1) ^ static_cast<uint32_t>(value >> 31));
}
inline size_t write_varint64(uint8_t* out, int64_t value) {
  return write_uvarint(out, (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63));
}

inline size_t uvarint_size(uint64_t value) {
  size_t n = 1;
  while (value >= 0x80) {
    ++n;
    value >>= 7;
  }
  return n;
}

}  // namespace weir
