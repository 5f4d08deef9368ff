// What the metadata log of an Apache Kafka with KRaft says: topics, their configs, the next producer id. Reads the newest
// snapshot (`*.checkpoint`) of `__cluster_metadata-0` and the log behind it. Record formats are those of Kafka 4.x; types
// that do not matter here are counted.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/uuid.h"
#include "runtime/file.h"

namespace weir::apps {

struct KafkaTopic {
  std::string name;
  TopicId id;
  struct Partition {
    std::vector<int32_t> replicas;
    std::vector<Uuid> directories;
    int32_t leader_epoch = 0;
  };
  std::map<int32_t, Partition> partitions;
  std::map<std::string, std::string> configs;
};

struct KafkaMetadata {
  std::map<std::string, KafkaTopic> topics;  // by name
  int64_t next_producer_id = 0;
  // Records in force that Weir does not take: kind and subject of the record -> its name in a report.
  std::map<std::pair<uint32_t, std::string>, std::string> not_taken;
  std::unordered_map<TopicId, std::string> names;
  // Likewise configs of brokers, groups and client metrics, but for values that hold here anyway: with what to do.
  std::map<std::string, std::string> configs_not_taken;
  uint64_t records = 0;
  int64_t end_offset = 0;
  std::string damage;  // why the log ends before its last file does; empty if it does not
};

// kNotFound if there is no metadata log; kUnsupported if it holds what cannot be understood safely.
Result<KafkaMetadata> read_kafka_metadata(runtime::FileSystem& files, const std::string& log_dir);

// Applies the records of one data batch, for tests.
Result<void> apply_metadata_record(Bytes value, KafkaMetadata& metadata);

}  // namespace weir::apps
