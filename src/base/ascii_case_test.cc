#include "base/ascii_case.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

TEST(AsciiCase, ChangesLettersAlone) {
  EXPECT_EQ(lower_case("Az@[`{\xc3\x84"), "az@[`{\xc3\x84");
  EXPECT_EQ(upper_case("Az@[`{\xc3\xa4"), "AZ@[`{\xc3\xa4");
  EXPECT_TRUE(equal_ignoring_case("PreparingRebalance", "preparingrebalance"));
  EXPECT_FALSE(equal_ignoring_case("stable", "stables"));
  EXPECT_FALSE(equal_ignoring_case("@", "`"));
}

}  // namespace
}  // namespace weir
