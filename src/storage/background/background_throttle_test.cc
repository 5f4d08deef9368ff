#include "storage/background/background_throttle.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "testing/manual_loop.h"

namespace weir::storage {
namespace {

using runtime::kMillisecond;
using runtime::kSecond;

constexpr int64_t kIdleNs = 100'000;
constexpr double kRate = 400e6;

class BackgroundThrottleTest : public ::testing::Test {
 protected:
  void SetUp() override { throttle_.calibrate(kIdleNs, kRate); }

  // A flush of 4 KiB every millisecond; of each hundred, `slow` take three times the idle value.
  void flush_for(int64_t ns, int slow, BackgroundThrottle* throttle = nullptr) {
    BackgroundThrottle& told = throttle ? *throttle : throttle_;
    for (int64_t i = 0; i < ns / kMillisecond; ++i) {
      world_.advance(kMillisecond);
      told.flushed(static_cast<int>(i % 100) < slow ? 3 * kIdleNs : kIdleNs, 4096);
    }
  }
  // The bytes that a job writes in `ns` on a disk that takes no time, while flushes are as before.
  uint64_t write_for(int64_t ns) {
    uint64_t bytes = 0;
    for (const int64_t end = world_.clock().monotonic_ns() + ns; world_.clock().monotonic_ns() < end;) {
      if (const int64_t wait = throttle_.wait_ns(BackgroundJob::kCheckpoint); wait > 0) {
        world_.advance(wait);
        continue;
      }
      const uint64_t piece = throttle_.piece_bytes();
      const auto took = static_cast<int64_t>(static_cast<double>(piece) / kRate * 1e9);
      world_.advance(took);
      throttle_.wrote(BackgroundJob::kCheckpoint, piece, took);
      bytes += piece;
    }
    return bytes;
  }

  weir::testing::ManualLoop world_;
  BackgroundThrottle throttle_{world_.clock(), world_.loop(), {}};
};

TEST_F(BackgroundThrottleTest, GivesAQuarterOfTheRateWhileTheP99IsAboveTwiceItsIdleValue) {
  flush_for(kSecond, 2);
  EXPECT_TRUE(throttle_.state().holding);
  const double bytes = static_cast<double>(write_for(kSecond));
  EXPECT_LE(bytes, 0.26 * kRate);
  EXPECT_GE(bytes, 0.23 * kRate);
  EXPECT_NEAR(static_cast<double>(throttle_.state().held_ns), 0.75e9, 0.05e9);
}

TEST_F(BackgroundThrottleTest, HoldsNothingBackWhileFlushesAreQuick) {
  flush_for(kSecond, 1);  // the p99 is exactly at the edge
  EXPECT_FALSE(throttle_.state().holding);
  EXPECT_GE(static_cast<double>(write_for(kSecond)), 0.99 * kRate);
  EXPECT_EQ(throttle_.state().held_ns, 0);
}

TEST_F(BackgroundThrottleTest, HoldsNothingBackWithoutFlushesAndBeforeTheDiskIsMeasured) {
  EXPECT_GE(static_cast<double>(write_for(kSecond)), 0.99 * kRate);
  BackgroundThrottle unmeasured(world_.clock(), world_.loop(), {});
  flush_for(kSecond, 100, &unmeasured);
  unmeasured.wrote(BackgroundJob::kCheckpoint, 1 << 30, 0);
  EXPECT_EQ(unmeasured.wait_ns(BackgroundJob::kCheckpoint), 0);
}

TEST_F(BackgroundThrottleTest, ForgetsSlowFlushesAfterSomeSeconds) {
  flush_for(kSecond, 100);
  flush_for(3 * kSecond, 0);
  EXPECT_TRUE(throttle_.state().holding);
  flush_for(2 * kSecond, 0);
  EXPECT_FALSE(throttle_.state().holding);
}

TEST_F(BackgroundThrottleTest, LargeFlushesAreNotSlowOnes) {
  for (int i = 0; i < 1000; ++i) {
    world_.advance(10 * kMillisecond);
    throttle_.flushed(10 * kMillisecond, 4 << 20);  // at the disk's rate
  }
  EXPECT_FALSE(throttle_.state().holding);
}

TEST_F(BackgroundThrottleTest, DirtyBytesNearTheirBoundLiftIt) {
  flush_for(kSecond, 50);
  throttle_.set_pressure(1, 0.625);  // half way from half to three quarters
  const double eased = static_cast<double>(write_for(kSecond / 2));
  EXPECT_NEAR(eased, 0.5 * kRate / 2, 0.03 * kRate);
  throttle_.set_pressure(0, 0.75);
  EXPECT_GE(static_cast<double>(write_for(kSecond / 2)), 0.99 * kRate / 2);
  EXPECT_TRUE(throttle_.state().holding) << "flushes are slow all the same";
  throttle_.set_pressure(0, 0);
  throttle_.set_pressure(1, 0);
  EXPECT_LE(static_cast<double>(write_for(kSecond / 2)), 0.27 * kRate / 2);
}

TEST_F(BackgroundThrottleTest, AJobThatWaitsGoesOnOnceThePressureIsHigh) {
  flush_for(kSecond, 50);
  throttle_.wrote(BackgroundJob::kCheckpoint, 1 << 30, 0);  // to be paid for over ten seconds
  EXPECT_EQ(throttle_.wait_ns(BackgroundJob::kCheckpoint), BackgroundThrottle::kLongestWaitNs);
  throttle_.set_pressure(3, 1);
  EXPECT_EQ(throttle_.wait_ns(BackgroundJob::kCheckpoint), 0);
}

TEST_F(BackgroundThrottleTest, EveryJobGetsOnWhileOthersWriteAllTheyMay) {
  flush_for(kSecond, 50);
  // A checkpoint of pieces and a compaction of steps, both as soon as they may; the checkpoint always asks first.
  uint64_t checkpointed = 0, compacted = 0;
  for (const int64_t end = world_.clock().monotonic_ns() + 3 * kSecond; world_.clock().monotonic_ns() < end;) {
    const auto turn = [&](BackgroundJob job, uint64_t& total, uint64_t bytes) {
      if (throttle_.wait_ns(job) > 0) return;
      throttle_.wrote(job, bytes, 0);
      total += bytes;
    };
    turn(BackgroundJob::kCheckpoint, checkpointed, 256 << 10);
    turn(BackgroundJob::kCompaction, compacted, 1 << 20);
    world_.advance(100'000);
  }
  EXPECT_GT(checkpointed, 100u << 20);
  EXPECT_GT(compacted, 100u << 20);
  EXPECT_LE(static_cast<double>(checkpointed + compacted), 0.26 * kRate * 3);
}

TEST_F(BackgroundThrottleTest, TheIdleValueIsThatOfQuietTimes) {
  for (int i = 0; i < 2000; ++i) {
    world_.advance(kMillisecond);
    throttle_.flushed(300'000, 4096);  // another machine's neighbours, say
  }
  EXPECT_NEAR(static_cast<double>(throttle_.state().idle_flush_ns), 300'000, 300'000 / 8 + 1000);
  flush_for(5 * kSecond, 0);
  EXPECT_FALSE(throttle_.state().holding);
  // The time of flushes beside a checkpoint says nothing about the idle disk.
  const int64_t idle = throttle_.state().idle_flush_ns;
  for (int i = 0; i < 3000; ++i) {
    world_.advance(kMillisecond);
    throttle_.wrote(BackgroundJob::kCheckpoint, 4096, 0);
    throttle_.flushed(5 * kMillisecond, 4096);
  }
  EXPECT_EQ(throttle_.state().idle_flush_ns, idle);
  EXPECT_TRUE(throttle_.state().holding);
}

TEST_F(BackgroundThrottleTest, TheRateFollowsCheckpointsAndHasALeast) {
  throttle_.measured(1000, kSecond);  // too little to tell
  EXPECT_EQ(throttle_.state().bytes_per_second, kRate);
  for (int i = 0; i < 30; ++i) throttle_.measured(100'000'000, kSecond);
  EXPECT_NEAR(throttle_.state().bytes_per_second, 100e6, 1e6);
  for (int i = 0; i < 30; ++i) throttle_.measured(10'000'000, 100 * kSecond);
  EXPECT_EQ(throttle_.state().bytes_per_second, BackgroundThrottle::kLeastRate);
  throttle_.calibrate(kIdleNs, 0);
  EXPECT_EQ(throttle_.state().bytes_per_second, BackgroundThrottle::kAssumedRate);
}

TEST_F(BackgroundThrottleTest, AShareOfOneIsNoLimit) {
  BackgroundThrottle unlimited(world_.clock(), world_.loop(), {.share = 1});
  unlimited.calibrate(kIdleNs, kRate);
  flush_for(kSecond, 100, &unlimited);
  unlimited.wrote(BackgroundJob::kCheckpoint, 1 << 30, 0);
  EXPECT_EQ(unlimited.wait_ns(BackgroundJob::kCheckpoint), 0);
  EXPECT_FALSE(unlimited.state().holding);
}

}  // namespace
}  // namespace weir::storage
