// A store of segments in several log directories, beside SegmentStore. It knows the directory of each partition, and can have a
// partition move to another one.
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

// The log directory that a copy goes to, and the generation that begin_rewrite reserved for it.
struct CopyTarget {
  uint32_t directory = 0;
  uint32_t generation = 0;
};

class LogDirectoryStore {
 public:
  virtual ~LogDirectoryStore() = default;

  virtual LogDirectories& directories() = 0;
  // From now on new segments of the partition go to `directory`. The old ones move when a caller copies them: begin_rewrite,
  // copy_segment, then replace. The new place is durable when `done` gets it. A partition without segments elsewhere has arrived
  // then. In order with checkpoints. Called by the owning shard only.
  virtual void set_directory(const PartitionId& partition, uint32_t directory, runtime::Executor& reply_to,
                             Function<void(Result<PartitionPlace>)> done) = 0;
  // Blocking, on any thread of the pool.
  virtual Result<std::unique_ptr<SegmentCopy>> copy_segment(const PartitionId& partition, const SegmentInfo& segment,
                                                            CopyTarget target) = 0;
};

}  // namespace weir::storage
