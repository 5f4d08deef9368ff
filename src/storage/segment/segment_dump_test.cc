#include "storage/segment/segment_dump.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/segment/segment_index.h"
#include "storage/segment/segment_names.h"
#include "storage/segment/test_batches.h"
#include "testing/sim_disk.h"

namespace weir::storage {
namespace {

using namespace storage::testing;
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

TEST_F(SegmentDumpTest, OtherFilesAreRefused) {
  EXPECT_EQ(dump_segment_file(disk_, "/meta.db", {}, [](std::string_view) {}).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(dump_segment_file(disk_, "/" + segment_file_name(7), {}, [](std::string_view) {}).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace weir::storage
