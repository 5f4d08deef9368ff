#include "broker/coordinators/coordinator_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>

namespace weir::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr Uuid kOrders{{7}};

class CoordinatorImageTest : public ::testing::Test {
 protected:
  CoordinatorImageTest() { all_->put(topic("orders", kOrders, 2)); }
  static TopicPtr topic(const std::string& name, const Uuid& id, int32_t partition_count) {
    TopicRecord record;
    record.name = name;
    record.id = id;
    record.partition_count = partition_count;
    return make_topic(record, BrokerConfig());
  }

  std::shared_ptr<MetadataImage> all_ = std::make_shared<MetadataImage>(0, BrokerConfig());
  CoordinatorImage image_{all_};
};

TEST_F(CoordinatorImageTest, NamesThePartitionsThatThereAre) {
  EXPECT_EQ(image_.partition("orders", 1), (storage::PartitionId{kOrders, 1}));
  EXPECT_EQ(image_.partition("orders", 2), std::nullopt);
  EXPECT_EQ(image_.partition("orders", -1), std::nullopt);
  EXPECT_EQ(image_.partition("order", 0), std::nullopt);
}

TEST_F(CoordinatorImageTest, HasTopicsByNameAndById) {
  ASSERT_TRUE(image_.topic("orders"));
  EXPECT_EQ(image_.topic("orders")->id, kOrders);
  EXPECT_EQ(image_.topic("orders")->partition_count, 2);
  EXPECT_FALSE(image_.topic("order"));
  EXPECT_EQ(image_.topic_name(kOrders), "orders");
  EXPECT_EQ(image_.topic_name(Uuid{{8}}), std::nullopt);
  all_->put(topic("bills", Uuid{{9}}, 1));
  std::set<std::string, std::less<>> names;
  image_.for_each_topic([&](std::string_view name) { names.emplace(name); });
  EXPECT_THAT(names, ElementsAre("bills", "orders"));
}

TEST_F(CoordinatorImageTest, RacksAreThoseOfTheReplicas) {
  EXPECT_THAT(image_.racks("orders", 0), IsEmpty());
  all_->put_broker({7, 1, "west", {}});
  all_->put_broker({8, 1, "east", {}});
  all_->put_broker({9, 1, "west", {}});
  all_->put_partition({{kOrders, 1}, 7, 0, 1, {7, 8, 9, 10, all_->self().id}});
  EXPECT_THAT(image_.racks("orders", 1), ElementsAre("east", "west"));
  EXPECT_THAT(image_.racks("orders", 2), IsEmpty());
  EXPECT_THAT(image_.racks("order", 0), IsEmpty());
}

TEST_F(CoordinatorImageTest, ConfigsOfGroupsAreThoseInForce) {
  const auto put = [&](ConfigResourceType type, const char* name, ConfigOverrides overrides) {
    all_->put_configs(std::make_shared<ConfigRecord>(type, name, std::move(overrides)));
  };
  EXPECT_EQ(image_.group_config("g", "consumer.assignment.interval.ms"), "1000");
  put(ConfigResourceType::kBroker, "", {{"group.consumer.assignment.interval.ms", "7"}});
  EXPECT_EQ(image_.group_config("g", "consumer.assignment.interval.ms"), "7") << "altered while the broker runs";
  put(ConfigResourceType::kGroup, "g", {{"consumer.assignment.interval.ms", " 5 "}});
  EXPECT_EQ(image_.group_config("g", "consumer.assignment.interval.ms"), "5");
  EXPECT_EQ(image_.group_config("h", "consumer.assignment.interval.ms"), "7");
  EXPECT_EQ(image_.group_config("g", "no.such.config"), std::nullopt);
}

TEST_F(CoordinatorImageTest, ItsVersionIsTheRevisionOfTheMetadata) {
  all_->set_revision(12);
  EXPECT_EQ(image_.version(), 12);
}

TEST_F(CoordinatorImageTest, AChangeNamesEachTopicOnce) {
  MetadataChange change;
  change.image = all_;
  change.removed = {topic("orders", Uuid{{1}}, 1)};
  change.added = {{topic("orders", kOrders, 2), 0}, {topic("bills", Uuid{{9}}, 3), 1}};
  change.moved = {topic("bills", Uuid{{9}}, 3), topic("audits", Uuid{{3}}, 3)};
  change.reconfigured_groups = {"g"};
  change.broker_config_changed = true;
  const auto before = std::make_shared<CoordinatorImage>(all_);
  const coordination::ImageChange told = image_change(before, change);
  EXPECT_EQ(told.before, before);
  EXPECT_TRUE(told.after->has_topic("orders"));
  ASSERT_EQ(told.deleted.size(), 1u);
  EXPECT_EQ(told.deleted[0].id, (Uuid{{1}}));
  EXPECT_THAT(told.changed, ElementsAre("audits", "bills", "orders"));
  EXPECT_THAT(told.configured, ElementsAre("g"));
  EXPECT_TRUE(told.defaults_changed);
}

}  // namespace
}  // namespace weir::broker
