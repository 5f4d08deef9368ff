// LogShard over a write-ahead log that does all that WalBackend allows: chunks that arrive in any order, stalls, an end.
#include <utility>

#include "storage/log/log_on_disk_fixture.h"
#include "storage/log/log_shard_fixture.h"
#include "storage/wal/memory_wal_fixture.h"

namespace weir::storage {
namespace {

using protocol::ErrorCode;

class LogShardWalTest : public LogShardTest {
 protected:
  void SetUp() override {
    auto wal = std::make_unique<MemoryWal>(world_.loop(), device_.logs[0]);
    memory_ = wal.get();
    shard_ = std::make_unique<LogShard>(runtime_, world_.loop(), std::move(wal), store_, LogShardOptions{});
    partition_ = &shard_->add(std::make_unique<Partition>(PartitionId{Uuid::from_random(1, 2), 0}, LogConfig{}, 0));
  }
  // One chunk of its own, which is on its way then.
  void send(bool client = true) {
    append(batch(1), client);
    world_.advance(runtime::kMillisecond);
  }
  size_t answered() const { return answers_.size(); }

  MemoryWalStore device_;
  MemoryWal* memory_ = nullptr;
};

TEST_F(LogShardWalTest, ChunksThatArriveInAnyOrderAreAnsweredByPrefix) {
  for (int i = 0; i < 4; ++i) send();
  ASSERT_EQ(memory_->in_flight(), (std::vector<ChunkNumber>{1, 2, 3, 4}));
  memory_->arrive(3);
  memory_->arrive(2);
  EXPECT_EQ(answered(), 0u);
  EXPECT_EQ(partition_->high_watermark(), 0);
  memory_->arrive(1);
  ASSERT_EQ(answered(), 3u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(answers_[static_cast<size_t>(i)].error, ErrorCode::kNone);
    EXPECT_EQ(answers_[static_cast<size_t>(i)].base_offset, i);
  }
  EXPECT_EQ(partition_->high_watermark(), 3);
  memory_->arrive(4);
  EXPECT_EQ(answered(), 4u);
}

TEST_F(LogShardWalTest, OnlyThePrefixIsCheckpointed) {
  for (int i = 0; i < 3; ++i) send();
  memory_->arrive(1);
  memory_->arrive(3);
  std::optional<Result<void>> checkpointed;
  shard_->checkpoint_all([&](Result<void> result) { checkpointed = std::move(result); });
  world_.advance(runtime::kMillisecond);
  EXPECT_FALSE(checkpointed) << "chunk 2 is on its way";
  EXPECT_LT(partition_->manifest().end_offset, 2);
  memory_->arrive(2);
  world_.run_until([&] { return checkpointed.has_value(); });
  ASSERT_TRUE(checkpointed && *checkpointed);
  EXPECT_EQ(partition_->manifest().end_offset, 3);
  EXPECT_EQ(device_.logs[0].released, 3u);
}

TEST_F(LogShardWalTest, AStalledLogHoldsAppendsAndThenGoesOn) {
  send();
  memory_->stall({weir::ErrorCode::kIo, "the store does not answer"});
  memory_->arrive(1);
  send();
  ASSERT_EQ(answered(), 1u) << "a client is refused meanwhile, what it sent before waits";
  EXPECT_EQ(answers_[0].error, ErrorCode::kKafkaStorageError);
  EXPECT_NE(answers_[0].message.find("the store does not answer"), std::string::npos) << answers_[0].message;
  send(false);
  EXPECT_EQ(answered(), 1u) << "the broker's own append waits as well";
  EXPECT_FALSE(shard_->failed());
  EXPECT_EQ(partition_->high_watermark(), 0);

  memory_->resume();
  ASSERT_EQ(answered(), 2u);
  EXPECT_EQ(answers_[1].base_offset, 0);
  memory_->arrive(2);
  ASSERT_EQ(answered(), 3u);
  EXPECT_EQ(answers_[2].base_offset, 1);
  send();
  memory_->arrive(3);
  ASSERT_EQ(answered(), 4u);
  EXPECT_EQ(answers_[3].error, ErrorCode::kNone);
  EXPECT_EQ(answers_[3].base_offset, 2);
}

TEST_F(LogShardWalTest, AStallForLackOfSpaceIsAFullDisk) {
  memory_->stall({weir::ErrorCode::kNoSpace, "no space left on device"});
  EXPECT_TRUE(shard_->lacks_space());
  send();
  ASSERT_EQ(answered(), 1u);
  EXPECT_EQ(answers_[0].message, "The broker's disk is full; retry later");
  memory_->resume();
  EXPECT_FALSE(shard_->lacks_space());
}

TEST_F(LogShardWalTest, AnEndedLogFailsWhatIsNotDurable) {
  for (int i = 0; i < 3; ++i) send();
  memory_->arrive(1);
  memory_->arrive(3);
  memory_->end({weir::ErrorCode::kIo, "somebody else has the log"});
  ASSERT_EQ(answered(), 3u);
  EXPECT_EQ(answers_[0].error, ErrorCode::kNone);
  EXPECT_EQ(answers_[1].error, ErrorCode::kKafkaStorageError);
  EXPECT_EQ(answers_[2].error, ErrorCode::kKafkaStorageError) << "it arrived, but one before it did not";
  EXPECT_TRUE(shard_->failed());
  send();
  EXPECT_EQ(answers_.at(3).error, ErrorCode::kKafkaStorageError);
  EXPECT_GT(read(0).bytes, 0u);
  EXPECT_EQ(partition_->high_watermark(), 1);
}

TEST_F(LogShardWalTest, AStallMayEndTheLog) {
  send();
  memory_->stall({weir::ErrorCode::kIo, "the store does not answer"});
  memory_->end({weir::ErrorCode::kIo, "for too long"});
  ASSERT_EQ(answered(), 1u);
  EXPECT_EQ(answers_[0].error, ErrorCode::kKafkaStorageError);
  EXPECT_FALSE(shard_->lacks_space());
}

}  // namespace

namespace testing {
namespace {

// Starts and shards as ever, though the log is no file.
class OpenMemoryLogTest : public LogOnDisk {
 protected:
  std::unique_ptr<WalSessions> make_wals(const runtime::Runtime&) override {
    return std::make_unique<MemoryWalSessions>(
        device_, MemoryWalOptions{.chunks_in_flight = 3, .chunks_per_file = 3, .way_ns_max = 5 * runtime::kMillisecond});
  }
  // Appends without waiting, so that several chunks are on their way.
  void append_some(int count) {
    for (int i = 0; i < count; ++i) {
      const PartitionId& id = topics_[static_cast<size_t>(i) % topics_.size()];
      shard(id).append(*shard(id).find(id), make_batch(id, {.value_bytes = 500}).bytes, true, [this, id](AppendResult result) {
        if (result.error == protocol::ErrorCode::kNone) acked_[id] = std::max(acked_[id], result.last_offset + 1);
      });
      sim_.run_for(runtime::kMillisecond);
    }
  }

  MemoryWalStore device_;
  std::map<PartitionId, int64_t> acked_;
};

TEST_F(OpenMemoryLogTest, WhatWasAcknowledgedIsThereAfterEveryStart) {
  for (const unsigned shards : {2u, 2u, 1u, 2u}) {
    ASSERT_EQ(open(shards), "");
    for (const auto& [id, end] : acked_) EXPECT_GE(shard(id).find(id)->high_watermark(), end);
    append_some(100);
    end(Death::kPowerCut);
  }
  ASSERT_EQ(open(2), "");
  EXPECT_TRUE(offline().empty());
  for (const PartitionId& id : topics_) {
    EXPECT_GT(acked_[id], 20);
    EXPECT_GE(shard(id).find(id)->high_watermark(), acked_[id]);
  }
}

}  // namespace
}  // namespace testing
}  // namespace weir::storage
