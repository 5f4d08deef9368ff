// The storage engine of one life: segment store and log shards in one folder of the simulated machine.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "storage/log/log_recovery.h"
#include "storage/segment/local_segment_store.h"
#include "storage/wal/local_wal_sessions.h"
#include "testing/sim_runtime.h"

namespace weir::simulation {

struct LogEngine {
  using Known = std::function<std::optional<storage::KnownPartition>(const storage::PartitionId&)>;

  // Makes the folder `options.log_dir` (below /data) and recovers its contents. Draws the incarnation from `random`, unless the
  // start fails before that.
  static Result<std::unique_ptr<LogEngine>> open(testing::SimRuntime& sim, const storage::LogOptions& options,
                                                 uint64_t wal_file_bytes, testing::SeededRandom& random, const Known& known);
  // An orderly end. Calls `done` on one of the loops with the result of close_log. The engine has to live until then.
  void close(testing::SimRuntime& sim, std::function<void(Result<void>)> done);

  runtime::Runtime world;
  std::unique_ptr<storage::BackgroundThrottle> throttle;
  std::unique_ptr<storage::LocalSegmentStore> store;
  std::unique_ptr<storage::LocalWalSessions> wals;
  std::vector<std::unique_ptr<storage::LogShard>> shards;
};

}  // namespace weir::simulation
