// Data folders of earlier versions, whose times are what producers' headers said: nothing is deleted or hidden for them, and
// the broker finds out the true ones.
#include "storage/log/segment_time_check.h"

#include <gtest/gtest.h>

#include <string>

#include "base/log.h"
#include "protocol/compression.h"
#include "storage/log/log_dir_mover.h"
#include "storage/log/log_recovery.h"
#include "storage/segment/local_segment_store.h"
#include "storage/segment/segment_names.h"
#include "storage/segment/test_batches.h"
#include "storage/sqlite/database.h"
#include "testing/sim_runtime.h"

namespace weir::storage::testing {
namespace {

using protocol::BatchHeader;
using protocol::CompressionType;
using weir::testing::Death;
using weir::testing::SimRuntime;

class SegmentTimeCheckTest : public ::testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::kError);
    ASSERT_TRUE(sim_.disk().create_directories("/log"));
    ASSERT_TRUE(sim_.disk().sync_directory("/"));
    config_.retention_ms = 3'600'000;
    config_.file_delete_delay_ms = 1000;
    now_ = sim_.clock().wall_ms();
    open_store();
  }
  void TearDown() override { set_log_level(LogLevel::kInfo); }

  void open_store() {
    auto store = LocalSegmentStore::open(sim_.disk(), sim_.pool(), sim_.clock(), {.log_dir = "/log"});
    ASSERT_TRUE(store) << store.error().message;
    store_ = std::move(*store);
  }
  // Three records, 1 ms apart, the last one at `timestamp`. The header says `claimed`.
  MergePartition::Batch batch(int64_t timestamp, int64_t claimed, CompressionType type = CompressionType::kNone) {
    auto made = make_batch(id_, {.base_offset = end_, .records = 3, .timestamp = timestamp - 2});
    if (type != CompressionType::kNone) {
      std::vector<uint8_t> out(made.bytes.data, made.bytes.data + BatchHeader::kSize);
      EXPECT_TRUE(protocol::compress(type, made.bytes.bytes().subspan(BatchHeader::kSize), out));
      BatchHeader header = BatchHeader::parse(out.data());
      header.attributes = made.facts.attributes = static_cast<int16_t>(type);
      header.batch_length = static_cast<int32_t>(out.size() - BatchHeader::kLengthEnd);
      header.store(out.data());
      protocol::patch_crc(out);
      made.bytes = Slice::copy_of(out);
      made.facts.size = static_cast<uint32_t>(out.size());
    }
    protocol::patch_timestamps({made.bytes.owner.data(), made.bytes.size}, false, claimed);
    made.facts.max_timestamp = claimed;
    end_ += 3;
    return made;
  }
  // Merges them into a segment of their own, as earlier versions did: with the header's times.
  void segment(std::vector<MergePartition::Batch> batches) {
    ASSERT_TRUE(store_->load());
    MergePartition merge;
    merge.partition = id_;
    merge.epochs = {{0, 0}};
    uint64_t bytes = 0;
    for (const auto& each : batches) bytes += each.bytes.size;
    merge.segment_bytes = bytes;
    merge.segment_ms = INT64_MAX;
    merge.batches = std::move(batches);
    auto merged = store_->merge_now(merges(std::move(merge)));
    ASSERT_TRUE(merged) << merged.error().message;
  }
  void as_an_earlier_version_left_it() {
    store_.reset();
    auto database = Database::open(sim_.disk(), "/log/manifest.db", {});
    ASSERT_TRUE(database) << database.error().message;
    ASSERT_TRUE((*database)->execute("UPDATE segments SET modified_ms = 0"));
  }
  void open() {
    open_store();
    LogOptions options;
    options.log_dir = "/log";
    auto runtime = sim_.runtime();
    auto opened = open_log(runtime, *store_, options, ++incarnation_,
                           [this](const PartitionId&) { return std::optional(KnownPartition{config_, 0}); });
    ASSERT_TRUE(opened) << opened.error().message;
    shards_ = std::move(opened->shards);
    cleaner_ = std::make_unique<LogCleaner>(sim_.runtime(), std::vector{shards_[0].get()}, *store_, LogCleanerOptions{});
    mover_ = std::make_unique<LogDirMover>(sim_.runtime(), std::vector{shards_[0].get()}, *store_, *cleaner_,
                                           LogDirMoverOptions{.step_bytes = 100});
  }
  void restart() {
    sim_.end_server(Death::kKill);
    mover_.reset();
    cleaner_.reset();
    shards_.clear();
    store_.reset();
    sim_.start_server();
    open();
  }
  Partition& partition() { return *shards_[0]->find(id_); }
  const std::vector<SegmentInfo>& segments() { return partition().manifest().segments; }
  bool all_known() { return std::ranges::all_of(segments(), &SegmentInfo::times_known); }
  void wait(const std::function<bool()>& condition) {
    ASSERT_EQ(sim_.run_until(condition, 600 * runtime::kSecond), SimRuntime::Stop::kDone);
  }
  void find_out() {
    mover_->start();
    wait([&] { return all_known(); });
  }
  void retain() {
    shards_[0]->run_retention();
    bool merged = false;
    shards_[0]->merge_all([&](Result<void>) { merged = true; });
    wait([&] { return merged; });
  }
  int64_t find(int64_t timestamp) {
    std::optional<Result<TimestampPosition>> found;
    shards_[0]->find_timestamp(partition(), timestamp, [&](Result<TimestampPosition> r) { found = std::move(r); });
    sim_.run_until([&] { return found.has_value(); }, 600 * runtime::kSecond);
    EXPECT_TRUE(found && *found);
    return found && *found ? (**found).offset : -2;
  }
  std::vector<int64_t> header_times() {
    std::vector<int64_t> times;
    for (const SegmentInfo& info : segments()) {
      SegmentBatches batches(std::move(*store_->open_segment(id_, info)), "segment", info);
      for (auto next = batches.next(); next && *next; next = batches.next()) {
        BatchHeader header;
        EXPECT_EQ(protocol::check_batch(**next, {}, header), protocol::BatchFault::kNone);
        times.push_back(BatchHeader::parse((*next)->data()).max_timestamp);
      }
    }
    return times;
  }

  SimRuntime sim_{5, {.loops = 1}};
  const PartitionId id_ = partition_id(1);
  LogConfig config_;
  int64_t now_ = 0;
  int64_t end_ = 0;
  uint64_t incarnation_ = 0;
  std::unique_ptr<LocalSegmentStore> store_;
  std::vector<std::unique_ptr<LogShard>> shards_;
  std::unique_ptr<LogCleaner> cleaner_;
  std::unique_ptr<LogDirMover> mover_;
};

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
  };
  expect_look_ups();
  find_out();
  expect_look_ups();
  for (int start = 0; start < 2; ++start) {
    EXPECT_EQ(find(LogShard::kLargestTimestamp), 11);
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
  store_.reset();
  open();
  retain();
  EXPECT_EQ(partition().log_start_offset(), 0);
  sim_.run_for((config_.retention_ms + 1000) * runtime::kMillisecond);
  retain();
  EXPECT_EQ(partition().log_start_offset(), 2);
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

TEST_F(SegmentTimeCheckTest, NewRecordsGoToASegmentOfTheirOwnMeanwhile) {
  segment({batch(now_, -1)});
  as_an_earlier_version_left_it();
  open();
  bool appended = false;
  auto more = make_batch(id_, {.records = 2, .timestamp = now_});
  shards_[0]->append(partition(), more.bytes, true, [&](AppendResult) { appended = true; });
  wait([&] { return appended; });
  retain();
  ASSERT_EQ(segments().size(), 2u);
  find_out();
  EXPECT_EQ(header_times(), (std::vector<int64_t>{now_, now_ + 1}));
}

}  // namespace
}  // namespace weir::storage::testing
