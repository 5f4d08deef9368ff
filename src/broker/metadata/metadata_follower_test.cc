// The image is as the store is, whichever writer changes the store, and whatever a watch does.
#include "base/log.h"
#include "broker/metadata/deleted_topic_record.h"
#include "broker/metadata/follower_fixture.h"
#include "testing/sim_runtime.h"

namespace weir::broker {
namespace {

class MetadataFollowerTest : public FollowerTest {};

TEST_F(MetadataFollowerTest, WhatAnotherBrokerChangesIsInTheImage) {
  const int64_t created = add_topic(2, "payments", 2);
  settle();
  ASSERT_EQ(changes_.size(), 1u);
  EXPECT_EQ(changes_[0]->image->revision(), created);
  ASSERT_EQ(changes_[0]->added.size(), 1u);
  EXPECT_EQ(changes_[0]->added[0].first, 0);
  EXPECT_NE(image().find("payments"), nullptr);

  const TopicRecord more{id_of(2), "payments", 5, 0, {{"retention.ms", "7"}}};
  write({put(more.key(), more.encode())});
  settle();
  ASSERT_EQ(changes_.size(), 2u);
  EXPECT_EQ(changes_[1]->added.at(0).first, 2);
  EXPECT_EQ(changes_[1]->reconfigured.size(), 1u);

  remove_topic(2, "payments");
  settle();
  ASSERT_EQ(changes_.size(), 3u);
  EXPECT_EQ(changes_[2]->removed.at(0)->name(), "payments");
  EXPECT_EQ(image().find("payments"), nullptr);
  expect_image_of_the_store();
}

TEST_F(MetadataFollowerTest, BrokersLeadersAndConfigurationsMove) {
  const BrokerRecord other{7, 2, "", {}};
  const PartitionRecord moved{{id_of(1), 1}, 7, 5, 2, {7}};
  const ConfigRecord all{ConfigResourceType::kBroker, "", {{"log.retention.ms", "11"}}};
  write({put(other.key(), other.encode()), put(moved.key(), moved.encode()), put(all.key(), all.encode())});
  settle();
  ASSERT_EQ(changes_.size(), 1u);
  EXPECT_TRUE(changes_[0]->broker_config_changed);
  EXPECT_EQ(image().find("orders")->log_config.retention_ms, 11);
  EXPECT_EQ(image().owner(*image().find("orders"), 1).broker, 7);
  write({erase(other.key())});
  settle();
  EXPECT_EQ(image().owner(*image().find("orders"), 1).where, PartitionOwner::Where::kUnknown);
  write({erase(moved.key()), erase(all.key())});
  settle();
  EXPECT_TRUE(image().owner(*image().find("orders"), 1).local());
  EXPECT_NE(image().find("orders")->log_config.retention_ms, 11);
  expect_image_of_the_store();
}

TEST_F(MetadataFollowerTest, AChangeTellsWhichTopicsHaveReplicasElsewhere) {
  add_topic(2, "payments", 2);
  settle();
  const auto moved = [this](std::vector<storage::MetaOperation> operations) {
    changes_.clear();
    write(std::move(operations));
    settle();
    std::vector<std::string> names;
    for (const auto& change : changes_) {
      for (const TopicPtr& topic : change->moved) names.push_back(topic->name());
    }
    return names;
  };
  using ::testing::ElementsAre;
  using ::testing::IsEmpty;
  BrokerRecord other{7, 2, "west", {}};
  PartitionRecord partition{{id_of(1), 1}, 7, 5, 2, {7}};
  EXPECT_THAT(moved({put(other.key(), other.encode())}), IsEmpty());
  EXPECT_THAT(moved({put(partition.key(), partition.encode())}), ElementsAre("orders"));
  partition.leader_epoch = 6;
  other.epoch = 3;
  EXPECT_THAT(moved({put(partition.key(), partition.encode()), put(other.key(), other.encode())}), IsEmpty());
  other.rack = "east";
  EXPECT_THAT(moved({put(other.key(), other.encode())}), ElementsAre("orders"));
  EXPECT_THAT(moved({erase(other.key())}), ElementsAre("orders")) << "its rack is unknown";
  EXPECT_THAT(moved({erase(partition.key())}), ElementsAre("orders"));
  BrokerRecord self = image().self();
  self.rack = "north";
  EXPECT_THAT(moved({put(self.key(), self.encode())}), ::testing::UnorderedElementsAre("orders", "payments"));
  const TopicRecord added{id_of(3), "new", 1, 0, {}};
  PartitionRecord first{{id_of(3), 0}, 7, 0, 0, {7}};
  EXPECT_THAT(moved({put(added.key(), added.encode()), put(first.key(), first.encode())}), IsEmpty()) << "it was not there";
}

TEST_F(MetadataFollowerTest, AChangeTellsWhichGroupsHaveOtherConfigs) {
  const ConfigRecord group{ConfigResourceType::kGroup, "g", {{"consumer.session.timeout.ms", "50000"}}};
  write({put(group.key(), group.encode())});
  settle();
  ASSERT_EQ(changes_.size(), 1u);
  EXPECT_THAT(changes_[0]->reconfigured_groups, ::testing::ElementsAre("g"));
  write({erase(group.key())});
  settle();
  ASSERT_EQ(changes_.size(), 2u);
  EXPECT_THAT(changes_[1]->reconfigured_groups, ::testing::ElementsAre("g"));
}

TEST_F(MetadataFollowerTest, WhatImagesDoNotHoldMovesTheRevisionOnly) {
  const int64_t revision = write({put("/producer-ids/next", "x")});
  EXPECT_TRUE(served(revision, runtime::kMillisecond));
  EXPECT_TRUE(changes_.empty());
}

TEST_F(MetadataFollowerTest, AnEntryThatCannotBeReadChangesNothing) {
  const int64_t revision = write({put(TopicRecord::key_of(id_of(1)), "\x63")});
  EXPECT_TRUE(served(revision));
  EXPECT_EQ(image().find("orders")->partition_count(), 3);
}

TEST_F(MetadataFollowerTest, NobodyIsToldBeforeTheShardsHaveIt) {
  bool done = false;
  const int64_t revision = add_topic(2, "payments", 2);
  follower_->when_served(revision, [&] { done = true; });
  EXPECT_FALSE(done);
  settle();
  EXPECT_TRUE(done);
  EXPECT_TRUE(served(revision - 1, runtime::kMillisecond));
}

TEST_F(MetadataFollowerTest, AGapIsNoticedWithTheNextChange) {
  store_.plan_watches({WatchFault::kLost});
  add_topic(2, "lost", 1);
  settle();
  EXPECT_EQ(image().find("lost"), nullptr);
  EXPECT_TRUE(served(add_topic(3, "next", 1)));
  EXPECT_NE(image().find("lost"), nullptr);
  expect_image_of_the_store();
}

TEST_F(MetadataFollowerTest, ALostChangeThatNothingFollowsIsMissedByWhoWaits) {
  store_.plan_watches({WatchFault::kLost});
  EXPECT_TRUE(served(remove_topic(1, "orders")));
  EXPECT_EQ(image().find("orders"), nullptr);
  ASSERT_EQ(changes_.size(), 1u);
  EXPECT_EQ(changes_[0]->removed.size(), 1u);
}

TEST_F(MetadataFollowerTest, WhatIsToldTwiceCountsOnce) {
  store_.plan_watches({WatchFault::kTwice});
  EXPECT_TRUE(served(add_topic(2, "payments", 2)));
  EXPECT_EQ(changes_.size(), 1u);
}

TEST_F(MetadataFollowerTest, AWatchThatIsCutGoesOn) {
  store_.plan_watches({WatchFault::kCut});
  EXPECT_TRUE(served(add_topic(2, "payments", 2)));
  EXPECT_EQ(store_.watches(), 2u);
  expect_image_of_the_store();
}

TEST_F(MetadataFollowerTest, AfterACompactionAllIsReadAgain) {
  store_.plan_watches({WatchFault::kCompacted});
  const ConfigRecord group{ConfigResourceType::kGroup, "g", {{"consumer.session.timeout.ms", "50000"}}};
  write({put(group.key(), group.encode())});
  add_topic(2, "payments", 2);
  EXPECT_TRUE(served(remove_topic(1, "orders")));
  expect_image_of_the_store();
  // One change brings all missed writes.
  ASSERT_EQ(changes_.size(), 1u);
  EXPECT_EQ(changes_[0]->added.size(), 1u);
  EXPECT_EQ(changes_[0]->removed.size(), 1u);
  EXPECT_TRUE(served(add_topic(3, "after", 1)));
  expect_image_of_the_store();
}

// A start removes the notes of deletions that it does not need any more. Here it removes more than the store keeps for watches.
TEST_F(MetadataFollowerTest, AStartThatRemovesManyNotesReadsNothingAgain) {
  for (uint64_t i = 0; i < 5000; ++i) {
    const DeletedTopicRecord record{Uuid::from_random(1, i), "orders"};
    write({put(record.key(), record.encode())});
  }
  settle();
  follower_.reset();
  LoadedMetadata loaded = load();
  ASSERT_TRUE(loaded.deleted.settle({}));
  EXPECT_EQ(memory_.range_blocking(std::string(DeletedTopicRecord::kPrefix))->entries.size(), 0u);
  EXPECT_FALSE(memory_.range_blocking([&] {
    storage::MetaRangeRequest then("");
    then.revision = loaded.image->revision();
    return then;
  }()))
      << "compacted";
  std::vector<std::string> lines;
  set_log_sink([&](LogLevel, std::string_view, std::string_view line) { lines.emplace_back(line); });
  follow(loaded);
  add_topic(2, "payments", 2);
  settle();
  set_log_sink({});
  EXPECT_TRUE(lines.empty()) << lines.front();
  EXPECT_EQ(changes_.size(), 1u) << "the topic";
  expect_image_of_the_store();
}

TEST_F(MetadataFollowerTest, ATopicMadeAnewUnderItsNameReplacesTheOld) {
  store_.plan_watches({WatchFault::kCompacted});
  remove_topic(1, "orders");
  EXPECT_TRUE(served(add_topic(4, "orders", 1)));
  EXPECT_EQ(image().find("orders")->id(), id_of(4));
  expect_image_of_the_store();
}

// There are more entries than a page has, and they change during the read.
TEST_F(MetadataFollowerTest, PagesAreOfOneRevision) {
  std::vector<storage::MetaOperation> operations;
  for (size_t i = 0; i < MetadataFollower::kPageEntries + 50; ++i) {
    const ConfigRecord record{ConfigResourceType::kClientMetrics, "s" + std::to_string(i), {{"interval.ms", "1000"}}};
    operations.push_back(put(record.key(), record.encode()));
    if (operations.size() == 100) write(std::exchange(operations, {}));
  }
  store_.plan_watches({WatchFault::kCompacted});
  const int64_t revision = write(std::move(operations));
  bool done = false;
  follower_->when_served(revision, [&] { done = true; });
  for (uint8_t i = 0; !done; ++i) {
    ASSERT_LT(i, 200);
    add_topic(static_cast<uint8_t>(10 + i), "t" + std::to_string(i), 1);
    settle();
  }
  EXPECT_TRUE(served(memory_.range_blocking("")->revision));
  expect_image_of_the_store();
}

TEST_F(MetadataFollowerTest, RandomFaultsLoseNothing) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    testing::SeededRandom random(seed);
    store_.random_faults(seed, 3);
    for (int step = 0; step < 40; ++step) {
      const auto number = static_cast<uint8_t>(10 + random.below(5));
      const std::string name = "t" + std::to_string(number);
      const int32_t partitions = static_cast<int32_t>(1 + random.below(4));
      int64_t revision = 0;
      if (random.one_in(3)) revision = remove_topic(number, name);
      else revision = add_topic(number, name, partitions, {{"retention.ms", std::to_string(random.below(9))}});
      if (random.one_in(4)) ASSERT_TRUE(served(revision)) << "seed " << seed;
      else if (random.one_in(2)) settle();
    }
    ASSERT_TRUE(served(memory_.range_blocking("")->revision)) << "seed " << seed;
    expect_image_of_the_store();
  }
}

}  // namespace
}  // namespace weir::broker
