#include "storage/segment/segment_index.h"

#include <gtest/gtest.h>

#include "testing/sim_disk.h"

namespace weir::storage {
namespace {

class SegmentIndexTest : public ::testing::Test {
 protected:
  SegmentIndex load(uint64_t valid_length = 1 << 30, int64_t base_offset = 100) {
    auto index = SegmentIndex::load(disk_, "/i", base_offset, valid_length);
    EXPECT_TRUE(index);
    return std::move(*index);
  }
  void append(std::vector<IndexEntry> entries) { ASSERT_TRUE(SegmentIndex::append(disk_, "/i", 100, entries)); }

  weir::testing::SimDisk disk_{1};
  const std::vector<IndexEntry> entries_ = {{110, 1000, 5}, {120, 2000, 9}, {130, 3000, 9}};
};

TEST_F(SegmentIndexTest, FindsTheEntryBefore) {
  append({entries_[0]});
  append({entries_[1], entries_[2]});
  const SegmentIndex index = load();
  ASSERT_EQ(index.entries(), entries_);
  EXPECT_EQ(index.before_offset(109), nullptr);
  EXPECT_EQ(index.before_offset(110)->position, 1000u);
  EXPECT_EQ(index.before_offset(129)->position, 2000u);
  EXPECT_EQ(index.before_offset(1000)->position, 3000u);
  EXPECT_EQ(index.before_position(999), nullptr);
  EXPECT_EQ(index.before_position(2000)->base_offset, 120);
  EXPECT_EQ(index.before_timestamp(5), nullptr);  // 5 may lie before the first entry
  EXPECT_EQ(index.before_timestamp(6)->position, 1000u);
  EXPECT_EQ(index.before_timestamp(10)->position, 3000u);
}

TEST_F(SegmentIndexTest, DamagedEntriesAreLeftOut) {
  append(entries_);
  disk_.flip_bits("/i", SegmentIndex::kHeaderBytes + SegmentIndex::kEntryBytes + 7, 0x10);
  EXPECT_EQ(load().entries(), (std::vector{entries_[0], entries_[2]}));
}

TEST_F(SegmentIndexTest, ATornEndIsWrittenOver) {
  append({entries_[0], entries_[1]});
  disk_.truncate_raw("/i", SegmentIndex::kHeaderBytes + SegmentIndex::kEntryBytes + 11);
  EXPECT_EQ(load().entries(), (std::vector{entries_[0]}));
  append({entries_[2]});
  EXPECT_EQ(load().entries(), (std::vector{entries_[0], entries_[2]}));
}

TEST_F(SegmentIndexTest, OnlyEntriesOfThisSegmentBelowItsLengthCount) {
  append(entries_);
  EXPECT_EQ(load(2500).entries().size(), 2u);
  EXPECT_TRUE(load(1 << 30, 101).entries().empty());
}

TEST_F(SegmentIndexTest, EntriesThatDoNotAscendAreLeftOut) {
  append({entries_[1], entries_[0], {115, 5000, 9}, {140, 1500, 9}, entries_[2]});
  EXPECT_EQ(load().entries(), (std::vector{entries_[1], entries_[2]}));
}

TEST_F(SegmentIndexTest, NoFileOrAnEmptyOneIsNoIndex) {
  EXPECT_TRUE(load().entries().empty());
  ASSERT_TRUE(disk_.open("/i", {.write = true, .create = true}));
  EXPECT_TRUE(load().entries().empty());
  append(entries_);
  EXPECT_EQ(load().entries(), entries_);
}

}  // namespace
}  // namespace weir::storage
