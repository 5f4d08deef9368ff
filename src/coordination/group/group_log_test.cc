// What the log of the process tells of groups.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/log.h"
#include "coordination/group/classic/classic_group_fixture.h"

namespace weir::coordination {
namespace {

class GroupLogTest : public ClassicGroupTest {
 protected:
  GroupLogTest() {
    set_log_sink([this](LogLevel, std::string_view, std::string_view message) { lines.emplace_back(message); });
  }
  ~GroupLogTest() override { set_log_sink({}); }
  std::vector<std::string> lines;
};

TEST_F(GroupLogTest, TellsWhoComesAndGoesAndWhy) {
  using ::testing::AllOf;
  using ::testing::ElementsAre;
  using ::testing::HasSubstr;
  const auto ids = stable_group(1);
  EXPECT_THAT(
      lines,
      ElementsAre(AllOf(HasSubstr("Group 'g'"), HasSubstr("member '" + ids[0] + "' of client 'client' at 10.0.0.1 joins")),
                  HasSubstr("begins a rebalance: a member joins"), HasSubstr("is stable; its leader is '" + ids[0] + "'")));
  lines.clear();
  world.advance(60'000);
  EXPECT_THAT(lines,
              ElementsAre(AllOf(HasSubstr(ids[0]), HasSubstr("is removed: no heartbeat for 10000 ms")),
                          HasSubstr("begins a rebalance: a member's heartbeats ended"), HasSubstr("has no members any more")));
  lines.clear();
  EXPECT_EQ(world.commit("g", "t", 3, 7), ErrorCode::kNone);
  EXPECT_EQ(world.delete_offset("g", "t", 4), ErrorCode::kNone);
  EXPECT_THAT(lines, ElementsAre()) << "nothing was there";
  EXPECT_EQ(world.delete_offset("g", "t", 3), ErrorCode::kNone);
  EXPECT_THAT(lines, ElementsAre("Group 'g' loses 1 committed offsets (t-3), deleted by a test"));
  lines.clear();
  EXPECT_EQ(world.delete_group("g"), ErrorCode::kNone);
  EXPECT_THAT(lines, ElementsAre("Group 'g' is deleted by a test"));
}

TEST_F(GroupLogTest, AClientThatComesAndGoesCannotFloodIt) {
  for (int i = 0; i < 1000; ++i) {
    const auto joined = world.join("");
    world.advance(0);
    world.leave(joined->member_id);
  }
  EXPECT_LE(lines.size(), 40u);
  world.advance(20'000);
  world.join("");
  EXPECT_THAT(lines, ::testing::Contains(::testing::HasSubstr("more lines about groups unreported")));
}

TEST_F(GroupLogTest, WhatClientsCallThemselvesStaysInItsQuotes) {
  GroupWorld::JoinOptions options;
  options.client_id = "x' at /1.2.3.4\nGroup 'g' is deleted by 'root";
  world.join("", options);
  ASSERT_FALSE(lines.empty());
  EXPECT_THAT(lines[0],
              ::testing::HasSubstr("of client 'x\\' at /1.2.3.4?Group \\'g\\' is deleted by \\'root' at 10.0.0.1 joins"));
}

}  // namespace
}  // namespace weir::coordination
