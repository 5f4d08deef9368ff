// Import of a Kafka log directory: topics, partitions and configurations, as the metadata log and the folders tell of them.
#include <algorithm>

#include "apps/log_import_fixture.h"

namespace weir::apps {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

TEST_F(LogImportTest, TakesTopicsConfigsAndIdsFromTheMetadataLog) {
  const auto report = import();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(report->not_taken, Contains(HasSubstr("no.such.key")));
  EXPECT_THAT(report->not_taken, Not(Contains(HasSubstr("min.insync.replicas"))));
  EXPECT_THAT(report->not_taken, Contains(HasSubstr("__share_group_state")));
  auto folder = DataFolder::open(files_, target(), 17);
  ASSERT_TRUE(folder) << folder.error().message;
  EXPECT_EQ((*folder)->cluster_id(), "MkU3OEVBNTcwNTJENDM2Qk");
  auto store = storage::SqliteMetaStore::open(files_, pool_, {.path = target() + "/meta.db", .clock = &clock_});
  ASSERT_TRUE(store);
  const broker::BrokerConfig config;
  const auto metadata = broker::load_metadata(**store, false, machine_.loop(0).random(), config);
  ASSERT_TRUE(metadata) << metadata.error().message;
  EXPECT_EQ(metadata->cluster_id, "MkU3OEVBNTcwNTJENDM2Qk");
  EXPECT_EQ(metadata->image->topic_count(), 1u);
  const broker::Topic* orders = metadata->image->find("orders");
  ASSERT_NE(orders, nullptr);
  EXPECT_EQ(orders->id(), kOrders);
  EXPECT_EQ(orders->partition_count(), 2);
  EXPECT_EQ(orders->record.configs, (broker::ConfigOverrides{{"retention.ms", "-1"}}));
  EXPECT_EQ(metadata->image->leader_epoch(*orders, 0), 4) << "above every epoch in the log";
  EXPECT_EQ(report->next_producer_id, 5000);
}

TEST_F(LogImportTest, WhatWasRemovedAgainIsNotReported) {
  using protocol::Writer;
  const auto credential = [](uint32_t type, std::string_view user) {
    return record(type, 0, [&](Writer& w) {
      w.string(user, true);
      w.i8(1);
      if (type != 11) return;
      for (int i = 0; i < 3; ++i) w.uvarint(1);  // salt, stored key, server key
      w.i32(4096);
    });
  };
  const auto quota = [](std::vector<std::pair<std::string_view, std::optional<std::string_view>>> entity, bool removed) {
    return record(14, 0, [&](Writer& w) {
      w.uvarint(entity.size() + 1);
      for (const auto& [type, name] : entity) {
        w.string(type, true);
        w.nullable_string(name, true);
        w.uvarint(0);
      }
      w.string("producer_byte_rate", true);
      w.f64(1024);
      w.boolean(removed);
    });
  };
  const auto entry = [](uint64_t id, bool removed) {
    return record(removed ? 19 : 18, 0, [&](Writer& w) {
      w.uuid(Uuid::from_random(id, id));
      if (removed) return;
      w.i8(2);
      w.string("orders", true);
      w.i8(3);
      w.string("User:eve", true);
      w.string("*", true);
      w.i8(3);
      w.i8(3);
    });
  };
  const auto token = [](std::string_view id, bool removed) {
    return record(removed ? 26 : 10, 0, [&](Writer& w) {
      if (!removed) {
        w.string("User:eve", true);
        w.string("User:eve", true);
        w.uvarint(2);
        w.string("User:bob", true);
        for (int i = 0; i < 3; ++i) w.i64(1);
      }
      w.string(id, true);
    });
  };
  KafkaMetadata metadata;
  const auto apply = [&](const std::string& value) {
    const auto ok = apply_metadata_record(as_bytes(value), metadata);
    EXPECT_TRUE(ok) << (ok ? "" : ok.error().message);
  };
  const auto configs = [&] {
    std::string texts;
    for (const auto& [about, what] : metadata.configs_not_taken) texts += what;
    return texts;
  };
  const auto left = [&] {
    std::vector<std::string> texts;
    for (const auto& [about, what] : metadata.not_taken) texts.push_back(what);
    return texts;
  };
  apply(config_record(4, "1", "log.cleaner.threads", "2"));
  apply(config_record(4, "1", "log.cleaner.threads", "4"));
  EXPECT_EQ(configs(),
            "Configuration log.cleaner.threads='4' of broker '1': set it anew when Weir runs, with kafka-configs.sh "
            "--entity-type brokers --entity-name 1 --alter --add-config log.cleaner.threads=4.")
      << "as it was in the end";
  apply(config_record(4, "1", "log.cleaner.threads", "1"));
  EXPECT_EQ(configs(), "") << "the default";
  apply(config_record(4, "", "min.insync.replicas", "2"));
  EXPECT_THAT(configs(), HasSubstr("--entity-default --alter --add-config min.insync.replicas=2"));
  apply(config_record(4, "", "min.insync.replicas", std::nullopt));
  EXPECT_EQ(configs(), "");
  apply(config_record(32, "g", "consumer.session.timeout.ms", "50000"));
  EXPECT_THAT(configs(), HasSubstr("--entity-type groups --entity-name g --alter"));
  apply(config_record(32, "g", "consumer.session.timeout.ms", std::nullopt));
  EXPECT_THAT(left(), IsEmpty());
  apply(credential(11, "eve"));
  apply(quota({{"user", "eve"}, {"client-id", std::nullopt}}, false));
  apply(entry(1, false));
  apply(entry(2, false));
  apply(token("t", false));
  EXPECT_THAT(left(), UnorderedElementsAre("SCRAM credentials of users", "client quotas", "access control entries",
                                           "access control entries", "delegation tokens"));
  apply(credential(22, "bob"));
  apply(credential(22, "eve"));
  apply(quota({{"client-id", std::nullopt}, {"user", "eve"}}, true));
  apply(entry(1, true));
  apply(token("t", true));
  EXPECT_THAT(left(), ElementsAre("access control entries"));
}

TEST_F(LogImportTest, PartitionsChange) {
  const std::string topic = topic_record("orders", kOrders);
  const auto log = [&](const std::string& change) {
    put_metadata(as_log({topic, partition_record(0, kOrders, {1, 2}), partition_record(1, kOrders), change}));
  };
  log(partition_change(0, kOrders, 1, std::vector<int32_t>{1}));
  const auto report = import();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->leader_epoch, 5) << "above the 4 that clients may know";
  fs::remove_all(target());
  log(partition_change(0, kOrders, std::nullopt, std::vector<int32_t>{2}));
  EXPECT_THAT(refusal(), HasSubstr("lies on node 2"));
}

TEST_F(LogImportTest, TheMetadataLogIsWhole) {
  put("__cluster_metadata-0/00000000000000000014.log", as_log({topic_record("late", Uuid::from_random(7, 7))}, 14));
  EXPECT_THAT(refusal(), HasSubstr("00000000000000000014.log should begin with offset 12"));
  fs::remove(source() + "/__cluster_metadata-0/00000000000000000014.log");
  put_metadata(metadata_log() + "torn");
  EXPECT_THAT(refusal(), HasSubstr("Give --accept-unclean"));
  const auto report = import(with(&LogImportOptions::accept_unclean));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(report->cut, Contains(HasSubstr("The metadata log was cut")));
  put_metadata(metadata_log());
  put("__cluster_metadata-0/00000000000000000012-0000000001.checkpoint", metadata_log());
  fs::remove_all(target());
  EXPECT_THAT(refusal(), HasSubstr("a snapshot ends with a footer"));
}

// Cut there, no topic might be left, and every folder would be one of a topic that does not exist.
TEST_F(LogImportTest, AMetadataLogDamagedInItsMiddleIsNotCut) {
  std::string first = as_log({record(22, 0, [](protocol::Writer&) {})});
  const std::string rest =
      as_log({topic_record("orders", kOrders), partition_record(0, kOrders), partition_record(1, kOrders)}, 1);
  first[protocol::BatchHeader::kSize + 3] ^= 1;
  put_metadata(first + rest);
  EXPECT_THAT(refusal(with(&LogImportOptions::accept_unclean)), HasSubstr("Intact batches follow"));
  first[8] = 100;  // the length of the batch leads nowhere
  put_metadata(first + rest);
  EXPECT_THAT(refusal(with(&LogImportOptions::accept_unclean)), HasSubstr("Intact batches follow"));
}

TEST_F(LogImportTest, TopicsHaveNamesAndIdsOfTheirOwn) {
  const auto log = [&](const std::string& name, const TopicId& id) {
    put_metadata(as_log({topic_record("orders", kOrders), partition_record(0, kOrders), partition_record(1, kOrders),
                         topic_record(name, id), partition_record(0, id)}));
  };
  log("a b", Uuid::from_random(5, 5));
  EXPECT_THAT(refusal(), HasSubstr("Topic name is invalid"));
  log("none", Uuid());
  EXPECT_THAT(refusal(), HasSubstr("topic none has no id of its own"));
}

TEST_F(LogImportTest, WithoutAMetadataLogFoldersMustBeComplete) {
  fs::remove_all(source() + "/__cluster_metadata-0");
  fs::rename(source() + "/orders-1", source() + "/orders-2147483647");
  EXPECT_THAT(refusal(), HasSubstr("orders-1 has no folder here"));
  fs::rename(source() + "/orders-2147483647", source() + "/orders-01");
  const auto report = import();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(report->not_taken, Contains(HasSubstr("orders-01: no folder of a partition's data")));
  fs::rename(source() + "/orders-01", source() + "/orders-1");
  fs::remove_all(target());
  put("orders-1/partition.metadata", "version: 0\ntopic_id: " + Uuid::from_random(3, 3).to_string());
  EXPECT_THAT(refusal(), HasSubstr("have another topic id"));
}

TEST_F(LogImportTest, WithoutAMetadataLogFoldersTellTheTopics) {
  fs::remove_all(source() + "/__cluster_metadata-0");
  const auto report = import();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_FALSE(report->has_metadata);
  EXPECT_EQ(report->topics, 1u);
  EXPECT_EQ(report->next_producer_id, 4712) << "above every id in the logs";
  EXPECT_THAT(report->not_taken, Contains(HasSubstr("configs")));
}

// Retention would delete what groups have committed.
TEST_F(LogImportTest, WithoutAMetadataLogCommittedOffsetsAreCompactedAllTheSame) {
  fs::remove_all(source() + "/__cluster_metadata-0");
  put("__consumer_offsets-0/partition.metadata", "version: 0\ntopic_id: " + Uuid::from_random(7, 7).to_string());
  put("__consumer_offsets-0/00000000000000000000.log", batch(0, 0, {"x"}));
  const auto report = import();
  ASSERT_TRUE(report) << report.error().message;
  auto store = storage::SqliteMetaStore::open(files_, pool_, {.path = target() + "/meta.db", .clock = &clock_});
  ASSERT_TRUE(store);
  const broker::BrokerConfig config;
  const auto metadata = broker::load_metadata(**store, false, machine_.loop(0).random(), config);
  ASSERT_TRUE(metadata) << metadata.error().message;
  const broker::Topic* offsets = metadata->image->find("__consumer_offsets");
  ASSERT_NE(offsets, nullptr);
  EXPECT_EQ(offsets->record.configs, (broker::ConfigOverrides{{"cleanup.policy", "compact"}}));
}

// Transactions go on where they were: those that Kafka decided get their markers.
TEST_F(LogImportTest, TheStateOfTransactionsIsTakenIfTheirProducerIdsAreKnown) {
  const TopicId id = Uuid::from_random(8, 8);
  put_metadata(as_log({topic_record("orders", kOrders), partition_record(0, kOrders), partition_record(1, kOrders),
                       topic_record("__transaction_state", id), partition_record(0, id),
                       config_record(2, "__transaction_state", "cleanup.policy", "compact")}));
  put("__transaction_state-0/partition.metadata", "version: 0\ntopic_id: " + id.to_string());
  put("__transaction_state-0/00000000000000000000.log", batch(0, 0, {"x", "y"}));
  const auto report = import();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->topics, 2u);
  EXPECT_EQ(std::ranges::count_if(
                load(), [&](const auto& one) { return one.manifest.partition.topic == id && one.manifest.end_offset == 2; }),
            1);
  fs::remove_all(source() + "/__cluster_metadata-0");
  fs::remove_all(target());
  const auto without = import();
  ASSERT_TRUE(without) << without.error().message;
  EXPECT_EQ(without->topics, 1u);
  EXPECT_THAT(without->not_taken, Contains(HasSubstr("__transaction_state")));
}

}  // namespace
}  // namespace weir::apps
