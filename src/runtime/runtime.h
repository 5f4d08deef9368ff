// What the server is given of the outside world. Production: RealRuntime (real_runtime.h); simulation: see testing/.
#pragma once

#include <vector>

#include "runtime/clock.h"
#include "runtime/file.h"
#include "runtime/loop.h"

namespace weir::runtime {

struct Runtime {
  Clock* clock = nullptr;
  FileSystem* files = nullptr;
  Pool* pool = nullptr;
  std::vector<Loop*> loops;  // one per shard
};

}  // namespace weir::runtime
