// Segments whose times are not known and that are damaged, or cannot be written anew because the disk is full.
#include "storage/log/segment_time_check_fixture.h"

namespace weir::storage::testing {
namespace {

// A rewrite must not make damage look whole.
TEST_F(SegmentTimeCheckTest, ADamagedBatchKeepsItsChecksum) {
  auto intact = batch(now_ - 10, -1);
  auto damaged = batch(now_, -1);
  damaged.bytes.owner.data()[damaged.bytes.size - 2] ^= 1;
  segment({std::move(intact), std::move(damaged)});
  as_an_earlier_version_left_it();
  open();
  const uint32_t generation = segments()[0].generation;
  find_out();
  ASSERT_NE(segments()[0].generation, generation);
  SegmentBatches batches(std::move(*store_->open_segment(id_, segments()[0])), "segment", segments()[0]);
  for (const auto expected : {protocol::BatchFault::kNone, protocol::BatchFault::kBadCrc}) {
    auto next = batches.next();
    ASSERT_TRUE(next && *next);
    BatchHeader header;
    EXPECT_EQ(protocol::check_batch(**next, {}, header), expected);
  }
}

TEST_F(SegmentTimeCheckTest, WhatCannotBeReadIsKept) {
  segment({batch(now_, -1), batch(now_, -1)});
  const std::string path = "/log/" + partition_folder_name(id_) + "/" + segment_file_name(0, 0);
  as_an_earlier_version_left_it();
  {
    auto file = sim_.disk().open(path, {.write = true});
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->write_at(BatchHeader::kMagicOffset, Bytes(std::vector<uint8_t>{9})));
  }
  open();
  mover_->start();
  sim_.run_for(100 * runtime::kSecond);
  EXPECT_FALSE(all_known());
  EXPECT_FALSE(partition().offline()) << partition().offline_reason();
  EXPECT_GE(mover_->stats().failures, 1u);
  retain();
  EXPECT_EQ(partition().log_start_offset(), 0);
}

// A damaged old segment must not keep all later segments for good, nor go unnoticed.
TEST_F(SegmentTimeCheckTest, ADamagedSegmentIsToldOfAndExpiresAsOldAsTheFirstLook) {
  segment({batch(now_ - 9'000'000, now_), batch(now_ - 9'000'000, now_)});
  segment({batch(now_ - 9'000'000, now_)});
  segment({batch(now_ + 8'000'000, now_ - 9'000'000)});
  damage(0, batch_bytes_ + BatchHeader::kMagicOffset);
  as_an_earlier_version_left_it();
  open();
  start_and_wait_for_ages();
  EXPECT_FALSE(segments()[0].times_known);
  EXPECT_TRUE(segments()[1].times_known && segments()[2].times_known) << "what follows is looked at";
  ASSERT_EQ(shards_[0]->unreadable_segments(), 1u);
  EXPECT_NE(shards_[0]->list_unreadable()[0].reason.find(segment_file_name(0, 0)), std::string::npos)
      << shards_[0]->list_unreadable()[0].reason;
  sim_.run_for(2'000 * runtime::kSecond);
  retain();
  EXPECT_EQ(partition().log_start_offset(), 0);
  restart();  // a later look does not make it younger
  mover_->start();
  wait([&] { return shards_[0]->unreadable_segments() == 1; });
  sim_.run_for(1'500 * runtime::kSecond);
  retain();
  EXPECT_EQ(partition().log_start_offset(), 0);
  sim_.run_for(200 * runtime::kSecond);
  retain();
  EXPECT_EQ(partition().log_start_offset(), 9);
  EXPECT_EQ(shards_[0]->unreadable_segments(), 0u);
}

// Kafka takes the time of the file if a segment has no time. Imports have that time.
TEST_F(SegmentTimeCheckTest, AnImportedSegmentThatIsDamagedIsAsOldAsItsFileOrWhatCanBeReadOfIt) {
  segment({batch(now_ - 9'000'000, now_), batch(now_, now_)});
  segment({batch(now_ - 10, now_ - 10), batch(now_ - 9'000'000, now_)});
  segment({batch(now_, now_)});
  damage(0, batch_bytes_ + BatchHeader::kMagicOffset);
  damage(6, batch_bytes_ + BatchHeader::kMagicOffset);
  as_it_was_imported(now_ - 8'000'000);
  open();
  start_and_wait_for_ages();
  EXPECT_EQ(shards_[0]->unreadable_segments(), 2u);
  retain();
  EXPECT_EQ(partition().log_start_offset(), 6);
  EXPECT_EQ(shards_[0]->unreadable_segments(), 1u);
  shards_[0]->drop(id_);
  EXPECT_EQ(shards_[0]->unreadable_segments(), 0u);
}

TEST_F(SegmentTimeCheckTest, WhatTheDiskDoesNotGiveAgainAndAgainHoldsUpNoOthers) {
  segment({batch(now_ - 9'000'000, now_)});
  segment({batch(now_ - 9'000'000, now_)});
  as_an_earlier_version_left_it();
  open();
  ASSERT_TRUE(sim_.disk().remove(path(0)));
  mover_->start();
  sim_.run_for(runtime::kSecond);
  EXPECT_EQ(shards_[0]->unreadable_segments(), 0u) << "once is no more than bad luck";
  start_and_wait_for_ages();
  EXPECT_EQ(shards_[0]->unreadable_segments(), 1u);
  EXPECT_TRUE(segments()[1].times_known);
  EXPECT_EQ(mover_->stats().failures, 3u);
}

// Work that frees a full disk must not wait for space.
TEST_F(SegmentTimeCheckTest, AFullDiskIsFreedByAgeThoughNothingCanBeWrittenAnew) {
  segment({batch(now_ - 9'000'000, now_ - 9'000'000)});
  segment({batch(now_ - 9'000'000, now_)});
  segment({batch(now_, now_ - 9'000'000)});
  as_an_earlier_version_left_it();
  open();
  shards_[0]->set_disk_full(true);
  start_and_wait_for_ages();
  EXPECT_TRUE(std::ranges::all_of(segments(), [](const SegmentInfo& info) { return info.generation == 0; }));
  EXPECT_TRUE(segments()[0].times_known);
  EXPECT_FALSE(segments()[1].times_known || segments()[2].times_known) << "their headers still lie";
  EXPECT_EQ(find(now_), 8);
  retain();
  EXPECT_EQ(partition().log_start_offset(), 6);
  restart();
  EXPECT_TRUE(segments()[0].age_known);
  shards_[0]->set_disk_full(true);
  mover_->start();
  sim_.run_for(100 * runtime::kSecond);
  EXPECT_FALSE(all_known());
  shards_[0]->set_disk_full(false);
  wait([&] { return all_known(); });
  EXPECT_EQ(header_times(), (std::vector<int64_t>{now_}));
}

TEST_F(SegmentTimeCheckTest, WithoutRoomForARewriteAtLeastTheAgeIsFoundOut) {
  segment({batch(now_ - 9'000'000, now_)});
  segment({batch(now_, now_)});
  as_an_earlier_version_left_it();
  open();
  sim_.disk().inject(
      {.pattern = "*.log", .operation = weir::testing::DiskOperation::kCreate, .times = 1'000, .os_errno = ENOSPC});
  start_and_wait_for_ages();
  retain();
  EXPECT_EQ(partition().log_start_offset(), 3);
}

}  // namespace
}  // namespace weir::storage::testing
