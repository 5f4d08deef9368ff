// `weir log import`: makes a Weir data folder of the log directory of a stopped Apache Kafka (one node, KRaft).
//
// Reads and checks everything first to last, then the new folder appears under its name in one step. Until then it is
// `<name>.importing`, with a lock that excludes other imports; what was killed leaves it behind, and the next try removes it.
// The source is not changed. docs/migration.md tells what is taken.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/kafka_folder.h"
#include "apps/kafka_metadata.h"
#include "base/function.h"
#include "base/result.h"
#include "runtime/runtime.h"

namespace weir::apps {

struct LogImportOptions {
  std::string source;
  std::string data_dir;
  bool dry_run = false;         // checks only
  bool copy = false;            // never hard links
  bool accept_unclean = false;  // cut each log after its last intact batch
};

struct LogImportReport {
  std::string cluster_id;
  bool clean_source = true;
  bool has_metadata = true;
  uint64_t topics = 0;
  uint64_t partitions = 0;
  uint64_t segments = 0;
  uint64_t batches = 0;
  uint64_t bytes = 0;
  uint64_t linked_bytes = 0;
  uint64_t copied_bytes = 0;
  int64_t next_producer_id = 0;
  int32_t leader_epoch = 0;            // of all partitions from now on
  std::vector<std::string> not_taken;  // whole sentences
  std::vector<std::string> cut;        // logs that were cut, with --accept-unclean
  std::vector<std::string> uncertain;  // what contradicts and what nothing can decide

  std::string json() const;
  std::string text() const;
};

// Blocking. `progress` gets a line now and then.
Result<LogImportReport> import_kafka_log(runtime::FileSystem& files, runtime::Pool& pool, const runtime::Clock& clock,
                                         const LogImportOptions& options, Function<void(const std::string&)> progress);

}  // namespace weir::apps
