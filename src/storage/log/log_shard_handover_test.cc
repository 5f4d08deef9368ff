// Release and acquire of partitions on running shards, over a log and a store in memory.
#include <optional>
#include <utility>

#include "storage/log/log_shard_fixture.h"
#include "storage/wal/memory_wal_fixture.h"

namespace weir::storage {
namespace {

using protocol::ErrorCode;
using ::testing::ElementsAre;

class LogShardHandoverTest : public LogShardTest {
 protected:
  using Released = Result<PartitionSnapshot>;

  void SetUp() override {
    open({});
    next_owner_ = std::make_unique<LogShard>(runtime_, world_.loop(), std::make_unique<FakeWal>(), store_, LogShardOptions{});
  }
  void release() {
    asked_ = true;
    shard_->release(id(), [this](Released released) { released_.push_back(std::move(released)); });
  }
  PartitionId id() const { return {Uuid::from_random(1, 2), 0}; }
  // Until the partition is released, with all that is open durable.
  PartitionSnapshot released() {
    if (!asked_) release();
    wal_->complete();
    world_.run_until([&] { return !released_.empty(); });
    EXPECT_TRUE(released_.at(0));
    return std::move(*released_.at(0));
  }

  Partition& acquire(LogShard& owner, PartitionSnapshot snapshot, int32_t leader_epoch) {
    std::optional<Result<Partition*>> acquired;
    owner.acquire(std::move(snapshot), LogConfig{}, leader_epoch,
                  [&](Result<Partition*> result) { acquired = std::move(result); });
    EXPECT_EQ(owner.find(id()), nullptr) << "not before it is noted";
    world_.run_until([&] { return acquired.has_value(); });
    return *acquired.value().value();
  }

  std::unique_ptr<LogShard> next_owner_;
  std::vector<Released> released_;
  bool asked_ = false;
};

TEST_F(LogShardHandoverTest, WhatHasAnOffsetIsAnsweredAndWhatComesLaterRefused) {
  append(idempotent(0, 2));
  append(batch(1));
  release();
  append(batch(1));
  ASSERT_EQ(answers_.size(), 1u) << "refused at once";
  EXPECT_EQ(answers_[0].error, ErrorCode::kNotLeaderOrFollower);
  EXPECT_EQ(shard_->find(id()), partition_) << "readers are served until it goes";
  EXPECT_TRUE(released_.empty());

  const PartitionSnapshot snapshot = released();
  ASSERT_EQ(answers_.size(), 3u);
  EXPECT_EQ(answers_[1].base_offset, 0);
  EXPECT_EQ(answers_[2].base_offset, 2);
  EXPECT_EQ(shard_->find(id()), nullptr);
  EXPECT_EQ(shard_->partition_count(), 0u);
  EXPECT_EQ(shard_->tail_cache_bytes(), 0u);
  EXPECT_EQ(snapshot.manifest.end_offset, 3);
  ASSERT_EQ(snapshot.producers.size(), 1u);
  EXPECT_EQ(snapshot.producers[0].batches.back().last_sequence, 1);
}

TEST_F(LogShardHandoverTest, TheNextOwnerGoesOnWhereItEnded) {
  append(idempotent(0, 2));
  append(idempotent(2, 1));
  // As it travels from one owner to the other.
  const auto snapshot = decode_partition_snapshot(encode_partition_snapshot(released()));
  ASSERT_TRUE(snapshot);
  Partition& acquired = acquire(*next_owner_, *snapshot, 3);
  EXPECT_EQ(acquired.high_watermark(), 3);
  EXPECT_EQ(acquired.log_end_offset(), 3);
  EXPECT_EQ(acquired.leader_epoch(), 3);
  EXPECT_EQ(acquired.epochs(), (std::vector<EpochStart>{{0, 0}}));
  auto& wal = static_cast<FakeWal&>(next_owner_->wal());
  answers_.clear();
  const auto append_there = [&](Slice records) {
    next_owner_->append(acquired, std::move(records), true, [this](AppendResult r) { answers_.push_back(std::move(r)); });
  };
  append_there(idempotent(2, 1));
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].base_offset, 2) << "a duplicate";
  append_there(idempotent(3, 1));
  wal.complete();
  ASSERT_EQ(answers_.size(), 2u);
  EXPECT_EQ(answers_[1].base_offset, 3);
  EXPECT_EQ(acquired.epochs(), (std::vector<EpochStart>{{0, 0}, {3, 3}}));
}

TEST_F(LogShardHandoverTest, ItIsServedOnceTheNextOwnersLogIsKnownToHaveIt) {
  append(batch(1));
  PartitionSnapshot snapshot = released();
  store_.broken_ = true;
  std::optional<Result<Partition*>> acquired;
  next_owner_->acquire(snapshot, LogConfig{}, 1, [&](Result<Partition*> result) { acquired = std::move(result); });
  world_.run_until([&] { return acquired.has_value(); });
  EXPECT_FALSE(*acquired);
  EXPECT_EQ(next_owner_->find(id()), nullptr);
  store_.broken_ = false;
  EXPECT_EQ(acquire(*next_owner_, std::move(snapshot), 1).high_watermark(), 1);
  EXPECT_THAT(store_.guests_, ElementsAre(WalGuest{world_.loop().index(), id()}));
}

TEST_F(LogShardHandoverTest, AnIdleOrEmptyPartitionGoesAtOnce) {
  release();
  ASSERT_EQ(released_.size(), 1u);
  EXPECT_EQ(released_[0]->manifest.partition, id());
  EXPECT_EQ(released_[0]->manifest.end_offset, 0);
  // And comes back.
  partition_ = &acquire(*shard_, std::move(*released_[0]), 0);
  append(batch(1));
  wal_->complete();
  EXPECT_EQ(answers_.at(0).error, ErrorCode::kNone);
}

TEST_F(LogShardHandoverTest, OthersAreServedMeanwhile) {
  const PartitionId other{Uuid::from_random(5, 6), 0};
  Partition& stays = shard_->add(std::make_unique<Partition>(other, LogConfig{}, 0));
  append(batch(1));
  release();
  std::vector<AppendResult> answers;
  shard_->append(stays, batch(1), true, [&](AppendResult r) { answers.push_back(std::move(r)); });
  (void)released();
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].error, ErrorCode::kNone);
  EXPECT_EQ(shard_->find(other), &stays);
  for (const auto& checkpoint : store_.checkpoints_) {
    for (const CheckpointPartition& checkpointed : checkpoint)
      EXPECT_EQ(checkpointed.partition, id()) << "nobody else is checkpointed early";
  }
}

TEST_F(LogShardHandoverTest, AppendsThatWaitAtTheBoundAreRefused) {
  LogShardOptions options;
  options.dirty_bytes_max = 100;
  open(options);
  append(batch(1, {}, 1000, 200));
  append(batch(1));
  ASSERT_EQ(shard_->held_appends(), 1u);
  release();
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].error, ErrorCode::kNotLeaderOrFollower);
  EXPECT_EQ(shard_->held_appends(), 0u);
  EXPECT_EQ(released().manifest.end_offset, 1);
}

TEST_F(LogShardHandoverTest, ACheckpointThatFailsIsTriedAgain) {
  append(batch(1));
  store_.broken_ = true;
  release();
  wal_->complete();
  world_.advance(3 * runtime::kSecond);
  EXPECT_TRUE(released_.empty());
  EXPECT_TRUE(shard_->checkpoint_failing());
  store_.broken_ = false;
  world_.run_until([&] { return !released_.empty(); });
  ASSERT_TRUE(released_.at(0));
  EXPECT_EQ(released_[0]->manifest.end_offset, 1);
}

TEST_F(LogShardHandoverTest, ItFailsWithTheLog) {
  append(batch(1));
  release();
  wal_->break_down();
  ASSERT_EQ(released_.size(), 1u);
  EXPECT_FALSE(released_[0]);
  EXPECT_EQ(shard_->find(id()), partition_);
  release();
  EXPECT_FALSE(released_.at(1));
}

TEST_F(LogShardHandoverTest, ADroppedPartitionIsNotReleased) {
  append(batch(1));
  release();
  shard_->drop(id());
  ASSERT_EQ(released_.size(), 1u);
  EXPECT_EQ(released_[0].error().code, weir::ErrorCode::kNotFound);
  release();
  EXPECT_EQ(released_.at(1).error().code, weir::ErrorCode::kNotFound);
}

TEST_F(LogShardHandoverTest, OneReleaseAtATime) {
  append(batch(1));
  release();
  release();
  ASSERT_EQ(released_.size(), 1u);
  EXPECT_EQ(released_[0].error().code, weir::ErrorCode::kExists);
}

TEST_F(LogShardHandoverTest, ADeletionThatIsUnderWayIsPartOfIt) {
  append(batch(4));
  wal_->complete();
  std::optional<Result<int64_t>> deleted, late;
  shard_->delete_records(*partition_, 3, [&](Result<int64_t> result) { deleted = std::move(result); });
  release();
  shard_->delete_records(*partition_, 4, [&](Result<int64_t> result) { late = std::move(result); });
  ASSERT_TRUE(late);
  EXPECT_FALSE(*late);
  world_.run_until([&] { return !released_.empty(); });
  ASSERT_TRUE(released_.at(0));
  EXPECT_EQ(released_[0]->manifest.log_start_offset, 3);
  ASSERT_TRUE(deleted && *deleted);
}

// The store has not told yet where the partition is; its next owner must not learn less than is durable.
TEST_F(LogShardHandoverTest, ItWaitsForWhatTheStoreWasAskedFor) {
  bool moved = false;
  shard_->set_directory(*partition_, 7, [&](Result<void>) { moved = true; });
  release();
  EXPECT_TRUE(released_.empty());
  world_.run_until([&] { return !released_.empty(); });
  EXPECT_TRUE(moved);
  ASSERT_TRUE(released_.at(0));
  EXPECT_EQ(released_[0]->manifest.place.target, 7u);
}

TEST_F(LogShardHandoverTest, WhoWaitsForRecordsIsWokenWhenItGoes) {
  int woken = 0;
  append(batch(1));
  wal_->complete();
  shard_->add_waiter(*partition_, false, [&] { ++woken; });
  release();
  EXPECT_EQ(woken, 0);
  world_.run_until([&] { return !released_.empty(); });
  EXPECT_EQ(woken, 1);
}

// What compaction or a move made of the segments meanwhile is not for this shard to put in place any more.
TEST_F(LogShardHandoverTest, ALateReplacementIsNotGivenToTheStore) {
  append(batch(1));
  (void)released();
  SegmentReplacement late;
  late.partition = id();
  std::optional<Result<void>> finished;
  shard_->finish_move(std::move(late), [&](Result<void> result) { finished = std::move(result); });
  ASSERT_TRUE(finished);
  EXPECT_EQ(finished->error().code, weir::ErrorCode::kNotFound);
}

}  // namespace
}  // namespace weir::storage
