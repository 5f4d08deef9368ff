// What a store of segments in several log directories can do beside SegmentStore: say in which of them a partition lives, and
// have it move to another one.
#pragma once

#include <cstdint>
#include <memory>

#include "base/function.h"
#include "base/result.h"
#include "runtime/loop.h"
#include "storage/segment/log_directories.h"
#include "storage/segment/manifest.h"

namespace weir::storage {

class SegmentCopy;

// Of a copy: the log directory it goes to, and the generation that begin_rewrite reserved.
struct CopyTarget {
  uint32_t directory = 0;
  uint32_t generation = 0;
};

class LogDirectoryStore {
 public:
  virtual ~LogDirectoryStore() = default;

  virtual LogDirectories& directories() = 0;
  // From now on new segments of the partition go to `directory`; the old ones move when a caller copies them (copy_segment
  // after ManifestStore::begin_rewrite, then replace). Durable when `done` tells the new place, which has arrived there if
  // nothing was elsewhere. In order with checkpoints. Called by the owning shard only.
  virtual void set_directory(const PartitionId& partition, uint32_t directory, runtime::Executor& reply_to,
                             Function<void(Result<PartitionPlace>)> done) = 0;
  // Blocking, on any thread of the pool.
  virtual Result<std::unique_ptr<SegmentCopy>> copy_segment(const PartitionId& partition, const SegmentInfo& segment,
                                                            CopyTarget target) = 0;
};

}  // namespace weir::storage
