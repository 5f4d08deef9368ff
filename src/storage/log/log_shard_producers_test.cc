// LogShard and idempotent producers: how many it remembers, and what of them is left once they are forgotten.
#include <set>
#include <tuple>

#include "storage/log/log_shard_fixture.h"

namespace weir::storage {
namespace {

using protocol::ErrorCode;
using ::testing::ElementsAre;

// The rows of a partition as the checkpoints leave them.
std::set<int64_t> producer_rows(const FakeStore& store, const PartitionId& partition) {
  std::set<int64_t> rows;
  for (const auto& checkpoint : store.checkpoints_) {
    for (const CheckpointPartition& one : checkpoint) {
      if (one.partition != partition) continue;
      for (const int64_t id : one.expired_producers) rows.erase(id);
      for (const ProducerEntry& entry : one.producers) rows.insert(entry.producer_id);
    }
  }
  return rows;
}

TEST_F(LogShardTest, ProducersThatExpireWhileACheckpointRunsAreForgottenByTheNextOne) {
  LogShardOptions options;
  options.producer_id_expiration_ms = 1000;
  open(options);
  append(idempotent(0, 1, 7));
  wal_->complete();
  world_.advance(2 * runtime::kSecond);
  append(idempotent(0, 1, 8));
  wal_->complete();
  shard_->run_retention();  // begins a checkpoint that forgets 7
  shard_->set_producer_id_expiration_ms(-1'000'000);
  shard_->run_retention();  // 8 expires while it runs
  ASSERT_TRUE(world_.run_until([&] { return store_.checkpoints_.size() == 2; }));
  EXPECT_THAT(store_.checkpoints_[0].at(0).expired_producers, ElementsAre(7));
  EXPECT_THAT(store_.checkpoints_[1].at(0).expired_producers, ::testing::Contains(8));
}

// Somebody who takes a new id for each batch makes his own partition forget, not others'.
TEST_F(LogShardTest, ProducersAreBounded) {
  LogShardOptions options;
  options.producers_max = 100;
  open(options);
  append(idempotent(0, 1, 1));
  Partition& flooded = shard_->add(std::make_unique<Partition>(PartitionId{Uuid::from_random(1, 3), 0}, LogConfig{}, 0));
  const auto flood = [&](int64_t first, int64_t last) {
    for (int64_t id = first; id <= last; ++id) shard_->append(flooded, idempotent(0, 1, id), true, [](AppendResult) {});
  };
  flood(1000, 1999);
  EXPECT_EQ(shard_->producers(), 100u);
  EXPECT_EQ(shard_->producers_evicted(), 901u);
  EXPECT_EQ(flooded.producers().size(), 99u);
  EXPECT_NE(flooded.producers().find(1999), nullptr);
  EXPECT_EQ(flooded.producers().find(1900), nullptr);
  append(idempotent(1, 1, 1));
  for (int64_t id = 2; id <= 11; ++id) append(idempotent(0, 1, id));  // few beside the others
  EXPECT_EQ(partition_->producers().size(), 11u);
  EXPECT_EQ(flooded.producers().size(), 89u);
  wal_->complete();
  for (const AppendResult& answer : answers_) EXPECT_EQ(answer.error, ErrorCode::kNone);
  // What was forgotten has no row.
  bool checkpointed = false;
  shard_->checkpoint_all([&](Result<void> result) { checkpointed = result.has_value(); });
  ASSERT_TRUE(world_.run_until([&] { return checkpointed; }));
  const auto rows = producer_rows(store_, flooded.id());
  EXPECT_EQ(rows.size(), 89u);
  EXPECT_FALSE(rows.contains(1900));
  shard_->drop(flooded.id());
  EXPECT_EQ(shard_->producers(), 11u);
}

// Others hold their own, however many partitions there are.
TEST_F(LogShardTest, AFloodOfProducersLeavesThoseOfOtherPartitions) {
  LogShardOptions options;
  options.producers_max = 1000;
  open(options);
  Partition* flooded = nullptr;
  for (uint64_t i = 0; i < 500; ++i) {
    flooded = &shard_->add(std::make_unique<Partition>(PartitionId{Uuid::from_random(1, i + 3), 0}, LogConfig{}, 0));
  }
  for (int64_t id = 1000; id < 2000; ++id) shard_->append(*flooded, idempotent(0, 1, id), true, [](AppendResult) {});
  for (int64_t id = 1; id <= 100; ++id) append(idempotent(0, 1, id));
  EXPECT_EQ(partition_->producers().size(), 100u);
  EXPECT_EQ(flooded->producers().size(), 900u);
}

// A checkpoint that takes none of its batches has removed a row that is not there yet.
TEST_F(LogShardTest, ForgottenProducersHaveNoRowWhenTheirBatchesAreCheckpointed) {
  LogConfig config;
  config.retention_ms = -1;
  shard_->set_config(partition_->id(), config);
  append(idempotent(0, 1, 5));
  wal_->complete();
  world_.advance(10 * runtime::kSecond);
  shard_->set_producer_id_expiration_ms(1000);
  shard_->run_retention();
  ASSERT_TRUE(world_.run_until([&] { return !store_.checkpoints_.empty(); }));
  EXPECT_EQ(partition_->producers().size(), 0u);
  EXPECT_EQ(partition_->manifest().end_offset, 0);
  checkpoint_now();
  EXPECT_GE(partition_->manifest().end_offset, 1);
  EXPECT_EQ(producer_rows(store_, partition_->id()), std::set<int64_t>());
}

// One that is forgotten while a checkpoint is planned still has its row written: it goes with the next checkpoint, and until then
// what the row says is no older than the segments.
TEST_F(LogShardTest, AProducerForgottenDuringACheckpointGoesWithTheNext) {
  LogShardOptions options;
  options.producers_max = 1;
  open(options);
  append(idempotent(0, 1, 5));
  wal_->complete();
  bool checkpointed = false;
  shard_->checkpoint_all([&](Result<void> result) { checkpointed = result.has_value(); });
  append(idempotent(0, 1, 6));  // the checkpoint is planned, and 5 forgotten
  EXPECT_EQ(partition_->producers().find(5), nullptr);
  wal_->complete();
  ASSERT_TRUE(world_.run_until([&] { return checkpointed; }));
  ASSERT_GE(store_.checkpoints_.size(), 2u);
  const auto& [first, second] = std::tie(store_.checkpoints_[0].at(0), store_.checkpoints_[1].at(0));
  ASSERT_EQ(first.producers.size(), 1u);
  EXPECT_EQ(first.producers[0].producer_id, 5);
  EXPECT_THAT(first.expired_producers, ::testing::IsEmpty());
  EXPECT_THAT(second.expired_producers, ElementsAre(5));
  ASSERT_EQ(second.producers.size(), 1u);
  EXPECT_EQ(second.producers[0].producer_id, 6);
}

}  // namespace
}  // namespace weir::storage
