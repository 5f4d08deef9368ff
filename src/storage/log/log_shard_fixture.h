// A LogShard over a WAL and a segment store in memory, where the test says what is durable when.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/check.h"
#include "protocol/record_batch.h"
#include "protocol/record_batch_builder.h"
#include "storage/log/log_shard.h"
#include "storage/log/transaction_fixture.h"
#include "storage/segment/checkpoint_plan.h"
#include "storage/segment/segment_copy.h"
#include "testing/manual_loop.h"

namespace weir::storage {

// Chunks become durable when the test says so.
class FakeWal final : public WalBackend {
 public:
  Appended append(const BatchInfo& info, const Slice& batch) override {
    info_.push_back(info);
    unreleased_ += batch.size;
    return {open_, Slice::copy_of(batch.bytes())};
  }
  void flush_now() override {}
  ChunkNumber durable() const override { return durable_; }
  ChunkNumber open() const override { return open_; }
  void on_durable(Function<void(ChunkNumber)> callback) override { on_durable_ = std::move(callback); }
  void on_ended(Function<void(const Error&)> callback) override { on_ended_ = std::move(callback); }
  WalState state() const override { return trouble_ ? WalState::kEnded : WalState::kRunning; }
  std::optional<Error> trouble() const override { return trouble_; }
  WalMeasures measures() const override { return {}; }
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
    trouble_ = Error{weir::ErrorCode::kIo, "pulled", 5};
    on_ended_(*trouble_);
  }

  std::vector<BatchInfo> info_;
  ChunkNumber durable_ = 0, open_ = 1, oldest_file_end_ = 0, released_ = 0;
  uint64_t unreleased_ = 0;
  std::optional<Error> trouble_;
  Function<void(ChunkNumber)> on_durable_;
  Function<void(const Error&)> on_ended_;
};

class FakeStore final : public SegmentStore, public LogDirectoryStore {
 public:
  LogDirectories& directories() override { return directories_; }
  Result<std::unique_ptr<SegmentCopy>> copy_segment(const PartitionId&, const SegmentInfo&, CopyTarget) override {
    return unsupported();
  }
  Result<std::unique_ptr<SegmentSource>> open_segment(const PartitionId&, const SegmentInfo&) override { return unsupported(); }
  Result<std::vector<AbortedTransaction>> aborted_transactions(const PartitionId&, const SegmentInfo&) override {
    return unsupported();
  }
  Result<std::unique_ptr<SegmentSink>> create_segment(const PartitionId&, int64_t, uint32_t) override { return unsupported(); }
  Result<uint32_t> begin_rewrite(const PartitionId&) override { return unsupported(); }
  void replace(SegmentReplacement, runtime::Executor& reply_to, Function<void(Result<PartitionManifest>)> done) override {
    reply_to.post([done = std::move(done)]() mutable { done(unsupported()); });
  }
  void discard(const SegmentReplacement&, runtime::Executor&) override {}
  Result<std::vector<LoadedPartition>> load(const PartitionDeleted&) override { return std::vector<LoadedPartition>{}; }
  void checkpoint(std::vector<CheckpointPartition> partitions, runtime::Executor& reply_to,
                  Function<void(Result<std::vector<PartitionManifest>>)> done) override {
    asked_ += partitions.size();
    reply_to.post([this, partitions = std::move(partitions), done = std::move(done)]() mutable {
      if (broken_) return done(fail(weir::ErrorCode::kNoSpace, "disk full"));
      std::vector<PartitionManifest> out;
      for (auto& partition : partitions) out.push_back(apply(partition));
      checkpoints_.push_back(std::move(partitions));
      done(std::move(out));
    });
  }
  Result<std::vector<PartitionManifest>> checkpoint_now(const std::vector<CheckpointPartition>&) override {
    return std::vector<PartitionManifest>{};
  }
  void set_directory(const PartitionId& partition, uint32_t directory, runtime::Executor& reply_to,
                     Function<void(Result<PartitionPlace>)> done) override {
    reply_to.post(
        [this, partition, directory, done = std::move(done)]() mutable { done(manifests_[partition].place = {0, directory}); });
  }
  void maintain(runtime::Executor&, Function<void()>) override {}
  void read(const PartitionManifest& manifest, int64_t offset, ReadLimit limit, runtime::Executor& reply_to,
            Function<void(Result<SegmentRead>)> done) override {
    ++reads_;
    const int64_t end = std::min(manifest.end_offset, limit.end_offset);
    reply_to.post([this, offset, end, done = std::move(done)]() mutable {
      if (read_failure_) return done(std::unexpected(*read_failure_));
      done(SegmentRead{FileRange{nullptr, 0, 100}, offset, end});
    });
  }
  void find_timestamp(PartitionManifest, int64_t, runtime::Executor& reply_to,
                      Function<void(Result<TimestampPosition>)> done) override {
    ++searches_;
    reply_to.post([done = std::move(done)]() mutable { done(TimestampPosition{}); });
  }
  void drop(const PartitionId& partition, int64_t, runtime::Executor& reply_to, Function<void(Result<void>)> done) override {
    manifests_.erase(partition);
    reply_to.post([done = std::move(done)]() mutable { done({}); });
  }
  Result<std::vector<WalSession>> wal_sessions() override { return std::vector<WalSession>{}; }
  Result<std::vector<WalFile>> wal_files() override { return std::vector<WalFile>{}; }
  Result<void> put_wal_sessions(const std::vector<WalSession>&) override { return {}; }
  Result<void> put_wal_sessions_and_files(const std::vector<WalSession>&, const std::vector<WalFile>&) override { return {}; }
  Result<void> note_wal_file(uint32_t, uint64_t) override { return {}; }
  Result<void> forget_wal_file(uint32_t, uint64_t) override { return {}; }
  Result<void> note_wal_guest(const WalGuest& guest) override {
    if (broken_) return fail(weir::ErrorCode::kNoSpace, "disk full");
    guests_.push_back(guest);
    return {};
  }
  Result<std::vector<WalGuest>> wal_guests() override { return guests_; }

  static std::unexpected<Error> unsupported() { return fail(weir::ErrorCode::kUnsupported, "not in this test"); }

  PartitionManifest apply(const CheckpointPartition& checkpoint) {
    PartitionManifest& manifest = manifests_[checkpoint.partition];
    manifest.partition = checkpoint.partition;
    const auto plan = plan_checkpoint(manifest, checkpoint, {}, {});
    WEIR_CHECK(plan);
    return manifest = plan->after;
  }

  LogDirectories directories_;
  std::map<PartitionId, PartitionManifest> manifests_;
  std::vector<std::vector<CheckpointPartition>> checkpoints_;
  std::vector<WalGuest> guests_;
  size_t asked_ = 0;  // partitions that were to be checkpointed
  size_t searches_ = 0;
  size_t reads_ = 0;
  std::optional<Error> read_failure_;
  bool broken_ = false;
};

class LogShardTest : public ::testing::Test {
 protected:
  void SetUp() override { open({}); }
  void open(LogShardOptions options) {
    shard_.reset();
    auto wal = std::make_unique<FakeWal>();
    wal_ = wal.get();
    options.directories = &store_;
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
  Slice transactional(int64_t producer, int32_t sequence, int count = 1, int16_t epoch = 0) {
    return batch(count, {.producer_id = producer, .producer_epoch = epoch, .base_sequence = sequence, .transactional = true});
  }
  Slice marker(int64_t producer, bool commit, int16_t epoch = 0, int32_t coordinator_epoch = 0) {
    protocol::RecordBatchBuilder builder(
        {.producer_id = producer, .producer_epoch = epoch, .transactional = true, .control = true});
    builder.append_end_marker(1000, commit, coordinator_epoch);
    return Slice::copy_of(builder.finish());
  }
  // Results land in answers_ in completion order. What begins a transaction is verified.
  void append(Slice records, bool client = true) {
    const AppendOptions options = as_verified(*shard_, *partition_, records.bytes());
    append(std::move(records), client, options);
  }
  void append(Slice records, bool client, const AppendOptions& options) {
    shard_->append(
        *partition_, std::move(records), client, [this](AppendResult r) { answers_.push_back(std::move(r)); }, options);
  }
  ReadResult read(int64_t offset, uint64_t max_bytes = 1 << 20, bool read_committed = false) {
    ReadResult result;
    bool answered = false;
    const auto take = [&](ReadResult r) {
      result = std::move(r);
      answered = true;
    };
    if (shard_->read(*partition_, {offset, max_bytes, true, read_committed}, result, take)) return result;
    world_.run_until([&] { return answered; });
    EXPECT_TRUE(answered);
    return result;
  }
  void checkpoint_now() {
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
    shard_->find_timestamp(*partition_, timestamp, false, [&](Result<TimestampPosition> r) { found = std::move(r); });
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

}  // namespace weir::storage
