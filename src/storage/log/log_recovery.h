// Opens the log at start: manifests, then the write-ahead log above them, then a new WAL session per shard.
//
// After open_log every acknowledged record is readable, producer state is as it was, and nothing that a reader may see
// is only in the page cache. Blocking; called before anything is served.
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

// What the metadata knows of a partition; nothing if it does not know it. Only a deletion that it has noted deletes: data of
// a partition it does not know is a sign of damage, and refuses the start.
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
  // Deleted topics of which something was found. The note of any other deletion is not needed any more.
  std::unordered_set<TopicId> remains;
};

// Which shard owns a partition.
unsigned shard_of(const PartitionId& partition, unsigned shards);

// Every partition that `known` knows of and that has data is opened; the caller adds those without data itself. `all` is asked
// when records are lost and nobody knows of which partitions: one whose every record is gone looks like one that was never
// written to. Fails, and changes nothing, if files of the write-ahead log are missing or belong to another folder, or there are
// partitions that are not known and not deleted.
Result<OpenedLog> open_log(runtime::Runtime& runtime, SegmentStore& store, WalSessions& wals, const LogOptions& options,
                           const PartitionLookup& known, const PartitionList& all = {});

// Ends the sessions cleanly: everything appended is durable (quiesced) and no further append follows. Blocking.
Result<void> close_log(WalSessions& wals, const std::vector<std::unique_ptr<LogShard>>& shards);

}  // namespace weir::storage
