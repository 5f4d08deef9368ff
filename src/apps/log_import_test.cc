#include "apps/log_import.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "apps/data_folder.h"
#include "apps/kafka_metadata.h"
#include "broker/config/topic_config.h"
#include "broker/metadata/metadata_loader.h"
#include "protocol/record_batch_builder.h"
#include "protocol/wire.h"
#include "runtime/real_runtime.h"
#include "storage/metadata/sqlite_meta_store.h"
#include "storage/segment/local_segment_store.h"
#include "testing/temp_dir.h"

namespace weir::apps {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;
namespace fs = std::filesystem;

// A log directory as Kafka leaves it: topic "orders" with two partitions, the first with three segments.
class LogImportTest : public ::testing::Test {
 protected:
  void SetUp() override {
    put("meta.properties", "version=1\ncluster.id=MkU3OEVBNTcwNTJENDM2Qk\nnode.id=1\n");
    put(".kafka_cleanshutdown", "{\"version\":0,\"brokerEpoch\":7}");
    put("log-start-offset-checkpoint", "0\n1\norders 0 2\n");
    put_metadata(metadata_log());
    put("orders-0/partition.metadata", "version: 0\ntopic_id: " + kOrders.to_string());
    put("orders-0/leader-epoch-checkpoint", "0\n2\n0 0\n3 5\n");
    put(segment(0), batch(0, 0, {"a", "b", "c"}) + batch(3, 0, {"d", "e"}, 4711, 0));
    put(segment(5), batch(5, 3, {"f"}, 4711, 2) + batch(6, 3, {"g", "h"}));
    put(segment(8), "");  // active, empty
    put("orders-0/00000000000000000005.index", "of no interest");
    put("orders-1/partition.metadata", "version: 0\ntopic_id: " + kOrders.to_string());
    put("orders-1/00000000000000000000.log", "");
  }

  static std::string segment(int base) { return "orders-0/" + std::string(19, '0') + std::to_string(base) + ".log"; }
  void put(const std::string& name, std::string_view content) {
    const fs::path path = fs::path(source()) / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
  }
  void put_metadata(const std::string& content) { put("__cluster_metadata-0/00000000000000000000.log", content); }

  static std::string batch(int64_t offset, int32_t epoch, const std::vector<std::string>& values, int64_t producer = -1,
                           int32_t sequence = -1) {
    protocol::RecordBatchBuilder builder({.base_offset = offset,
                                          .partition_leader_epoch = epoch,
                                          .producer_id = producer,
                                          .producer_epoch = static_cast<int16_t>(producer < 0 ? -1 : 0),
                                          .base_sequence = sequence});
    for (const std::string& value : values) builder.append(1000 + offset++, as_bytes("k"), as_bytes(value));
    return std::string(as_string(builder.finish()));
  }

  template <typename Body>
  static std::string record(uint32_t type, uint32_t version, Body body, bool end_of_tags = true) {
    protocol::Writer writer;
    writer.uvarint(1);
    writer.uvarint(type);
    writer.uvarint(version);
    body(writer);
    if (end_of_tags) writer.uvarint(0);  // no tagged fields
    return std::string(as_string(writer.bytes()));
  }
  static std::string topic_record(const std::string& name, const TopicId& id) {
    return record(2, 0, [&](protocol::Writer& w) {
      w.string(name, true);
      w.uuid(id);
    });
  }
  static std::string partition_record(int32_t index, const TopicId& id, std::vector<int32_t> replicas = {1}) {
    return record(3, 1, [&](protocol::Writer& w) {
      w.i32(index);
      w.uuid(id);
      w.values(std::span<int32_t>(replicas), true);
      w.values(std::span<int32_t>(replicas), true);
      w.uvarint(1);
      w.uvarint(1);
      w.i32(1);
      w.i32(3);
      w.i32(0);
      w.uvarint(1);  // no directories
    });
  }
  static std::string config_record(int8_t type, const std::string& resource, const std::string& name,
                                   std::optional<std::string_view> value) {
    return record(4, 0, [&](protocol::Writer& w) {
      w.i8(type);
      w.string(resource, true);
      w.string(name, true);
      w.nullable_string(value, true);
    });
  }
  static std::string partition_change(int32_t index, const TopicId& id, std::optional<int32_t> leader,
                                      std::optional<std::vector<int32_t>> replicas) {
    return record(
        5, 1,
        [&](protocol::Writer& w) {
          w.i32(index);
          w.uuid(id);
          w.uvarint((leader ? 1 : 0) + (replicas ? 1 : 0));
          if (leader) {
            w.uvarint(1);
            w.uvarint(4);
            w.i32(*leader);
          }
          if (!replicas) return;
          w.uvarint(2);
          w.uvarint(1 + 4 * replicas->size());
          w.values(std::span<int32_t>(*replicas), true);
        },
        false);
  }
  static std::string as_log(const std::vector<std::string>& records, int64_t offset = 0) {
    protocol::RecordBatchBuilder builder(protocol::BatchOptions{.base_offset = offset, .partition_leader_epoch = 1});
    for (const std::string& value : records) builder.append(1, std::nullopt, as_bytes(value));
    return std::string(as_string(builder.finish()));
  }
  static std::string metadata_log() {
    const TopicId gone = Uuid::from_random(9, 9), transactions = Uuid::from_random(8, 8);
    return as_log({topic_record("gone", gone), partition_record(0, gone), topic_record("orders", kOrders),
                   partition_record(0, kOrders), partition_record(1, kOrders), config_record(2, "orders", "retention.ms", "-1"),
                   config_record(2, "orders", "no.such.key", "1"), config_record(4, "", "min.insync.replicas", "1"),
                   topic_record("__transaction_state", transactions), partition_record(0, transactions),
                   record(9, 0, [&](protocol::Writer& w) { w.uuid(gone); }), record(15, 0, [](protocol::Writer& w) {
                     w.i32(1);
                     w.i64(2);
                     w.i64(5000);
                   })});
  }

  // The field is not in the checksum.
  static std::string with_epoch(std::string batch, int32_t epoch) {
    protocol::patch_leader_epoch(reinterpret_cast<uint8_t*>(batch.data()), epoch);
    return batch;
  }
  std::string content(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  std::string source() const { return folder_ / "kafka"; }
  std::string target() const { return folder_ / "weir"; }
  static LogImportOptions with(bool LogImportOptions::* flag) {
    LogImportOptions options;
    options.*flag = true;
    return options;
  }
  Result<LogImportReport> import(LogImportOptions options = {}) {
    options.source = source();
    options.data_dir = target();
    return import_kafka_log(files_, pool_, clock_, options, [](const std::string&) {});
  }
  std::string refusal(LogImportOptions options = {}) {
    const auto report = import(options);
    EXPECT_FALSE(fs::exists(target()));
    return report ? "taken" : report.error().message;
  }
  std::vector<storage::LoadedPartition> load() {
    auto store = storage::LocalSegmentStore::open(files_, pool_, clock_, {.log_dir = target()});
    EXPECT_TRUE(store);
    auto loaded = (*store)->load();
    EXPECT_TRUE(loaded);
    std::sort(loaded->begin(), loaded->end(),
              [](const auto& a, const auto& b) { return a.manifest.partition.index < b.manifest.partition.index; });
    return std::move(*loaded);
  }

  static inline const TopicId kOrders = Uuid::from_random(1, 2);
  testing::TempDir folder_;
  runtime::RealRuntime machine_{{.loops = 1, .pool_threads = 1}};
  runtime::FileSystem& files_ = *machine_.runtime().files;
  runtime::Clock& clock_ = *machine_.runtime().clock;
  runtime::Pool& pool_ = *machine_.runtime().pool;
};

TEST_F(LogImportTest, TakesLogsAsTheyAre) {
  const auto report = import();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->topics, 1u);
  EXPECT_EQ(report->partitions, 2u);
  EXPECT_EQ(report->batches, 4u);
  EXPECT_GT(report->linked_bytes, 0u);
  EXPECT_GT(report->copied_bytes, 0u);
  const auto loaded = load();
  ASSERT_EQ(loaded.size(), 2u);
  const storage::PartitionManifest& log = loaded[0].manifest;
  EXPECT_EQ(log.partition.topic, kOrders);
  EXPECT_EQ(log.log_start_offset, 2);
  EXPECT_EQ(log.end_offset, 8);
  ASSERT_EQ(log.segments.size(), 2u);
  EXPECT_EQ(log.segments[1].base_offset, 5);
  EXPECT_EQ(log.segments[1].next_offset, 8);
  EXPECT_EQ(log.segments[1].max_timestamp, 1007);
  EXPECT_EQ(log.epochs, (std::vector<storage::EpochStart>{{0, 0}, {3, 5}}));
  ASSERT_EQ(loaded[0].producers.size(), 1u);
  EXPECT_EQ(loaded[0].producers[0].producer_id, 4711);
  EXPECT_EQ(loaded[0].producers[0].batches.size(), 2u);
  EXPECT_EQ(loaded[1].manifest.end_offset, 0);
  // Closed segments are the same file; the one that is appended to is not.
  const std::string folder = target() + "/" + kOrders.to_string() + "-0/";
  EXPECT_EQ(fs::hard_link_count(folder + "00000000000000000000.log"), 2u);
  EXPECT_EQ(fs::hard_link_count(folder + "00000000000000000005.log"), 1u);
}

// From its batches, whatever Kafka's index says, which has no checksum.
TEST_F(LogImportTest, AbortedTransactionsAreKept) {
  const auto transactional = [](int64_t offset, bool marker) {
    protocol::RecordBatchBuilder builder({.base_offset = offset,
                                          .partition_leader_epoch = 3,
                                          .producer_id = 4000,
                                          .producer_epoch = 0,
                                          .base_sequence = marker ? -1 : 0,
                                          .transactional = true,
                                          .control = marker});
    if (marker) builder.append_end_marker(1000, false, 0);
    else builder.append(1000, as_bytes("k"), as_bytes("v"));
    return std::string(as_string(builder.finish()));
  };
  fs::remove(fs::path(source()) / segment(8));
  put(segment(5), batch(5, 3, {"f"}, 4711, 2) + batch(6, 3, {"g", "h"}) + transactional(8, false) + batch(9, 3, {"i"}) +
                      transactional(10, true));
  put("orders-0/00000000000000000005.txnindex", "damaged");
  const auto report = import();
  ASSERT_TRUE(report) << report.error().message;
  auto store = storage::LocalSegmentStore::open(files_, pool_, clock_, {.log_dir = target()});
  ASSERT_TRUE(store);
  const auto loaded = (*store)->load();
  ASSERT_TRUE(loaded);
  for (const auto& one : *loaded) {
    if (one.manifest.partition.index != 0) continue;
    ASSERT_EQ(one.manifest.segments.size(), 2u);
    const auto aborted = (*store)->aborted_transactions(one.manifest.partition, one.manifest.segments[1]);
    ASSERT_TRUE(aborted) << aborted.error().message;
    EXPECT_THAT(*aborted, ElementsAre(storage::AbortedTransaction{4000, 8, 10, 11}));
    EXPECT_EQ(one.manifest.segments[0].aborted, 0u);
  }
}

// Kafka's folder may hold what producers' headers said, of its versions or of copies: the broker looks at the records.
TEST_F(LogImportTest, TimesAreToBeLookedAtAndFilesKeepTheirAge) {
  const auto old = fs::file_time_type::clock::now() - std::chrono::hours(48);
  fs::last_write_time(fs::path(source()) / segment(0), old);
  ASSERT_TRUE(import());
  const auto partitions = load();
  const auto& segments = partitions[0].manifest.segments;
  ASSERT_EQ(segments.size(), 2u);
  const int64_t age_ms = clock_.wall_ms() - segments[0].modified_ms;
  EXPECT_GE(age_ms, 48 * 3'600'000);
  EXPECT_LT(age_ms, 49 * 3'600'000);
  EXPECT_LT(clock_.wall_ms() - segments[1].modified_ms, 3'600'000);
  for (const auto& info : segments) EXPECT_FALSE(info.times_known);
}

TEST_F(LogImportTest, TakesTopicsConfigsAndIdsFromTheMetadataLog) {
  const auto report = import();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(report->not_taken, Contains(HasSubstr("no.such.key")));
  EXPECT_THAT(report->not_taken, Not(Contains(HasSubstr("min.insync.replicas"))));
  EXPECT_THAT(report->not_taken, Contains(HasSubstr("__transaction_state")));
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

TEST_F(LogImportTest, ADryRunWritesNothing) {
  const auto report = import(with(&LogImportOptions::dry_run));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->batches, 4u);
  EXPECT_FALSE(fs::exists(target()));
  EXPECT_FALSE(fs::exists(target() + ".importing"));
}

TEST_F(LogImportTest, CopiesOnlyIfAsked) {
  ASSERT_TRUE(import(with(&LogImportOptions::copy)));
  EXPECT_EQ(fs::hard_link_count(target() + "/" + kOrders.to_string() + "-0/00000000000000000000.log"), 1u);
}

TEST_F(LogImportTest, AnUncleanEndIsRefusedOrCut) {
  fs::remove(source() + "/.kafka_cleanshutdown");
  EXPECT_THAT(refusal(), HasSubstr("did not end cleanly"));
  fs::remove(fs::path(source()) / segment(8));
  put(segment(5), batch(5, 3, {"f"}, 4711, 2) + batch(6, 3, {"g", "h"}).substr(0, 70));
  const auto report = import(with(&LogImportOptions::accept_unclean));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(report->cut, Contains(HasSubstr("orders-0 was cut after offset 5")));
  const auto loaded = load();
  EXPECT_EQ(loaded[0].manifest.end_offset, 6);
  const std::string file = target() + "/" + kOrders.to_string() + "-0/00000000000000000005.log";
  EXPECT_EQ(fs::file_size(file), loaded[0].manifest.segments[1].length);
}

TEST_F(LogImportTest, DamageBeforeTheLastSegmentIsRefused) {
  std::string damaged = batch(0, 0, {"a", "b", "c"}) + batch(3, 0, {"d", "e"});
  damaged[80] = static_cast<char>(damaged[80] ^ 1);
  put(segment(0), damaged);
  EXPECT_THAT(refusal(with(&LogImportOptions::accept_unclean)), HasSubstr("its checksum is wrong"));
}

TEST_F(LogImportTest, RefusesWhatItCannotUnderstand) {
  put("meta.properties", "version=2\ncluster.id=x\n");
  EXPECT_THAT(refusal(), HasSubstr("version '2'"));
  put("meta.properties", "version=1\ncluster.id=MkU3OEVBNTcwNTJENDM2Qk\nnode.id=1\n");
  put_metadata(as_log({topic_record("orders", kOrders), partition_record(0, kOrders, {1, 2})}));
  EXPECT_THAT(refusal(), HasSubstr("has 2 replicas"));
  put_metadata(as_log({record(2, 9, [](protocol::Writer& w) { w.string("orders", true); })}));
  EXPECT_THAT(refusal(), HasSubstr("version 9 of metadata record type 2"));
  put_metadata(metadata_log());
  std::string old = batch(0, 0, {"a"});
  old[16] = 1;
  put(segment(0), old);
  EXPECT_THAT(refusal(), HasSubstr("message format 1"));
  put("orders-0/00000000000000000000.log.swap", "x");
  EXPECT_THAT(refusal(), HasSubstr("compaction was interrupted"));
}

TEST_F(LogImportTest, TheTargetMustBeNew) {
  fs::create_directories(target());
  ASSERT_TRUE(import()) << "an empty folder is fine";
  const auto again = import();
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().message, HasSubstr("is not empty"));
}

TEST_F(LogImportTest, OneImportAtATimeMakesAFolder) {
  fs::create_directories(target() + ".importing");
  auto other = files_.lock(target() + ".importing/.lock");
  ASSERT_TRUE(other);
  EXPECT_THAT(refusal(), HasSubstr("another import is making"));
  EXPECT_TRUE(fs::exists(target() + ".importing/.lock")) << "it is the other one's";
  other->reset();
  put("../weir.importing/left/over", "of a try that was killed");
  ASSERT_TRUE(import());
  EXPECT_FALSE(fs::exists(target() + "/left"));
  EXPECT_FALSE(fs::exists(target() + ".importing"));
  EXPECT_TRUE(files_.lock(target() + "/.lock"));
}

TEST_F(LogImportTest, ATryThatFailedLeavesNothing) {
  fs::remove(fs::path(source()) / segment(5));
  refusal();
  EXPECT_FALSE(fs::exists(target() + ".importing"));
}

TEST_F(LogImportTest, AMissingSegmentIsRefused) {
  fs::remove(fs::path(source()) / segment(5));
  fs::remove(fs::path(source()) / "orders-0/00000000000000000005.index");
  EXPECT_THAT(refusal(), HasSubstr("orders-0 lacks 3 offsets, first 5 to 7"));
  EXPECT_THAT(refusal(with(&LogImportOptions::accept_unclean)), HasSubstr("it was never compacted"));
  fs::remove_all(source() + "/__cluster_metadata-0");
  EXPECT_THAT(refusal(), HasSubstr("neither a metadata log nor cleaner-offset-checkpoint tells"));
  const auto report = import(with(&LogImportOptions::accept_unclean));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(report->uncertain, Contains(HasSubstr("first 5 to 7")));
}

TEST_F(LogImportTest, AMissingBatchIsRefused) {
  put(segment(5), batch(6, 3, {"g", "h"}));
  EXPECT_THAT(refusal(), HasSubstr("orders-0 lacks 1 offsets, first 5 to 5"));
}

TEST_F(LogImportTest, TheFirstSegmentsMustBeThere) {
  fs::remove(fs::path(source()) / segment(0));
  EXPECT_THAT(refusal(), HasSubstr("orders-0 begins at offset 2 (log-start-offset-checkpoint)"));
  put("log-start-offset-checkpoint", "0\n0\n");
  const auto report = import();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(report->uncertain, Contains(HasSubstr("orders-0 begins at offset 0 (leader-epoch-checkpoint)")));
}

TEST_F(LogImportTest, AnIndexWithoutItsSegmentIsASegmentMissing) {
  put("cleaner-offset-checkpoint", "0\n1\norders 0 8\n");
  put("orders-0/00000000000000000003.timeindex", "");
  EXPECT_THAT(refusal(), HasSubstr("00000000000000000003.timeindex (1 such files) is of a segment that is not there"));
}

TEST_F(LogImportTest, CompactedLogsHaveGaps) {
  put("cleaner-offset-checkpoint", "0\n1\norders 0 8\n");
  put(segment(0), batch(1, 0, {"b"}));
  put(segment(5), batch(6, 3, {"g", "h"}));
  const auto report = import();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(report->uncertain, Contains(HasSubstr("orders-0 lacks 3 offsets between segments, first 2 to 4")));
  EXPECT_EQ(load()[0].manifest.end_offset, 8);
}

// A reader at the end needs a batch there to go on from.
TEST_F(LogImportTest, TheEndThatCompactionEmptiedIsFilled) {
  put("cleaner-offset-checkpoint", "0\n1\norders 0 8\n");
  put(segment(5), "");
  put(segment(8), "");
  put("log-start-offset-checkpoint", "0\n0\n");
  ASSERT_TRUE(import());
  const auto some = load()[0].manifest;
  ASSERT_EQ(some.segments.size(), 1u);
  EXPECT_EQ(some.segments[0].next_offset, 8);
  fs::remove_all(target());
  put(segment(0), "");
  ASSERT_TRUE(import());
  const auto none = load()[0].manifest;
  ASSERT_EQ(none.segments.size(), 1u);
  EXPECT_EQ(none.end_offset, 8);
  const std::string bytes = content(target() + "/" + kOrders.to_string() + "-0/00000000000000000000.log");
  ASSERT_EQ(bytes.size(), none.segments[0].length);
  const auto header = protocol::BatchHeader::parse(as_bytes(bytes).data());
  EXPECT_EQ(header.base_offset, 0);
  EXPECT_EQ(header.next_offset(), 8);
}

TEST_F(LogImportTest, EmptySegmentsAreMissingRecords) {
  put(segment(0), "");
  put(segment(5), "");
  EXPECT_THAT(refusal(), HasSubstr("orders-0 lacks 8 offsets, first 0 to 4"));
}

TEST_F(LogImportTest, AnEndBelowTheOneThatKafkaNotedIsRefused) {
  const auto expect_refused = [&](const std::string& by, const std::string& end) {
    EXPECT_THAT(refusal(), HasSubstr("orders-0 ends at offset 8, but " + by + " says that it went on to " + end));
  };
  put("recovery-point-offset-checkpoint", "0\n1\norders 0 9\n");
  expect_refused("recovery-point-offset-checkpoint", "9");
  put("recovery-point-offset-checkpoint", "0\n1\norders 0 8\n");
  put("orders-0/00000000000000000010.snapshot", "");
  expect_refused("the snapshot of its producers", "10");
  fs::remove(source() + "/orders-0/00000000000000000010.snapshot");
  put("orders-0/leader-epoch-checkpoint", "0\n2\n0 0\n3 11\n");
  expect_refused("leader-epoch-checkpoint", "11");
  for (const char* start : {"12", "9223372036854775807"}) {
    put("log-start-offset-checkpoint", std::string("0\n1\norders 0 ") + start + "\n");
    expect_refused("log-start-offset-checkpoint", start);
  }
  const auto report = import(with(&LogImportOptions::accept_unclean));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(report->cut, Contains(HasSubstr("orders-0 was cut after offset 7")));
  EXPECT_EQ(load()[0].manifest.log_start_offset, 8);
}

TEST_F(LogImportTest, APartitionWithoutItsFolderIsRefusedIfItHeldRecords) {
  fs::remove_all(source() + "/orders-1");
  put("recovery-point-offset-checkpoint", "0\n1\norders 1 4\n");
  EXPECT_THAT(refusal(),
              HasSubstr("orders-1 has no folder here, but recovery-point-offset-checkpoint says that it held records"));
  const auto report = import(with(&LogImportOptions::accept_unclean));
  ASSERT_TRUE(report);
  EXPECT_THAT(report->cut, Contains(HasSubstr("orders-1")));
}

TEST_F(LogImportTest, ALeaderEpochThatCannotBeIsPutRight) {
  for (const int32_t epoch : {INT32_MAX, 9, 1, -7}) {
    put(segment(0), batch(0, 0, {"a", "b", "c"}) + with_epoch(batch(3, 0, {"d", "e"}), epoch));
    const std::string before = content(source() + "/" + segment(0));
    const auto report = import();
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->leader_epoch, 4);
    EXPECT_THAT(report->uncertain, Contains(HasSubstr("0.log: 1 batches claimed a leader epoch that cannot be")));
    EXPECT_EQ(load()[0].manifest.epochs, (std::vector<storage::EpochStart>{{0, 0}, {3, 5}}));
    const std::string taken = content(target() + "/" + kOrders.to_string() + "-0/00000000000000000000.log");
    EXPECT_EQ(taken, batch(0, 0, {"a", "b", "c"}) + batch(3, 0, {"d", "e"}));
    EXPECT_EQ(content(source() + "/" + segment(0)), before);
    fs::remove_all(target());
  }
}

TEST_F(LogImportTest, ACheckpointOfLeaderEpochsThatCannotBeIsNotBelieved) {
  for (const char* rows : {"1\n2147483647 0", "2\n3 0\n0 5", "1\n4 0"}) {
    put("orders-0/leader-epoch-checkpoint", std::string("0\n") + rows + "\n");
    const auto report = import();
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->leader_epoch, 4);
    EXPECT_THAT(report->uncertain, Contains(HasSubstr("orders-0/leader-epoch-checkpoint")));
    EXPECT_EQ(load()[0].manifest.epochs, (std::vector<storage::EpochStart>{{0, 0}, {3, 5}}));
    fs::remove_all(target());
  }
  fs::remove(source() + "/orders-0/leader-epoch-checkpoint");
  put(segment(0), with_epoch(batch(0, 0, {"a", "b", "c"}), 2) + batch(3, 0, {"d", "e"}));
  EXPECT_THAT(refusal(), HasSubstr("is of leader epoch 0, one before it of 2"));
}

TEST_F(LogImportTest, OffsetsPastTheLargestAreDamage) {
  fs::remove(source() + "/orders-1/00000000000000000000.log");
  put("orders-1/09223372036854775805.log", [] {
    std::string bytes = batch(0, 0, {"a", "b", "c", "d", "e"});
    protocol::patch_base_offset(reinterpret_cast<uint8_t*>(bytes.data()), INT64_MAX - 2);
    return bytes;
  }());
  EXPECT_THAT(refusal(), HasSubstr("9223372036854775805.log: no batch begins at position 0"));
}

TEST_F(LogImportTest, FilesThatAreNoneAreRefused) {
  const std::string path = source() + "/" + segment(5);
  fs::remove(path);
  fs::create_directories(path);
  EXPECT_THAT(refusal(), HasSubstr("is a directory, not a segment"));
  fs::remove(path);
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_THAT(refusal(), HasSubstr("it is a FIFO"));
}

TEST_F(LogImportTest, ASegmentBehindALinkIsTaken) {
  const std::string path = source() + "/" + segment(0), elsewhere = folder_ / "elsewhere";
  fs::rename(path, elsewhere);
  fs::create_symlink(elsewhere, path);
  ASSERT_TRUE(import());
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(target() + "/" + kOrders.to_string() + "-0/00000000000000000000.log")));
}

TEST_F(LogImportTest, WhatFollowsTheLastIntactBatchIsNotCopied) {
  put(segment(8), batch(8, 3, {"i"}));
  fs::resize_file(fs::path(source()) / segment(8), uint64_t{1} << 40);
  const auto report = import(with(&LogImportOptions::accept_unclean));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_LT(report->copied_bytes, 1000u);
}

TEST_F(LogImportTest, TheTargetIsNotInTheSource) {
  const auto report =
      import_kafka_log(files_, pool_, clock_, {.source = source(), .data_dir = source() + "/weir"}, [](const std::string&) {});
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error().message, HasSubstr("lies in the folder of Kafka"));
}

TEST_F(LogImportTest, ALinkToTheTargetStaysOne) {
  fs::create_directories(std::string(folder_ / "disk/weir"));
  fs::create_symlink(std::string(folder_ / "disk/weir"), target());
  ASSERT_TRUE(import());
  EXPECT_TRUE(fs::is_symlink(target()));
  EXPECT_TRUE(fs::exists(std::string(folder_ / "disk/weir/meta.db")));
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

TEST_F(LogImportTest, TheReportIsJsonToo) {
  const auto report = import(with(&LogImportOptions::dry_run));
  ASSERT_TRUE(report);
  EXPECT_THAT(report->json(), HasSubstr("\"topics\":1,\"partitions\":2,"));
  LogImportReport hostile;
  hostile.not_taken = {"a\nall is well\x1b[2J"};
  EXPECT_THAT(hostile.text(), HasSubstr("not taken: a?all is well?[2J\n"));
}

// Java's locks are those of fcntl, which only other processes see.
TEST_F(LogImportTest, KafkaIsLockedOut) {
  put(".lock", "");
  const std::string path = source() + "/.lock";
  const auto taken_by_another_process = [&] {
    const pid_t child = ::fork();
    if (child == 0) {
      const int file = ::open(path.c_str(), O_RDWR);
      struct flock lock{};
      lock.l_type = F_WRLCK;
      lock.l_whence = SEEK_SET;
      ::_exit(::fcntl(file, F_SETLK, &lock) == 0 ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return status == 0;
  };
  EXPECT_TRUE(taken_by_another_process());
  auto folder = read_kafka_folder(files_, source());
  ASSERT_TRUE(folder) << folder.error().message;
  EXPECT_FALSE(taken_by_another_process());
  folder->lock.reset();
  EXPECT_TRUE(taken_by_another_process());
}

TEST(KafkaFolder, ReadsNamesAndCheckpoints) {
  EXPECT_EQ(parse_kafka_partition_name("a-b-12"), (std::pair<std::string, int32_t>("a-b", 12)));
  for (const char* other : {"a", "-1", "a-", "a-x", "a--1x", "a-0.4f2-delete", "a-01", "a-+1", "a b-0", "..-0", "a-2147483648"}) {
    EXPECT_FALSE(parse_kafka_partition_name(other)) << other;
  }
  EXPECT_EQ(parse_kafka_checkpoint("0\n1\na 1 2\n", 3)->size(), 1u);
  EXPECT_FALSE(parse_kafka_checkpoint("1\n0\n", 3)) << "a later version";
  EXPECT_FALSE(parse_kafka_checkpoint("0\n2\na 1 2\n", 3)) << "an entry is missing";
  EXPECT_FALSE(parse_kafka_checkpoint("0\n1\na 1\n", 3));
  EXPECT_TRUE(parse_kafka_checkpoint("", 3)->empty()) << "a new one";
  EXPECT_FALSE(parse_kafka_checkpoint("x", 3));
}

}  // namespace
}  // namespace weir::apps
