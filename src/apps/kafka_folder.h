// A log directory of a stopped Apache Kafka (KRaft): its contents, and whether Weir may take them over. Reads only.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/uuid.h"
#include "runtime/file.h"
#include "runtime/unique_fd.h"
#include "storage/types.h"

namespace weir::apps {

struct KafkaSegmentFile {
  int64_t base_offset = 0;
  std::string path;
  uint64_t bytes = 0;
};

struct KafkaPartitionFolder {
  std::string topic;
  int32_t partition = 0;
  std::string path;
  std::optional<TopicId> topic_id;          // partition.metadata
  std::vector<KafkaSegmentFile> segments;   // ascending
  std::vector<storage::EpochStart> epochs;  // leader-epoch-checkpoint; empty if there is none
  int64_t last_snapshot = -1;               // of producers: Kafka writes one at the log's end when it stops
  std::vector<std::string> orphans;         // index files whose segment is missing
};

using KafkaOffsets = std::map<std::pair<std::string, int32_t>, int64_t>;  // by topic and partition

struct KafkaFolder {
  std::string path;
  std::string cluster_id;
  std::string node_id;
  std::optional<Uuid> directory_id;
  bool clean = false;                            // Kafka ended cleanly
  std::vector<KafkaPartitionFolder> partitions;  // by topic and partition; without __cluster_metadata
  KafkaOffsets log_starts;                       // log-start-offset-checkpoint
  KafkaOffsets recovery_points;                  // recovery-point-offset-checkpoint: flushed up to here
  std::optional<KafkaOffsets> cleaned;           // cleaner-offset-checkpoint, which is there wherever a cleaner ran
  std::vector<std::string> left_out;             // folders that are no partition's data (any more), and why
  runtime::UniqueFd lock;                        // keeps Kafka from starting
};

// Refuses a folder that is no such directory, that a newer format wrote, or that a broker still uses.
Result<KafkaFolder> read_kafka_folder(runtime::FileSystem& files, const std::string& path);

// `<topic>-<partition>`; nothing for other names. Kafka's folders on their way out or in (-delete, -future, -stray) are
// others.
std::optional<std::pair<std::string, int32_t>> parse_kafka_partition_name(std::string_view name);

// The offset that a file's name begins with, as in 00000000000000000005.log.
std::optional<int64_t> offset_in_kafka_name(std::string_view name);

// Kafka's checkpoint files: a version (0), a count, and a line of fields for each entry.
Result<std::vector<std::vector<std::string>>> parse_kafka_checkpoint(std::string_view text, size_t fields);

// The whole of a small file; refuses one above 64 MiB.
Result<std::string> read_whole_file(runtime::FileSystem& files, const std::string& path);

}  // namespace weir::apps
