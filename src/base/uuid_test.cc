#include "base/uuid.h"

#include <gtest/gtest.h>

namespace weir {

TEST(Uuid, TextRoundTrip) {
  for (uint64_t i = 0; i < 1000; ++i) {
    const auto id = Uuid::from_random(i * 0x9e3779b97f4a7c15ull, i * 0xff51afd7ed558ccdull + 1);
    const auto text = id.to_string();
    EXPECT_EQ(text.size(), 22u);
    EXPECT_EQ(Uuid::parse(text), id);
    EXPECT_EQ(id.bytes[6] >> 4, 4);
  }
}

// Kafka writes the zero id like this.
TEST(Uuid, KnownText) { EXPECT_EQ(Uuid{}.to_string(), "AAAAAAAAAAAAAAAAAAAAAA"); }

TEST(Uuid, RefusesMalformedText) {
  EXPECT_FALSE(Uuid::parse(""));
  EXPECT_FALSE(Uuid::parse("AAAAAAAAAAAAAAAAAAAAA"));
  EXPECT_FALSE(Uuid::parse("AAAAAAAAAAAAAAAAAAAAA="));
}

}  // namespace weir
