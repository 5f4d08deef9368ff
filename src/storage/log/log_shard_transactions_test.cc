// What readers of committed records see of a shard's partitions.
#include "base/log.h"
#include "storage/batch_info.h"
#include "storage/log/log_shard_fixture.h"

namespace weir::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class LogShardTransactionsTest : public LogShardTest {
 protected:
  void add(Slice records) { append(std::move(records), false); }
  // As a consumer with isolation.level=read_committed.
  ReadResult committed(int64_t offset, uint64_t max_bytes = 1 << 20) { return read(offset, max_bytes, true); }
  int64_t end_of(const ReadResult& result) {
    int64_t end = -1;
    for (const FetchPiece& piece : result.pieces) {
      protocol::BatchSplitter batches(std::get<Slice>(piece).bytes());
      while (batches.next()) end = batches.header().last_offset() + 1;
    }
    return end;
  }
  // All that is appended, in segments and no longer in memory.
  void checkpoint_out_of_memory() {
    bool done = false;
    shard_->checkpoint_all([&](Result<void> checkpointed) { done = checkpointed.has_value(); });
    wal_->complete();
    ASSERT_TRUE(world_.run_until([&] { return done; }));
  }
  static std::vector<int64_t> firsts(const std::vector<AbortedTransaction>& aborted) {
    std::vector<int64_t> all;
    for (const auto& one : aborted) all.push_back(one.first_offset);
    return all;
  }
};

TEST_F(LogShardTransactionsTest, TheLastStableOffsetStaysAtTheFirstOpenTransaction) {
  add(batch(2));
  add(transactional(1, 0));
  add(batch(1));
  EXPECT_EQ(partition_->last_stable_offset(), 0);  // nothing is durable
  wal_->complete();
  EXPECT_EQ(partition_->high_watermark(), 4);
  EXPECT_EQ(partition_->last_stable_offset(), 2);
  add(marker(1, true));
  EXPECT_EQ(partition_->last_stable_offset(), 2);  // decided, but not durably
  wal_->complete();
  EXPECT_EQ(partition_->last_stable_offset(), 5);
}

TEST_F(LogShardTransactionsTest, ItIsNeverBelowTheLogStart) {
  add(transactional(1, 0));
  add(batch(3));
  wal_->complete();
  Result<int64_t> deleted = fail(ErrorCode::kClosed, "");
  shard_->delete_records(*partition_, 3, [&](Result<int64_t> result) { deleted = std::move(result); });
  world_.run_until([&] { return deleted.has_value(); });
  EXPECT_EQ(partition_->log_start_offset(), 3);
  EXPECT_EQ(partition_->last_stable_offset(), 3);
  EXPECT_THAT(partition_->state().open_transactions(), ElementsAre(::testing::Pair(0, 1)));
}

TEST_F(LogShardTransactionsTest, CommittedReadsEndThere) {
  add(batch(2));
  add(transactional(1, 0));
  add(batch(1));
  wal_->complete();
  const ReadResult result = committed(0);
  EXPECT_EQ(end_of(result), 2);
  EXPECT_EQ(result.high_watermark, 4);
  EXPECT_EQ(result.last_stable_offset, 2);
  EXPECT_THAT(result.aborted, IsEmpty());
  EXPECT_EQ(end_of(read(0)), 4);
  EXPECT_EQ(committed(2).bytes, 0u);
  EXPECT_EQ(committed(3).error, protocol::ErrorCode::kNone);  // as Kafka: up to the high watermark
}

TEST_F(LogShardTransactionsTest, CommittedReadsNameWhatWasAborted) {
  add(transactional(1, 0));  // 0
  add(transactional(2, 0));  // 1
  add(marker(1, false));     // 2
  add(marker(2, true));      // 3
  add(transactional(1, 1));  // 4
  add(marker(1, false));     // 5
  wal_->complete();
  EXPECT_THAT(firsts(committed(0).aborted), ElementsAre(0, 4));
  EXPECT_THAT(committed(0, 1).aborted, ElementsAre(AbortedTransaction{1, 0, 2, 1}));  // one batch
  EXPECT_THAT(firsts(committed(3).aborted), ElementsAre(4));
  EXPECT_THAT(read(0).aborted, IsEmpty());
}

TEST_F(LogShardTransactionsTest, TimesAreLookedUpBelowTheLastStableOffset) {
  add(batch(1, {}, 1000));
  add(transactional(1, 0));
  add(batch(1, {}, 5000));
  wal_->complete();
  const auto find = [&](int64_t timestamp, bool read_committed) {
    std::optional<Result<TimestampPosition>> found;
    shard_->find_timestamp(*partition_, timestamp, read_committed, [&](Result<TimestampPosition> r) { found = std::move(r); });
    world_.run_until([&] { return found.has_value(); });
    return (*found)->offset;
  };
  for (const int64_t timestamp : {int64_t{4000}, LogShard::kLargestTimestamp}) {
    EXPECT_EQ(find(timestamp, false), 2);
    EXPECT_EQ(find(timestamp, true), -1);
  }
  add(marker(1, true));
  wal_->complete();
  for (const int64_t timestamp : {int64_t{4000}, LogShard::kLargestTimestamp}) EXPECT_EQ(find(timestamp, true), 2);
}

TEST_F(LogShardTransactionsTest, CommittedReadersWakeWhenTheLastStableOffsetMoves) {
  add(transactional(1, 0));
  wal_->complete();
  int stable = 0, any = 0;
  const uint64_t waiter = shard_->add_waiter(*partition_, true, [&] { ++stable; });
  shard_->add_waiter(*partition_, false, [&] { ++any; });
  add(batch(1));
  wal_->complete();
  EXPECT_EQ(stable, 0);
  EXPECT_EQ(any, 1);
  add(marker(1, true));
  EXPECT_EQ(stable, 0);
  wal_->complete();
  EXPECT_EQ(stable, 1);
  add(batch(1));
  wal_->complete();
  EXPECT_EQ(stable, 1);  // once
  shard_->remove_waiter(*partition_, waiter);
  shard_->add_waiter(*partition_, true, [&] { ++stable; });
  shard_->drop(partition_->id());
  EXPECT_EQ(stable, 2);
}

TEST_F(LogShardTransactionsTest, ACheckpointTakesTheAbortedTransactionsWhoseMarkersItTakes) {
  add(transactional(1, 0));  // 0
  add(transactional(2, 0));  // 1
  add(marker(1, false));     // 2
  wal_->complete();
  wal_->end_file();
  add(marker(2, false));  // 3, in a chunk of its own
  wal_->complete();
  world_.run_until([&] { return partition_->manifest().end_offset == 3; });
  ASSERT_EQ(store_.checkpoints_.size(), 1u);
  EXPECT_THAT(store_.checkpoints_[0].at(0).aborted, ElementsAre(AbortedTransaction{1, 0, 2, 1}));
  // Readers of the tail know only what is in memory.
  EXPECT_THAT(partition_->state().aborted(), ElementsAre(AbortedTransaction{1, 0, 2, 1}, AbortedTransaction{2, 1, 3, 4}));
  checkpoint_out_of_memory();
  EXPECT_THAT(store_.checkpoints_.back().at(0).aborted, ElementsAre(AbortedTransaction{2, 1, 3, 4}));
}

TEST_F(LogShardTransactionsTest, ARowTellsOfATransactionThatIsOpenAtItsFloor) {
  add(transactional(1, 0));  // 0
  add(transactional(1, 1));  // 1
  wal_->complete();
  wal_->end_file();
  add(marker(1, false));
  wal_->complete();
  world_.run_until([&] { return partition_->manifest().end_offset == 2; });
  ASSERT_EQ(store_.checkpoints_.at(0).at(0).producers.size(), 1u);
  EXPECT_EQ(store_.checkpoints_[0][0].producers[0].transaction_first_offset, 0);
  checkpoint_out_of_memory();
  EXPECT_EQ(store_.checkpoints_.back()[0].producers.at(0).transaction_first_offset, -1);
}

TEST_F(LogShardTransactionsTest, AReadFromDiskHearsOfMarkersInMemory) {
  LogShardOptions options;
  options.tail_cache_bytes = 0;
  open(options);
  add(transactional(1, 0));  // 0
  wal_->complete();
  checkpoint_out_of_memory();
  add(marker(1, false));  // 1
  wal_->complete();
  ASSERT_EQ(partition_->tail_start(), 1);
  EXPECT_THAT(committed(0).aborted, ElementsAre(AbortedTransaction{1, 0, 1, 2}));
  EXPECT_THAT(read(0).aborted, IsEmpty());
}

// The store has looked for entries where they were when the read began, and the checkpoint took more of them from memory.
TEST_F(LogShardTransactionsTest, AReadFromDiskThatACheckpointOvertakesBeginsAnew) {
  LogShardOptions options;
  options.tail_cache_bytes = 0;
  open(options);
  add(transactional(1, 0));  // 0
  wal_->complete();
  checkpoint_out_of_memory();
  add(marker(1, false));  // 1
  wal_->complete();
  bool answered = false;
  ReadResult result;
  ASSERT_FALSE(shard_->read(*partition_, {0, 1 << 20, true, true}, result, [&](ReadResult) { answered = true; }));
  PartitionManifest checkpointed = partition_->manifest();
  checkpointed.end_offset = 2;
  partition_->adopt(checkpointed);
  world_.run_until([&] { return answered; });
  EXPECT_EQ(store_.reads_, 2u);
}

// They were taken once. A producer may have been forgotten then and be known from its row now.
TEST_F(LogShardTransactionsTest, RecoveryTakesWhatAnAppendWouldRefuse) {
  PartitionSnapshot snapshot;
  snapshot.manifest.partition = {Uuid::from_random(8, 8), 0};
  ProducerEntry row;
  row.producer_id = 1;
  row.producer_epoch = 3;
  row.coordinator_epoch = 7;
  row.transaction_first_offset = 0;
  snapshot.producers = {row};
  RecoveredTail tail;
  const auto add_to_tail = [&](Slice records) {
    const auto header = protocol::BatchHeader::parse(records.data);
    TailBatch& one = tail.batches.emplace_back(info_of(header, records.bytes()), records);
    one.info.base_offset = static_cast<int64_t>(tail.batches.size()) - 1;
    one.info.partition = snapshot.manifest.partition;
  };
  add_to_tail(transactional(1, 5, 1, 2));
  add_to_tail(marker(1, false, 2, 6));
  add_to_tail(transactional(1, 0, 1, 4));
  std::vector<std::string> lines;
  set_log_sink([&](LogLevel, std::string_view, std::string_view line) { lines.emplace_back(line); });
  const Partition& partition = shard_->add_recovered(snapshot, {}, 0, std::move(tail));
  set_log_sink({});
  EXPECT_EQ(partition.high_watermark(), 3);
  EXPECT_THAT(partition.state().open_transactions(), ElementsAre(::testing::Pair(2, 1)));
  EXPECT_THAT(partition.state().aborted(), ElementsAre(AbortedTransaction{1, 0, 1, 2}));
  EXPECT_EQ(partition.producers().find(1)->producer_epoch, 4);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0], ::testing::HasSubstr("2 batches of the write-ahead log"));
}

TEST_F(LogShardTransactionsTest, AnOpenTransactionKeepsItsProducer) {
  LogShardOptions options;
  options.producers_max = 2;
  options.producer_id_expiration_ms = 1000;
  open(options);
  add(transactional(1, 0));
  for (int64_t producer = 10; producer < 20; ++producer) append(idempotent(0, 1, producer));
  wal_->complete();
  EXPECT_EQ(partition_->producers().size(), 2u);
  EXPECT_NE(partition_->producers().find(1), nullptr);
  world_.sim().run_for(10 * runtime::kSecond);
  shard_->run_retention();
  world_.run_until([&] { return partition_->producers().size() == 1; });
  EXPECT_NE(partition_->producers().find(1), nullptr);
  EXPECT_EQ(partition_->last_stable_offset(), 0);
}

}  // namespace
}  // namespace weir::storage
