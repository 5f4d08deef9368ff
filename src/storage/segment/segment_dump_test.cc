#include "storage/segment/segment_dump.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/compression.h"
#include "storage/segment/segment_index.h"
#include "storage/segment/segment_names.h"
#include "storage/segment/segment_salvage.h"
#include "storage/segment/test_batches.h"
#include "testing/peak_memory.h"
#include "testing/sim_disk.h"

namespace weir::storage {
namespace {

using namespace storage::testing;
using protocol::BatchHeader;
using ::testing::HasSubstr;
using ::testing::Not;

class SegmentDumpTest : public ::testing::Test {
 protected:
  SegmentDumpTest() {
    int64_t end = 20;
    const auto checkpoint = make_checkpoint(partition_id(1), end, 3, {.records = 2, .value_bytes = 3, .fill = 'x'});
    batch_bytes_ = checkpoint.batches[0].bytes.size;
    auto file = disk_.open(path_, {.write = true, .create = true});
    EXPECT_TRUE((*file)->write_at(0, Bytes(bytes_of(checkpoint.batches))));
  }
  SegmentDumpSummary dump(SegmentDumpOptions options = {}) {
    lines_.clear();
    auto summary = dump_segment_file(disk_, path_, options, [this](std::string_view line) { lines_.emplace_back(line); });
    EXPECT_TRUE(summary) << summary.error().message;
    return summary ? *summary : SegmentDumpSummary{};
  }

  weir::testing::SimDisk disk_{1};
  const std::string path_ = "/" + segment_file_name(20);
  uint64_t batch_bytes_ = 0;
  std::vector<std::string> lines_;
};

TEST_F(SegmentDumpTest, ListsBatchesAndRecords) {
  const SegmentDumpSummary summary = dump();
  EXPECT_FALSE(summary.damaged());
  EXPECT_EQ(summary.batches, 3u);
  EXPECT_EQ(summary.records, 6u);
  EXPECT_EQ(summary.first_offset, 20);
  EXPECT_EQ(summary.next_offset, 26);
  ASSERT_EQ(lines_.size(), 4u);
  EXPECT_THAT(lines_[1], HasSubstr("offsets 22 to 23, 2 records"));
  EXPECT_THAT(lines_[1], Not(HasSubstr("transactional")));
  EXPECT_LE(lines_[1].size(), 120u);
  dump({.json = true, .records = true});
  ASSERT_EQ(lines_.size(), 10u);
  EXPECT_THAT(lines_[2], HasSubstr(R"("offset":21,"timestamp":1001,"headers":0,"key":null,"value":"xxx"})"));
  dump({.verify_only = true});
  EXPECT_TRUE(lines_.empty());
}

TEST_F(SegmentDumpTest, DamagedRecordsAreNamedAndTheRestIsStillRead) {
  disk_.flip_bits(path_, batch_bytes_ + 70, 1);
  const SegmentDumpSummary summary = dump({.verify_only = true});
  EXPECT_TRUE(summary.damaged());
  EXPECT_EQ(summary.damaged_batches, 1u);
  EXPECT_EQ(summary.batches, 3u);
  ASSERT_EQ(lines_.size(), 1u);
  EXPECT_THAT(lines_[0], HasSubstr("CRC"));
}

TEST_F(SegmentDumpTest, ABrokenChainEndsTheListing) {
  const std::vector<uint8_t> zeros(100);
  disk_.overwrite_raw(path_, 2 * batch_bytes_, Bytes(zeros).first(60));
  const SegmentDumpSummary summary = dump();
  EXPECT_TRUE(summary.damaged());
  EXPECT_EQ(summary.batches, 2u);
  EXPECT_EQ(summary.valid_bytes, 2 * batch_bytes_);
  EXPECT_EQ(summary.trailing_bytes, batch_bytes_);
  EXPECT_THAT(lines_[2], HasSubstr("DAMAGED at " + std::to_string(2 * batch_bytes_)));
}

TEST_F(SegmentDumpTest, IndexEntriesThatDoNotFitAreShownButNoDamage) {
  const std::vector<IndexEntry> entries = {{22, batch_bytes_, 1001}, {24, batch_bytes_ * 2 - 1, 1001}};
  ASSERT_TRUE(SegmentIndex::append(disk_, "/" + index_file_name(20), 20, entries));
  const SegmentDumpSummary summary = dump();
  EXPECT_FALSE(summary.damaged());
  EXPECT_EQ(summary.index_entries, 2u);
  EXPECT_EQ(summary.wrong_index_entries, 1u);
}

// No checksum covers offsets and leader epochs. Only the manifest shows their damage.
TEST_F(SegmentDumpTest, WhatContradictsTheManifestIsNamed) {
  ManifestedSegment manifest;
  manifest.info = {.base_offset = 20, .next_offset = 26, .length = 3 * batch_bytes_, .max_timestamp = 1005, .times_known = true};
  manifest.log_start_offset = 20;
  manifest.epochs = {{0, 20}};
  const SegmentDumpOptions options{.verify_only = true, .manifest = &manifest};
  EXPECT_FALSE(dump(options).damaged());
  EXPECT_TRUE(lines_.empty());
  const auto named = [&](const char* what) {
    EXPECT_THAT(dump(options).contradictions, ::testing::ElementsAre(HasSubstr(what)));
    EXPECT_THAT(lines_, ::testing::ElementsAre(HasSubstr(what)));
  };
  const uint64_t last_offset_byte = 2 * batch_bytes_ + 7;
  disk_.flip_bits(path_, last_offset_byte, 0x40);
  named("ends before offset 90, but manifest.db says 26");
  disk_.flip_bits(path_, last_offset_byte, 0x40);
  disk_.flip_bits(path_, batch_bytes_ + 15, 4);
  named("1 batch has another leader epoch: the first one, at offset 22, says 4, but manifest.db says 0");
  manifest.log_start_offset = 24;
  EXPECT_FALSE(dump(options).damaged()) << "what was deleted does not count";
  disk_.flip_bits(path_, batch_bytes_ + 15, 4);
  manifest.epochs = {{0, 20}, {1, 24}};
  named("at offset 24, says 0, but manifest.db says 1");
  manifest.epochs = {{0, 24}};
  manifest.info.max_timestamp = 2000;
  named("the largest time is 1005, but manifest.db says 2000");
  manifest.info.times_known = false;
  EXPECT_FALSE(dump(options).damaged());
}

// Compaction keeps the time of a batch whose records it takes, and the manifest has the largest time of a record.
TEST_F(SegmentDumpTest, TheTimeOfABatchWithoutRecordsIsNoContradiction) {
  protocol::RecordBatchBuilder builder({.base_offset = 26, .partition_leader_epoch = 0});
  builder.set_last_offset(26);
  std::vector<uint8_t> empty;
  {
    const Bytes bytes = builder.finish();
    empty.assign(bytes.begin(), bytes.end());
  }
  BatchHeader header = BatchHeader::parse(empty.data());
  header.max_timestamp = 9000;
  header.store(empty.data());
  protocol::patch_crc(empty);
  auto file = disk_.open(path_, {.write = true});
  ASSERT_TRUE((*file)->write_at(3 * batch_bytes_, empty));
  ManifestedSegment manifest;
  manifest.info = {.base_offset = 20,
                   .next_offset = 27,
                   .length = 3 * batch_bytes_ + empty.size(),
                   .max_timestamp = 1005,
                   .times_known = true};
  EXPECT_THAT(dump({.verify_only = true, .manifest = &manifest}).contradictions, ::testing::IsEmpty());
  manifest.info.max_timestamp = 9000;
  EXPECT_TRUE(dump({.verify_only = true, .manifest = &manifest}).damaged()) << "records have times";
  // The only batch.
  auto alone = disk_.open(path_, {.write = true, .create = true, .truncate = true});
  ASSERT_TRUE((*alone)->write_at(0, empty));
  manifest.info.length = empty.size();
  EXPECT_FALSE(dump({.verify_only = true, .manifest = &manifest}).damaged());
}

// Kafka takes it, and consumers read it. It is opened a window at a time.
TEST_F(SegmentDumpTest, ABatchThatDecompressesToALotIsNoDamage) {
  protocol::RecordBatchBuilder builder({.base_offset = 20});
  constexpr int kRecords = 9;
  {
    const std::vector<uint8_t> value(64 << 20, 'v');
    builder.append(1000, std::nullopt, Bytes(value));
  }
  std::vector<uint8_t> batch;
  {
    const Bytes plain = builder.finish();
    std::vector<uint8_t> record(plain.begin() + BatchHeader::kSize, plain.end());
    constexpr size_t kOffsetDelta = 4 + 2;  // behind length, attributes and time
    batch.assign(plain.begin(), plain.begin() + BatchHeader::kSize);
    for (int i = 0; i < kRecords; ++i) {
      record[kOffsetDelta] = static_cast<uint8_t>(2 * i);
      ASSERT_TRUE(protocol::compress(protocol::CompressionType::kZstd, record, batch));
    }
  }
  BatchHeader header = BatchHeader::parse(batch.data());
  header.attributes = static_cast<int16_t>(protocol::CompressionType::kZstd);
  header.batch_length = static_cast<int32_t>(batch.size() - BatchHeader::kLengthEnd);
  header.last_offset_delta = kRecords - 1;
  header.record_count = kRecords;
  header.store(batch.data());
  protocol::patch_crc(batch);
  auto file = disk_.open(path_, {.write = true, .create = true, .truncate = true});
  ASSERT_TRUE((*file)->write_at(0, batch));
  const weir::testing::PeakMemory memory;
  const SegmentDumpSummary summary = dump({.verify_only = true});
  EXPECT_FALSE(summary.damaged());
  EXPECT_EQ(summary.records, static_cast<uint64_t>(kRecords));
  EXPECT_THAT(lines_, ::testing::IsEmpty());
  EXPECT_LT(memory.grown_bytes(), 64u << 20);
  const SegmentSalvage salvaged = salvage_segment(batch, {.base_offset = 20, .next_offset = 20 + kRecords});
  EXPECT_EQ(salvaged.batches.size(), 1u);
  EXPECT_TRUE(salvaged.lost.empty());
}

TEST_F(SegmentDumpTest, OtherFilesAreRefused) {
  EXPECT_EQ(dump_segment_file(disk_, "/meta.db", {}, [](std::string_view) {}).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(dump_segment_file(disk_, "/" + segment_file_name(7), {}, [](std::string_view) {}).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace weir::storage
