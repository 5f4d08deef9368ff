// Round trips of every type of metadata record, and the decoding of damaged values.
#include <gtest/gtest.h>

#include "broker/metadata/broker_epoch_record.h"
#include "broker/metadata/broker_record.h"
#include "broker/metadata/cluster_id_record.h"
#include "broker/metadata/config_record.h"
#include "broker/metadata/deleted_topic_record.h"
#include "broker/metadata/features.h"
#include "broker/metadata/features_record.h"
#include "broker/metadata/group_placement_record.h"
#include "broker/metadata/partition_record.h"
#include "broker/metadata/producer_ids_record.h"
#include "broker/metadata/topic_name_record.h"
#include "broker/metadata/topic_record.h"

namespace weir::broker {
namespace {

// Every prefix of a value, and the value with a byte too many, must be refused.
template <typename Decode>
void refuses_damage(const std::string& value, Decode decode) {
  for (size_t size = 0; size < value.size(); ++size) EXPECT_FALSE(decode(value.substr(0, size))) << "size " << size;
  EXPECT_FALSE(decode(value + '\0'));
  std::string newer = value;
  newer[0] = 99;
  const auto refused = decode(newer);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("unknown format"), std::string::npos);
}

TEST(Records, Topic) {
  TopicRecord record{Uuid::from_random(1, 2), "orders", 10'000, 7, {{"retention.ms", "-1"}, {"cleanup.policy", ""}}};
  EXPECT_EQ(record.key(), "/topics/" + record.id.to_string());
  const auto decoded = TopicRecord::decode(record.key(), record.encode());
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_EQ(*decoded, record);
  refuses_damage(record.encode(), [&](const std::string& v) { return TopicRecord::decode(record.key(), v); });
  EXPECT_FALSE(TopicRecord::decode("/topics/short", record.encode()));
  EXPECT_FALSE(TopicRecord::decode("/other/" + record.id.to_string(), record.encode()));
  record.partition_count = 0;
  EXPECT_FALSE(TopicRecord::decode(record.key(), record.encode()));
}

TEST(Records, Broker) {
  const BrokerRecord record{3, 41, "r1", {{"PLAIN", "PLAINTEXT", {"b3.example", 9092}}, {"TLS", "SSL", {"", 0}}}};
  EXPECT_EQ(record.key(), "/brokers/3");
  EXPECT_EQ(BrokerRecord::decode(record.key(), record.encode()), record);
  EXPECT_EQ(record.find_listener("TLS"), &record.listeners[1]);
  EXPECT_EQ(record.find_listener("SSL"), nullptr);
  refuses_damage(record.encode(), [&](const std::string& v) { return BrokerRecord::decode(record.key(), v); });
  for (const char* key : {"/brokers/", "/brokers/-1", "/brokers/3x", "/brokers/99999999999", "/broker/3"}) {
    EXPECT_FALSE(BrokerRecord::decode(key, record.encode())) << key;
  }
}

TEST(Records, Partition) {
  const PartitionRecord record{{Uuid::from_random(1, 2), 7}, 3, 5, 41, {3, 1}};
  EXPECT_EQ(record.key(), "/partitions/" + record.id.topic.to_string() + "/7");
  EXPECT_EQ(PartitionRecord::decode(record.key(), record.encode()), record);
  refuses_damage(record.encode(), [&](const std::string& v) { return PartitionRecord::decode(record.key(), v); });
  const std::string prefix = PartitionRecord::prefix_of(record.id.topic);
  for (const std::string& key : {prefix, prefix + "-1", prefix + "7x", std::string("/partitions/short/7")}) {
    EXPECT_FALSE(PartitionRecord::decode(key, record.encode())) << key;
  }
}

TEST(Records, DeletedTopic) {
  const DeletedTopicRecord record{Uuid::from_random(1, 2), "orders"};
  EXPECT_EQ(record.key(), "/deleted-topics/" + record.id.to_string());
  EXPECT_EQ(DeletedTopicRecord::decode(record.key(), record.encode()), record);
  refuses_damage(record.encode(), [&](const std::string& v) { return DeletedTopicRecord::decode(record.key(), v); });
  EXPECT_FALSE(DeletedTopicRecord::decode("/deleted-topics/short", record.encode()));
}

TEST(Records, DeletionsNoted) {
  EXPECT_TRUE(DeletionsNotedRecord::decode(DeletionsNotedRecord::encode()));
  EXPECT_FALSE(DeletionsNotedRecord::decode(""));
  EXPECT_FALSE(DeletionsNotedRecord::decode(std::string("\x02", 1)));
  EXPECT_FALSE(DeletionsNotedRecord::decode(DeletionsNotedRecord::encode() + "x"));
}

TEST(Records, TopicName) {
  const TopicNameRecord record{"orders", Uuid::from_random(3, 4)};
  EXPECT_EQ(record.key(), "/topic-names/orders");
  EXPECT_EQ(TopicNameRecord::decode(record.key(), record.encode()), record);
  refuses_damage(record.encode(), [&](const std::string& v) { return TopicNameRecord::decode(record.key(), v); });
}

TEST(Records, BrokerEpoch) {
  const BrokerEpochRecord record{41};
  EXPECT_EQ(BrokerEpochRecord::decode(record.encode()), record);
  refuses_damage(record.encode(), BrokerEpochRecord::decode);
}

TEST(Records, GroupPlacement) {
  const GroupPlacementRecord record{Uuid::from_random(5, 6)};
  EXPECT_EQ(GroupPlacementRecord::decode(record.encode()), record);
  refuses_damage(record.encode(), GroupPlacementRecord::decode);
}

TEST(Records, ProducerIds) {
  const ProducerIdsRecord record{5'000'000'000};
  EXPECT_EQ(ProducerIdsRecord::decode(record.encode()), record);
  refuses_damage(record.encode(), ProducerIdsRecord::decode);
}

TEST(Records, Features) {
  const FeaturesRecord record{3, {{"metadata.version", 29}, {"transaction.version", 2}}};
  EXPECT_EQ(FeaturesRecord::decode(record.encode()), record);
  refuses_damage(record.encode(), FeaturesRecord::decode);
}

TEST(Records, FeaturesThatARecordDoesNotMentionAreAdded) {
  FeaturesRecord record;
  EXPECT_TRUE(complete_features(record));
  EXPECT_EQ(record.epoch, 1);
  EXPECT_EQ(record.levels.at("metadata.version"), 33);
  EXPECT_FALSE(complete_features(record));
  record.levels["metadata.version"] = 7;
  EXPECT_FALSE(complete_features(record));
  EXPECT_EQ(record.levels.at("metadata.version"), 7);
}

TEST(Records, Configs) {
  for (const auto& [type, name, key] : {std::tuple{ConfigResourceType::kBroker, "", "/configs/broker/"},
                                        std::tuple{ConfigResourceType::kBroker, "1", "/configs/broker/1"},
                                        std::tuple{ConfigResourceType::kGroup, "a/b", "/configs/group/a/b"},
                                        std::tuple{ConfigResourceType::kClientMetrics, "s", "/configs/client-metrics/s"}}) {
    const ConfigRecord record{type, name, {{"log.retention.ms", "-1"}, {"x", ""}}};
    EXPECT_EQ(record.key(), key);
    EXPECT_EQ(ConfigRecord::decode(key, record.encode()), record);
    refuses_damage(record.encode(), [&, k = std::string(key)](const std::string& v) { return ConfigRecord::decode(k, v); });
  }
  EXPECT_FALSE(ConfigRecord::decode("/configs/shoe/1", ConfigRecord{}.encode()));
}

TEST(Records, ClusterId) {
  const ClusterIdRecord record{Uuid::from_random(5, 6).to_string()};
  EXPECT_EQ(ClusterIdRecord::decode(record.encode()), record);
  refuses_damage(record.encode(), ClusterIdRecord::decode);
}

}  // namespace
}  // namespace weir::broker
