// The segment store on real files: unbuffered writes, page cache, sendfile-able ranges, and how long ten
// thousand partitions take (printed, not asserted).
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>

#include "runtime/posix_file_system.h"
#include "storage/segment/local_segment_store.h"
#include "storage/segment/segment_names.h"
#include "storage/segment/test_batches.h"
#include "testing/fake_clock.h"
#include "testing/manual_loop.h"
#include "testing/temp_dir.h"

namespace weir::storage {
namespace {

using namespace storage::testing;

class SegmentRealDiskTest : public ::testing::Test {
 protected:
  std::vector<LoadedPartition> open() {
    store_.reset();
    auto opened = LocalSegmentStore::open(files_, world_.pool(), clock_, {.log_dir = folder_.path()});
    EXPECT_TRUE(opened) << opened.error().message;
    store_ = std::move(*opened);
    auto loaded = store_->load();
    EXPECT_TRUE(loaded) << loaded.error().message;
    return std::move(*loaded);
  }

  weir::testing::TempDir folder_;
  runtime::PosixFileSystem files_{runtime::FlushEngineKind::kThread};
  weir::testing::ManualLoop world_;
  weir::testing::FakeClock clock_;
  std::unique_ptr<LocalSegmentStore> store_;
};

double elapsed_ms(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - since).count();
}

TEST_F(SegmentRealDiskTest, MixedRunsAreReadBackByteForByte) {
  open();
  const PartitionId a = partition_id(1);
  int64_t end = 0;
  std::vector<uint8_t> wrote;
  PartitionManifest manifest;
  for (int round = 0; round < 40; ++round) {
    const size_t value = round % 3 == 0 ? 300'000 : round % 3 == 1 ? 10 : 4000;
    auto one = make_checkpoint(a, end, 1 + round % 4, {.records = 2, .value_bytes = value, .fill = static_cast<uint8_t>(round)});
    one.segment_bytes = 8 << 20;
    const auto bytes = bytes_of(one.batches);
    wrote.insert(wrote.end(), bytes.begin(), bytes.end());
    auto checkpointed = store_->checkpoint_now(checkpoints(std::move(one)));
    ASSERT_TRUE(checkpointed) << checkpointed.error().message;
    manifest = (*checkpointed)[0];
    // Readers have the unaligned last page in the page cache while it grows.
    auto last = store_->read_now(manifest, end - 1, 1);
    ASSERT_TRUE(last) << last.error().message;
    EXPECT_EQ(last->next_offset, end);
  }
  for (const uint32_t max_bytes : {1u, 50'000u, 1u << 20}) {
    const auto loaded = open();
    ASSERT_EQ(loaded.size(), 1u);
    EXPECT_EQ(loaded[0].manifest, manifest);
    std::vector<uint8_t> found;
    for (int64_t offset = 0; offset < end;) {
      auto read = store_->read_now(manifest, offset, max_bytes);
      ASSERT_TRUE(read) << read.error().message;
      EXPECT_GE(std::get<FileRange>(read->bytes).file->descriptor(), 0);
      const auto bytes = bytes_of(read->bytes);
      found.insert(found.end(), bytes.begin(), bytes.end());
      offset = read->next_offset;
    }
    EXPECT_TRUE(found == wrote);
  }
}

TEST_F(SegmentRealDiskTest, TenThousandPartitions) {
  constexpr int kPartitions = 10'000;
  open();
  std::vector<int64_t> ends(kPartitions);
  const auto cycle = [&](const char* what) {
    std::vector<CheckpointPartition> all;
    for (int i = 0; i < kPartitions; ++i)
      all.push_back(make_checkpoint(partition_id(static_cast<uint64_t>(i) / 100, i % 100), ends[static_cast<size_t>(i)], 1,
                                    {.value_bytes = 100}));
    const auto start = std::chrono::steady_clock::now();
    auto checkpointed = store_->checkpoint_now(all);
    ASSERT_TRUE(checkpointed) << checkpointed.error().message;
    std::printf("  %s: %.0f ms\n", what, elapsed_ms(start));
  };
  cycle("first checkpoint of 10,000 partitions");
  cycle("second checkpoint");
  const auto start = std::chrono::steady_clock::now();
  const auto loaded = open();
  std::printf("  load: %.0f ms\n", elapsed_ms(start));
  EXPECT_EQ(loaded.size(), static_cast<size_t>(kPartitions));
  cycle("checkpoint after load");
}

TEST_F(SegmentRealDiskTest, LargeSequentialRuns) {
  open();
  int64_t end = 0;
  uint64_t bytes = 0;
  double ms = 0;
  PartitionManifest manifest;
  for (int round = 0; round < 16; ++round) {
    auto one = checkpoints(make_checkpoint(partition_id(1), end, 256, {.records = 16, .value_bytes = 1000}));
    bytes += bytes_of(one[0].batches).size();
    const auto start = std::chrono::steady_clock::now();
    auto checkpointed = store_->checkpoint_now(one);
    ASSERT_TRUE(checkpointed) << checkpointed.error().message;
    ms += elapsed_ms(start);
    manifest = (*checkpointed)[0];
  }
  std::printf("  checkpointed %.0f MB at %.0f MB/s\n", static_cast<double>(bytes) / 1e6, static_cast<double>(bytes) / 1e3 / ms);
  const auto start = std::chrono::steady_clock::now();
  int reads = 0;
  for (int64_t offset = 0; offset < end; ++reads) {
    auto read = store_->read_now(manifest, offset, 1 << 20);
    ASSERT_TRUE(read) << read.error().message;
    offset = read->next_offset;
  }
  std::printf("  %d reads of 1 MB: %.2f ms each\n", reads, elapsed_ms(start) / reads);
  const auto again = std::chrono::steady_clock::now();
  for (int64_t offset = 0; offset < end;) offset = store_->read_now(manifest, offset, 1 << 20)->next_offset;
  std::printf("  again, from the page cache: %.3f ms each\n", elapsed_ms(again) / reads);
}

}  // namespace
}  // namespace weir::storage
