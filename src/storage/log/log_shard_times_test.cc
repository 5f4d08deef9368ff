// LogShard and the times of records: what counts is what they say, not what a header claims.
#include "storage/log/log_shard_fixture.h"

namespace weir::storage {
namespace {

using protocol::ErrorCode;

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
