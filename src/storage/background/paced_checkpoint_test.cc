// Checkpoints, removals and compaction beside slow flushes: they are held back, but never so much that the write-ahead log fills
// up.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/log.h"
#include "storage/log/log_cleaner.h"
#include "storage/log/log_recovery.h"
#include "storage/segment/local_segment_store.h"
#include "storage/segment/segment_names.h"
#include "storage/segment/test_batches.h"
#include "storage/wal/local_wal_sessions.h"
#include "testing/sim_runtime.h"

namespace weir::storage {
namespace {

using namespace storage::testing;
using runtime::kMillisecond;
using runtime::kSecond;
using ::testing::ElementsAre;
using weir::testing::SimRuntime;

// The share is 2 MB/s: a quarter of the least rate that the throttle assumes.
constexpr double kShare = BackgroundThrottle::kLeastRate / 4;

class PacedCheckpointTest : public ::testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::kError);
    ASSERT_TRUE(sim_.disk().create_directories("/log"));
    throttle_.calibrate(1, 1);  // every flush is slow
    throttle_.flushed(kMillisecond, 4096);
    auto store = LocalSegmentStore::open(sim_.disk(), sim_.pool(), sim_.clock(), {.log_dir = "/log", .throttle = &throttle_});
    ASSERT_TRUE(store) << store.error().message;
    store_ = std::move(*store);
  }
  void TearDown() override { set_log_level(LogLevel::kInfo); }

  double seconds() const { return static_cast<double>(sim_.now_ns()) / 1e9; }
  bool wait(const std::function<bool()>& condition) {
    return sim_.run_until(condition, 600 * kSecond) == SimRuntime::Stop::kDone;
  }
  // Returns how many seconds the checkpoint took.
  double checkpoint(std::vector<CheckpointPartition> partitions) {
    const double began = seconds();
    bool done = false;
    store_->checkpoint(std::move(partitions), sim_.loop(), [&](Result<std::vector<PartitionManifest>> result) {
      EXPECT_TRUE(result) << result.error().message;
      if (result) manifests_ = std::move(*result);
      done = true;
    });
    EXPECT_TRUE(wait([&] { return done; }));
    return seconds() - began;
  }
  std::string path(const PartitionId& partition, int64_t base_offset) {
    return "/log/" + partition_folder_name(partition) + "/" + segment_file_name(base_offset);
  }

  SimRuntime sim_{1};
  BackgroundThrottle throttle_{sim_.clock(), sim_.loop(), {.held_piece_bytes = 64 << 10}};
  std::unique_ptr<LocalSegmentStore> store_;
  std::vector<PartitionManifest> manifests_;
};

TEST_F(PacedCheckpointTest, ACheckpointIsSpreadOverTimeAndCompleteAtItsEnd) {
  const PartitionId a = partition_id(1), b = partition_id(2);
  int64_t end_a = 0, end_b = 0;
  std::vector<uint8_t> wrote;
  uint64_t total = 0;
  for (int round = 0; round < 3; ++round) {
    // Positions within blocks, and runs above and below the length that is written unbuffered.
    auto large = make_checkpoint(a, end_a, 30, {.value_bytes = 33'333});
    auto small = make_checkpoint(b, end_b, 2, {.value_bytes = 5'000});
    const auto bytes = bytes_of(large.batches);
    wrote.insert(wrote.end(), bytes.begin(), bytes.end());
    total = bytes.size() + bytes_of(small.batches).size();
    const double took = checkpoint(checkpoints(std::move(large), std::move(small)));
    EXPECT_GT(took, 0.85 * static_cast<double>(total) / kShare);
    EXPECT_LT(took, 1.5 * static_cast<double>(total) / kShare);
  }
  EXPECT_EQ(sim_.disk().contents(path(a, 0)), wrote);
  EXPECT_EQ(manifests_[0].end_offset, end_a);
  EXPECT_EQ(manifests_[1].end_offset, end_b);
  EXPECT_GT(throttle_.state().held_ns, kSecond / 2);
  throttle_.set_pressure(0, 1);
  EXPECT_LT(checkpoint(checkpoints(make_checkpoint(a, end_a, 30, {.value_bytes = 33'333}))), 0.1);
}

TEST_F(PacedCheckpointTest, ACheckpointThatWaitsHoldsNeitherThreadsNorTheStoreAndKeepsItsPlaceInTheOrder) {
  const PartitionId a = partition_id(1), b = partition_id(2);
  int64_t end_a = 0, end_b = 0;
  checkpoint(checkpoints(make_checkpoint(b, end_b, 1)));
  std::vector<std::string> order;
  store_->checkpoint(checkpoints(make_checkpoint(a, end_a, 30, {.value_bytes = 50'000})), sim_.loop(),
                     [&](auto) { order.push_back("checkpoint"); });
  store_->drop(a, 0, sim_.loop(), [&](Result<void> dropped) {
    EXPECT_TRUE(dropped);
    order.push_back("drop");
  });
  sim_.run_for(100 * kMillisecond);
  EXPECT_THAT(order, ElementsAre());
  EXPECT_TRUE(store_->begin_rewrite(b)) << "the store's lock is free";
  bool read = false;
  store_->read(manifests_[0], 0, 1000, sim_.loop(), [&](Result<SegmentRead> result) { read = result.has_value(); });
  sim_.run_for(30 * kMillisecond);
  EXPECT_TRUE(read);
  ASSERT_TRUE(wait([&] { return order.size() == 2; }));
  EXPECT_THAT(order, ElementsAre("checkpoint", "drop"));
}

TEST_F(PacedCheckpointTest, DroppedSegmentsGoOneByOneAfterTheCheckpointHasAnswered) {
  const PartitionId a = partition_id(1);
  int64_t end = 0;
  auto many = make_checkpoint(a, end, 40, {.value_bytes = 3'000});
  many.segment_bytes = 4'000;
  checkpoint(checkpoints(std::move(many)));
  const auto files = [&] { return sim_.disk().list("/log/" + partition_folder_name(a))->size(); };
  ASSERT_EQ(files(), 40u);
  CheckpointPartition trim = make_checkpoint(a, end, 0);
  trim.log_start_offset = end;
  const double took = checkpoint(checkpoints(std::move(trim)));
  EXPECT_LT(took, 0.2);
  EXPECT_GT(files(), 30u);
  // Each removal counts for a MiB, which is half a second here.
  sim_.run_for(2 * kSecond);
  EXPECT_GT(files(), 34u);
  EXPECT_LT(files(), 38u);
  throttle_.set_pressure(0, 1);
  ASSERT_TRUE(wait([&] { return files() == 0; }));
}

TEST_F(PacedCheckpointTest, SegmentsThatACrashKeptFromBeingRemovedGoWithTheNextOnes) {
  const PartitionId a = partition_id(1);
  int64_t end = 0;
  auto some = make_checkpoint(a, end, 6, {.value_bytes = 3'000});
  some.segment_bytes = 4'000;
  checkpoint(checkpoints(std::move(some)));
  CheckpointPartition trim = make_checkpoint(a, end, 0);
  trim.log_start_offset = 3;
  checkpoint(checkpoints(std::move(trim)));
  ASSERT_TRUE(sim_.disk().has(path(a, 2)));
  sim_.end_server(weir::testing::Death::kKill);
  sim_.start_server();
  auto store = LocalSegmentStore::open(sim_.disk(), sim_.pool(), sim_.clock(), {.log_dir = "/log"});
  ASSERT_TRUE(store && (*store)->load());
  trim = make_checkpoint(a, end, 0);
  trim.log_start_offset = 4;
  ASSERT_TRUE((*store)->checkpoint_now(checkpoints(std::move(trim))));
  EXPECT_FALSE(sim_.disk().has(path(a, 2)));
  EXPECT_FALSE(sim_.disk().has(path(a, 3)));
  EXPECT_TRUE(sim_.disk().has(path(a, 4)));
  store_ = std::move(*store);
}

// --- with the write-ahead log

class PacedLogTest : public PacedCheckpointTest {
 protected:
  static constexpr uint64_t kBound = 4 << 20;

  void open() {
    LogOptions options;
    options.log_dir = "/log";
    options.shard.dirty_bytes_max = kBound;
    options.shard.tail_cache_bytes = 0;
    options.shard.throttle = &throttle_;
    auto runtime = sim_.runtime();
    LocalWalSessions wals(runtime, *store_, {.log_dir = "/log", .incarnation = 1, .file_bytes = 1 << 20, .throttle = &throttle_});
    auto opened = open_log(runtime, *store_, wals, options, [](const PartitionId&) { return std::nullopt; });
    ASSERT_TRUE(opened) << opened.error().message;
    shards_ = std::move(opened->shards);
    config_.segment_bytes = 1 << 20;
    partition_ = &shards_[0]->add(std::make_unique<Partition>(partition_id(1), config_, 0));
  }
  void append(size_t bytes) {
    Slice slice = make_batch(partition_id(1), {.records = 1, .value_bytes = bytes}).bytes;
    shards_[0]->append(*partition_, std::move(slice), true, [this](AppendResult result) {
      EXPECT_EQ(result.error, protocol::ErrorCode::kNone) << result.message;
      ++answered_;
    });
    ++appended_;
    highest_ = std::max(highest_, shards_[0]->dirty_bytes());
  }

  LogConfig config_;
  std::vector<std::unique_ptr<LogShard>> shards_;
  Partition* partition_ = nullptr;
  int appended_ = 0, answered_ = 0;
  uint64_t highest_ = 0;
};

TEST_F(PacedLogTest, FlushesAreHeardOfAndTheCheckpointOfAFullFileIsHeldBack) {
  open();
  while (shards_[0]->checkpoint_totals().checkpoints == 0) {
    append(20'000);
    sim_.run_for(10 * kMillisecond);  // 2 MB/s
  }
  EXPECT_GT(static_cast<double>(shards_[0]->checkpoint_totals().last_ns), 0.8 * 1e9 * (1 << 20) / kShare);
  EXPECT_GT(throttle_.state().held_ns, 0);
  // So many quick flushes outweigh the slow one, if they are heard of.
  for (int i = 0; i < 100; ++i) {
    append(20'000);
    sim_.run_for(10 * kMillisecond);
  }
  EXPECT_FALSE(throttle_.state().holding);
  ASSERT_TRUE(wait([&] { return answered_ == appended_; }));
}

TEST_F(PacedLogTest, ProducersThatAreFasterThanTheShareAreNotHeldAtTheBound) {
  open();
  const double began = seconds();
  size_t held = 0;
  for (int i = 0; i < 1000; ++i) {
    append(20'000);
    sim_.run_for(2 * kMillisecond);  // 10 MB/s
    held = std::max(held, shards_[0]->held_appends());
  }
  ASSERT_TRUE(wait([&] { return answered_ == appended_; }));
  EXPECT_LT(seconds() - began, 2.5) << "the share alone would take ten seconds";
  EXPECT_LE(highest_, kBound);
  EXPECT_GT(highest_, kBound / 2) << "checkpoints were held back until it mattered";
  EXPECT_EQ(held, 0u);
  EXPECT_GT(throttle_.state().held_ns, 0);
}

TEST_F(PacedLogTest, WhoWaitsForACheckpointWaitsForNothingElse) {
  open();
  for (int i = 0; i < 45; ++i) {
    append(20'000);
    sim_.run_for(2 * kMillisecond);
  }
  ASSERT_TRUE(wait([&] { return answered_ == appended_; }));
  ASSERT_EQ(shards_[0]->checkpoint_totals().checkpoints, 0u);
  const double began = seconds();
  bool done = false;
  shards_[0]->delete_records(*partition_, 10, [&](Result<int64_t> result) { done = result.has_value(); });
  ASSERT_TRUE(wait([&] { return done; }));
  bool checkpointed = false;
  shards_[0]->checkpoint_all([&](Result<void> result) { checkpointed = result.has_value(); });
  ASSERT_TRUE(wait([&] { return checkpointed; }));
  EXPECT_LT(seconds() - began, 0.2) << "at the share it would take half a second";
}

TEST_F(PacedLogTest, CompactionIsHeldBackAndGetsOn) {
  config_.cleanup_compact = true;
  config_.cleanup_delete = false;
  open();
  const auto fill = [&](int count) {
    for (int i = 0; i < count; ++i) {
      protocol::RecordBatchBuilder builder(protocol::BatchOptions{});
      const std::string key = "k" + std::to_string(i % 5), value(20'000, '.');
      builder.append(sim_.clock().wall_ms(), as_bytes(key), as_bytes(value));
      shards_[0]->append(*partition_, Slice::copy_of(builder.finish()), true, [this](AppendResult) { ++answered_; });
      ++appended_;
      sim_.run_for(kMillisecond);
    }
    bool checkpointed = false;
    shards_[0]->checkpoint_all([&](Result<void> result) { checkpointed = result.has_value(); });
    ASSERT_TRUE(wait([&] { return checkpointed && answered_ == appended_; }));
  };
  LogCleaner cleaner(sim_.runtime(), {shards_[0].get()}, *store_, {.throttle = &throttle_});
  const auto clean = [&] {
    const double began = seconds();
    bool done = false;
    cleaner.clean_all([&] { done = true; });
    EXPECT_TRUE(wait([&] { return done; }));
    return seconds() - began;
  };
  fill(200);
  for (int i = 0; i < 10; ++i) throttle_.flushed(kMillisecond, 4096);  // more than one in a hundred is slow again
  const int64_t held = throttle_.state().held_ns;
  const double took = clean();
  ASSERT_EQ(cleaner.stats().runs, 1u);
  const auto& run = cleaner.stats().last_run;
  const double bytes = static_cast<double>(run.bytes_mapped + run.bytes_read + run.bytes_written);
  EXPECT_GT(bytes, 6e6);
  EXPECT_GT(throttle_.state().held_ns, held);
  EXPECT_GT(took, 0.7 * bytes / kShare);
  EXPECT_LT(took, 1.3 * bytes / kShare);
}

}  // namespace
}  // namespace weir::storage
