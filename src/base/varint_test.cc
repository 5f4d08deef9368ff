#include "base/varint.h"

#include <gtest/gtest.h>

#include <limits>

namespace weir {

TEST(Varint, SignedRoundTrip) {
  for (int64_t v : {int64_t{0}, int64_t{-1}, int64_t{1}, int64_t{63}, int64_t{-64}, int64_t{64}, int64_t{1} << 40,
                    std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()}) {
    uint8_t out[10];
    const size_t n = write_varint64(out, v);
    int64_t back = 0;
    EXPECT_EQ(read_varint64({out, n}, back), n);
    EXPECT_EQ(back, v);
    for (size_t cut = 0; cut < n; ++cut) EXPECT_EQ(read_varint64({out, cut}, back), 0u);
  }
}

TEST(Varint, RefusesOverlong) {
  const uint8_t six[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x00};
  const uint8_t too_big[] = {0xff, 0xff, 0xff, 0xff, 0x1f};
  uint32_t value;
  EXPECT_EQ(read_uvarint32(six, value), 0u);
  EXPECT_EQ(read_uvarint32(too_big, value), 0u);
}

TEST(Varint, NegativeOneIsOneByte) {
  uint8_t out[5];
  EXPECT_EQ(write_varint32(out, -1), 1u);
  EXPECT_EQ(out[0], 1);
}

}  // namespace weir
