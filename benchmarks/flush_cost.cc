// The cost of one durable write, by flush engine: latency and CPU, the kernel's worker threads included.
//
//   weir_flush_cost FOLDER [writes per round] [bytes per write] [pause between writes in us]
//
// Engines take turns on the same preallocated file. CPU is the time of the process (loop, flush thread, io_uring workers) plus
// the time of kernel worker threads meanwhile, less the time of those threads in a pause of the same length.
#include <dirent.h>
#include <fmt/core.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/check.h"
#include "runtime/real_runtime.h"

namespace {

using weir::runtime::FlushEngineKind;

constexpr size_t kFileBytes = 256 << 20;
constexpr int kRounds = 9;

double process_cpu_us() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto us = [](const timeval& t) { return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_usec); };
  return us(usage.ru_utime) + us(usage.ru_stime);
}

// Microseconds on CPU of all kworker threads together.
double kernel_workers_cpu_us() {
  double total = 0;
  DIR* proc = ::opendir("/proc");
  while (const dirent* entry = ::readdir(proc)) {
    if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
    const std::string folder = std::string("/proc/") + entry->d_name;
    std::string name;
    std::getline(std::ifstream(folder + "/comm"), name);
    if (!name.starts_with("kworker")) continue;
    double ns = 0;
    std::ifstream(folder + "/schedstat") >> ns;
    total += ns / 1000;
  }
  ::closedir(proc);
  return total;
}

struct Round {
  double process_us, workers_us, p50_us, p99_us, p999_us, wall_us;
};

class Chain {
 public:
  Chain(weir::runtime::Loop& loop, weir::runtime::DurableWriter& writer, size_t writes, size_t bytes, int64_t pause_ns)
      : loop_(loop), writer_(writer), bytes_(bytes), pause_ns_(pause_ns), left_(writes), buffer_(weir::Buffer::allocate(bytes)) {
    std::fill_n(buffer_.data(), bytes, uint8_t{0x5a});
    latencies_us_.reserve(writes);
  }
  void step() {
    if (left_-- == 0) return finished_.set_value();
    const iovec piece{buffer_.data(), bytes_};
    started_ns_ = loop_.clock().monotonic_ns();
    writer_.write(offset_, std::span(&piece, 1), [this](weir::Result<void> result) {
      WEIR_CHECK(result);
      latencies_us_.push_back(static_cast<double>(loop_.clock().monotonic_ns() - started_ns_) / 1000);
      if (pause_ns_ > 0) {
        loop_.schedule_after(pause_ns_, [this] { step(); });
      } else {
        step();
      }
    });
    offset_ = (offset_ + bytes_) % kFileBytes;
  }
  std::promise<void> finished_;
  std::vector<double> latencies_us_;

 private:
  weir::runtime::Loop& loop_;
  weir::runtime::DurableWriter& writer_;
  const size_t bytes_;
  const int64_t pause_ns_;
  size_t left_;
  weir::Buffer buffer_;
  uint64_t offset_ = 0;
  int64_t started_ns_ = 0;
};

Round run_round(FlushEngineKind engine, bool to_device, const std::string& path, size_t writes, size_t bytes, int64_t pause_ns) {
  weir::runtime::RealRuntime runtime({.loops = 1, .pool_threads = 1, .flush_engine = engine});
  auto writer = runtime.runtime().files->durable_writer(path, runtime.loop(0), to_device);
  WEIR_CHECK(writer);
  Chain chain(runtime.loop(0), **writer, writes, bytes, pause_ns);
  runtime.run();
  const double workers = kernel_workers_cpu_us();
  const double process = process_cpu_us();
  const int64_t begin = runtime.runtime().clock->monotonic_ns();
  runtime.loop(0).post([&] { chain.step(); });
  chain.finished_.get_future().wait();
  const auto count = static_cast<double>(writes);
  Round round{};
  round.wall_us = static_cast<double>(runtime.runtime().clock->monotonic_ns() - begin) / 1000;
  round.process_us = (process_cpu_us() - process) / count;
  round.workers_us = kernel_workers_cpu_us() - workers;
  const double idle_before = kernel_workers_cpu_us();
  std::promise<void> rested;
  runtime.loop(0).post(
      [&] { runtime.loop(0).schedule_after(static_cast<int64_t>(round.wall_us * 1000), [&] { rested.set_value(); }); });
  rested.get_future().wait();
  round.workers_us = (round.workers_us - (kernel_workers_cpu_us() - idle_before)) / count;
  runtime.stop();
  auto& sorted = chain.latencies_us_;
  std::ranges::sort(sorted);
  const auto at = [&](double q) { return sorted[static_cast<size_t>(q * static_cast<double>(sorted.size() - 1))]; };
  round.p50_us = at(0.5);
  round.p99_us = at(0.99);
  round.p999_us = at(0.999);
  return round;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string path = std::string(argc > 1 ? argv[1] : ".") + "/flush_cost.dat";
  const size_t writes = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 5000;
  const size_t bytes = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 4096;
  const int64_t pause_ns = argc > 4 ? std::strtoll(argv[4], nullptr, 10) * 1000 : 0;
  {
    weir::runtime::PosixFileSystem files(FlushEngineKind::kThread);
    auto file = files.open(path, {.write = true, .create = true, .direct = true});
    weir::Buffer zeros = weir::Buffer::allocate(1 << 20);
    std::fill_n(zeros.data(), zeros.capacity(), uint8_t{0});
    for (uint64_t at = 0; at < kFileBytes; at += 1 << 20) {
      WEIR_CHECK((*file)->write_at(at, weir::Bytes(zeros.data(), 1 << 20)));
    }
    WEIR_CHECK((*file)->sync());
  }
  struct Setup {
    std::string name;
    FlushEngineKind engine;
    bool to_device;
  };
  const Setup setups[] = {{"thread, device", FlushEngineKind::kThread, true},
                          {"io_uring, device", FlushEngineKind::kIoUring, true},
                          {"thread, page cache", FlushEngineKind::kThread, false},
                          {"io_uring, page cache", FlushEngineKind::kIoUring, false}};
  std::map<std::string, std::vector<Round>> results;
  for (int round = 0; round < kRounds; ++round) {
    for (const Setup& s : setups) {
      results[s.name].push_back(run_round(s.engine, s.to_device, path, writes, bytes, pause_ns));
    }
  }
  // The best round is the one that other work on the machine disturbed least.
  fmt::print("{} writes of {} bytes a round, pause {} us; us a write, median and best of {} rounds\n", writes, bytes,
             pause_ns / 1000, kRounds);
  fmt::print("{:22} {:>15} {:>15} {:>15} {:>15} {:>15}\n", "", "process", "kworkers", "p50", "p99", "p99.9");
  for (auto& [name, rounds] : results) {
    fmt::print("{:22}", name);
    for (double Round::* field : {&Round::process_us, &Round::workers_us, &Round::p50_us, &Round::p99_us, &Round::p999_us}) {
      std::ranges::sort(rounds, {}, field);
      fmt::print(" {:7.1f} {:7.1f}", rounds[rounds.size() / 2].*field, rounds.front().*field);
    }
    fmt::print("\n");
  }
  std::remove(path.c_str());
  return 0;
}
