// LogShard and its checkpoints: when they come, what they release, and appends that wait for them.
#include "storage/log/log_shard_fixture.h"

namespace weir::storage {
namespace {

using protocol::ErrorCode;

TEST_F(LogShardTest, WhoWaitsForACheckpointThatNeverComesIsAnswered) {
  append(batch(1));
  wal_->complete();
  store_.broken_ = true;
  std::vector<Result<int64_t>> deleted;
  const auto remove = [&] { shard_->delete_records(*partition_, 1, [&](Result<int64_t> result) { deleted.push_back(result); }); };
  remove();
  ASSERT_TRUE(world_.run_until([&] { return deleted.size() == 1; }));
  remove();  // waits until the checkpoint is tried again
  bool looked = false;
  shard_->find_cleanable([&](const auto&) { looked = true; });
  append(batch(1));
  wal_->break_down();
  ASSERT_EQ(deleted.size(), 2u);
  EXPECT_FALSE(deleted[1]);
  EXPECT_TRUE(looked);
}

TEST_F(LogShardTest, AFinishedFileIsCheckpointedAndReleased) {
  append(idempotent(0, 2));
  append(idempotent(2, 2));
  wal_->complete();
  checkpoint_now();
  ASSERT_EQ(store_.checkpoints_.size(), 1u);
  const CheckpointPartition& checkpointed = store_.checkpoints_[0].at(0);
  EXPECT_EQ(checkpointed.batches.size(), 2u);  // not the batch of the next file
  ASSERT_EQ(checkpointed.producers.size(), 1u);
  EXPECT_EQ(checkpointed.producers[0].batches.size(), 2u);
  EXPECT_EQ(checkpointed.producers[0].batches.back().last_sequence, 3);
  EXPECT_EQ(partition_->manifest().end_offset, 4);
  EXPECT_EQ(wal_->released_, 1u);
  EXPECT_TRUE(std::holds_alternative<Slice>(read(0).pieces.at(0)));  // still from memory
}

TEST_F(LogShardTest, CheckpointedBatchesAreEvictedAndThenReadFromTheStore) {
  LogShardOptions options;
  options.tail_cache_bytes = 1;
  open(options);
  append(batch(2));
  wal_->complete();
  EXPECT_EQ(partition_->tail_start(), 0);  // not checkpointed: never evicted
  checkpoint_now();
  EXPECT_EQ(partition_->tail_start(), 2);
  const auto result = read(0);
  ASSERT_EQ(result.pieces.size(), 1u);
  EXPECT_TRUE(std::holds_alternative<FileRange>(result.pieces[0]));
  EXPECT_EQ(result.high_watermark, 3);
}

TEST_F(LogShardTest, AppendsAreHeldBackAtTheBoundAndGoOnAfterTheCheckpoint) {
  LogShardOptions options;
  options.dirty_bytes_max = 100;
  open(options);
  append(batch(1, {}, 1000, 200));
  wal_->complete();
  append(batch(1));
  append(batch(1));
  EXPECT_EQ(wal_->info_.size(), 1u);
  wal_->end_file();
  wal_->on_durable_(wal_->durable_);
  ASSERT_TRUE(world_.run_until([&] { return wal_->info_.size() == 3; }));
  wal_->complete();
  ASSERT_EQ(answers_.size(), 3u);
  EXPECT_EQ(answers_[1].base_offset, 1);
  EXPECT_EQ(answers_[2].base_offset, 2);
}

TEST_F(LogShardTest, WhenCheckpointsFailHeldAppendsAreRefusedAndItRecoversByItself) {
  LogShardOptions options;
  options.dirty_bytes_max = 100;
  open(options);
  append(batch(1, {}, 1000, 200));
  wal_->complete();
  store_.broken_ = true;
  append(batch(1));
  wal_->end_file();
  wal_->on_durable_(wal_->durable_);
  ASSERT_TRUE(world_.run_until([&] { return answers_.size() == 2; }));
  EXPECT_EQ(answers_[1].error, ErrorCode::kKafkaStorageError);
  store_.broken_ = false;
  ASSERT_TRUE(world_.run_until([&] { return wal_->released_ > 0; }));
  append(batch(1));
  wal_->complete();
  EXPECT_EQ(answers_.back().error, ErrorCode::kNone);
}

}  // namespace
}  // namespace weir::storage
