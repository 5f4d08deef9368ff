// Data folders of earlier versions have the times of producers' headers. No record is deleted or hidden by such times, and the
// broker finds out the true ones.
#include "storage/log/segment_time_check_fixture.h"

namespace weir::storage::testing {
namespace {

TEST_F(SegmentTimeCheckTest, NothingIsDeletedOrHiddenAndTheTruthIsFoundOut) {
  for (const CompressionType type : {CompressionType::kNone, CompressionType::kGzip, CompressionType::kSnappy,
                                     CompressionType::kLz4, CompressionType::kZstd}) {
    const int64_t begin = end_;
    segment({batch(now_ - 30, -1, type), batch(now_ - 20, 0, type)});
    segment({batch(now_ - 10, now_ - 12, type), batch(now_, now_ + 1'000'000'000'000, type)});
    ASSERT_EQ(end_, begin + 12);
  }
  as_an_earlier_version_left_it();
  open();
  ASSERT_EQ(segments().size(), 10u);
  retain();
  EXPECT_EQ(partition().log_start_offset(), 0);
  const auto expect_look_ups = [&] {
    EXPECT_EQ(find(now_ - 30), 2);
    EXPECT_EQ(find(now_ - 21), 4);
    EXPECT_EQ(find(now_ - 10), 8);
    EXPECT_EQ(find(now_), 11);
    EXPECT_EQ(find(now_ + 1), -1);
    EXPECT_EQ(find(LogShard::kLargestTimestamp), 11);
  };
  expect_look_ups();
  find_out();
  expect_look_ups();
  for (int start = 0; start < 2; ++start) {
    for (size_t i = 0; i < 10; i += 2) {
      EXPECT_EQ(segments()[i].max_timestamp, now_ - 20);
      EXPECT_EQ(segments()[i].first_timestamp, now_ - 30);
      EXPECT_EQ(segments()[i + 1].max_timestamp, now_);
    }
    const auto times = header_times();
    ASSERT_EQ(times.size(), 20u);
    for (size_t i = 0; i < 20; ++i) EXPECT_EQ(times[i], now_ - 30 + static_cast<int64_t>(i % 4) * 10);
    retain();
    EXPECT_EQ(partition().log_start_offset(), 0);
    restart();
    EXPECT_TRUE(all_known());
  }
}

TEST_F(SegmentTimeCheckTest, SearchesThatReadWaitForEachOtherAndTooManyFail) {
  for (int i = 0; i < 4; ++i) segment({batch(now_ + i, -1, CompressionType::kZstd)});
  as_an_earlier_version_left_it();
  open();
  std::vector<Result<TimestampPosition>> found;
  const size_t most = LogShard::kReadingSearchesMax;
  for (size_t i = 0; i < most + 3; ++i) {
    shards_[0]->find_timestamp(partition(), now_ + static_cast<int64_t>(i), false,
                               [&](auto r) { found.push_back(std::move(r)); });
  }
  ASSERT_EQ(found.size(), 3u);
  for (const auto& each : found) EXPECT_FALSE(each);
  mover_->start();
  wait([&] { return found.size() == most + 3; });
  for (size_t i = 0; i < most; ++i) {
    ASSERT_TRUE(found[3 + i]) << found[3 + i].error().message;
    EXPECT_EQ(found[3 + i]->offset, i < 4 ? static_cast<int64_t>(i) * 3 + 2 : -1);
  }
  EXPECT_EQ(find(now_), 2);
}

TEST_F(SegmentTimeCheckTest, ASegmentWhoseHeadersAreRightStaysAsItIs) {
  segment({batch(now_ - 10, now_ - 10), batch(now_, now_, CompressionType::kZstd)});
  as_an_earlier_version_left_it();
  open();
  const SegmentInfo before = segments()[0];
  find_out();
  EXPECT_EQ(segments()[0].generation, before.generation);
  EXPECT_EQ(segments()[0].max_timestamp, now_);
  store_->maintain_now();
  restart();
  EXPECT_EQ(header_times(), (std::vector<int64_t>{now_ - 10, now_}));
}

TEST_F(SegmentTimeCheckTest, WhatIsOldExpiresOnceItIsKnownToBe) {
  segment({batch(now_ - 7'200'000, now_)});
  segment({batch(now_, now_)});
  as_an_earlier_version_left_it();
  open();
  find_out();
  retain();
  EXPECT_EQ(partition().log_start_offset(), 3);
}

TEST_F(SegmentTimeCheckTest, RecordsWithoutATimeAreAsOldAsTheFile) {
  const auto without = [&] {
    auto made = make_batch(id_, {.base_offset = end_, .records = 1, .timestamp = -1});
    ++end_;
    return made;
  };
  segment({without()});
  segment({without()});
  as_an_earlier_version_left_it();
  open();
  sim_.run_for((config_.retention_ms + 1000) * runtime::kMillisecond);
  retain();
  EXPECT_EQ(partition().log_start_offset(), 0);
  find_out();  // when they came is not known any more: as of now
  retain();
  EXPECT_EQ(partition().log_start_offset(), 0);
  sim_.run_for((config_.retention_ms + 1000) * runtime::kMillisecond);
  retain();
  EXPECT_EQ(partition().log_start_offset(), 2);
}

TEST_F(SegmentTimeCheckTest, RecordsWithoutATimeAreAsOldAsTheirAppendOverRestartsCheckpointsAndCompaction) {
  config_.cleanup_compact = true;
  config_.segment_ms = 60'000;
  open();
  const int64_t minutes = 60 * runtime::kSecond;
  append(-1);
  EXPECT_EQ(find(LogShard::kLargestTimestamp), 0);
  restart();
  sim_.run_for(20 * minutes);
  append(-1);
  restart();
  sim_.run_for(20 * minutes);
  append(-1);
  retain();  // checkpoints as well
  ASSERT_EQ(segments().size(), 3u);
  EXPECT_EQ(find(LogShard::kLargestTimestamp), 0);  // the first, as in Kafka
  EXPECT_EQ(find(0), -1);
  EXPECT_LT(segments()[0].modified_ms - now_, 60'000);
  EXPECT_LT(segments()[1].modified_ms - now_, 21 * 60'000);
  EXPECT_EQ(partition().log_start_offset(), 0);
  clean();
  ASSERT_EQ(segments().size(), 2u);  // the newer of the two that became one counts, as in Kafka
  EXPECT_LT(segments()[0].modified_ms - now_, 21 * 60'000);
  sim_.run_for(30 * minutes);
  restart();
  retain();
  EXPECT_EQ(partition().log_start_offset(), 0);
  sim_.run_for(20 * minutes);
  retain();
  EXPECT_EQ(partition().log_start_offset(), 2);
  sim_.run_for(20 * minutes);
  retain();
  EXPECT_EQ(partition().log_start_offset(), 3);
}

TEST_F(SegmentTimeCheckTest, AnEarlierVersionsTailIsMendedAtTheStart) {
  open();
  append(now_);
  append(now_ + 5);
  append(-1);
  sim_.end_server(Death::kKill);
  close();
  write_ahead_log_of_an_earlier_version(now_ - 1'000'000'000);
  sim_.start_server();
  open();
  EXPECT_EQ(find(now_), 0);
  EXPECT_EQ(find(now_ + 1), 1);
  EXPECT_EQ(find(LogShard::kLargestTimestamp), 1);
  retain();
  EXPECT_EQ(partition().log_start_offset(), 0);
  EXPECT_TRUE(all_known());
  EXPECT_EQ(header_times(), (std::vector<int64_t>{now_, now_ + 5, -1}));
}

TEST_F(SegmentTimeCheckTest, APowerCutAtAnyWriteLosesNothing) {
  segment({batch(now_ - 30, -1), batch(now_ - 20, 0, CompressionType::kZstd)});
  segment({batch(now_ - 10, now_ - 10)});
  segment({batch(now_, now_ - 12)});
  as_an_earlier_version_left_it();
  open();
  int cuts = 0;
  for (uint64_t writes = 1; !all_known(); ++writes) {
    sim_.disk().cut_at_write(writes);
    mover_->start();
    const auto stop = sim_.run_until([&] { return all_known(); }, 600 * runtime::kSecond);
    if (stop == SimRuntime::Stop::kDone) break;
    ASSERT_EQ(stop, SimRuntime::Stop::kDied);
    ++cuts;
    restart(Death::kPowerCut);
    retain();
    ASSERT_EQ(partition().log_start_offset(), 0) << writes;
    ASSERT_EQ(find(now_ - 30), 2) << writes;
    ASSERT_EQ(find(now_ - 20), 5) << writes;
    ASSERT_EQ(find(now_ - 10), 8) << writes;
    ASSERT_EQ(find(now_), 11) << writes;
  }
  EXPECT_GE(cuts, 4);
  restart(Death::kPowerCut);
  EXPECT_TRUE(all_known());
  EXPECT_EQ(header_times(), (std::vector<int64_t>{now_ - 30, now_ - 20, now_ - 10, now_}));
}

TEST_F(SegmentTimeCheckTest, ALookUpGoesThroughManySegments) {
  for (int i = 0; i < 40; ++i) segment({batch(now_ + i, -1)});
  as_an_earlier_version_left_it();
  open();
  EXPECT_EQ(find(now_ + 39), 119);
  EXPECT_EQ(find(now_ + 40), -1);
  EXPECT_EQ(find(LogShard::kLargestTimestamp), 119);
}

TEST_F(SegmentTimeCheckTest, NewRecordsGoToASegmentOfTheirOwnMeanwhile) {
  segment({batch(now_, -1)});
  as_an_earlier_version_left_it();
  open();
  append(now_ + 1);
  retain();
  ASSERT_EQ(segments().size(), 2u);
  find_out();
  EXPECT_EQ(header_times(), (std::vector<int64_t>{now_, now_ + 1}));
}

}  // namespace
}  // namespace weir::storage::testing
