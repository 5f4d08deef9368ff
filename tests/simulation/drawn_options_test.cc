#include "simulation/drawn_options.h"

#include <gtest/gtest.h>

#include <set>

namespace weir::simulation {
namespace {

TEST(DrawnOptions, FollowFromSeedAndNameAlone) {
  DrawnOptions one(7), other(7);
  EXPECT_EQ(other.one_of("unrelated", {1, 2, 3}), one.one_of("unrelated", {1, 2, 3}));
  const uint64_t before = one.one_of("size", {1, 2, 3, 4, 5});
  other.feature("between");
  EXPECT_EQ(other.one_of("size", {1, 2, 3, 4, 5}), before);
  EXPECT_EQ(one.one_of("size", {9}), before) << "asked again, it is another";
}

TEST(DrawnOptions, SeedsDrawEveryValue) {
  std::set<uint64_t> seen;
  for (uint64_t seed = 1; seed <= 50; ++seed) seen.insert(DrawnOptions(seed).one_of("shards", {1, 2, 4}));
  EXPECT_EQ(seen, (std::set<uint64_t>{1, 2, 4}));
}

TEST(DrawnOptions, AreFixedByHandAndPrinted) {
  DrawnOptions options(7, {{"shards", 9}, {"shrads", 1}});
  EXPECT_EQ(options.one_of("shards", {1, 2}), 9u);
  options.one_of("a", {5});
  EXPECT_EQ(options.text(), "a=5 shards=9");
  EXPECT_EQ(options.unknown(), std::vector<std::string>{"shrads"});
}

}  // namespace
}  // namespace weir::simulation
