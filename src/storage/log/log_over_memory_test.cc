// A log whose segments are not files. Reads return memory, and compaction needs no file either.
#include <gtest/gtest.h>

#include "storage/compaction/compaction_fixture.h"
#include "storage/log/log_shard_fixture.h"
#include "storage/segment/memory_segment_store.h"

namespace weir::storage {
namespace {

using namespace storage::testing;

class LogOverMemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto wal = std::make_unique<FakeWal>();
    wal_ = wal.get();
    LogShardOptions options;
    options.tail_cache_bytes = 0;
    shard_ = std::make_unique<LogShard>(runtime_, world_.loop(), std::move(wal), store_, options);
    partition_ = &shard_->add(std::make_unique<Partition>(id_, LogConfig{}, 0));
  }
  Slice batch(const std::string& key, const std::string& value) { return Slice::copy_of(encode({.records = {{key, value}}}, 0)); }
  void append(Slice records) {
    bool done = false;
    shard_->append(*partition_, std::move(records), true, [&](AppendResult result) {
      EXPECT_EQ(result.error, protocol::ErrorCode::kNone);
      done = true;
    });
    wal_->complete();
    world_.run_until([&] { return done; });
    EXPECT_TRUE(done);
  }
  void checkpoint() {
    wal_->end_file();
    append(batch("end", "of the file"));
    world_.run_until([&] { return wal_->released_ > 0; });
    ASSERT_GT(partition_->manifest().end_offset, 0);
  }

  weir::testing::ManualLoop world_;
  runtime::Runtime runtime_ = world_.sim().runtime();
  const PartitionId id_ = partition_id(1);
  MemorySegmentStore store_;
  FakeWal* wal_ = nullptr;
  std::unique_ptr<LogShard> shard_;
  Partition* partition_ = nullptr;
};

TEST_F(LogOverMemoryTest, AColdReadGivesMemory) {
  append(batch("a", "1"));
  append(batch("b", "2"));
  checkpoint();
  ReadResult result;
  bool answered = false;
  const auto take = [&](ReadResult late) {
    result = std::move(late);
    answered = true;
  };
  ASSERT_FALSE(shard_->read(*partition_, {0, 1 << 20, true, false}, result, take)) << "it is not in the tail";
  world_.run_until([&] { return answered; });
  ASSERT_EQ(result.pieces.size(), 1u);
  ASSERT_TRUE(std::holds_alternative<Slice>(result.pieces[0]));
  EXPECT_EQ(result.bytes, std::get<Slice>(result.pieces[0]).size);
  std::vector<FoundRecord> found;
  collect(std::get<Slice>(result.pieces[0]).bytes(), found);
  ASSERT_GE(found.size(), 2u);
  EXPECT_EQ(found[0].value, "1");
  EXPECT_EQ(found[1].value, "2");
}

TEST_F(LogOverMemoryTest, CompactionGoesThroughTheSeam) {
  int64_t end = 0;
  PartitionManifest manifest;
  for (const char* value : {"1", "2", "3"}) {
    CheckpointPartition one;
    one.partition = id_;
    one.segment_bytes = 1;
    one.batches.push_back(checkpoint_batch(id_, encode({.records = {{"a", value}}}, end++)));
    auto checkpointed = store_.checkpoint_now(checkpoints(std::move(one)));
    ASSERT_TRUE(checkpointed) << checkpointed.error().message;
    manifest = checkpointed->front();
  }
  CleaningInput input;
  input.manifest = manifest;
  input.now_ms = 1'000'000;
  input.range = clean_range(manifest, manifest.end_offset, {}, input.now_ms);
  PartitionCleaning cleaning(store_, input, {});
  while (true) {
    auto step = cleaning.step(100);
    ASSERT_TRUE(step) << step.error().message;
    if (step->done) break;
  }
  std::optional<Result<PartitionManifest>> after;
  store_.replace(cleaning.outcome(), world_.loop(), [&](Result<PartitionManifest> result) { after = std::move(result); });
  world_.run_until([&] { return after.has_value(); });
  ASSERT_TRUE(after && *after);
  std::vector<FoundRecord> found;
  for (const SegmentInfo& segment : (*after)->segments) {
    auto source = store_.open_segment(id_, segment);
    ASSERT_TRUE(source);
    std::vector<uint8_t> bytes(segment.length);
    ASSERT_TRUE((*source)->read_at(0, bytes));
    collect(Bytes(bytes), found);
  }
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].value, "2");
  EXPECT_EQ(found[1].value, "3") << "of the active segment";
}

}  // namespace
}  // namespace weir::storage
