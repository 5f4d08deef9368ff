// Keeps a broker working on a full disk. It sets space aside, and it is a gate for produce requests.
//
// While the disk has room, two files of half the reserve each lie in the data folder. When free space falls below the low mark,
// the broker refuses produce requests with a retriable error. The rest of the disk belongs to the work that makes room:
// checkpoints of acknowledged records, metadata, deletion of topics, retention, compaction. If free space shrinks further, that
// work gets the reserve, one file after the other. Once the disk has room for the whole reserve and twice the low mark, the
// reserve is set aside again and the broker takes produce requests again. A broker that starts on a full disk has no reserve. It
// gets a small one as soon as there is room, and the configured size once a tenth of the free space is that much.
//
// Lifecycle: construct, full_before_start(), start(), stop() or destroy. All of it, and `on_change`, on the loop's thread. The
// pool looks at the files.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "base/function.h"
#include "runtime/runtime.h"

namespace weir::storage {

struct DiskReserveOptions {
  std::string folder;
  // On a small disk a tenth of the free space. 0: no reserve, the low mark alone counts.
  uint64_t reserve_bytes = 256ull << 20;
  uint64_t low_bytes = 64ull << 20;  // at most a quarter of the reserve, if there is one
  int64_t check_interval_ns = runtime::kSecond;
};

class DiskReserve {
 public:
  struct State {
    bool full = false;  // produce requests are refused
    uint64_t free_bytes = 0;
    uint64_t reserved_bytes = 0;  // that the files really occupy
  };

  DiskReserve(const runtime::Runtime& runtime, runtime::Loop& loop, DiskReserveOptions options,
              Function<void(bool full)> on_change);
  ~DiskReserve();

  // Returns whether produce requests are refused from the very start. Blocking. Sets nothing aside. `on_change` is not called for
  // that state, but for its end.
  bool full_before_start();
  void start();
  void stop();
  State state() const;  // thread-safe

 private:
  struct Shared;  // outlives this object while the pool looks at the files
  void check();
  void checked();
  void tell() const;

  runtime::Runtime runtime_;
  runtime::Loop& loop_;
  const int64_t check_interval_ns_;
  Function<void(bool)> on_change_;
  std::shared_ptr<Shared> shared_;
  runtime::TimerId timer_;
  bool full_ = false;  // as the caller knows it
};

}  // namespace weir::storage
