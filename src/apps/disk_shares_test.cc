#include "apps/disk_shares.h"

#include <gtest/gtest.h>

namespace weir::apps {
namespace {

constexpr uint64_t kMiB = 1 << 20, kGiB = 1 << 30;

TEST(DiskShares, ALargeDiskGivesWhatMemoryAllows) {
  EXPECT_EQ(default_dirty_bytes(256 * kMiB, 900 * kGiB, 1000 * kGiB), 256 * kMiB);
  EXPECT_EQ(default_reserve_bytes(256 * kMiB, 1000 * kGiB), 512 * kMiB);
  EXPECT_EQ(default_reserve_bytes(64 * kMiB, 1000 * kGiB), 256 * kMiB);
}

TEST(DiskShares, ASmallDiskGivesAHundredth) {
  const uint64_t dirty = default_dirty_bytes(256 * kMiB, 9 * kGiB, 10 * kGiB);
  EXPECT_EQ(dirty, 10 * kGiB / 200);
  EXPECT_LE(default_reserve_bytes(dirty, 10 * kGiB), 10 * kGiB / 100);
}

TEST(DiskShares, TheReserveIsNeverBelowWhatCheckpointsNeed) {
  for (uint64_t total = kGiB / 16; total < 4000 * kGiB; total *= 2) {
    for (const uint64_t dirty : {8 * kMiB, 64 * kMiB, 512 * kMiB}) EXPECT_GE(default_reserve_bytes(dirty, total), 2 * dirty);
  }
}

}  // namespace
}  // namespace weir::apps
