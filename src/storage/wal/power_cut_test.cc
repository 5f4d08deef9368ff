// Ends the process at every write of the log, by power cut and by kill, over several lives. Everything reported durable must be
// left, all that is left must be a prefix of the appends, and there must be no false alarm.
#include <gtest/gtest.h>

#include <algorithm>

#include "storage/wal/wal_fixture.h"

namespace weir::storage {
namespace {

using testing::Death;

struct Lives {
  explicit Lives(uint64_t seed, bool flush_to_device) : world(seed), random(seed * 77 + 1), to_device(flush_to_device) {}

  // One life. It ends at its `cut`-th disk operation, or when its work is done.
  void live(uint64_t cut, Death death) {
    world.sim.disk().cut_at_write(cut);
    LocalWalOptions options = world.small_files();
    options.flush_to_device = to_device;
    if (world.start(options)) {
      check();
      if (::testing::Test::HasFatalFailure()) return;
      work();
      durable = world.wal->durable();
    }
    world.end(death);
  }

  void work() {
    for (int step = 0; step < 12 && !world.sim.server_died(); ++step) {
      for (uint64_t i = random.next() % 4; i > 0; --i) append();
      switch (random.next() % 4) {
        case 0:
          world.sim.run_for(static_cast<int64_t>(random.next() % 2'000'000));
          break;
        case 1:
          world.sim.run_for(runtime::kSecond);
          break;
        default:
          world.flush();
          break;
      }
      if (random.next() % 4 == 0 && world.wal->durable() > released) {
        released += 1 + random.next() % (world.wal->durable() - released);
        world.wal->release(released);
      }
    }
  }

  void append() {
    uint32_t size = 61 + static_cast<uint32_t>(random.next() % 9'000);
    if (random.next() % 16 == 0) size = 20'000;
    if (random.next() % 64 == 0) size = 100'000;  // more than a file
    world.append(static_cast<int32_t>(random.next() % 3), size);
  }

  // Compares the batches that the start replayed with the appends before it.
  void check() {
    const auto& seen = world.visitor.batches;
    auto& history = world.appended_batches;
    ASSERT_TRUE(world.visitor.corruptions.empty()) << world.visitor.corruptions[0].message;
    ASSERT_TRUE(world.replayed.unknown_files.empty()) << world.replayed.unknown_files[0];
    auto begin = seen.empty() ? std::find_if(history.begin(), history.end(), [&](const auto& b) { return b.chunk > durable; })
                              : std::find(history.begin(), history.end(), seen.front());
    ASSERT_LE(seen.size(), static_cast<size_t>(history.end() - begin));
    ASSERT_TRUE(std::equal(seen.begin(), seen.end(), begin));
    for (auto batch = history.begin(); batch != begin; ++batch) ASSERT_LE(batch->chunk, released);
    const auto end = begin + static_cast<ptrdiff_t>(seen.size());
    for (auto batch = end; batch != history.end(); ++batch) ASSERT_GT(batch->chunk, durable);
    history.erase(end, history.end());
    ASSERT_GT(world.replayed.next_chunk, durable);
    durable = world.replayed.next_chunk - 1;
    // Whole chunks only.
    ASSERT_TRUE(history.empty() || history.back().chunk <= durable);
  }

  WalWorld world;
  testing::SeededRandom random;
  const bool to_device;
  ChunkNumber durable = 0;
  ChunkNumber released = 0;
};

TEST(PowerCut, AtEveryWrite) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    for (uint64_t cut = 1; cut <= 160; ++cut) {
      SCOPED_TRACE(::testing::Message() << "seed " << seed << " cut " << cut);
      Lives lives(seed, true);
      lives.live(cut, Death::kPowerCut);
      lives.live(1 + lives.random.next() % 200, Death::kPowerCut);
      lives.live(1 + lives.random.next() % 30, lives.random.next() % 2 ? Death::kPowerCut : Death::kKill);
      lives.live(0, Death::kPowerCut);
      lives.live(0, Death::kPowerCut);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(PowerCut, DuringRecoveryAgainAndAgain) {
  for (uint64_t seed = 100; seed <= 160; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    Lives lives(seed, true);
    lives.live(0, Death::kPowerCut);
    for (uint64_t cut = 1; cut <= 24; ++cut) lives.live(cut, cut % 3 == 0 ? Death::kKill : Death::kPowerCut);
    lives.live(0, Death::kPowerCut);
    lives.live(0, Death::kPowerCut);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

// A failed write may have written any part of its chunk, all of it included.
TEST(PowerCut, AfterFailedFlushes) {
  for (uint64_t seed = 300; seed <= 400; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    Lives lives(seed, true);
    for (int i = 0; i < 6; ++i) {
      lives.world.sim.disk().inject(
          {.pattern = "*.wal", .operation = testing::DiskOperation::kDurableWriteEnd, .skip = lives.random.next() % 12});
      lives.live(0, lives.random.next() % 2 ? Death::kPowerCut : Death::kKill);
      lives.world.sim.disk().clear_faults();
    }
    if (::testing::Test::HasFatalFailure()) return;
  }
}

// With flush=os everything acknowledged survives the death of the process, but not the death of the machine.
TEST(PowerCut, KillWithoutFlushing) {
  for (uint64_t seed = 200; seed <= 240; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    Lives lives(seed, false);
    for (int i = 0; i < 8; ++i) lives.live(i % 2 ? 0 : 1 + lives.random.next() % 200, Death::kKill);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace weir::storage
