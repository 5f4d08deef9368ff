// Opens the log at a start: manifests, then the write-ahead log above them, then a new WAL session for each shard.
//
// After open_log every acknowledged record is readable, producer state is as it was, and no record that a reader may see is in
// the page cache only. Blocking. Called before anything is served.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "runtime/runtime.h"
#include "storage/log/log_shard.h"
#include "storage/segment/segment_store.h"
#include "storage/wal/wal_sessions.h"

namespace weir::storage {

struct LogOptions {
  std::string log_dir;     // for offline markers
  bool disk_full = false;  // produce requests are refused from the start, as by LogShard::set_disk_full
  LogShardOptions shard;
};

// A partition as the metadata knows it. Only a noted deletion deletes data. Data of a partition that the metadata does not know
// is a sign of damage, and refuses the start.
struct KnownPartition {
  LogConfig config = {};
  int32_t leader_epoch = 0;
  bool deleted = false;
  std::string_view topic_name = {};  // for messages; lives as long as the lookup
};
using PartitionLookup = std::function<std::optional<KnownPartition>(const PartitionId&)>;
// All partitions of all topics, whether they hold data or not.
using PartitionList = std::function<std::vector<PartitionId>()>;

struct RecoveryStats {
  bool clean = true;  // the previous process ended its WAL sessions
  uint64_t partitions = 0;
  uint64_t bytes_read = 0;
  uint64_t chunks = 0;
  uint64_t batches = 0;     // above the manifests, taken into the tail
  uint64_t torn_bytes = 0;  // the unacknowledged end that was cut off
  uint64_t offline_partitions = 0;
  int64_t duration_ms = 0;
};

struct OpenedLog {
  std::vector<std::unique_ptr<LogShard>> shards;  // one per loop
  RecoveryStats stats;
  // Deleted topics with data left. The note of any other deletion is not needed any more.
  std::unordered_set<TopicId> remains;
};

// Returns the shard that owns a partition.
unsigned shard_of(const PartitionId& partition, unsigned shards);

// Opens each partition with data that `known` knows. The caller adds partitions without data itself. `all` is asked when records
// of unknown partitions are lost, because a partition whose every record is gone looks like one without any write. Fails, and
// changes nothing, if files of the write-ahead log are missing or belong to another folder, or if there is data of partitions
// that are neither known nor deleted.
Result<OpenedLog> open_log(runtime::Runtime& runtime, SegmentStore& store, WalSessions& wals, const LogOptions& options,
                           const PartitionLookup& known, const PartitionList& all = {});

// Ends the sessions cleanly. All appends are durable (quiesced) by then, and no further append follows. Blocking.
Result<void> close_log(WalSessions& wals, const std::vector<std::unique_ptr<LogShard>>& shards);

}  // namespace weir::storage
