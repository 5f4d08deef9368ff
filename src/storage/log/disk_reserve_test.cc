#include "storage/log/disk_reserve.h"

#include <gtest/gtest.h>

#include <vector>

#include "testing/manual_loop.h"

namespace weir::storage {
namespace {

constexpr uint64_t kMiB = 1 << 20;

class DiskReserveTest : public ::testing::Test {
 protected:
  DiskReserveTest() {
    EXPECT_TRUE(world_.files().create_directories("/data"));
    world_.disk().set_size_limit(1000 * kMiB);
  }
  void start(uint64_t reserve = 80 * kMiB) {
    reserve_.reset();
    reserve_ = std::make_unique<DiskReserve>(world_.sim().runtime(), world_.loop(),
                                             DiskReserveOptions{.folder = "/data", .reserve_bytes = reserve},
                                             [this](bool full) { changes_.push_back(full); });
    reserve_->start();
    look();
  }
  void look() { world_.advance(1100 * runtime::kMillisecond); }
  // Other files take all space but `left`.
  void fill_to(uint64_t left) {
    const uint64_t free = world_.files().free_bytes("/data").value();
    ASSERT_GE(free, left);
    auto file = world_.files().open("/filler." + std::to_string(fillers_++), {.write = true, .create = true});
    ASSERT_TRUE(file && (*file)->allocate(free - left));
    look();
  }
  void make_room() {
    while (fillers_ > 0) ASSERT_TRUE(world_.files().remove("/filler." + std::to_string(--fillers_)));
    look();
  }

  weir::testing::ManualLoop world_;
  std::unique_ptr<DiskReserve> reserve_;
  std::vector<bool> changes_;
  int fillers_ = 0;
};

TEST_F(DiskReserveTest, SetsSpaceAside) {
  start();
  EXPECT_EQ(reserve_->state().reserved_bytes, 80 * kMiB);
  EXPECT_EQ(world_.files().free_bytes("/data").value(), 920 * kMiB);
  EXPECT_FALSE(reserve_->state().full);
  EXPECT_TRUE(changes_.empty());
}

TEST_F(DiskReserveTest, OnASmallDiskATenth) {
  start(500 * kMiB);
  EXPECT_EQ(reserve_->state().reserved_bytes, 100 * kMiB);
}

TEST_F(DiskReserveTest, TheNextRunTakesItsFilesOver) {
  start();
  start();
  EXPECT_EQ(world_.files().free_bytes("/data").value(), 920 * kMiB);
}

TEST_F(DiskReserveTest, ARestartOnAFullDiskKeepsIt) {
  start();
  fill_to(6 * kMiB);
  start();
  EXPECT_EQ(reserve_->state().reserved_bytes, 80 * kMiB);
  EXPECT_TRUE(reserve_->state().full);
}

TEST_F(DiskReserveTest, FilesThatASparseCopyMadeHolesOfAreMadeAnew) {
  start();
  for (const char* file : {"/data/reserve.0", "/data/reserve.1"}) world_.disk().make_hole(file);
  ASSERT_EQ(world_.files().free_bytes("/data").value(), 1000 * kMiB);
  start();
  EXPECT_EQ(reserve_->state().reserved_bytes, 80 * kMiB);
  EXPECT_EQ(world_.files().free_bytes("/data").value(), 920 * kMiB);
}

TEST_F(DiskReserveTest, WhatIsAHoleIsNotTold) {
  start();
  for (const char* file : {"/data/reserve.0", "/data/reserve.1"}) world_.disk().make_hole(file);
  look();
  EXPECT_EQ(reserve_->state().reserved_bytes, 0u);
  fill_to(30 * kMiB);
  start();
  EXPECT_EQ(reserve_->state().reserved_bytes, 0u) << "there is no room for it";
}

TEST_F(DiskReserveTest, ASmallerReserveOrNoneReplacesIt) {
  start();
  start(40 * kMiB);
  EXPECT_EQ(world_.files().free_bytes("/data").value(), 960 * kMiB);
  start(0);
  EXPECT_EQ(world_.files().free_bytes("/data").value(), 1000 * kMiB);
  EXPECT_FALSE(reserve_->state().full);
}

TEST_F(DiskReserveTest, ClosesBelowTheLowMarkAndReleasesStepByStep) {
  start();  // low mark 20 MiB, released below 5
  fill_to(19 * kMiB);
  EXPECT_EQ(changes_, std::vector<bool>{true});
  EXPECT_EQ(reserve_->state().reserved_bytes, 80 * kMiB);
  fill_to(4 * kMiB);
  EXPECT_EQ(reserve_->state().reserved_bytes, 40 * kMiB);
  EXPECT_EQ(reserve_->state().free_bytes, 44 * kMiB);
  look();
  EXPECT_EQ(reserve_->state().reserved_bytes, 40 * kMiB);  // enough for now
  EXPECT_TRUE(reserve_->state().full);
  fill_to(0);
  EXPECT_EQ(reserve_->state().reserved_bytes, 0u);
  EXPECT_EQ(reserve_->state().free_bytes, 40 * kMiB);
  EXPECT_EQ(changes_, std::vector<bool>{true});
}

TEST_F(DiskReserveTest, OpensByItselfOnceTheReserveFitsAgain) {
  start();
  fill_to(3 * kMiB);
  fill_to(3 * kMiB);
  ASSERT_EQ(reserve_->state().reserved_bytes, 0u);
  make_room();
  EXPECT_EQ(changes_, (std::vector<bool>{true, false}));
  EXPECT_EQ(reserve_->state().reserved_bytes, 80 * kMiB);
}

TEST_F(DiskReserveTest, AStartOnAFullDisk) {
  fill_to(0);
  start();
  EXPECT_TRUE(reserve_->state().full);
  make_room();
  EXPECT_EQ(changes_, (std::vector<bool>{true, false}));
}

TEST_F(DiskReserveTest, AStartOnAFullDiskGetsItsReserveOnceThereIsRoom) {
  const auto leave = [&](uint64_t bytes) {
    while (fillers_ > 0) ASSERT_TRUE(world_.files().remove("/filler." + std::to_string(--fillers_)));
    fill_to(bytes);
  };
  leave(0);
  start();
  EXPECT_TRUE(reserve_->state().full);
  leave(30 * kMiB);  // a tenth of it would help nobody
  EXPECT_TRUE(reserve_->state().full);
  EXPECT_EQ(reserve_->state().reserved_bytes, 0u);
  leave(100 * kMiB);
  EXPECT_FALSE(reserve_->state().full);
  EXPECT_EQ(reserve_->state().reserved_bytes, 10 * kMiB);
  leave(120 * kMiB);  // not for every bit of space
  EXPECT_EQ(reserve_->state().reserved_bytes, 10 * kMiB);
  make_room();
  EXPECT_EQ(reserve_->state().reserved_bytes, 80 * kMiB);
  EXPECT_EQ(world_.files().free_bytes("/data").value(), 920 * kMiB);
  EXPECT_EQ(changes_, (std::vector<bool>{true, false}));
}

TEST_F(DiskReserveTest, BeforeTheStartItOnlyLooks) {
  const auto full = [&] {
    DiskReserve reserve(world_.sim().runtime(), world_.loop(), {.folder = "/data", .reserve_bytes = 80 * kMiB}, [](bool) {});
    return reserve.full_before_start();
  };
  EXPECT_FALSE(full());
  EXPECT_EQ(world_.files().free_bytes("/data").value(), 1000 * kMiB);
  fill_to(3 * kMiB);
  EXPECT_TRUE(full());
  make_room();
  start();
  fill_to(30 * kMiB);
  EXPECT_FALSE(full()) << "the reserve of the last run is there";
  fill_to(10 * kMiB);
  EXPECT_TRUE(full());
  EXPECT_EQ(reserve_->state().reserved_bytes, 80 * kMiB);
}

TEST_F(DiskReserveTest, WhatWasFullBeforeTheStartIsToldToHaveRoom) {
  fill_to(3 * kMiB);
  reserve_ = std::make_unique<DiskReserve>(world_.sim().runtime(), world_.loop(),
                                           DiskReserveOptions{.folder = "/data", .reserve_bytes = 80 * kMiB},
                                           [this](bool full) { changes_.push_back(full); });
  ASSERT_TRUE(reserve_->full_before_start());
  make_room();  // before the first look
  EXPECT_TRUE(changes_.empty());
  reserve_->start();
  look();
  EXPECT_EQ(changes_, std::vector<bool>{false});
  EXPECT_EQ(reserve_->state().reserved_bytes, 80 * kMiB);
}

TEST_F(DiskReserveTest, DestroyedWhileThePoolLooks) {
  start();
  world_.advance(runtime::kSecond - 100 * runtime::kMillisecond);  // the next look is under way or about to be
  reserve_.reset();
  look();
  EXPECT_TRUE(changes_.empty());
}

}  // namespace
}  // namespace weir::storage
