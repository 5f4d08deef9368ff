// Reads a partition's folder of Apache Kafka whole, and holds what its batches, its checkpoints and the metadata log say of it
// against each other: what was acknowledged and is not there is refused, or told.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "apps/kafka_folder.h"
#include "apps/kafka_segment.h"
#include "base/result.h"
#include "runtime/file.h"
#include "storage/segment/segment_index.h"
#include "storage/segment/segment_store.h"

namespace weir::apps {

// Epochs above it are damage: they grow by one, and there must be room for as many again.
inline constexpr int32_t kHighestKafkaEpoch = 1 << 30;

// Information about a partition from outside its folder.
struct KafkaPartitionInfo {
  TopicId topic_id;
  int64_t now_ms = 0;
  bool clean = false;              // Kafka ended cleanly
  bool accept_unclean = false;     // cut the log after its last intact batch
  bool with_coordinators = false;  // the state of transactions is taken, too
  std::optional<bool> compacted;   // or was once
  bool tiered = false;
  std::optional<int32_t> leader_epoch;    // metadata log
  std::optional<int64_t> log_start;       // log-start-offset-checkpoint
  std::optional<int64_t> recovery_point;  // recovery-point-offset-checkpoint
};

struct KafkaPartitionImport {
  storage::PartitionManifest manifest;
  std::vector<storage::ProducerEntry> producers;
  struct File {
    std::string from;  // empty: Kafka has no such file
    storage::SegmentInfo info;
    storage::SegmentIndex index;
    std::vector<storage::AbortedTransaction> aborted;
    bool own = false;          // must not be the file that Kafka has
    bool mend_epochs = false;  // some of its batches have another epoch than `manifest` says
    uint64_t copied = 0;       // bytes of `from`
    std::string filler;        // batches without records behind them, up to the log's end
  };
  std::vector<File> files;
  uint64_t batches = 0;
  uint64_t bytes = 0;
  int64_t max_producer_id = -1;
  // Whole sentences for the report.
  std::vector<std::string> not_taken, uncertain, cut;
};

Result<KafkaPartitionImport> read_kafka_partition(runtime::FileSystem& files, const KafkaPartitionFolder& folder,
                                                  const KafkaPartitionInfo& info);

}  // namespace weir::apps
