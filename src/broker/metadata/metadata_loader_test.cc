// Entries of a topic that contradict each other are no metadata to serve from.
#include "broker/metadata/metadata_loader.h"

#include <gtest/gtest.h>

#include <string>

#include "broker/metadata/broker_epoch_record.h"
#include "broker/metadata/deleted_topic_record.h"
#include "broker/metadata/topic_id_fixture.h"
#include "broker/metadata/topic_name_record.h"
#include "storage/metadata/memory_meta_store.h"
#include "testing/sim_runtime.h"

namespace weir::broker {
namespace {

using storage::MetaOperation;

class MetadataLoaderTest : public ::testing::Test {
 protected:
  MetadataLoaderTest() {
    put(BrokerEpochRecord::kKey, BrokerEpochRecord{4}.encode());
    put(TopicRecord{id_of(1), "orders", 3, 2, {{"retention.ms", "-1"}}});
    put(TopicRecord{id_of(2), "payments", 1, 4, {}});
    name("orders", 1);
    name("payments", 2);
  }
  void put(std::string_view key, std::string value) {
    ASSERT_TRUE(store_.transact_blocking({{}, {{MetaOperation::Kind::kPut, std::string(key), std::move(value)}}}));
  }
  void put(const TopicRecord& topic) { put(topic.key(), topic.encode()); }
  void name(const std::string& name, uint8_t number) {
    const TopicNameRecord record{name, id_of(number)};
    put(record.key(), record.encode());
  }
  void remove(const std::string& key) { ASSERT_TRUE(store_.transact_blocking({{}, {{MetaOperation::Kind::kDelete, key, {}}}})); }
  // Loads the metadata. Returns the reason of a refusal; empty without one.
  std::string refusal() {
    auto loaded = load_metadata(store_, false, sim_.loop().random(), BrokerConfig());
    if (loaded) return "";
    EXPECT_EQ(loaded.error().code, ErrorCode::kCorrupt);
    return loaded.error().message;
  }
  void expect_refusal(const std::string& words) {
    const std::string why = refusal();
    EXPECT_NE(why.find(words), std::string::npos) << (why.empty() ? "loaded" : why);
  }

  weir::testing::SimRuntime sim_{1};
  storage::MemoryMetaStore store_;
};

TEST_F(MetadataLoaderTest, WhatAgreesIsLoaded) { EXPECT_EQ(refusal(), ""); }

TEST_F(MetadataLoaderTest, ANameWithoutItsTopicIsRefused) {
  remove(TopicRecord::key_of(id_of(1)));
  expect_refusal("the name orders is that of topic " + id_of(1).to_string());
}

TEST_F(MetadataLoaderTest, ATopicWithoutItsNameIsRefused) {
  remove("/topic-names/payments");
  expect_refusal("the name of topic payments");
}

TEST_F(MetadataLoaderTest, ATopicOfAnotherNameIsRefused) {
  put(TopicRecord{id_of(1), "oreers", 3, 2, {}});
  expect_refusal("is named oreers and orders");
}

TEST_F(MetadataLoaderTest, ANameThatLeadsToAnotherTopicIsRefused) {
  name("orders", 2);
  expect_refusal("is named payments and orders");
}

TEST_F(MetadataLoaderTest, TwoTopicsOfOneNameAreRefused) {
  put(TopicRecord{id_of(2), "orders", 1, 4, {}});
  expect_refusal("two topics are named orders");
}

TEST_F(MetadataLoaderTest, ATopicThatIsDeletedAsWellIsRefused) {
  const DeletedTopicRecord record{id_of(2), "payments"};
  put(record.key(), record.encode());
  expect_refusal("its deletion is noted");
}

TEST_F(MetadataLoaderTest, ATopicFromTheFutureIsRefused) {
  put(TopicRecord{id_of(2), "payments", 1, 5, {}});
  expect_refusal("is of epoch 5, the broker of 4");
}

TEST_F(MetadataLoaderTest, AnEpochThatNoPartitionCanHaveIsRefused) {
  for (const int32_t epoch : {-1, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()}) {
    put(BrokerEpochRecord::kKey, BrokerEpochRecord{epoch}.encode());
    expect_refusal("/broker/epoch is " + std::to_string(epoch));
  }
}

TEST_F(MetadataLoaderTest, BrokersAndLeadersAreInTheImage) {
  const BrokerRecord other{7, 2, "r", {}};
  put(other.key(), other.encode());
  // The record of an earlier life.
  put(BrokerRecord::key_of(BrokerConfig().node_id()), BrokerRecord{BrokerConfig().node_id(), 3, "", {}}.encode());
  const PartitionRecord moved{{id_of(1), 1}, 7, 5, 2, {7}};
  put(moved.key(), moved.encode());
  const auto loaded = load_metadata(store_, false, sim_.loop().random(), BrokerConfig());
  ASSERT_TRUE(loaded) << loaded.error().message;
  const MetadataImage& image = *loaded->image;
  EXPECT_EQ(image.self().epoch, 4);
  EXPECT_EQ(image.brokers().size(), 2u);
  EXPECT_EQ(image.owner(*image.find("orders"), 1).where, PartitionOwner::Where::kRemote);
  EXPECT_TRUE(image.owner(*image.find("orders"), 0).local());
}

TEST_F(MetadataLoaderTest, ALeaderOfAPartitionThatIsNotThereIsRefused) {
  const PartitionRecord record{{id_of(1), 3}, 7, 5, 2, {7}};
  put(record.key(), record.encode());
  expect_refusal("partition 3 of topic " + id_of(1).to_string() + " has a leader");
}

// The default would delete records.
TEST_F(MetadataLoaderTest, AnOverrideThatCannotBeReadDeletesNothing) {
  const ConfigOverrides everything = {{"cleanup.policy", "delete"}, {"retention.bytes", "-1"}, {"retention.ms", "-1"}};
  put(TopicRecord{id_of(1), "orders", 3, 2, {{"retention.ms", "m1"}, {"retention.bytes", "5"}}});
  put(TopicRecord{id_of(2), "payments", 1, 4, {{"cleanup.policy", "cmpact"}}});
  const auto loaded = load_metadata(store_, false, sim_.loop().random(), BrokerConfig());
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->image->find("orders")->record.configs, everything);
  EXPECT_EQ(loaded->image->find("payments")->record.configs, everything);
  EXPECT_EQ(loaded->image->find("payments")->log_config.retention_ms, -1);
  // A change compares with the stored record.
  auto stored = store_.range_blocking(TopicRecord::key_of(id_of(2)));
  ASSERT_TRUE(stored && stored->entries.size() == 1);
  EXPECT_EQ(stored->entries[0].value, loaded->image->find("payments")->record.encode());
}

TEST_F(MetadataLoaderTest, OtherOverridesThatCannotBeReadHaveNoEffect) {
  put(TopicRecord{
      id_of(1), "orders", 3, 2, {{"of.another.version", "m1"}, {"max.message.bytes", "much"}, {"retention.ms", "5"}}});
  const auto loaded = load_metadata(store_, false, sim_.loop().random(), BrokerConfig());
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->image->find("orders")->record.configs, (ConfigOverrides{{"retention.ms", "5"}}));
}

}  // namespace
}  // namespace weir::broker
