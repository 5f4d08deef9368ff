// Groups that leave the coordinator they were loaded by for the one they belong to, record by record.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordination/group/group_world.h"

namespace weir::coordination {
namespace {

constexpr int32_t kWrong = 0, kRight = 1;

class GroupMoveTest : public ::testing::Test {
 protected:
  // Groups whose name begins with 'm' belong to the other one.
  static int32_t home_of(std::string_view group) { return group.starts_with('m') ? kRight : kWrong; }
  // As the broker does it; the copy before or after a crash may be repeated. Returns the slices.
  int move(bool forget = true) {
    std::string cursor;
    for (int slices = 0;; ++slices) {
      const auto slice = wrong_.state->move().misplaced(cursor, kWrong, home_of);
      cursor = slice.next_group;
      if (slice.records.empty() && slice.finished) return slices;
      if (slice.records.empty()) continue;
      EXPECT_EQ(slice.to, kRight);
      EXPECT_LE(slice.records.size(), 600u);
      right_.step([&](Effects& effects) { right_.state->move().adopt(slice.records, right_.now, effects); });
      if (forget) wrong_.step([&](Effects& effects) { wrong_.state->move().forget(slice.records, effects); });
      else cursor += '\0';  // the next group
    }
  }
  // The records of both, replayed, are what their states say.
  void logs_tell_the_states() {
    for (GroupWorld* world : {&wrong_, &right_}) EXPECT_EQ(world->replayed()->snapshot(), world->state->snapshot());
  }

  GroupWorld wrong_{no_delay()}, right_{no_delay()};
};

TEST_F(GroupMoveTest, OffsetsOfManySlicesMoveAndTheRestStays) {
  for (int32_t p = 0; p < 1500; ++p) wrong_.commit("moves", "t", p, 100 + p);
  wrong_.commit("moves-too", "t", 0, 1);
  wrong_.commit("stays", "t", 0, 2);
  EXPECT_GE(move(), 3);
  for (const int32_t p : {0, 511, 512, 1499}) EXPECT_EQ(right_.fetch("moves", "t", p).offset, 100 + p);
  EXPECT_EQ(right_.fetch("moves-too", "t", 0).offset, 1);
  EXPECT_EQ(wrong_.fetch("stays", "t", 0).offset, 2);
  EXPECT_EQ(wrong_.state->offset_count(), 1u);
  EXPECT_EQ(right_.state->offset_count(), 1501u);
  logs_tell_the_states();
  EXPECT_EQ(move(), 0);
}

TEST_F(GroupMoveTest, ACopyMadeTwiceChangesNothingAndTakesNothingBack) {
  wrong_.commit("m", "t", 0, 5);
  wrong_.commit("m", "t", 1, 6);
  move(false);
  const size_t records = right_.log.size();
  move(false);
  EXPECT_EQ(right_.log.size(), records);
  // Committed where the group belongs, after the copy: the older one is not taken again.
  right_.advance(1000);
  right_.commit("m", "t", 0, 50);
  move();
  EXPECT_EQ(right_.fetch("m", "t", 0).offset, 50);
  EXPECT_EQ(right_.fetch("m", "t", 1).offset, 6);
  EXPECT_EQ(wrong_.state->group_count(), 0u);
  logs_tell_the_states();
}

TEST_F(GroupMoveTest, WhatWasDeletedBeforeTheMoveIsNotBroughtBack) {
  wrong_.commit("m", "t", 0, 5);
  wrong_.commit("m", "t", 1, 6);
  wrong_.delete_offset("m", "t", 0);
  wrong_.commit("m-gone", "t", 0, 7);
  wrong_.delete_group("m-gone");
  wrong_.restart();
  move();
  EXPECT_EQ(right_.fetch("m", "t", 0).offset, -1);
  EXPECT_EQ(right_.fetch("m", "t", 1).offset, 6);
  EXPECT_EQ(right_.describe("m-gone").error, ErrorCode::kGroupIdNotFound);
  logs_tell_the_states();
}

TEST_F(GroupMoveTest, MembersMoveWithTheirGroupAndAreExpectedThere) {
  GroupWorld::JoinOptions options;
  options.group = "m";
  const auto join = wrong_.join("", options);
  wrong_.advance(0);
  wrong_.sync(join->member_id, join->generation, {{join->member_id, "assigned"}}, {}, "m");
  wrong_.commit("m", "t", 0, 9, join->member_id, join->generation);
  wrong_.state = wrong_.replayed();
  move();
  EXPECT_EQ(right_.group_state("m"), "Stable");
  EXPECT_EQ(right_.describe("m").members.at(0).assignment, "assigned");
  EXPECT_EQ(right_.heartbeat(join->member_id, join->generation, {}, "m"), ErrorCode::kNone);
  EXPECT_EQ(right_.fetch("m", "t", 0).offset, 9);
  right_.advance(options.session_ms + 1);
  EXPECT_EQ(right_.group_state("m"), "Empty") << "its session is timed where it is now";
  logs_tell_the_states();
}

}  // namespace
}  // namespace weir::coordination
