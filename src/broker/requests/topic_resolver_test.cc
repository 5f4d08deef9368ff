#include "broker/requests/topic_resolver.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace weir::broker {
namespace {

using protocol::ErrorCode;

class TopicResolverTest : public ::testing::Test {
 protected:
  TopicResolverTest() { add("orders", id_, 3); }

  void add(const std::string& name, const TopicId& id, int32_t partitions) {
    auto topic = std::make_shared<Topic>();
    topic->record.name = name;
    topic->record.id = id;
    topic->record.partition_count = partitions;
    image_.put(std::move(topic));
  }

  const TopicId id_ = Uuid::from_random(1, 2);
  const TopicId other_ = Uuid::from_random(3, 4);
  MetadataImage image_{1};
};

TEST_F(TopicResolverTest, FindsByName) {
  const TopicResolver topics(0, image_);
  EXPECT_FALSE(topics.by_id());
  const ResolvedTopic found = topics.find("orders", other_);
  ASSERT_TRUE(found);
  EXPECT_EQ(found.error, ErrorCode::kNone);
  EXPECT_EQ(found->id(), id_);
  EXPECT_EQ(topics.find("payments", id_).error, ErrorCode::kUnknownTopicOrPartition);
}

TEST_F(TopicResolverTest, FindsByIdFromItsVersionOn) {
  const TopicResolver topics(0, image_, {.ids_from = 0});
  EXPECT_TRUE(topics.by_id());
  const ResolvedTopic found = topics.find("", id_);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->name(), "orders");
  EXPECT_EQ(topics.find("orders", other_).error, ErrorCode::kUnknownTopicId);
  EXPECT_FALSE(TopicResolver(0, image_, {.ids_from = 1}).by_id());
}

TEST_F(TopicResolverTest, TellsOfInvalidNamesWhereTheApiDoes) {
  EXPECT_EQ(TopicResolver(0, image_).find("a b").error, ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(TopicResolver(0, image_, {.tells_invalid_names = true}).find("a b").error, ErrorCode::kInvalidTopicException);
}

TEST_F(TopicResolverTest, APartitionHasTheErrorOfItsTopic) {
  const TopicResolver topics(0, image_);
  const ResolvedTopic orders = topics.find("orders");
  EXPECT_EQ(orders.error_of(0), ErrorCode::kNone);
  EXPECT_EQ(orders.error_of(2), ErrorCode::kNone);
  EXPECT_EQ(orders.error_of(3), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(orders.error_of(-1), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(topics.find(other_).error_of(0), ErrorCode::kUnknownTopicId);
}

TEST_F(TopicResolverTest, ALostIdIsInconsistentOnlyIfItsNameHasThePartition) {
  const TopicResolver topics(0, image_);
  EXPECT_EQ(topics.error_of_lost("orders", 2), ErrorCode::kInconsistentTopicId);
  EXPECT_EQ(topics.error_of_lost("orders", 3), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(topics.error_of_lost("gone", 0), ErrorCode::kUnknownTopicOrPartition);
}

}  // namespace
}  // namespace weir::broker
