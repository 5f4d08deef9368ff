// The log on real files and threads: both flush engines, file changes and recycling under load, then replay.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <future>

#include "runtime/real_runtime.h"
#include "storage/wal/wal_fixture.h"
#include "testing/temp_dir.h"

namespace weir::storage {
namespace {

using runtime::FlushEngineKind;

// Appends `total` batches on the loop, a few in each turn. Keeps the number of unreleased bytes bounded. Ends when all batches
// are durable.
class WalLoad {
 public:
  WalLoad(runtime::RealRuntime& runtime, std::unique_ptr<LocalWal> wal, int total, uint32_t large_one_in)
      : loop_(runtime.loop(0)), wal_(std::move(wal)), total_(total), large_one_in_(large_one_in) {}

  void run() {
    loop_.post([this] {
      wal_->on_durable([this](ChunkNumber durable) {
        if (durable > 40) released_ = std::max(released_, durable - 40);
        wal_->release(released_);
        next();
      });
      wal_->on_ended([](const Error& error) { ADD_FAILURE() << error.message; });
      next();
    });
    finished_.get_future().wait();
  }

  LocalWal& wal() { return *wal_; }
  ChunkNumber released() const { return released_; }
  const std::vector<ReplayedBatch>& appended() const { return appended_; }
  // On the loop, because timers and writes of the log belong to it.
  void destroy() {
    std::promise<void> gone;
    loop_.post([&] {
      wal_.reset();
      gone.set_value();
    });
    gone.get_future().wait();
  }

 private:
  void next() {
    for (int i = 0; i < 8 && sent_ < total_ && wal_->measures().pending_bytes < (4u << 20); ++i) {
      uint32_t size = 61 + static_cast<uint32_t>(random_.next() % 3000);
      if (random_.next() % large_one_in_ == 0) size = 70'000 + static_cast<uint32_t>(random_.next() % 300'000);
      const TestBatch batch = make_batch(sent_ % 5, sent_, size);
      const auto appended = wal_->append(batch.info, batch.bytes);
      appended_.push_back({appended.chunk, batch.info, {batch.bytes.data, batch.bytes.data + size}});
      ++sent_;
    }
    if (sent_ == total_ && wal_->idle() && !done_) {
      done_ = true;
      finished_.set_value();
    }
  }

  runtime::Loop& loop_;
  std::unique_ptr<LocalWal> wal_;
  const int total_;
  const uint32_t large_one_in_;
  testing::SeededRandom random_{5};
  std::promise<void> finished_;
  bool done_ = false;
  int sent_ = 0;
  ChunkNumber released_ = 0;
  std::vector<ReplayedBatch> appended_;
};

class WalRealDisk : public ::testing::TestWithParam<FlushEngineKind> {};

TEST_P(WalRealDisk, TwoSessionsUnderLoadReadBack) {
  testing::TempDir folder;
  const std::string directory = folder / "wal/0";
  std::vector<WalSession> rows;
  std::vector<ReplayedBatch> before;
  WalReplayResult replayed;
  for (uint64_t incarnation = 1; incarnation <= 2; ++incarnation) {
    runtime::RealRuntime real({.loops = 1, .pool_threads = 2, .flush_engine = GetParam()});
    LocalWalOptions options;
    options.directory = directory;
    options.incarnation = incarnation;
    options.file_bytes = 4 << 20;
    options.first_file_bytes = 2 << 20;
    options.first_chunk = replayed.next_chunk;
    options.next_generation = replayed.next_generation;
    options.earlier = replayed.files;
    options.leftovers = replayed.leftovers;
    rows.push_back({0, incarnation, replayed.next_chunk, 0, false});
    WalLoad load(real, LocalWal::create(*real.runtime().files, real.loop(0), *real.runtime().pool, options), 1500, 40);
    real.run();
    load.run();
    load.destroy();
    real.stop();

    CollectingVisitor seen;
    auto result = replay_wal(*real.runtime().files, directory, 0, rows, seen);
    ASSERT_TRUE(result) << result.error().message;
    replayed = std::move(*result);
    EXPECT_TRUE(seen.corruptions.empty());
    EXPECT_EQ(replayed.torn_bytes, 0u);
    EXPECT_TRUE(replayed.unknown_files.empty());
    before.insert(before.end(), load.appended().begin(), load.appended().end());
    ASSERT_FALSE(seen.batches.empty());
    ASSERT_LE(seen.batches.size(), before.size());
    EXPECT_TRUE(std::equal(seen.batches.rbegin(), seen.batches.rend(), before.rbegin()));
    const size_t missing = before.size() - seen.batches.size();
    EXPECT_TRUE(missing == 0 || before[missing - 1].chunk <= load.released());
    rows.back().sealed = true;
    rows.back().last_chunk = replayed.sessions.back().end_chunk;
  }
}

// How fast chunks go out; printed, not asserted.
TEST_P(WalRealDisk, Throughput) {
  testing::TempDir folder;
  runtime::RealRuntime real({.loops = 1, .pool_threads = 2, .flush_engine = GetParam()});
  LocalWalOptions options;
  options.directory = folder / "wal/0";
  options.incarnation = 1;
  WalLoad load(real, LocalWal::create(*real.runtime().files, real.loop(0), *real.runtime().pool, options), 1000, 2);
  real.run();
  const auto start = std::chrono::steady_clock::now();
  load.run();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const LocalWal& wal = load.wal();  // nothing is under way any more
  std::printf("  %.0f MB in %llu flushes at %.0f MB/s; flush p50 %.3f ms, p99 %.3f ms\n",
              static_cast<double>(wal.measures().written_bytes) / 1e6, static_cast<unsigned long long>(wal.flushes()),
              static_cast<double>(wal.measures().written_bytes) / 1e6 / seconds,
              static_cast<double>(wal.measures().flushes.percentile_ns(0.5)) / 1e6,
              static_cast<double>(wal.measures().flushes.percentile_ns(0.99)) / 1e6);
  load.destroy();
  real.stop();
}

INSTANTIATE_TEST_SUITE_P(Engines, WalRealDisk, ::testing::Values(FlushEngineKind::kThread, FlushEngineKind::kIoUring),
                         [](const auto& kind) { return kind.param == FlushEngineKind::kThread ? "Thread" : "IoUring"; });

}  // namespace
}  // namespace weir::storage
