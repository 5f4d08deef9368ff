// LogShard over a WAL and a segment store in memory: what happens between append, durability and checkpoint. The real ones
// under power cuts are tested in tests/simulation.
#include "storage/log/log_shard.h"

#include <cerrno>

#include "base/log.h"
#include "protocol/compressed_batch_fixture.h"
#include "storage/log/log_shard_fixture.h"

namespace weir::storage {
namespace {

using protocol::ErrorCode;
using ::testing::ElementsAre;

TEST_F(LogShardTest, NothingIsAnsweredOrReadableBeforeItIsDurable) {
  append(batch(3));
  append(batch(2));
  EXPECT_TRUE(answers_.empty());
  EXPECT_EQ(partition_->log_end_offset(), 5);
  EXPECT_EQ(partition_->high_watermark(), 0);
  EXPECT_EQ(read(0).bytes, 0u);
  wal_->complete();
  ASSERT_EQ(answers_.size(), 2u);
  EXPECT_EQ(answers_[0].base_offset, 0);
  EXPECT_EQ(answers_[1].base_offset, 3);
  EXPECT_EQ(partition_->high_watermark(), 5);
  const auto result = read(4);  // in the middle of a batch: the whole batch
  ASSERT_EQ(result.pieces.size(), 1u);
  EXPECT_EQ(protocol::BatchHeader::parse(std::get<Slice>(result.pieces[0]).data).base_offset, 3);
}

TEST_F(LogShardTest, DuplicatesAndSequenceErrorsWaitForTheirOriginal) {
  append(idempotent(0, 2));
  append(idempotent(0, 2));
  append(idempotent(7, 1));
  EXPECT_TRUE(answers_.empty());
  wal_->complete();
  ASSERT_EQ(answers_.size(), 3u);
  EXPECT_EQ(answers_[1].error, ErrorCode::kNone);
  EXPECT_EQ(answers_[1].base_offset, 0);
  EXPECT_EQ(answers_[2].error, ErrorCode::kOutOfOrderSequenceNumber);
  EXPECT_EQ(partition_->log_end_offset(), 2);
}

TEST_F(LogShardTest, BatchesThatAreCompressedKeepTheirPlaceAmongThoseOfTheirProducer) {
  LogConfig config;
  config.compression = protocol::CompressionType::kZstd;
  shard_->set_config(partition_->id(), config);
  append(idempotent(0, 2));
  append(batch(1), false);   // the broker's own are stored as they are, and pass those of others
  append(idempotent(7, 1));  // refused in its turn
  append(idempotent(2, 3));
  EXPECT_EQ(partition_->log_end_offset(), 1);
  world_.run_until([&] { return partition_->log_end_offset() == 6; });
  EXPECT_TRUE(answers_.empty());
  wal_->complete();
  ASSERT_EQ(answers_.size(), 4u);
  EXPECT_EQ(answers_[0].base_offset, 0);
  EXPECT_EQ(answers_[1].base_offset, 1);
  EXPECT_EQ(answers_[2].error, ErrorCode::kOutOfOrderSequenceNumber);
  EXPECT_EQ(answers_[3].base_offset, 3);
  EXPECT_EQ(wal_->info_[0].attributes, 0);
  EXPECT_EQ(wal_->info_[1].attributes & protocol::BatchHeader::kCompressionMask, 4);
}

// Whatever comes to other partitions, and however much of it: a partition's batch waits for one turn of each.
TEST_F(LogShardTest, BatchesThatTakeLongHoldUpTheirOwnPartitionOnly) {
  const auto compressed = [&](size_t bytes) {
    return Slice::copy_of(protocol::compressed_batch(batch(1, {}, 1000, bytes).bytes(), protocol::CompressionType::kGzip));
  };
  const Slice large = compressed(OpeningMemory::kTurn.decompressed_bytes);
  const Slice small = compressed(8);
  std::vector<Partition*> held_up;
  for (uint64_t i = 0; i < 4; ++i) {
    held_up.push_back(&shard_->add(std::make_unique<Partition>(PartitionId{Uuid::from_random(3, i), 0}, LogConfig{}, 0)));
    for (int k = 0; k < 5; ++k) {
      shard_->append(*held_up.back(), Slice::copy_of(large.bytes()), true, [](AppendResult) {});
      shard_->append(*held_up.back(), Slice::copy_of(small.bytes()), true, [](AppendResult) {});
    }
  }
  append(Slice::copy_of(small.bytes()));
  world_.run_until([&] { return partition_->log_end_offset() == 1; });
  const auto appended = [&] {
    int64_t count = 0;
    for (const Partition* partition : held_up) count += partition->log_end_offset();
    return count;
  };
  EXPECT_LE(appended(), 4);
  for (Partition* partition : held_up) {
    world_.run_until([&] { return partition->log_end_offset() == 10; });
    EXPECT_EQ(partition->log_end_offset(), 10);
  }
}

TEST_F(LogShardTest, ATopicDeletedWhileItsBatchIsCompressedAnswersIt) {
  LogConfig config;
  config.compression = protocol::CompressionType::kGzip;
  shard_->set_config(partition_->id(), config);
  append(batch(1));
  append(batch(1));
  shard_->drop(partition_->id());
  world_.run_until([&] { return answers_.size() == 2; });
  EXPECT_EQ(answers_[0].error, ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(answers_[1].error, ErrorCode::kUnknownTopicOrPartition);
  wal_->complete();
  EXPECT_EQ(answers_.size(), 2u);
}

TEST_F(LogShardTest, AProducersBatchStartsAtOffsetZero) {
  protocol::BatchOptions options;
  options.base_offset = 7;
  append(batch(2, options));
  options.base_offset = 0;
  for (const auto stored : {protocol::CompressionType::kNone, protocol::CompressionType::kGzip}) {
    LogConfig config;
    config.compression = stored;
    shard_->set_config(partition_->id(), config);
    Slice records = batch(2, options);
    protocol::patch_base_offset(records.owner.data(), 1);
    append(std::move(records));
  }
  world_.run_until([&] { return answers_.size() == 3; });
  ASSERT_EQ(answers_.size(), 3u);
  for (const AppendResult& answer : answers_) EXPECT_EQ(answer.error, ErrorCode::kInvalidRecord);
  EXPECT_EQ(partition_->log_end_offset(), 0);
}

TEST_F(LogShardTest, AFailedFlushEndsTheSession) {
  append(batch(1));
  wal_->complete();
  append(batch(1));
  wal_->break_down();
  append(batch(1));
  ASSERT_EQ(answers_.size(), 3u);
  EXPECT_EQ(answers_[0].error, ErrorCode::kNone);
  EXPECT_EQ(answers_[1].error, ErrorCode::kKafkaStorageError);
  EXPECT_EQ(answers_[2].error, ErrorCode::kKafkaStorageError);
  EXPECT_EQ(partition_->high_watermark(), 1);
  EXPECT_GT(read(0).bytes, 0u);  // what is durable stays readable
}

TEST_F(LogShardTest, AFullDiskRefusesProducersOnly) {
  append(batch(1));
  wal_->complete();
  shard_->set_disk_full(true);
  append(batch(1));
  ASSERT_EQ(answers_.size(), 2u);
  EXPECT_EQ(answers_[1].error, ErrorCode::kKafkaStorageError);
  append(batch(1), false);
  wal_->complete();
  EXPECT_EQ(answers_[2].error, ErrorCode::kNone);
  EXPECT_GT(read(0).bytes, 0u);
  shard_->set_disk_full(false);
  append(batch(1));
  wal_->complete();
  EXPECT_EQ(answers_[3].error, ErrorCode::kNone);
}

TEST_F(LogShardTest, OffsetsOutsideTheLogAreOutOfRange) {
  append(batch(1));
  wal_->complete();
  EXPECT_EQ(read(2).error, ErrorCode::kOffsetOutOfRange);
  EXPECT_EQ(read(-1).error, ErrorCode::kOffsetOutOfRange);
  EXPECT_EQ(read(1).error, ErrorCode::kNone);
}

TEST_F(LogShardTest, ReadsReturnWholeBatchesWithinTheLimitButAtLeastOne) {
  for (int i = 0; i < 4; ++i) append(batch(1, {}, 1000, 100));
  wal_->complete();
  const uint64_t one = read(0, 1).bytes;
  EXPECT_GT(one, 100u);
  EXPECT_EQ(read(0, one * 2).bytes, one * 2);
  EXPECT_EQ(read(0, one * 3 - 1).bytes, one * 2);
  ReadResult none;
  EXPECT_TRUE(shard_->read(*partition_, {0, 10, false, false}, none, {}));
  EXPECT_EQ(none.bytes, 0u);
}

// A tool that ran as root, a disk that fails now and then: the partition stays online, but nobody is to believe that all is well.
TEST_F(LogShardTest, ReadsThatFailWithoutDamageAreNotedUntilOneSucceeds) {
  LogShardOptions options;
  options.tail_cache_bytes = 1;
  open(options);
  append(batch(2));
  wal_->complete();
  checkpoint_now();
  std::vector<std::string> lines;
  set_log_sink([&](LogLevel, std::string_view, std::string_view line) { lines.emplace_back(line); });
  for (const int refused : {EACCES, EIO}) {
    store_.read_failure_ = fail_errno("cannot open 0.log", refused).error();
    EXPECT_EQ(read(0).error, ErrorCode::kKafkaStorageError);
    EXPECT_FALSE(partition_->offline());
    EXPECT_EQ(shard_->failing_reads().partitions(), 1u);
    ASSERT_EQ(shard_->list_failing_reads().size(), 1u);
    EXPECT_TRUE(shard_->list_failing_reads()[0].reason.starts_with("cannot open 0.log: "));
    store_.read_failure_.reset();
    EXPECT_EQ(read(0).error, ErrorCode::kNone);
    EXPECT_EQ(shard_->failing_reads().partitions(), 0u);
  }
  set_log_sink({});
  EXPECT_EQ(shard_->failing_reads().failures(), 2u);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_NE(lines[0].find("chown"), std::string::npos) << lines[0];
  EXPECT_NE(lines[1].find("Check the disk"), std::string::npos) << lines[1];

  store_.read_failure_ = fail_errno("cannot open 0.log", EIO).error();
  read(0);
  shard_->drop(partition_->id());
  EXPECT_EQ(shard_->failing_reads().partitions(), 0u) << "nobody reads it any more";
}

TEST_F(LogShardTest, DeleteRecordsMovesTheStartOnceItIsDurable) {
  append(batch(5));
  wal_->complete();
  Result<int64_t> moved = fail(weir::ErrorCode::kUnknown, "");
  bool woken = false;
  shard_->add_waiter(*partition_, false, [&] { woken = true; });
  shard_->delete_records(*partition_, -1, [&](Result<int64_t> r) { moved = r; });
  EXPECT_EQ(partition_->log_start_offset(), 0);
  ASSERT_TRUE(world_.run_until([&] { return moved.has_value(); }));
  EXPECT_EQ(*moved, 5);
  EXPECT_EQ(partition_->log_start_offset(), 5);
  EXPECT_TRUE(woken);
  EXPECT_EQ(read(3).error, ErrorCode::kOffsetOutOfRange);
  shard_->delete_records(*partition_, 6, [&](Result<int64_t> r) { moved = r; });
  EXPECT_FALSE(moved);
}

TEST_F(LogShardTest, ATopicDeletedWhileAppendsAreInFlightStaysSafe) {
  append(batch(1));
  bool woken = false;
  shard_->add_waiter(*partition_, false, [&] { woken = true; });
  const PartitionId id = partition_->id();
  shard_->drop(id);
  EXPECT_TRUE(woken);
  EXPECT_EQ(shard_->find(id), nullptr);
  wal_->complete();
  ASSERT_EQ(answers_.size(), 1u);
}

TEST_F(LogShardTest, TheTailOfADeletedTopicGoesAtOnceOnAnIdleShard) {
  const PartitionId other{Uuid::from_random(3, 4), 0};
  Partition& first = shard_->add(std::make_unique<Partition>(other, LogConfig{}, 0));
  shard_->append(first, batch(1), true, [](AppendResult) {});  // not checkpointed, and before the other's in the cache
  wal_->complete();
  const uint64_t left = shard_->tail_cache_bytes();
  append(batch(1, {}, 1000, 10'000));
  wal_->complete();
  EXPECT_GT(shard_->tail_cache_bytes(), 10'000u);
  shard_->drop(partition_->id());
  EXPECT_EQ(shard_->tail_cache_bytes(), left);
  shard_->drop(other);
  EXPECT_EQ(shard_->tail_cache_bytes(), 0u);
}

TEST_F(LogShardTest, RefusesWhatKafkaRefuses) {
  LogConfig config;
  config.max_message_bytes = 200;
  config.cleanup_compact = true;
  shard_->set_config(partition_->id(), config);
  append(batch(1));  // no key
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].error, ErrorCode::kInvalidRecord);
  EXPECT_EQ(answers_[0].record_errors.size(), 1u);
  append(batch(1, {}, 1000, 500));
  EXPECT_EQ(answers_[1].error, ErrorCode::kMessageTooLarge);
  shard_->set_config(partition_->id(), LogConfig{});
  Slice damaged = batch(1);
  const_cast<uint8_t*>(damaged.data)[damaged.size - 1] ^= 1;
  append(damaged);
  EXPECT_EQ(answers_[2].error, ErrorCode::kCorruptMessage);
  append(batch(1, {}, runtime_.clock->wall_ms() + 7'200'000));
  EXPECT_EQ(answers_[3].error, ErrorCode::kInvalidTimestamp);
  EXPECT_EQ(partition_->log_end_offset(), 0);
}

// Markers are no data: they have no sequence, and end what their producer began.
TEST_F(LogShardTest, TheBrokersMarkersEndTransactions) {
  protocol::BatchOptions options{.producer_id = 9, .producer_epoch = 0, .base_sequence = 0, .transactional = true};
  append(batch(2, options), false);
  EXPECT_EQ(partition_->producers().find(9)->transaction_first_offset, 0);
  protocol::RecordBatchBuilder marker({.producer_id = 9, .producer_epoch = 0, .transactional = true, .control = true});
  marker.append_end_marker(1000, true, 3);
  append(Slice::copy_of(marker.finish()), false);
  EXPECT_EQ(partition_->producers().find(9)->transaction_first_offset, -1);
  EXPECT_EQ(partition_->producers().find(9)->coordinator_epoch, 3);
  options.base_sequence = 2;
  append(batch(1, options), false);
  EXPECT_EQ(partition_->producers().find(9)->transaction_first_offset, 3);
  wal_->complete();
  ASSERT_EQ(answers_.size(), 3u);
  for (const AppendResult& answer : answers_) EXPECT_EQ(answer.error, ErrorCode::kNone) << answer.message;
  EXPECT_EQ(wal_->info_[1].control_type, BatchInfo::kCommit);
  EXPECT_EQ(wal_->info_[1].coordinator_epoch, 3);
}

TEST_F(LogShardTest, EpochsOfTheHistory) {
  append(batch(3));
  wal_->complete();
  EXPECT_THAT(partition_->epochs(), ElementsAre(EpochStart{0, 0}));
  EXPECT_EQ(partition_->epoch_end(0), (EpochStart{0, 3}));
  EXPECT_EQ(partition_->epoch_end(1), (EpochStart{-1, -1}));
  EXPECT_EQ(partition_->epoch_at(2), 0);
}

}  // namespace
}  // namespace weir::storage
