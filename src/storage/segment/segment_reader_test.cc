#include "storage/segment/segment_reader.h"

#include <gtest/gtest.h>

#include "base/log.h"
#include "protocol/compressed_batch_fixture.h"
#include "storage/segment/local_segment_store.h"
#include "storage/segment/segment_names.h"
#include "storage/segment/test_batches.h"
#include "testing/fake_clock.h"
#include "testing/manual_loop.h"

namespace weir::storage {
namespace {

using namespace storage::testing;

class SegmentReaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::kError);
    ASSERT_TRUE(world_.files().create_directories("/log"));
    options_.spacing = {.entry_bytes = 2000, .write_bytes = 20'000};
    options_.rebuild_bytes = 40'000;
    open();
  }
  void open() {
    store_.reset();
    auto opened = LocalSegmentStore::open(world_.files(), world_.pool(), clock_, {.log_dir = "/log", .reading = options_});
    ASSERT_TRUE(opened) << opened.error().message;
    store_ = std::move(*opened);
    auto loaded = store_->load();
    ASSERT_TRUE(loaded) << loaded.error().message;
    if (!loaded->empty()) manifest_ = (*loaded)[0].manifest;
  }
  void checkpoint(CheckpointPartition one) {
    for (const auto& batch : one.batches) starts_.push_back(batch.info.base_offset);
    auto checkpointed = store_->checkpoint_now(checkpoints(std::move(one)));
    ASSERT_TRUE(checkpointed) << checkpointed.error().message;
    manifest_ = (*checkpointed)[0];
  }
  // Checkpoints batches of three records with timestamps 1000 + offset, `each` of them at a time.
  void fill(int batches, int each, size_t value_bytes = 100) {
    for (int i = 0; i < batches; i += each)
      checkpoint(make_checkpoint(id_, end_, each, {.records = 3, .value_bytes = value_bytes, .timestamp = 1000 + end_}));
  }
  std::string path(const std::string& name) const { return "/log/" + partition_folder_name(id_) + "/" + name; }

  // Every offset leads to its batch, and ranges are as long as they may be.
  void check_reads(uint32_t max_bytes) {
    for (int64_t offset = manifest_.segments.front().base_offset; offset < manifest_.end_offset; offset += 1 + offset % 7) {
      auto read = store_->read_now(manifest_, offset, max_bytes);
      ASSERT_TRUE(read) << offset << ": " << read.error().message;
      const int64_t start = *(std::ranges::upper_bound(starts_, offset) - 1);
      ASSERT_EQ(read->first_offset, start) << offset;
      const auto bytes = bytes_of(read->bytes);
      ASSERT_EQ(bytes.size(), size_of(read->bytes));
      protocol::BatchSplitter batches{Bytes(bytes)};
      int64_t next = start;
      int count = 0;
      for (; batches.next(); ++count) {
        ASSERT_EQ(batches.header().base_offset, next);
        next = batches.header().next_offset();
      }
      ASSERT_TRUE(batches.rest().empty());
      ASSERT_EQ(next, read->next_offset);
      ASSERT_TRUE(bytes.size() <= max_bytes || count == 1);
      // Nothing that would have fit was left out within the segment.
      const auto& segment = *std::ranges::upper_bound(manifest_.segments, offset, {}, &SegmentInfo::next_offset);
      if (next < segment.next_offset) {
        auto following = store_->read_now(manifest_, next, 1);
        ASSERT_TRUE(following);
        ASSERT_GT(bytes.size() + size_of(following->bytes), max_bytes);
      }
    }
  }

  weir::testing::ManualLoop world_;
  weir::testing::FakeClock clock_;
  SegmentReader::Options options_;
  std::unique_ptr<LocalSegmentStore> store_;
  const PartitionId id_ = partition_id(1);
  PartitionManifest manifest_;
  int64_t end_ = 0;
  std::vector<int64_t> starts_;
};

TEST_F(SegmentReaderTest, EveryOffsetLeadsToItsBatch) {
  fill(300, 10);
  for (const uint32_t max_bytes : {1u, 500u, 5'000u, 30'000u, 1u << 20}) check_reads(max_bytes);
  open();
  for (const uint32_t max_bytes : {1u, 5'000u, 100'000u}) check_reads(max_bytes);
  EXPECT_EQ(store_->reader().index_rebuilds(), 0u);
  EXPECT_TRUE(world_.disk().has(path(index_file_name(0))));
}

TEST_F(SegmentReaderTest, LargeAndSmallBatchesMixed) {
  for (int i = 0; i < 40; ++i) fill(3, 3, i % 4 == 0 ? 30'000 : 20);
  for (const uint32_t max_bytes : {1u, 1'000u, 100'000u}) check_reads(max_bytes);
}

TEST_F(SegmentReaderTest, SmallPartitionsHaveNoIndexFile) {
  fill(10, 1);
  check_reads(1000);
  EXPECT_FALSE(world_.disk().has(path(index_file_name(0))));
}

TEST_F(SegmentReaderTest, AMissingOrDamagedIndexCostsAScanOnly) {
  fill(600, 20);
  const auto sound = world_.disk().contents(path(index_file_name(0)));
  // Sealed, so that a rebuilt index is written back.
  auto rolling = make_checkpoint(id_, end_, 1, {.records = 3});
  rolling.segment_bytes = 1;
  checkpoint(std::move(rolling));
  ASSERT_EQ(manifest_.segments.size(), 2u);

  ASSERT_TRUE(world_.files().remove(path(index_file_name(0))));
  open();
  check_reads(3000);
  EXPECT_EQ(store_->reader().index_rebuilds(), 1u);
  EXPECT_TRUE(world_.disk().has(path(index_file_name(0))));
  open();
  check_reads(3000);
  EXPECT_EQ(store_->reader().index_rebuilds(), 0u);

  // Sound entries of another life of the file: checksums are right, positions are not.
  std::vector<IndexEntry> lies;
  for (int i = 1; i < 50; ++i) lies.push_back({i * 3, static_cast<uint64_t>(i) * 1000 + 7, 1000});
  ASSERT_TRUE(world_.files().remove(path(index_file_name(0))));
  ASSERT_TRUE(SegmentIndex::append(world_.files(), path(index_file_name(0)), 0, lies));
  open();
  check_reads(3000);
  EXPECT_GE(store_->reader().index_rebuilds(), 1u);

  for (uint64_t at = 0; at < sound.size(); at += 97)
    world_.disk().flip_bits(path(index_file_name(0)), at % world_.disk().contents(path(index_file_name(0))).size(), 0x40);
  open();
  check_reads(3000);
}

TEST_F(SegmentReaderTest, DamagedHeadersAreCorruptionNotAnswers) {
  fill(200, 20);
  const auto file = path(segment_file_name(0));
  const auto size = world_.disk().contents(file).size();
  auto third = store_->read_now(manifest_, 6, 1);
  ASSERT_TRUE(third);
  const uint64_t at = std::get<FileRange>(third->bytes).offset;
  struct Damage {
    uint64_t offset;
    std::vector<uint8_t> bytes;
  };
  const Damage damages[] = {
      {at + 8, {0x7f, 0xff, 0xff, 0xff}},  // length beyond the file
      {at + 8, {0, 0, 0, 5}},              // too short for a header
      {at + 8, {0x80, 0, 0, 0}},           // negative
      {at + 16, {1}},                      // old format
      {at, {0xff, 0, 0, 0, 0, 0, 0, 0}},   // negative offset
      {at, {0, 0, 0, 0, 0, 0, 0, 1}},      // goes back
  };
  for (const Damage& damage : damages) {
    const auto before = world_.disk().contents(file);
    world_.disk().overwrite_raw(file, damage.offset, Bytes(damage.bytes));
    open();
    auto read = store_->read_now(manifest_, 7, 1);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, ErrorCode::kCorrupt) << read.error().message;
    auto times = store_->find_timestamp_now(manifest_, 1007);
    EXPECT_TRUE(!times && times.error().code == ErrorCode::kCorrupt);
    // Earlier batches are still served, and never together with damaged ones.
    auto first = store_->read_now(manifest_, 0, 1);
    EXPECT_TRUE(first);
    world_.disk().overwrite_raw(file, 0, Bytes(before));
  }
  // A file that is shorter than its manifest says.
  world_.disk().truncate_raw(file, size / 2);
  open();
  auto read = store_->read_now(manifest_, end_ - 1, 1);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kCorrupt) << read.error().message;
}

// One bad file costs its own records, not the checkpoints of everybody.
TEST_F(SegmentReaderTest, ADamagedActiveSegmentIsSetAside) {
  for (const bool missing : {false, true}) {
    fill(20, 20);
    const int64_t damaged_end = end_;
    const auto file = path(segment_file_name(manifest_.segments.back().base_offset));
    if (missing) {
      ASSERT_TRUE(world_.files().remove(file));
    } else {
      world_.disk().truncate_raw(file, 100);
    }
    open();
    const size_t segments = manifest_.segments.size();
    int64_t end_other = 0;
    auto checkpointed = store_->checkpoint_now(
        checkpoints(make_checkpoint(id_, end_, 2), make_checkpoint(partition_id(2 + missing), end_other, 1)));
    ASSERT_TRUE(checkpointed) << checkpointed.error().message;
    EXPECT_EQ((*checkpointed)[1].end_offset, 1);
    manifest_ = (*checkpointed)[0];
    ASSERT_EQ(manifest_.segments.size(), segments + 1);
    EXPECT_EQ(manifest_.segments.back().base_offset, damaged_end);
    EXPECT_TRUE(store_->read_now(manifest_, damaged_end, 1000));
    EXPECT_FALSE(store_->read_now(manifest_, damaged_end - 1, 1000));
    EXPECT_EQ(store_->checkpoint_now(checkpoints(make_checkpoint(id_, end_, 1)))->at(0).segments.size(), segments + 1);
    open();
    EXPECT_EQ(manifest_.end_offset, end_);
  }
}

TEST_F(SegmentReaderTest, SequentialReadersGoOnWithoutSearching) {
  fill(300, 10);
  const LogDirectories directories("/log");
  SegmentReader reader(world_.files(), directories, options_);
  EXPECT_FALSE(reader.read_cached(manifest_, segment_of(manifest_, 0), 0, 2000));
  int cached = 0, reads = 0;
  for (int64_t offset = 0; offset < end_; ++reads) {
    auto ready = reader.read_cached(manifest_, segment_of(manifest_, offset), offset, 2000);
    cached += ready.has_value();
    auto slow = reader.read(manifest_, offset, 2000);
    ASSERT_TRUE(slow);
    if (ready) {
      EXPECT_EQ(std::get<FileRange>(ready->bytes).offset, std::get<FileRange>(slow->bytes).offset);
      EXPECT_EQ(size_of(ready->bytes), size_of(slow->bytes));
      EXPECT_EQ(ready->next_offset, slow->next_offset);
    }
    offset = slow->next_offset;
  }
  EXPECT_GT(cached, reads / 2);
}

// Some readers must not see the records of open transactions, which begin somewhere below the end.
TEST_F(SegmentReaderTest, NothingThatEndsBeyondTheLimitIsRead) {
  fill(300, 10);
  SegmentReader reader(world_.files(), store_->directories(), options_);
  for (const int64_t end : {3, 30, 299, 300, 301, 302, 600, 899, 900}) {
    for (const uint32_t bytes : {1u, 700u, 5000u, 1u << 20}) {
      int64_t offset = 0;
      int cached = 0;
      while (offset < end) {
        const auto ready = reader.read_cached(manifest_, segment_of(manifest_, offset), offset, {bytes, end});
        const auto read = reader.read(manifest_, offset, {bytes, end});
        ASSERT_TRUE(read) << read.error().message;
        ASSERT_LE(read->next_offset, end);
        if (ready) {
          ++cached;
          EXPECT_EQ(size_of(ready->bytes), size_of(read->bytes));
          EXPECT_EQ(ready->next_offset, read->next_offset);
        }
        if (size_of(read->bytes) == 0) break;
        EXPECT_EQ(bytes_of(read->bytes).size(), size_of(read->bytes));
        const auto free = reader.read(manifest_, offset, bytes);
        EXPECT_TRUE(free->next_offset > end ? size_of(free->bytes) > size_of(read->bytes)
                                            : free->next_offset == read->next_offset);
        offset = read->next_offset;
      }
      EXPECT_EQ(offset, end / 3 * 3) << "all batches of three records below " << end << " with " << bytes << " bytes at a time";
      EXPECT_TRUE(bytes != 700 || end < 30 || cached > 0);
    }
  }
}

TEST_F(SegmentReaderTest, OpenFilesAreBounded) {
  options_.open_files = 4;
  open();
  auto rolling = make_checkpoint(id_, end_, 20);
  rolling.segment_bytes = 1;
  checkpoint(std::move(rolling));
  ASSERT_EQ(manifest_.segments.size(), 20u);
  std::vector<SegmentRead> held;
  for (int64_t offset = 0; offset < end_; ++offset) held.push_back(*store_->read_now(manifest_, offset, 1000));
  EXPECT_EQ(store_->reader().open_files(), 4u);
  // Ranges handed out stay readable.
  for (const auto& read : held) EXPECT_EQ(bytes_of(read.bytes).size(), size_of(read.bytes));
}

TEST_F(SegmentReaderTest, TimestampsAreSearchedByRecord) {
  fill(300, 10);
  checkpoint(make_checkpoint(id_, end_, 1, {.records = 3, .timestamp = 500}));  // late records
  checkpoint(make_checkpoint(id_, end_, 1, {.records = 3, .timestamp = 5000}));
  for (const int64_t timestamp : {0, 1000, 1001, 1500, 1899}) {
    auto found = store_->find_timestamp_now(manifest_, timestamp);
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->offset, std::max<int64_t>(timestamp - 1000, 0));
    EXPECT_EQ(found->timestamp, std::max<int64_t>(timestamp, 1000));
    EXPECT_EQ(found->leader_epoch, 0);
  }
  EXPECT_EQ(store_->find_timestamp_now(manifest_, 1900)->offset, 903);
  EXPECT_EQ(store_->find_timestamp_now(manifest_, 5002)->offset, 905);
  EXPECT_EQ(store_->find_timestamp_now(manifest_, 5003)->offset, -1);
  // Records below the log start do not count.
  manifest_.log_start_offset = 100;
  EXPECT_EQ(store_->find_timestamp_now(manifest_, 1000)->offset, 100);
}

TEST_F(SegmentReaderTest, TheLargestTimestampIsOfARecordAtOrAboveTheLogStart) {
  checkpoint(make_checkpoint(id_, end_, 1, {.records = 3, .timestamp = 5000}));  // 5000 to 5002
  checkpoint(make_checkpoint(id_, end_, 1, {.records = 3, .timestamp = 4000}));
  fill(100, 10);  // from 1000 on
  const auto largest_from = [&](int64_t start) {
    manifest_.log_start_offset = start;
    return *store_->find_timestamp_now(manifest_, SegmentStore::kLargestTimestamp);
  };
  EXPECT_EQ(largest_from(0).offset, 2);
  EXPECT_EQ(largest_from(2).offset, 2);
  EXPECT_EQ(largest_from(3).offset, 5);
  EXPECT_EQ(largest_from(5).timestamp, 4002);
  const TimestampPosition last = largest_from(6);
  EXPECT_EQ(last.offset, end_ - 1);
  EXPECT_EQ(largest_from(end_ - 1).timestamp, last.timestamp);
}

TEST_F(SegmentReaderTest, TimestampsInCompressedBatches) {
  using protocol::CompressionType;
  for (const auto type : {CompressionType::kGzip, CompressionType::kSnappy, CompressionType::kLz4, CompressionType::kZstd}) {
    auto one = make_checkpoint(id_, end_, 1, {.records = 500, .value_bytes = 1000, .timestamp = 1000 + end_});
    auto& batch = one.batches[0];
    batch.bytes = Slice::copy_of(protocol::compressed_batch(batch.bytes.bytes(), type));
    batch.info.size = static_cast<uint32_t>(batch.bytes.size);
    checkpoint(std::move(one));
  }
  for (const int64_t offset : {0, 499, 500, 700, 1300, 1999}) {
    auto found = store_->find_timestamp_now(manifest_, 1000 + offset);
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->offset, offset);
  }
  // Damage inside the compressed records is found, not answered.
  world_.disk().overwrite_raw(path(segment_file_name(0)), BatchHeader::kSize + 20, as_bytes("garbage garbage garbage"));
  open();
  auto found = store_->find_timestamp_now(manifest_, 1499);
  EXPECT_TRUE(!found || found->offset == 499);
}

}  // namespace
}  // namespace weir::storage
