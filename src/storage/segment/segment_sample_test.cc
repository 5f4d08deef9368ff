// A log with every kind of batch, checked with our own reader. If WEIR_SEGMENT_SAMPLE names an empty folder, the log stays there
// for Kafka's dump tool: tests/compatibility/dump_log.sh.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>

#include "protocol/compressed_batch_fixture.h"
#include "runtime/posix_file_system.h"
#include "storage/segment/local_segment_store.h"
#include "storage/segment/segment_dump.h"
#include "storage/segment/segment_names.h"
#include "storage/segment/test_batches.h"
#include "testing/fake_clock.h"
#include "testing/manual_loop.h"
#include "testing/temp_dir.h"

namespace weir::storage {
namespace {

using namespace storage::testing;
using protocol::CompressionType;

class Sample {
 public:
  explicit Sample(const PartitionId& partition) { checkpoint_.partition = partition; }

  void data(int records, size_t value_bytes, CompressionType type = CompressionType::kNone, protocol::BatchOptions options = {}) {
    options.base_offset = end_;
    options.partition_leader_epoch = 3;
    protocol::RecordBatchBuilder builder(options);
    const std::string value(value_bytes, 'v');
    const std::vector<protocol::RecordHeader> headers = {{"header", as_bytes("h")}};
    for (int i = 0; i < records; ++i) builder.append(1'700'000'000'000 + end_ + i, as_bytes("key"), as_bytes(value), headers);
    add(builder.finish(), type);
  }
  void marker(bool commit) {
    protocol::RecordBatchBuilder builder({.base_offset = end_,
                                          .partition_leader_epoch = 3,
                                          .producer_id = 7,
                                          .producer_epoch = 1,
                                          .transactional = true,
                                          .control = true});
    builder.append_end_marker(1'700'000'000'000 + end_, commit, 2);
    add(builder.finish(), CompressionType::kNone);
  }
  // As compaction leaves it: records missing at the start, within and at the end.
  void compacted() {
    protocol::RecordBatchBuilder builder({.base_offset = end_, .partition_leader_epoch = 3});
    builder.append_at(end_ + 2, 1'700'000'000'000, as_bytes("a"), as_bytes("1"));
    builder.append_at(end_ + 5, 1'700'000'000'000, as_bytes("b"), std::nullopt);
    builder.set_last_offset(end_ + 9);
    add(builder.finish(), CompressionType::kNone);
  }
  const CheckpointPartition& checkpoint() const { return checkpoint_; }

 private:
  void add(Bytes plain, CompressionType type) {
    std::vector<uint8_t> bytes(plain.begin(), plain.end());
    if (type != CompressionType::kNone) bytes = protocol::compressed_batch(plain, type);
    const BatchHeader header = BatchHeader::parse(bytes.data());
    CheckpointPartition::Batch batch;
    batch.info.partition = checkpoint_.partition;
    batch.info.base_offset = header.base_offset;
    batch.info.last_offset_delta = header.last_offset_delta;
    batch.info.max_timestamp = header.max_timestamp;
    batch.info.size = static_cast<uint32_t>(bytes.size());
    batch.bytes = Slice::copy_of(bytes);
    checkpoint_.batches.push_back(std::move(batch));
    end_ = header.next_offset();
  }

  CheckpointPartition checkpoint_;
  int64_t end_ = 0;
};

// A line per batch in the words of Kafka's tool.
void write_expected(const std::string& path, const CheckpointPartition& checkpoint) {
  std::ofstream out(path);
  for (const auto& batch : checkpoint.batches) {
    const BatchHeader header = BatchHeader::parse(batch.bytes.data);
    out << "baseOffset: " << header.base_offset << " lastOffset: " << header.last_offset() << " count: " << header.record_count
        << " producerId: " << header.producer_id << " isTransactional: " << (header.transactional() ? "true" : "false")
        << " isControl: " << (header.control() ? "true" : "false") << " size: " << header.size() << " crc: " << header.crc
        << " isvalid: true\n";
  }
}

TEST(SegmentSampleTest, EveryKindOfBatchIsStoredAsItCame) {
  std::optional<weir::testing::TempDir> temporary;
  const char* wanted = std::getenv("WEIR_SEGMENT_SAMPLE");
  if (!wanted) temporary.emplace();
  const std::string folder = wanted ? wanted : temporary->path();

  Sample sample(partition_id(1));
  sample.data(3, 100);
  for (const auto type : {CompressionType::kGzip, CompressionType::kSnappy, CompressionType::kLz4, CompressionType::kZstd})
    sample.data(200, 500, type);
  sample.data(2, 10, CompressionType::kNone, {.producer_id = 7, .producer_epoch = 1, .base_sequence = 0, .transactional = true});
  sample.marker(true);
  sample.data(2, 10, CompressionType::kNone, {.producer_id = 7, .producer_epoch = 1, .base_sequence = 2, .transactional = true});
  sample.marker(false);
  sample.compacted();
  sample.data(4, 10, CompressionType::kNone, {.log_append_time = true});
  sample.data(100, 3000);  // written unbuffered
  for (int i = 0; i < 20; ++i) sample.data(5, 20'000);
  sample.data(1, 0);
  write_expected(folder + "/expected.txt", sample.checkpoint());

  runtime::PosixFileSystem files(runtime::FlushEngineKind::kThread);
  weir::testing::ManualLoop world;
  weir::testing::FakeClock clock;
  auto store = LocalSegmentStore::open(files, world.pool(), clock, {.log_dir = folder});
  ASSERT_TRUE(store) << store.error().message;
  ASSERT_TRUE((*store)->load());
  // In three checkpoints, the last of them over a roll.
  CheckpointPartition rest = sample.checkpoint();
  std::vector<PartitionManifest> manifests;
  for (const size_t count : {2u, 7u, 1000u}) {
    CheckpointPartition part;
    part.partition = rest.partition;
    part.segment_bytes = 1 << 20;
    while (part.batches.size() < count && !rest.batches.empty()) {
      part.batches.push_back(std::move(rest.batches.front()));
      rest.batches.erase(rest.batches.begin());
    }
    auto checkpointed = (*store)->checkpoint_now(checkpoints(std::move(part)));
    ASSERT_TRUE(checkpointed) << checkpointed.error().message;
    manifests = std::move(*checkpointed);
  }
  ASSERT_GT(manifests[0].segments.size(), 1u);
  uint64_t batches = 0;
  for (const SegmentInfo& segment : manifests[0].segments) {
    const std::string path =
        folder + "/" + partition_folder_name(manifests[0].partition) + "/" + segment_file_name(segment.base_offset);
    std::string damage;
    auto summary = dump_segment_file(files, path, {.verify_only = true}, [&](std::string_view line) { damage += line; });
    ASSERT_TRUE(summary) << summary.error().message;
    EXPECT_FALSE(summary->damaged()) << damage;
    EXPECT_EQ(summary->valid_bytes, segment.length);
    batches += summary->batches;
  }
  EXPECT_EQ(batches, sample.checkpoint().batches.size());
}

}  // namespace
}  // namespace weir::storage
