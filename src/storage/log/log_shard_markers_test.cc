// The ends of transactions in a shard's partitions: which markers are taken, what they leave behind, and which transactions are
// open.
#include <optional>

#include "storage/log/log_shard_fixture.h"

namespace weir::storage {
namespace {

using protocol::ErrorCode;
using ::testing::ElementsAre;

class LogShardMarkersTest : public LogShardTest {
 protected:
  // What check_marker() says as well.
  ErrorCode end(const MarkerAppend& marker) {
    const ErrorCode expected = shard_->check_marker(*partition_, marker);
    std::optional<ErrorCode> told;
    shard_->append_marker(*partition_, marker, [&](const AppendResult& result) { told = result.error; });
    EXPECT_FALSE(told && expected == ErrorCode::kNone) << "it is not durable yet";
    wal_->complete();
    EXPECT_EQ(told, expected);
    return expected;
  }
  static MarkerAppend of(int16_t epoch, int16_t version, int32_t coordinator_epoch = 0) {
    return {.producer_id = 1,
            .producer_epoch = epoch,
            .coordinator_epoch = coordinator_epoch,
            .transaction_version = version};
  }
  void begin(int16_t epoch, int32_t sequence = 0) { append(transactional(1, sequence, 1, epoch)); }
  const ProducerEntry& producer() const { return *partition_->producers().find(1); }
};

TEST_F(LogShardMarkersTest, AMarkerIsWrittenAsKafkaReadsIt) {
  begin(3);
  wal_->complete();
  const int64_t now_ms = world_.clock().wall_ms();
  EXPECT_EQ(end({.producer_id = 1, .producer_epoch = 4, .coordinator_epoch = 9, .commit = true, .transaction_version = 2}),
            ErrorCode::kNone);
  const protocol::BatchHeader header = sound_header_at(1);
  EXPECT_TRUE(header.control() && header.transactional());
  EXPECT_EQ(header.producer_id, 1);
  EXPECT_EQ(header.producer_epoch, 4);
  EXPECT_EQ(header.base_sequence, -1);
  EXPECT_EQ(header.max_timestamp, now_ms);
  const BatchInfo& info = wal_->info_.back();
  EXPECT_EQ(info.control_type, BatchInfo::kCommit);
  EXPECT_EQ(info.coordinator_epoch, 9);
  EXPECT_EQ(info.transaction_version, 2);
}

TEST_F(LogShardMarkersTest, WithAnEpochForEachTransactionItHasToBeAboveTheProducers) {
  begin(3);
  EXPECT_EQ(end(of(2, 2)), ErrorCode::kInvalidProducerEpoch);
  EXPECT_EQ(end(of(3, 2)), ErrorCode::kInvalidProducerEpoch) << "it would end a transaction that began later";
  EXPECT_EQ(end(of(4, 2)), ErrorCode::kNone);
  EXPECT_EQ(end(of(4, 2)), ErrorCode::kNone) << "once more: its answer was lost";
  EXPECT_EQ(end(of(3, 2)), ErrorCode::kInvalidProducerEpoch);
  EXPECT_TRUE(partition_->state().open_transactions().empty());
}

TEST_F(LogShardMarkersTest, TheLastEpochCannotBeRaised) {
  begin(32767);
  EXPECT_EQ(end(of(32767, 2)), ErrorCode::kNone);
  EXPECT_TRUE(partition_->state().open_transactions().empty());
}

TEST_F(LogShardMarkersTest, OfAnEarlierVersionItMayHaveTheProducersEpoch) {
  for (const int16_t version : {0, 1}) {
    begin(3, version);
    EXPECT_EQ(end(of(2, version)), ErrorCode::kInvalidProducerEpoch);
    EXPECT_EQ(end(of(3, version)), ErrorCode::kNone);
    EXPECT_TRUE(partition_->state().open_transactions().empty());
  }
}

TEST_F(LogShardMarkersTest, AnEarlierCoordinatorIsFenced) {
  begin(3);
  EXPECT_EQ(end(of(3, 1, 5)), ErrorCode::kNone);
  begin(3, 1);
  EXPECT_EQ(end(of(3, 1, 4)), ErrorCode::kTransactionCoordinatorFenced);
  EXPECT_EQ(end(of(2, 1, 4)), ErrorCode::kInvalidProducerEpoch) << "the epoch is looked at first";
  EXPECT_EQ(end(of(3, 1, 5)), ErrorCode::kNone);
}

TEST_F(LogShardMarkersTest, ItIsTakenWithoutATransactionAndWithoutAProducer) {
  EXPECT_EQ(end(of(7, 2, 5)), ErrorCode::kNone);
  EXPECT_EQ(producer().producer_epoch, 7);
  EXPECT_EQ(producer().coordinator_epoch, 5);
  EXPECT_EQ(partition_->last_stable_offset(), 1);
  EXPECT_TRUE(partition_->state().aborted().empty());
}

TEST_F(LogShardMarkersTest, ARaisedEpochBeginsWithSequenceZero) {
  begin(3);
  EXPECT_EQ(end(of(4, 2)), ErrorCode::kNone);
  EXPECT_TRUE(producer().batches.empty());
  answers_.clear();
  begin(4, 1);
  begin(4, 0);
  wal_->complete();
  ASSERT_EQ(answers_.size(), 2u);
  EXPECT_EQ(answers_[0].error, ErrorCode::kOutOfOrderSequenceNumber);
  EXPECT_EQ(answers_[1].error, ErrorCode::kNone);
}

TEST_F(LogShardMarkersTest, TheSameEpochGoesOnBehindIt) {
  begin(3);
  EXPECT_EQ(end(of(3, 1)), ErrorCode::kNone);
  EXPECT_EQ(producer().batches.size(), 1u);
  answers_.clear();
  begin(3, 1);
  wal_->complete();
  EXPECT_EQ(answers_.at(0).error, ErrorCode::kNone);
}

// The producer began another one since somebody looked.
TEST_F(LogShardMarkersTest, OneForACertainTransactionEndsNoOther) {
  begin(3);
  MarkerAppend marker = of(3, 0);
  marker.only_first_offset = 0;
  EXPECT_EQ(end(marker), ErrorCode::kNone);
  EXPECT_EQ(end(marker), ErrorCode::kInvalidTxnState) << "none is open";
  begin(3, 1);
  EXPECT_EQ(end(marker), ErrorCode::kInvalidTxnState);
  marker.only_first_offset = 2;
  EXPECT_EQ(end(marker), ErrorCode::kNone);
}

// Its time is the producer's: an idle one is forgotten from then on.
TEST_F(LogShardMarkersTest, AProducerIsAsYoungAsItsMarker) {
  shard_->set_producer_id_expiration_ms(5000);
  begin(3);
  wal_->complete();
  world_.advance(4 * runtime::kSecond);
  EXPECT_EQ(end(of(3, 1)), ErrorCode::kNone);
  EXPECT_EQ(producer().last_timestamp, world_.clock().wall_ms());
  bool checkpointed = false;
  shard_->checkpoint_all([&](const Result<void>& result) { checkpointed = result.has_value(); });
  wal_->complete();
  ASSERT_TRUE(world_.run_until([&] { return checkpointed; }));
  world_.advance(4 * runtime::kSecond);
  shard_->run_retention();
  world_.advance(runtime::kMillisecond);
  EXPECT_EQ(partition_->producers().size(), 1u);
  world_.advance(2 * runtime::kSecond);
  shard_->run_retention();
  EXPECT_TRUE(world_.run_until([&] { return partition_->producers().size() == 0; }));
}

// It frees those that wait, so it waits for nothing.
TEST_F(LogShardMarkersTest, ItPassesAtTheBoundAndOnAFullDisk) {
  LogShardOptions options;
  options.dirty_bytes_max = 200;
  open(options);
  begin(3);
  append(batch(1, {}, 1000, 300));
  append(batch(1, {}, 1000, 300));
  EXPECT_EQ(shard_->held_appends(), 1u);
  shard_->set_disk_full(true);
  std::optional<ErrorCode> told;
  shard_->append_marker(*partition_, of(3, 1), [&](const AppendResult& result) { told = result.error; });
  EXPECT_EQ(wal_->info_.back().control_type, BatchInfo::kAbort);
  wal_->complete();
  EXPECT_EQ(told, ErrorCode::kNone);
}

class OpenTransactionsTest : public LogShardMarkersTest {
 protected:
  Partition& add(uint64_t topic, int32_t index) {
    return shard_->add(std::make_unique<Partition>(PartitionId{Uuid::from_random(topic, 2), index}, LogConfig{}, 0));
  }
  void begin_in(Partition& partition, int64_t producer) {
    const Slice records = transactional(producer, 0);
    shard_->append(partition, records, true, [](const AppendResult&) {}, as_verified(*shard_, partition, records.bytes()));
  }
  std::vector<OpenTransaction> all(size_t* pages = nullptr) {
    std::vector<OpenTransaction> found;
    for (std::optional<OpenTransactions::Position> from{OpenTransactions::Position{}}; from;) {
      OpenTransactions page = shard_->list_open_transactions(*from);
      EXPECT_LE(page.found.size(), LogShard::kOpenTransactionsListed);
      found.insert(found.end(), page.found.begin(), page.found.end());
      from = page.next;
      if (pages) ++*pages;
    }
    return found;
  }
};

TEST_F(OpenTransactionsTest, AreListedWithAllThatAnAbortNeeds) {
  begin(3);
  EXPECT_EQ(end(of(3, 1, 6)), ErrorCode::kNone);
  EXPECT_TRUE(all().empty());
  begin(3, 1);
  const int64_t now_ms = world_.clock().wall_ms();
  EXPECT_THAT(all(), ElementsAre(OpenTransaction{partition_->id(), 2, 1, 3, 6, now_ms}));
  MarkerAppend marker = of(3, 0, 6);
  marker.only_first_offset = 2;
  EXPECT_EQ(end(marker), ErrorCode::kNone);
  EXPECT_TRUE(all().empty());
}

TEST_F(OpenTransactionsTest, AreListedSomeAtATime) {
  constexpr int64_t kOfOne = 1500;
  for (int64_t producer = 0; producer < kOfOne; ++producer) begin_in(*partition_, producer);
  for (int32_t index = 1; index < 800; ++index) begin_in(add(1, index), 7);
  size_t pages = 0;
  const auto found = all(&pages);
  EXPECT_EQ(found.size(), kOfOne + 799u);
  EXPECT_GE(pages, 3u);
  for (size_t i = 1; i < found.size(); ++i) {
    ASSERT_LT(std::pair(found[i - 1].partition, found[i - 1].first_offset), std::pair(found[i].partition, found[i].first_offset));
  }
}

TEST_F(OpenTransactionsTest, OfPartitionsThatTakeNoMarkerAreNotListed) {
  Partition& dropped = add(1, 1);
  Partition& released = add(1, 2);
  Partition& damaged = add(1, 3);
  for (Partition* partition : {partition_, &dropped, &released, &damaged}) begin_in(*partition, 7);
  EXPECT_EQ(all().size(), 4u);
  shard_->drop(dropped.id());
  shard_->release(released.id(), [](const Result<PartitionSnapshot>&) {});
  damaged.take_offline("damaged");
  EXPECT_EQ(all().size(), 1u);
}

// A partition that comes from another owner, or from the log of an earlier session.
TEST_F(OpenTransactionsTest, ComeWithTheirPartition) {
  PartitionSnapshot snapshot;
  snapshot.manifest.partition = {Uuid::from_random(8, 8), 0};
  snapshot.manifest.end_offset = 10;
  ProducerEntry entry;
  entry.producer_id = 5;
  entry.producer_epoch = 2;
  entry.coordinator_epoch = 4;
  entry.last_timestamp = 77;
  entry.transaction_first_offset = 6;
  snapshot.producers = {entry};
  shard_->add_recovered(snapshot, {}, 0, {});
  EXPECT_THAT(all(), ElementsAre(OpenTransaction{snapshot.manifest.partition, 6, 5, 2, 4, 77}));
}

}  // namespace
}  // namespace weir::storage
