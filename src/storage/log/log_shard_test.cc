// LogShard over a WAL and a segment store in memory: what happens between append, durability and merge. The real ones
// under power cuts are tested in tests/simulation.
#include "storage/log/log_shard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "protocol/record_batch.h"
#include "protocol/record_batch_builder.h"
#include "testing/manual_loop.h"

namespace weir::storage {
namespace {

using protocol::ErrorCode;
using ::testing::ElementsAre;

// Chunks become durable when the test says so.
class FakeWal final : public WalBackend {
 public:
  Appended append(const BatchFacts& facts, const Slice& batch) override {
    facts_.push_back(facts);
    unreleased_ += batch.size;
    return {open_, Slice::copy_of(batch.bytes())};
  }
  void flush_now() override {}
  ChunkNumber durable() const override { return durable_; }
  ChunkNumber open() const override { return open_; }
  void on_durable(Function<void(ChunkNumber)> callback) override { on_durable_ = std::move(callback); }
  void on_failed(Function<void(const Error&)> callback) override { on_failed_ = std::move(callback); }
  bool failed() const override { return failed_; }
  uint64_t unreleased_bytes() const override { return unreleased_; }
  ChunkNumber last_chunk_of_oldest_file() const override { return oldest_file_end_; }
  void release(ChunkNumber up_to) override {
    released_ = up_to;
    unreleased_ = 0;
    oldest_file_end_ = 0;
  }

  void complete() {  // the open chunk is flushed
    durable_ = open_++;
    on_durable_(durable_);
  }
  void end_file() { oldest_file_end_ = durable_; }
  void break_down() {
    failed_ = true;
    on_failed_({weir::ErrorCode::kIo, "pulled", 5});
  }

  std::vector<BatchFacts> facts_;
  ChunkNumber durable_ = 0, open_ = 1, oldest_file_end_ = 0, released_ = 0;
  uint64_t unreleased_ = 0;
  bool failed_ = false;
  Function<void(ChunkNumber)> on_durable_;
  Function<void(const Error&)> on_failed_;
};

class FakeStore final : public SegmentStore {
 public:
  Result<std::vector<LoadedPartition>> load(const PartitionDeleted&) override { return std::vector<LoadedPartition>{}; }
  void merge(std::vector<MergePartition> partitions, runtime::Executor& reply_to,
             Function<void(Result<std::vector<PartitionManifest>>)> done) override {
    reply_to.post([this, partitions = std::move(partitions), done = std::move(done)]() mutable {
      if (broken_) return done(fail(weir::ErrorCode::kNoSpace, "disk full"));
      std::vector<PartitionManifest> out;
      for (auto& partition : partitions) out.push_back(apply(partition));
      merges_.push_back(std::move(partitions));
      done(std::move(out));
    });
  }
  Result<std::vector<PartitionManifest>> merge_now(const std::vector<MergePartition>&) override {
    return std::vector<PartitionManifest>{};
  }
  void maintain(runtime::Executor&, Function<void()>) override {}
  void read(const PartitionManifest& manifest, int64_t offset, uint32_t, runtime::Executor& reply_to,
            Function<void(Result<SegmentRead>)> done) override {
    reply_to.post([manifest, offset, done = std::move(done)]() mutable {
      done(SegmentRead{{nullptr, 0, 100}, offset, manifest.end_offset});
    });
  }
  void find_timestamp(const PartitionManifest&, int64_t, runtime::Executor& reply_to,
                      Function<void(Result<TimestampPosition>)> done) override {
    reply_to.post([done = std::move(done)]() mutable { done(TimestampPosition{}); });
  }
  void drop(const PartitionId& partition, int64_t, runtime::Executor& reply_to,
            Function<void(Result<void>)> done) override {
    manifests_.erase(partition);
    reply_to.post([done = std::move(done)]() mutable { done({}); });
  }
  Result<std::vector<WalSession>> wal_sessions() override { return std::vector<WalSession>{}; }
  Result<std::vector<WalFile>> wal_files() override { return std::vector<WalFile>{}; }
  Result<void> put_wal_sessions(const std::vector<WalSession>&) override { return {}; }
  Result<void> put_wal_sessions_and_files(const std::vector<WalSession>&, const std::vector<WalFile>&) override {
    return {};
  }
  Result<void> note_wal_file(uint32_t, uint64_t) override { return {}; }
  Result<void> forget_wal_file(uint32_t, uint64_t) override { return {}; }

  PartitionManifest apply(const MergePartition& merge) {
    PartitionManifest& manifest = manifests_[merge.partition];
    manifest.partition = merge.partition;
    manifest.log_start_offset = merge.log_start_offset;
    manifest.epochs = merge.epochs;
    for (const auto& batch : merge.batches) {
      if (manifest.segments.empty()) manifest.segments.push_back({batch.facts.base_offset, 0, 0, -1, -1, 0, 0, 0, 0, true});
      auto& segment = manifest.segments.back();
      segment.length += batch.bytes.size;
      segment.max_timestamp = std::max(segment.max_timestamp, batch.facts.max_timestamp);
      manifest.end_offset = segment.next_offset = batch.facts.next_offset();
    }
    return manifest;
  }

  std::map<PartitionId, PartitionManifest> manifests_;
  std::vector<std::vector<MergePartition>> merges_;
  bool broken_ = false;
};

class LogShardTest : public ::testing::Test {
 protected:
  void SetUp() override { open({}); }
  void open(LogShardOptions options) {
    shard_.reset();
    auto wal = std::make_unique<FakeWal>();
    wal_ = wal.get();
    shard_ = std::make_unique<LogShard>(runtime_, world_.loop(), std::move(wal), store_, options);
    partition_ = &shard_->add(std::make_unique<Partition>(PartitionId{Uuid::from_random(1, 2), 0}, LogConfig{}, 0));
  }

  Slice batch(int count, protocol::BatchOptions options = {}, int64_t timestamp = 1000, size_t bytes = 8) {
    protocol::RecordBatchBuilder builder(options);
    const std::vector<uint8_t> value(bytes, 'v');
    for (int i = 0; i < count; ++i) builder.append(timestamp + i, std::nullopt, Bytes(value));
    return Slice::copy_of(builder.finish());
  }
  Slice idempotent(int32_t sequence, int count, int64_t producer = 9) {
    protocol::BatchOptions options;
    options.producer_id = producer;
    options.producer_epoch = 0;
    options.base_sequence = sequence;
    return batch(count, options);
  }
  // Results land in answers_ in completion order.
  void append(Slice records, bool client = true) {
    shard_->append(*partition_, std::move(records), client, [this](AppendResult r) { answers_.push_back(std::move(r)); });
  }
  ReadResult read(int64_t offset, uint64_t max_bytes = 1 << 20) {
    ReadResult result;
    bool answered = false;
    const auto take = [&](ReadResult r) {
      result = std::move(r);
      answered = true;
    };
    if (shard_->read(*partition_, {offset, max_bytes, true, false}, result, take)) return result;
    world_.run_until([&] { return answered; });
    EXPECT_TRUE(answered);
    return result;
  }
  void merge_now() {
    wal_->end_file();
    append(batch(1));
    wal_->complete();  // looks for finished files
    world_.run_until([&] { return wal_->released_ > 0; });
  }

  // The times that a batch's header claims, whatever its records say.
  struct Claim {
    bool log_append_time = false;
    int64_t max_timestamp = -1;
  };
  static Slice claiming(Slice records, Claim claim) {
    protocol::patch_timestamps({records.owner.data(), records.size}, claim.log_append_time, claim.max_timestamp);
    return records;
  }
  protocol::BatchHeader sound_header_at(int64_t offset) {
    const auto result = read(offset);
    protocol::BatchSplitter batches(std::get<Slice>(result.pieces.at(0)).bytes());
    EXPECT_TRUE(batches.next());
    protocol::BatchHeader header;
    EXPECT_EQ(protocol::check_batch(batches.batch(), {}, header), protocol::BatchFault::kNone);
    return protocol::BatchHeader::parse(batches.batch().data());
  }
  TimestampPosition find(int64_t timestamp) {
    std::optional<Result<TimestampPosition>> found;
    shard_->find_timestamp(*partition_, timestamp, [&](Result<TimestampPosition> r) { found = std::move(r); });
    world_.run_until([&] { return found.has_value(); });
    EXPECT_TRUE(found && *found);
    return **found;
  }

  weir::testing::ManualLoop world_;
  runtime::Runtime runtime_ = world_.sim().runtime();
  FakeStore store_;
  FakeWal* wal_ = nullptr;
  std::unique_ptr<LogShard> shard_;
  Partition* partition_ = nullptr;
  std::vector<AppendResult> answers_;
};

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

TEST_F(LogShardTest, BatchesThatAreCompressedKeepTheirPlace) {
  LogConfig config;
  config.compression = protocol::CompressionType::kZstd;
  shard_->set_config(partition_->id(), config);
  append(idempotent(0, 2));
  append(batch(1), false);  // the broker's own are stored as they are, and wait for those before them
  append(idempotent(7, 1));  // refused in its turn
  append(idempotent(2, 3));
  EXPECT_EQ(partition_->log_end_offset(), 0);
  world_.run_until([&] { return partition_->log_end_offset() == 6; });
  EXPECT_TRUE(answers_.empty());
  wal_->complete();
  ASSERT_EQ(answers_.size(), 4u);
  EXPECT_EQ(answers_[0].base_offset, 0);
  EXPECT_EQ(answers_[1].base_offset, 2);
  EXPECT_EQ(answers_[2].error, ErrorCode::kOutOfOrderSequenceNumber);
  EXPECT_EQ(answers_[3].base_offset, 3);
  EXPECT_EQ(wal_->facts_[0].attributes & protocol::BatchHeader::kCompressionMask, 4);
  EXPECT_EQ(wal_->facts_[1].attributes, 0);
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

TEST_F(LogShardTest, AFinishedFileIsMergedAndReleased) {
  append(idempotent(0, 2));
  append(idempotent(2, 2));
  wal_->complete();
  merge_now();
  ASSERT_EQ(store_.merges_.size(), 1u);
  const MergePartition& merged = store_.merges_[0].at(0);
  EXPECT_EQ(merged.batches.size(), 2u);  // not the batch of the next file
  ASSERT_EQ(merged.producers.size(), 1u);
  EXPECT_EQ(merged.producers[0].batches.size(), 2u);
  EXPECT_EQ(merged.producers[0].batches.back().last_sequence, 3);
  EXPECT_EQ(partition_->manifest().end_offset, 4);
  EXPECT_EQ(wal_->released_, 1u);
  EXPECT_TRUE(std::holds_alternative<Slice>(read(0).pieces.at(0)));  // still from memory
}

TEST_F(LogShardTest, MergedBatchesAreEvictedAndThenReadFromTheStore) {
  LogShardOptions options;
  options.tail_cache_bytes = 1;
  open(options);
  append(batch(2));
  wal_->complete();
  EXPECT_EQ(partition_->tail_start(), 0);  // not merged: never evicted
  merge_now();
  EXPECT_EQ(partition_->tail_start(), 2);
  const auto result = read(0);
  ASSERT_EQ(result.pieces.size(), 1u);
  EXPECT_TRUE(std::holds_alternative<FileRange>(result.pieces[0]));
  EXPECT_EQ(result.high_watermark, 3);
}

TEST_F(LogShardTest, AppendsAreHeldBackAtTheBoundAndGoOnAfterTheMerge) {
  LogShardOptions options;
  options.unmerged_bytes_max = 100;
  open(options);
  append(batch(1, {}, 1000, 200));
  wal_->complete();
  append(batch(1));
  append(batch(1));
  EXPECT_EQ(wal_->facts_.size(), 1u);
  wal_->end_file();
  wal_->on_durable_(wal_->durable_);
  ASSERT_TRUE(world_.run_until([&] { return wal_->facts_.size() == 3; }));
  wal_->complete();
  ASSERT_EQ(answers_.size(), 3u);
  EXPECT_EQ(answers_[1].base_offset, 1);
  EXPECT_EQ(answers_[2].base_offset, 2);
}

TEST_F(LogShardTest, WhenMergingFailsHeldAppendsAreRefusedAndItRecoversByItself) {
  LogShardOptions options;
  options.unmerged_bytes_max = 100;
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
  shard_->add_waiter(*partition_, [&] { woken = true; });
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
  shard_->add_waiter(*partition_, [&] { woken = true; });
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
  shard_->append(first, batch(1), true, [](AppendResult) {});  // not merged, and before the other's in the cache
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

TEST_F(LogShardTest, ProducersThatExpireWhileAMergeRunsAreForgottenByTheNextOne) {
  LogShardOptions options;
  options.producer_id_expiration_ms = 1000;
  open(options);
  append(idempotent(0, 1, 7));
  wal_->complete();
  world_.advance(2 * runtime::kSecond);
  append(idempotent(0, 1, 8));
  wal_->complete();
  shard_->run_retention();  // begins a merge that forgets 7
  shard_->set_producer_id_expiration_ms(-1'000'000);
  shard_->run_retention();  // 8 expires while it runs
  ASSERT_TRUE(world_.run_until([&] { return store_.merges_.size() == 2; }));
  EXPECT_THAT(store_.merges_[0].at(0).expired_producers, ElementsAre(7));
  EXPECT_THAT(store_.merges_[1].at(0).expired_producers, ElementsAre(8));
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
    EXPECT_EQ(wal_->facts_.back().max_timestamp, now);
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
  EXPECT_EQ(wal_->facts_.back().attributes, 0);

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
