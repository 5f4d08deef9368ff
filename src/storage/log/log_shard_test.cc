// LogShard over a WAL and a segment store in memory: what happens between append, durability and checkpoint. The real ones
// under power cuts are tested in tests/simulation.
#include "storage/log/log_shard.h"

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

TEST_F(LogShardTest, RetentionByTimeTakesTheTailToo) {
  LogConfig config;
  config.retention_ms = 1000;
  shard_->set_config(partition_->id(), config);
  append(batch(2, {}, runtime_.clock->wall_ms() - 5000));
  wal_->complete();
  shard_->run_retention();
  ASSERT_TRUE(world_.run_until([&] { return partition_->log_start_offset() == 2; }));
  append(batch(1, {}, runtime_.clock->wall_ms()));
  wal_->complete();
  shard_->run_retention();
  world_.advance(10 * runtime::kMillisecond);
  EXPECT_EQ(partition_->log_start_offset(), 2);
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
  shard_->set_config(partition_->id(), config);
  const Slice large = batch(1, {}, 1000, 500);
  std::vector<uint8_t> two(large.bytes().begin(), large.bytes().end());
  two.insert(two.end(), large.bytes().begin(), large.bytes().end());
  append(Slice::copy_of(Bytes(two)));
  EXPECT_EQ(answers_[4].error, ErrorCode::kInvalidRecord) << "that there are two comes before their size";
  EXPECT_EQ(partition_->log_end_offset(), 0);
}

TEST_F(LogShardTest, LogAppendTimeStampsTheBatch) {
  LogConfig config;
  config.log_append_time = true;
  shard_->set_config(partition_->id(), config);
  append(batch(2, {}, 5));
  wal_->complete();
  const auto result = read(0);
  const Slice& stored = std::get<Slice>(result.pieces.at(0));
  protocol::BatchHeader header;
  EXPECT_EQ(protocol::check_batch(stored.bytes(), {}, header), protocol::BatchFault::kNone);
  EXPECT_TRUE(header.log_append_time());
  EXPECT_EQ(header.max_timestamp, answers_.at(0).log_append_time_ms);
}

// The header of a produced batch is no source of times: producers send -1 (Sarama before 1.45.1), 0, the last record's
// (kafka-go), or anything.
TEST_F(LogShardTest, WhatAHeaderSaysAboutTimeDeletesAndHidesNothing) {
  LogConfig config;
  config.retention_ms = 1000;
  shard_->set_config(partition_->id(), config);
  const int64_t now = runtime_.clock->wall_ms();
  for (const int64_t claimed : {int64_t{-1}, int64_t{0}, now - 5000, now + (int64_t{1} << 40)}) {
    append(claiming(batch(3, {}, now - 2), {false, claimed}));
    EXPECT_EQ(wal_->info_.back().max_timestamp, now);
  }
  wal_->complete();
  ASSERT_EQ(answers_.size(), 4u);
  shard_->run_retention();
  world_.advance(10 * runtime::kMillisecond);
  EXPECT_EQ(partition_->log_start_offset(), 0);
  for (const int64_t offset : {0, 3, 6, 9}) {
    const auto header = sound_header_at(offset);
    EXPECT_EQ(header.max_timestamp, now);
    EXPECT_FALSE(header.log_append_time());
  }
  EXPECT_EQ(find(now).offset, 2);
  EXPECT_EQ(find(now - 1).offset, 1);
  EXPECT_EQ(find(now + 1).offset, -1);
  EXPECT_EQ(find(LogShard::kLargestTimestamp).offset, 2);
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

// Records below the log start have no time, in the tail and in the batch that the log start divides.
TEST_F(LogShardTest, TheLargestTimeIsOfARecordThatIsThere) {
  append(batch(3, {}, 5000));  // 5000 to 5002
  append(batch(2, {}, 4000));
  append(batch(2, {}, 3000));
  wal_->complete();
  const auto largest_from = [&](int64_t start) {
    bool done = false;
    shard_->delete_records(*partition_, start, [&](Result<int64_t> result) { done = result.has_value(); });
    EXPECT_TRUE(world_.run_until([&] { return done; }));
    return find(LogShard::kLargestTimestamp);
  };
  EXPECT_EQ(find(LogShard::kLargestTimestamp).offset, 2);
  EXPECT_EQ(largest_from(1).offset, 2);
  EXPECT_EQ(largest_from(3).offset, 4);
  EXPECT_EQ(largest_from(4).timestamp, 4001);
  EXPECT_EQ(largest_from(5).offset, 6);
  EXPECT_EQ(largest_from(7).offset, -1);
}

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

TEST_F(LogShardTest, OldRecordsExpireThoughTheirHeaderSaysOtherwise) {
  LogConfig config;
  config.retention_ms = 1000;
  shard_->set_config(partition_->id(), config);
  const int64_t now = runtime_.clock->wall_ms();
  append(claiming(batch(2, {}, now - 5000), {false, now}));
  wal_->complete();
  shard_->run_retention();
  EXPECT_TRUE(world_.run_until([&] { return partition_->log_start_offset() == 2; }));
}

TEST_F(LogShardTest, RecordsFromTheFutureAreRefusedThoughTheirHeaderSaysOtherwise) {
  const int64_t now = runtime_.clock->wall_ms();
  const int64_t in_31_years = now + int64_t{31} * 365 * 86'400'000;
  append(claiming(batch(2, {}, in_31_years), {false, now}));
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].error, ErrorCode::kInvalidTimestamp);
  EXPECT_EQ(answers_[0].record_errors.size(), 2u);
}

TEST_F(LogShardTest, AProducerCannotSayLogAppendTime) {
  const int64_t now = runtime_.clock->wall_ms();
  append(claiming(batch(2, {}, now - 1), {true, now - 500}));
  wal_->complete();
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].error, ErrorCode::kNone);
  EXPECT_EQ(answers_[0].log_append_time_ms, -1);
  const auto header = sound_header_at(0);
  EXPECT_FALSE(header.log_append_time());
  EXPECT_EQ(header.max_timestamp, now);
  EXPECT_EQ(wal_->info_.back().attributes, 0);

  append(claiming(batch(2, {}, now), {true, -1}));
  append(claiming(batch(2, {}, now), {true, now + 7'200'000}));
  append(claiming(batch(2, {}, now + 7'200'000), {true, now}));
  LogConfig append_time;
  append_time.log_append_time = true;
  shard_->set_config(partition_->id(), append_time);
  append(claiming(batch(2, {}, now), {true, now}));
  ASSERT_EQ(answers_.size(), 5u);
  for (size_t i = 1; i < 5; ++i) EXPECT_EQ(answers_[i].error, ErrorCode::kInvalidTimestamp) << i;
  EXPECT_EQ(answers_[1].record_errors.size(), 2u);
  EXPECT_EQ(answers_[4].record_errors.size(), 2u);
  EXPECT_EQ(partition_->log_end_offset(), 2);
}

TEST_F(LogShardTest, ALookUpGoesOnWhereTheLogStartHidesTheTimeOfABatch) {
  protocol::RecordBatchBuilder builder;
  for (const int64_t timestamp : {5000, 1000}) builder.append(timestamp, std::nullopt, Bytes());
  append(Slice::copy_of(builder.finish()));
  append(batch(1, {}, 6000));
  wal_->complete();
  EXPECT_EQ(find(4000).offset, 0);
  shard_->delete_records(*partition_, 1, [](Result<int64_t>) {});
  ASSERT_TRUE(world_.run_until([&] { return partition_->log_start_offset() == 1; }));
  EXPECT_EQ(find(4000).offset, 2);
  EXPECT_EQ(find(1000).offset, 1);
}

TEST_F(LogShardTest, ALookUpByTimeTellsTheEpochOfThePartition) {
  append(batch(1));
  wal_->complete();
  const auto result = read(0);
  protocol::patch_leader_epoch(const_cast<uint8_t*>(std::get<Slice>(result.pieces.at(0)).data), INT32_MAX);
  EXPECT_EQ(find(1000).offset, 0);
  EXPECT_EQ(find(1000).leader_epoch, 0);
}

TEST_F(LogShardTest, EpochsOfTheHistory) {
  append(batch(3));
  wal_->complete();
  EXPECT_THAT(partition_->epochs(), ElementsAre(EpochStart{0, 0}));
  EXPECT_EQ(partition_->epoch_end(0), (EpochStart{0, 3}));
  EXPECT_EQ(partition_->epoch_end(1), (EpochStart{-1, -1}));
  EXPECT_EQ(partition_->epoch_at(2), 0);
}

// Many clients that ask the same at a time read a cold segment a few times, not as often as they are.
TEST_F(LogShardTest, EqualLookUpsByTimeAreOneAndThoseThatNobodyWantsDoNotBegin) {
  append(batch(3));
  wal_->complete();
  checkpoint_now();
  ASSERT_FALSE(partition_->manifest().segments.empty());
  int answers = 0, refused = 0;
  const auto answered = [&](const Result<TimestampPosition>& found) { ++(found ? answers : refused); };
  bool wanted = true;
  for (int i = 0; i < 50; ++i) {
    shard_->find_timestamp(*partition_, 1001, false, answered);
    shard_->find_timestamp(*partition_, 1002, false, answered, [&] { return wanted; });
  }
  EXPECT_EQ(store_.searches_, LogShard::kSearchesAtOnce);
  wanted = false;
  ASSERT_TRUE(world_.run_until([&] { return answers + refused == 100; }));
  EXPECT_EQ(answers, 51) << "one of the others had begun";
  EXPECT_EQ(refused, 49);
  EXPECT_EQ(store_.searches_, 3u);
}

}  // namespace
}  // namespace weir::storage
