// A classic group whose members join at once and share partitions.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "coordination/group/group_world.h"

namespace weir::coordination {

class ClassicGroupTest : public ::testing::Test {
 protected:
  explicit ClassicGroupTest(GroupConfig config = no_delay()) : world(config) {}

  // Lets `count` members join an empty group and share partitions; returns their ids, the leader first.
  std::vector<std::string> stable_group(size_t count, GroupWorld::JoinOptions options = {}, bool as_static = false) {
    std::vector<Pending<JoinResult>> joins;
    for (size_t i = 0; i < count; ++i) {
      if (as_static) options.instance = "i" + std::to_string(i);
      joins.push_back(world.join("", options));
    }
    world.advance(0);
    std::vector<std::string> ids;
    std::vector<SyncRequest::Assignment> assignments;
    for (const auto& join : joins) {
      EXPECT_EQ(join->error, ErrorCode::kNone);
      const bool leads = join->leader == join->member_id;
      ids.insert(leads ? ids.begin() : ids.end(), join->member_id);
      assignments.push_back({join->member_id, "for " + join->member_id});
    }
    generation = joins[0]->generation;
    for (size_t i = 1; i < ids.size(); ++i) followers.push_back(world.sync(ids[i], generation));
    EXPECT_EQ(world.sync(ids[0], generation, assignments)->assignment, "for " + ids[0]);
    EXPECT_EQ(world.group_state(), "Stable");
    return ids;
  }

  GroupWorld world;
  int32_t generation = 0;
  std::vector<Pending<SyncResult>> followers;
};

}  // namespace weir::coordination
