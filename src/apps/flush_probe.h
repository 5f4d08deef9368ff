// Measures what the disk of the data folder does while it has nothing else to do, for the banner and for what holds the
// background back (storage/background): a large write, then small durable ones, one after the other, to a scratch file. Loop
// thread only; the object lives until `done` was called, or the loop has ended.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/function.h"
#include "runtime/runtime.h"

namespace weir::apps {

class FlushProbe {
 public:
  struct Latency {
    int64_t p50_ns = 0;
    int64_t p99_ns = 0;
    double bytes_per_second = 0;  // of a large write until it is durable
  };
  // `done` with nothing measured (zeros) if the folder refuses. Takes at most kBudgetNs, or one write.
  static std::unique_ptr<FlushProbe> start(const runtime::Runtime& runtime, runtime::Loop& loop, const std::string& folder,
                                           Function<void(Latency)> done);
  ~FlushProbe();

 private:
  static constexpr size_t kWrites = 100;
  static constexpr size_t kLargeBytes = 1 << 20;
  static constexpr size_t kLargeWrites = 4;
  static constexpr int64_t kBudgetNs = 200 * runtime::kMillisecond;

  FlushProbe(const runtime::Runtime& runtime, runtime::Loop& loop, std::string path, Function<void(Latency)> done);
  bool prepare();
  void write_next();
  void finish();

  const runtime::Runtime runtime_;
  runtime::Loop& loop_;
  const std::string path_;
  Function<void(Latency)> done_;
  std::unique_ptr<runtime::DurableWriter> writer_;
  Buffer block_;
  iovec piece_{};
  double bytes_per_second_ = 0;
  std::vector<int64_t> latencies_ns_;
  int64_t begun_ns_ = 0;
};

}  // namespace weir::apps
