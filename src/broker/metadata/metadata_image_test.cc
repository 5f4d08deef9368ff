#include "broker/metadata/metadata_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/metadata/topic_id_fixture.h"

namespace weir::broker {
namespace {

using Where = PartitionOwner::Where;

class MetadataImageTest : public ::testing::Test {
 protected:
  static constexpr int32_t kOther = 7;

  MetadataImageTest() {
    auto topic = std::make_shared<Topic>();
    topic->record = {id_of(1), "orders", 3, 2, {}};
    image_.put(topic);
    image_.put_broker({kOther, 10, "", {}});
  }
  PartitionOwner owner(int32_t index) const { return image_.owner(*image_.find("orders"), index); }
  std::vector<int32_t> replicas(int32_t index) const {
    const auto found = image_.replicas(*image_.find("orders"), index);
    return {found.begin(), found.end()};
  }
  int32_t self() const { return image_.self().id; }

  MetadataImage image_{5};
};

TEST_F(MetadataImageTest, APartitionWithoutARecordIsOfThisBroker) {
  EXPECT_EQ(owner(0).where, Where::kLocal);
  EXPECT_EQ(owner(0).broker, self());
  EXPECT_EQ(owner(0).leader_epoch, 3) << "the broker's epoch less that of the topic's creation";
  EXPECT_THAT(replicas(0), ::testing::ElementsAre(self()));
}

TEST_F(MetadataImageTest, ARecordNamesLeaderEpochAndReplicas) {
  image_.put_partition({{id_of(1), 1}, kOther, 4, 8, {kOther, self()}});
  EXPECT_EQ(owner(1).where, Where::kRemote);
  EXPECT_EQ(owner(1).broker, kOther);
  EXPECT_EQ(owner(1).leader_epoch, 6) << "two lives of its leader later";
  EXPECT_THAT(replicas(1), ::testing::ElementsAre(kOther, self()));
  EXPECT_TRUE(owner(0).local());
  image_.put_partition({{id_of(1), 1}, self(), 7, 5, {self()}});
  EXPECT_EQ(owner(1).where, Where::kLocal);
  EXPECT_EQ(owner(1).leader_epoch, 7);
  image_.remove_partition({id_of(1), 1});
  EXPECT_EQ(owner(1).leader_epoch, 3);
}

TEST_F(MetadataImageTest, ALeaderThatIsGoneIsUnknown) {
  image_.put_partition({{id_of(1), 1}, kOther, 4, 8, {kOther}});
  image_.remove_broker(kOther);
  EXPECT_EQ(owner(1).where, Where::kUnknown);
  EXPECT_EQ(owner(1).broker, PartitionRecord::kNoLeader);
  image_.put_broker({kOther, 11, "", {}});
  EXPECT_EQ(owner(1).leader_epoch, 7);
}

TEST_F(MetadataImageTest, BrokersAreSortedAndThisOneStays) {
  image_.put_broker({0, 1, "", {}});
  std::vector<int32_t> ids;
  for (const BrokerPtr& broker : image_.brokers()) ids.push_back(broker->id);
  EXPECT_THAT(ids, ::testing::ElementsAre(0, self(), kOther));
  image_.remove_broker(self());
  EXPECT_NE(image_.find_broker(self()), nullptr);
  EXPECT_EQ(image_.find_broker(3), nullptr);
  image_.put_broker({self(), 5, "rack", {}});
  EXPECT_EQ(image_.self().rack, "rack");
  EXPECT_EQ(image_.brokers().size(), 3u);
}

TEST_F(MetadataImageTest, RecordsOfPartitionsGoWithTheirTopic) {
  image_.put_partition({{id_of(1), 1}, kOther, 4, 8, {kOther}});
  image_.remove(id_of(1));
  EXPECT_EQ(image_.find_partition({id_of(1), 1}), nullptr);
}

}  // namespace
}  // namespace weir::broker
