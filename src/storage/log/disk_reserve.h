// Keeps a broker working on a full disk: space that is set aside, and a gate for produce requests.
//
// While the disk has room, two files of half the reserve each lie in the data folder. When free space falls below the low
// mark, produce requests are refused with a retriable error: what is left belongs to those who make room (checkpoint of what is
// acknowledged, metadata, deletion of topics, retention, compaction). If it falls on, the reserve is given to them, one
// file after the other. Once enough is free for the whole reserve and twice the low mark it is set aside again and produce
// requests are taken again, by itself. A broker that starts on a full disk has no reserve; it gets one as soon as there is
// room, and one of the size that was asked for once a tenth of the free space is that much.
//
// Lifecycle: construct, full_before_start(), start(), stop() or destroy; all on the loop's thread, and `on_change` is
// called there. Files are looked at on the pool.
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
  // On a small disk a tenth of what is free. 0: nothing is set aside, and the low mark alone counts.
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

  // Whether produce requests are to be refused from the very start. Blocking; sets nothing aside. `on_change` is not called for
  // it, but tells once it is over.
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
