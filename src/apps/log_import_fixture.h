// Log directories of Kafka, and their import.
#pragma once

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
#include "apps/log_import.h"
#include "broker/config/topic_config.h"
#include "broker/metadata/metadata_loader.h"
#include "protocol/record_batch_builder.h"
#include "protocol/wire.h"
#include "runtime/real_runtime.h"
#include "storage/metadata/sqlite_meta_store.h"
#include "storage/segment/local_segment_store.h"
#include "testing/temp_dir.h"

namespace weir::apps {

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
    const TopicId gone = Uuid::from_random(9, 9), shares = Uuid::from_random(8, 8);
    return as_log({topic_record("gone", gone), partition_record(0, gone), topic_record("orders", kOrders),
                   partition_record(0, kOrders), partition_record(1, kOrders), config_record(2, "orders", "retention.ms", "-1"),
                   config_record(2, "orders", "no.such.key", "1"), config_record(4, "", "min.insync.replicas", "1"),
                   topic_record("__share_group_state", shares), partition_record(0, shares),
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

}  // namespace weir::apps
