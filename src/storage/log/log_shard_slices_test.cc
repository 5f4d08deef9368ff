// What has to do with all partitions of a shard, or with all batches of a log file, goes in slices: no turn of the loop touches
// more than its share, and what happens between two slices is neither lost nor done twice.
#include <set>

#include "storage/log/log_shard_fixture.h"
#include "storage/log/turns.h"

namespace weir::storage {
namespace {

constexpr int kMany = 1000;

class LogShardSlicesTest : public LogShardTest {
 protected:
  PartitionId id(int i) const { return {Uuid::from_random(7, 7), i}; }
  // `kMany` partitions with a record each, long ago.
  void add_many(LogConfig config = {}) {
    for (int i = 0; i < kMany; ++i) {
      Partition& partition = shard_->add(std::make_unique<Partition>(id(i), config, 0));
      many_.push_back(&partition);
      shard_->append(partition, batch(1), true, [](AppendResult) {});
    }
    wal_->complete();
  }
  void fill(int batches) {
    for (int i = 0; i < batches; ++i) append(batch(1));
    wal_->complete();
  }
  // The most by which `count` grows in one turn until it is `all`.
  template <typename Count>
  size_t most_in_a_turn(Count count, size_t before, size_t all) {
    size_t most = 0;
    turns_ = 0;
    std::function<void()> probe = [&] {
      const size_t now = count();
      most = std::max(most, now - before);
      before = now;
      ++turns_;
      if (now < all) world_.loop().post([&] { probe(); });
    };
    probe();
    EXPECT_TRUE(world_.run_until([&] { return before == all; }));
    return most;
  }
  size_t checkpointed() const {
    return static_cast<size_t>(std::ranges::count_if(many_, [](const Partition* one) { return one->manifest().end_offset > 0; }));
  }

  std::vector<Partition*> many_;
  size_t turns_ = 0;
};

TEST_F(LogShardSlicesTest, Retention) {
  LogConfig config;
  config.retention_ms = 1000;
  add_many(config);
  const auto moved = [&] {
    return static_cast<size_t>(std::ranges::count_if(many_, [](const Partition* one) { return one->pending_log_start() > 0; }));
  };
  shard_->run_retention();
  EXPECT_LE(most_in_a_turn(moved, 0, kMany), kPartitionsPerTurn);
  EXPECT_TRUE(world_.run_until(
      [&] { return std::ranges::all_of(many_, [](const Partition* one) { return one->log_start_offset() == 1; }); }));
}

TEST_F(LogShardSlicesTest, PlanningACheckpointAndTakingItsOutcome) {
  add_many();
  wal_->end_file();
  wal_->on_durable_(wal_->durable_);
  EXPECT_LE(most_in_a_turn([&] { return store_.asked_; }, 0, kMany), size_t{kMany});
  EXPECT_GE(turns_, kMany / kPartitionsPerTurn);
  const auto adopted = [&] {
    EXPECT_TRUE(wal_->released_ == 0 || checkpointed() == kMany);
    return checkpointed();
  };
  EXPECT_LE(most_in_a_turn(adopted, 0, kMany), kPartitionsPerTurn);
  EXPECT_TRUE(world_.run_until([&] { return wal_->released_ > 0; }));
}

TEST_F(LogShardSlicesTest, ThePlanOfOnePartition) {
  constexpr int kBatches = 20'000;
  fill(kBatches);
  wal_->end_file();
  wal_->on_durable_(wal_->durable_);
  append(batch(1));  // belongs to the next checkpoint
  most_in_a_turn([&] { return store_.asked_; }, 0, 1);
  EXPECT_GE(turns_, kBatches / kBatchesPerTurn);
  ASSERT_TRUE(world_.run_until([&] { return wal_->released_ > 0; }));
  ASSERT_EQ(store_.checkpoints_.size(), 1u);
  EXPECT_EQ(store_.checkpoints_[0].at(0).batches.size(), size_t{kBatches});
  EXPECT_EQ(partition_->manifest().end_offset, kBatches);
}

TEST_F(LogShardSlicesTest, LettingGoOfWhatIsCheckpointed) {
  constexpr int kBatches = 20'000;
  LogShardOptions options;
  options.tail_cache_bytes = 0;
  open(options);
  fill(kBatches);
  wal_->end_file();
  wal_->on_durable_(wal_->durable_);
  const auto gone = [&] { return static_cast<size_t>(partition_->tail_start()); };
  EXPECT_LE(most_in_a_turn(gone, 0, kBatches), kBatchesPerTurn);
  EXPECT_EQ(shard_->tail_cache_bytes(), 0u);
}

TEST_F(LogShardSlicesTest, TopicsDeletedBetweenSlices) {
  add_many();
  wal_->end_file();
  wal_->on_durable_(wal_->durable_);  // the first slice
  ASSERT_EQ(store_.asked_, 0u);
  std::set<PartitionId> left;
  for (int i = 0; i < kMany; ++i) {
    if (i % 3 == 0) shard_->drop(id(i));
    else left.insert(id(i));
  }
  ASSERT_TRUE(world_.run_until([&] { return wal_->released_ > 0; }));
  std::set<PartitionId> written;
  for (const CheckpointPartition& one : store_.checkpoints_.at(0)) EXPECT_TRUE(written.insert(one.partition).second);
  EXPECT_EQ(written, left);
  EXPECT_EQ(shard_->partition_count(), left.size() + 1);
}

TEST_F(LogShardSlicesTest, WhatTheStoreDoesAfterACheckpointIsNotUndoneByIt) {
  add_many();
  wal_->end_file();
  wal_->on_durable_(wal_->durable_);
  bool placed = false;
  ASSERT_TRUE(world_.run_until([&] { return store_.asked_ > 0; }));
  // The last one that is adopted: the order of the slices is the shard's affair.
  for (Partition* partition : {many_.front(), many_.back()}) {
    shard_->set_directory(*partition, 5, [&](Result<void> result) { placed = result.has_value(); });
  }
  ASSERT_TRUE(world_.run_until([&] { return placed && wal_->released_ > 0; }));
  EXPECT_EQ(checkpointed(), size_t{kMany});
  EXPECT_EQ(many_.front()->manifest().place.target, 5u);
  EXPECT_EQ(many_.back()->manifest().place.target, 5u);
}

TEST_F(LogShardSlicesTest, LookingForWhatCanBeCompacted) {
  LogConfig config;
  config.cleanup_compact = true;
  for (int i = 0; i < kMany; ++i) shard_->add(std::make_unique<Partition>(id(i), config, 0));
  size_t answers = 0;
  shard_->find_cleanable([&](std::vector<LogShard::Cleanable>) { ++answers; });
  EXPECT_EQ(answers, 0u);
  most_in_a_turn([&] { return answers; }, 0, 1);
  EXPECT_GE(turns_, kMany / kPartitionsPerTurn);
}

}  // namespace
}  // namespace weir::storage
