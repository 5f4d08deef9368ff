// The settings of a topic that the log itself acts on. They have the names of Kafka's topic configs, with units.
#pragma once

#include <cstdint>
#include <optional>

#include "protocol/record_batch.h"

namespace weir::storage {

struct LogConfig {
  uint64_t segment_bytes = 1ull << 30;
  int64_t segment_ms = 7ll * 24 * 3600 * 1000;
  bool cleanup_delete = true;                     // cleanup.policy contains delete
  bool cleanup_compact = false;                   // cleanup.policy contains compact
  int64_t retention_ms = 7ll * 24 * 3600 * 1000;  // -1: no limit
  int64_t retention_bytes = -1;                   // per partition; -1: no limit
  int32_t max_message_bytes = 1048588;            // of a record batch
  bool log_append_time = false;                   // message.timestamp.type=LogAppendTime
  int64_t timestamp_before_max_ms = INT64_MAX;
  int64_t timestamp_after_max_ms = 3600 * 1000;
  int64_t file_delete_delay_ms = 60 * 1000;
  std::optional<protocol::CompressionType> compression;  // compression.type; nothing: as the producer chose
  int32_t compression_gzip_level = -1;
  int32_t compression_lz4_level = 9;
  int32_t compression_zstd_level = 3;
  double min_cleanable_dirty_ratio = 0.5;
  int64_t min_compaction_lag_ms = 0;
  int64_t max_compaction_lag_ms = INT64_MAX;
  int64_t delete_retention_ms = 24ll * 3600 * 1000;  // of tombstones, once compaction has met them

  // Returns the age at which the active segment is rolled, early enough for compaction.
  int64_t roll_ms() const { return cleanup_compact && max_compaction_lag_ms < segment_ms ? max_compaction_lag_ms : segment_ms; }
  bool operator==(const LogConfig&) const = default;
};

}  // namespace weir::storage
