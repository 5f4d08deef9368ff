#include "storage/compaction/partition_cleaning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/compaction/compaction_fixture.h"
#include "testing/peak_memory.h"

namespace weir::storage::testing {
namespace {

using protocol::CompressionType;
using ::testing::ElementsAre;

class PartitionCleaningTest : public CompactionTest {};

TEST_F(PartitionCleaningTest, TheNewestRecordOfEachKeyStays) {
  segment({{.records = {{"a", "1"}, {"b", "1"}, {"a", "2"}}}, {.records = {{"c", "1"}, {"a", "3"}}}});
  segment({{.records = {{"b", "2"}}}});
  active();
  clean();
  EXPECT_EQ(text(), "3:c=1 4:a=3 5:b=2 6:active=x");
  EXPECT_EQ(manifest_.first_dirty_offset, 6);
  EXPECT_EQ(manifest_.end_offset, 7);
  EXPECT_EQ(manifest_.segments.size(), 2u);
  open();
  EXPECT_EQ(text(), "3:c=1 4:a=3 5:b=2 6:active=x");
  EXPECT_EQ(manifest_.first_dirty_offset, 6);
}

TEST_F(PartitionCleaningTest, TheActiveSegmentIsNotTouchedAndNotMapped) {
  put("a", "1");
  segment({{.records = {{"a", "2"}, {"a", "3"}}}});
  clean();
  EXPECT_EQ(text(), "0:a=1 1:a=2 2:a=3");
  put("b", "1");
  clean();
  EXPECT_EQ(text(), "2:a=3 3:b=1");
}

TEST_F(PartitionCleaningTest, OffsetsLastDeltaAndSequenceSurvive) {
  segment({{.records = {{"a", "1", 10}, {"b", "1", 11}, {"c", "1", 12}},
            .producer_id = 5,
            .producer_epoch = 2,
            .base_sequence = 40}});
  put("a", "2");
  put("c", "2");
  active();
  clean();
  const auto all = batches();
  ASSERT_GE(all.size(), 1u);
  EXPECT_EQ(all[0].base_offset, 0);
  EXPECT_EQ(all[0].last_offset_delta, 2);
  EXPECT_EQ(all[0].record_count, 1);
  EXPECT_EQ(all[0].producer_id, 5);
  EXPECT_EQ(all[0].producer_epoch, 2);
  EXPECT_EQ(all[0].base_sequence, 40);
  EXPECT_EQ(all[0].last_sequence(), 42);
  EXPECT_EQ(all[0].partition_leader_epoch, 3);
  EXPECT_EQ(all[0].base_timestamp, 11);
  EXPECT_EQ(all[0].max_timestamp, 11);
  EXPECT_FALSE(all[0].delete_horizon());
  EXPECT_EQ(read()[0].timestamp, 11);
}

TEST_F(PartitionCleaningTest, ABatchThatKeepsAllItsRecordsIsCopiedByteForByte) {
  for (const auto type : {CompressionType::kNone, CompressionType::kGzip, CompressionType::kSnappy, CompressionType::kLz4,
                          CompressionType::kZstd}) {
    segment(
        {{.records = {{"k" + std::to_string(static_cast<int>(type)), std::string(300, 'v')}, {"x", "1"}}, .compression = type}});
  }
  put("x", "2");
  active();
  clean();
  std::vector<BatchHeader> once = batches();
  put("y", "2");
  put("y", "3");
  active();
  clean();
  const auto twice = batches();
  ASSERT_GE(twice.size(), once.size());
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(twice[i].crc, once[i].crc) << i;
}

TEST_F(PartitionCleaningTest, CompressedBatchesKeepTheirCodec) {
  int expected = 0;
  for (const auto type : {CompressionType::kGzip, CompressionType::kSnappy, CompressionType::kLz4, CompressionType::kZstd}) {
    segment({{.records = {{"x", "old"}, {"k" + std::to_string(++expected), std::string(3000, 'v')}}, .compression = type}});
  }
  put("x", "new");
  active();
  clean();
  const auto found = read();
  ASSERT_EQ(found.size(), 6u);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(found[static_cast<size_t>(i)].header.compression_bits(), i + 1);
    EXPECT_EQ(found[static_cast<size_t>(i)].value, std::string(3000, 'v'));
    EXPECT_EQ(found[static_cast<size_t>(i)].header.last_offset_delta, 1);
  }
}

// The batch is opened and written through windows: neither its decompressed records nor the remaining ones are in memory as a
// whole.
TEST_F(PartitionCleaningTest, AHugeCompressedBatchIsCleanedWithLittleMemory) {
  for (const auto type : {CompressionType::kGzip, CompressionType::kSnappy, CompressionType::kLz4, CompressionType::kZstd}) {
    KeyedBatch batch{.records = {}, .compression = type};
    constexpr int kRecords = 16 * 1024;
    const std::string name = std::to_string(static_cast<int>(type)) + "-";
    for (int i = 0; i < kRecords; ++i) {
      const size_t size = i == 700 ? 2 << 20 : 4096;
      batch.records.push_back({name + std::to_string(i % (kRecords - 1000)), std::string(size, 'v'), 1000 + i});
    }
    segment({batch});
    active();
    const weir::testing::PeakMemory peak;
    clean();
    EXPECT_LE(peak.grown_bytes(), 24u << 20) << name;
    std::map<std::string, std::pair<int64_t, int64_t>> found;  // key -> offset, time
    for (const FoundRecord& record : read(0, 1 << 20)) {
      if (!record.key.starts_with(name)) continue;
      EXPECT_EQ(record.header.compression(), type);
      EXPECT_EQ(record.value.size(), record.key == name + "700" && record.timestamp == 1700 ? 2u << 20 : 4096u);
      EXPECT_TRUE(found.try_emplace(record.key, record.offset, record.timestamp).second);
    }
    ASSERT_EQ(found.size(), static_cast<size_t>(kRecords - 1000));
    const int64_t base = next_offset_ - 1 - kRecords;
    const auto last = found.at(name + "5");
    EXPECT_EQ(last, std::pair(base + kRecords - 1000 + 5, int64_t{1000 + kRecords - 1000 + 5}));
    EXPECT_EQ(found.at(name + "2000"), std::pair(base + 2000, int64_t{3000}));
  }
}

TEST_F(PartitionCleaningTest, TombstonesGoInTheSecondPassOnceTheirHorizonPassed) {
  put("a", "1");
  segment({{.records = {{"a", std::nullopt, 500}, {"b", "1", 700}}}});
  active();
  clean();
  EXPECT_EQ(text(), "1:a! 2:b=1 3:active=x");
  BatchHeader header = batches()[0];
  EXPECT_TRUE(header.delete_horizon());
  EXPECT_EQ(header.base_timestamp, now_ms_ + 1000);
  EXPECT_EQ(header.max_timestamp, 700);
  EXPECT_EQ(read()[0].timestamp, 500);  // deltas count from the horizon now
  EXPECT_EQ(read()[1].timestamp, 700);

  now_ms_ += 999;
  put("c", "1");
  active();
  clean();
  EXPECT_EQ(text(), "1:a! 2:b=1 3:active=x 4:c=1 5:active=x") << "before the horizon";
  EXPECT_EQ(batches()[0].base_timestamp, 1'001'000) << "the horizon is not moved";

  now_ms_ += 1;
  put("d", "1");
  active();
  clean();
  EXPECT_EQ(text(), "2:b=1 4:c=1 5:active=x 6:d=1 7:active=x");
  header = batches()[0];
  EXPECT_TRUE(header.delete_horizon());  // as in Kafka: it stays with the batch
  EXPECT_EQ(header.base_timestamp, 1'001'000);
  EXPECT_EQ(read()[0].timestamp, 700);
}

TEST_F(PartitionCleaningTest, ATombstoneIsNotDroppedBeforeWhatItDeletes) {
  put("a", "1");
  segment({{.records = {{"a", std::nullopt}}}});
  active();
  clean();
  EXPECT_EQ(text(), "1:a! 2:active=x");
  EXPECT_EQ(manifest_.log_start_offset, 0);
}

TEST_F(PartitionCleaningTest, RecordsWithoutAKeyGo) {
  segment({{.records = {{std::nullopt, "1"}, {"a", "1"}, {std::nullopt, "2"}}}});
  active();
  clean();
  EXPECT_EQ(text(), "1:a=1 3:active=x");
  EXPECT_EQ(stats_.records.records_without_key, 2u);
}

TEST_F(PartitionCleaningTest, AnActiveProducersLastBatchStaysAsAHeader) {
  segment({{.records = {{"a", "1", 10}, {"a", "2", 20}}, .producer_id = 5, .producer_epoch = 1, .base_sequence = 7},
           {.records = {{"a", "3", 30}}, .producer_id = 6, .producer_epoch = 1, .base_sequence = 0}});
  put("a", "4");
  active();
  active_producers_ = {{5, {1, 1}}, {6, {99, 1}}};
  clean();
  EXPECT_EQ(text(), "3:a=4 4:active=x");
  auto all = batches();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].record_count, 0);
  EXPECT_EQ(all[0].size(), BatchHeader::kSize);
  EXPECT_EQ(all[0].base_offset, 0);
  EXPECT_EQ(all[0].last_offset(), 1);
  EXPECT_EQ(all[0].last_sequence(), 8);
  EXPECT_EQ(all[0].max_timestamp, 20);
  EXPECT_EQ(all[0].base_timestamp, -1);
  // The header is still there after the next cleaning, and gone once the producer is.
  put("b", "1");
  active();
  clean();
  EXPECT_EQ(batches()[0].record_count, 0);
  active_producers_.clear();
  put("b", "2");
  active();
  clean();
  EXPECT_NE(batches()[0].record_count, 0);
}

TEST_F(PartitionCleaningTest, ABatchThatEndsAtTheHighWatermarkStaysAsAHeader) {
  put("a", "1");
  put("a", "2");
  active();
  CleaningInput in = input();
  in.high_watermark = 1;
  PartitionCleaning cleaning(*store_, std::move(in), limits_);
  auto step = cleaning.step(1 << 30);
  ASSERT_TRUE(step && step->done);
  replace(cleaning.outcome());
  EXPECT_EQ(batches()[0].record_count, 0);
  EXPECT_EQ(text(), "1:a=2 2:active=x");
}

TEST_F(PartitionCleaningTest, ReadersInAGapGetTheNextBatch) {
  for (int i = 0; i < 20; ++i) put("a", std::to_string(i));
  segment({{.records = {{"b", "1"}, {"a", "20"}, {"c", "1"}}}});
  for (int i = 0; i < 5; ++i) put("c", std::to_string(i));
  active();
  segment_bytes_ = 700;
  clean();
  EXPECT_EQ(text(), "20:b=1 21:a=20 27:c=4 28:active=x");
  for (int64_t offset = 0; offset < manifest_.end_offset; ++offset) {
    std::string expected;
    for (const auto& [at, record] :
         std::map<int64_t, std::string>{{20, "20:b=1"}, {21, "21:a=20"}, {27, "27:c=4"}, {28, "28:active=x"}}) {
      if (at >= offset) expected += (expected.empty() ? "" : " ") + record;
    }
    EXPECT_EQ(text(offset), expected) << "from " << offset;
  }
}

TEST_F(PartitionCleaningTest, SmallSegmentsBecomeOneAndASegmentWithoutRecordsGoes) {
  for (int i = 0; i < 6; ++i) put("a", std::string(200, 'v'));
  for (int i = 0; i < 3; ++i) put(std::string(1, static_cast<char>('k' + i)), std::string(200, 'v'));
  active();
  const uint64_t one = manifest_.segments[0].length;
  segment_bytes_ = 4 * one;
  clean();
  // Groups of four: the first lost everything.
  ASSERT_EQ(manifest_.segments.size(), 3u);
  EXPECT_EQ(manifest_.segments[0].base_offset, 4);
  EXPECT_EQ(manifest_.segments[0].next_offset, 8);
  EXPECT_EQ(manifest_.segments[1].base_offset, 8);
  EXPECT_EQ(manifest_.segments[2].base_offset, 9);
  EXPECT_EQ(read().size(), 5u);
}

TEST_F(PartitionCleaningTest, AFullMapTakesSeveralRounds) {
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 40; ++i) put("k" + std::to_string(i), std::to_string(round));
  }
  active();
  limits_.map_bytes = 20 * OffsetMap::kEntryBytes;
  int rounds = 0;
  while (manifest_.first_dirty_offset < 120) {
    const int64_t before = manifest_.first_dirty_offset;
    clean();
    ASSERT_GT(manifest_.first_dirty_offset, before);
    ASSERT_LE(stats_.map_bytes, limits_.map_bytes);
    ++rounds;
  }
  EXPECT_GT(rounds, 5);
  const auto found = read();
  ASSERT_EQ(found.size(), 41u);
  for (size_t i = 0; i < 40; ++i) EXPECT_EQ(found[i].value, "2");
}

TEST_F(PartitionCleaningTest, ATombstoneThatIsNotInTheMapStaysHoweverOld) {
  KeyedBatch many;
  for (int i = 0; i < 12; ++i) many.records.push_back({"k" + std::to_string(i), "v"});
  put("a", "1");
  segment({many});
  // The first batch of this segment fits into the map, the others are above the map.
  segment({{.records = {{"k0", "2"}}},
           {.records = {{"b", "1"}, {"c", "1"}, {"d", "1"}, {"e", "1"}}},
           {.records = {{"a", std::nullopt}}}});
  active();
  limits_.map_bytes = 0;  // sixteen slots: "a", the twelve, "b"
  const auto has_tombstone = [&] {
    const auto found = read();
    return std::ranges::any_of(found, [](const FoundRecord& one) { return one.key == "a" && one.tombstone; });
  };
  clean();
  EXPECT_EQ(manifest_.first_dirty_offset, 14);
  EXPECT_EQ(read().front().value, "1") << "what is deleted above the map is still there";
  EXPECT_TRUE(has_tombstone());
  now_ms_ += 10'000;
  // Once more, with the tombstone's horizon long past and the tombstone above the map as before.
  CleaningInput in = input();
  in.range.first_dirty_offset = 0;
  PartitionCleaning cleaning(*store_, std::move(in), limits_);
  auto step = cleaning.step(1 << 30);
  ASSERT_TRUE(step && step->done);
  replace(cleaning.outcome());
  EXPECT_EQ(read().front().key, "a");
  EXPECT_TRUE(has_tombstone());
  while (manifest_.first_dirty_offset < 19) clean();
  EXPECT_EQ(read().front().key, "k1");
}

TEST_F(PartitionCleaningTest, ABatchWithMoreKeysThanTheMapHoldsIsRefused) {
  KeyedBatch batch;
  for (int i = 0; i < 40; ++i) batch.records.push_back({"k" + std::to_string(i), "v"});
  segment({batch});
  active();
  limits_.map_bytes = 0;
  auto outcome = run_cleaning();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::kInvalid);
  EXPECT_NE(outcome.error().message.find("log.cleaner.dedupe.buffer.size"), std::string::npos);
}

TEST_F(PartitionCleaningTest, StepsAreSmallAndLeadToTheSame) {
  for (int i = 0; i < 30; ++i) put("k" + std::to_string(i % 4), std::to_string(i));
  active();
  limits_.secret = {1, 2};
  PartitionCleaning cleaning(*store_, input(), limits_);
  int steps = 0;
  while (true) {
    auto step = cleaning.step(1);
    ASSERT_TRUE(step);
    EXPECT_LE(step->bytes, 1000u);
    ++steps;
    if (step->done) break;
  }
  EXPECT_GT(steps, 30);
  replace(cleaning.outcome());
  EXPECT_EQ(text(), "26:k2=26 27:k3=27 28:k0=28 29:k1=29 30:active=x");
}

TEST_F(PartitionCleaningTest, DamageIsFoundAndNothingChanges) {
  put("a", std::string(500, 'v'));
  put("a", "2");
  active();
  const std::string path = "/log/" + partition_folder_name(partition_) + "/" + segment_file_name(0);
  world_.disk().flip_bits(path, 200, 1);
  const PartitionManifest before = manifest_;
  auto outcome = run_cleaning();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(outcome.error().message.find("CRC"), std::string::npos);
  open();
  EXPECT_EQ(manifest_, before);
}

TEST_F(PartitionCleaningTest, ReplacedFilesStayForReadersThenGo) {
  for (int i = 0; i < 3; ++i) put("a", std::to_string(i));
  active();
  const PartitionManifest old = manifest_;
  clean();
  EXPECT_THAT(files(), ElementsAre("00000000000000000000.1.log", "00000000000000000000.log", "00000000000000000001.log",
                                   "00000000000000000002.log", "00000000000000000003.log"));
  auto part = store_->read_now(old, 0, 10);
  ASSERT_TRUE(part) << "a reader with the old manifest";
  clock_.advance_ms(60'001);
  store_->maintain_now();
  EXPECT_THAT(files(), ElementsAre("00000000000000000000.1.log", "00000000000000000003.log"));
  EXPECT_EQ(bytes_of(part->bytes).size(), size_of(part->bytes)) << "an open file stays readable";
  EXPECT_EQ(text(), "2:a=2 3:active=x");
}

TEST_F(PartitionCleaningTest, AStartSweepsFilesThatNoManifestNames) {
  for (int i = 0; i < 3; ++i) put("a", std::to_string(i));
  active();
  ASSERT_TRUE(run_cleaning());  // died before the swap
  EXPECT_EQ(files().size(), 5u);
  open();
  EXPECT_EQ(files().size(), 4u);
  EXPECT_EQ(text(), "0:a=0 1:a=1 2:a=2 3:active=x");
  clean();
  EXPECT_EQ(manifest_.segments[0].generation, 2u) << "a file name is never used twice";
  open();
  EXPECT_THAT(files(), ElementsAre("00000000000000000000.2.log", "00000000000000000003.log"));
  EXPECT_EQ(text(), "2:a=2 3:active=x");
}

TEST_F(PartitionCleaningTest, TheLogStartMayPassWhatIsBeingCleaned) {
  for (int i = 0; i < 6; ++i) put("k" + std::to_string(i), "v");
  active();
  segment_bytes_ = 3 * manifest_.segments[0].length;
  auto outcome = run_cleaning();
  ASSERT_TRUE(outcome);
  ASSERT_EQ(outcome->groups.size(), 2u);
  CheckpointPartition trim;
  trim.partition = partition_;
  trim.epochs = {{3, 0}};
  trim.log_start_offset = 5;  // the first group is gone; one source of the second group's three is left
  auto trimmed = store_->checkpoint_now(checkpoints(std::move(trim)));
  ASSERT_TRUE(trimmed);
  replace(*outcome);
  EXPECT_EQ(text(), "5:k5=v 6:active=x");
  ASSERT_EQ(manifest_.segments.size(), 2u);
  EXPECT_EQ(manifest_.segments[0].base_offset, 3);
  open();
  EXPECT_EQ(text(), "5:k5=v 6:active=x");
  EXPECT_THAT(files(), ElementsAre("00000000000000000003.1.log", "00000000000000000006.log"));
}

TEST_F(PartitionCleaningTest, CheckpointsGoOnBesideACleaning) {
  for (int i = 0; i < 4; ++i) put("a", std::to_string(i));
  active();
  auto outcome = run_cleaning();
  ASSERT_TRUE(outcome);
  put("b", "1");
  replace(*outcome);
  EXPECT_EQ(text(), "3:a=3 4:active=x 5:b=1");
  put("c", "1");
  open();
  EXPECT_EQ(text(), "3:a=3 4:active=x 5:b=1 6:c=1");
}

TEST_F(PartitionCleaningTest, TimestampsAreFoundInCleanedSegments) {
  segment({{.records = {{"a", "1", 10}, {"b", "1", 20}, {"c", std::nullopt, 30}}}});
  put("a", "2", 40);
  active();
  clean();
  auto found = store_->find_timestamp_now(manifest_, 20);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->offset, 1);
  found = store_->find_timestamp_now(manifest_, 21);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->offset, 2);
  EXPECT_EQ(found->timestamp, 30);
  EXPECT_EQ(manifest_.segments[0].max_timestamp, 40);
}

TEST_F(PartitionCleaningTest, LogAppendTimeStaysWithTheBatch) {
  std::vector<uint8_t> bytes = encode({.records = {{"a", "1", 10}, {"b", "1", 20}}, .log_append_time = true}, 0);
  protocol::patch_timestamps(bytes, true, 777);
  CheckpointPartition checkpoint;
  checkpoint.partition = partition_;
  checkpoint.epochs = {{3, 0}};
  checkpoint.batches.push_back(checkpoint_batch(partition_, bytes));
  ASSERT_TRUE(store_->checkpoint_now(checkpoints(std::move(checkpoint))));
  next_offset_ = 2;
  put("a", "2");
  active();
  clean();
  const auto found = read();
  EXPECT_EQ(found[0].offset, 1);
  EXPECT_EQ(found[0].header.max_timestamp, 777);
  EXPECT_TRUE(found[0].header.log_append_time());
  EXPECT_EQ(found[0].timestamp, 777);
}

}  // namespace
}  // namespace weir::storage::testing
