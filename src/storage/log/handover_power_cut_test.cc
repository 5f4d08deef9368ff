// A partition goes from shard to shard while idempotent producers write to it and to others, and the power is cut at every write.
// No acknowledged batch is lost, and resent batches are recognised.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/log.h"
#include "protocol/record_batch_builder.h"
#include "storage/log/log_recovery.h"
#include "storage/segment/local_segment_store.h"
#include "storage/segment/test_batches.h"
#include "storage/wal/local_wal_sessions.h"
#include "testing/sim_runtime.h"

namespace weir::storage::testing {
namespace {

using protocol::ErrorCode;
using weir::testing::Death;
using weir::testing::SimRuntime;

constexpr unsigned kShards = 2;

// Sends one batch after the other to a partition. Sends a batch again that got no answer or was refused.
struct Producer {
  int64_t id = 0;
  PartitionId partition;
  int32_t sequence = 0;  // of the batch under way
  bool sent = false;     // and no answer is here
  bool refused = false;
  std::map<int32_t, int64_t> acked;  // sequences and their offsets
};

// Returns partitions that never move, one of each shard. The search takes a while, because hashes of small numbers are alike.
std::vector<PartitionId> one_of_each_shard() {
  std::vector<PartitionId> found;
  for (uint64_t topic = 2; found.size() < kShards; ++topic) {
    const PartitionId id = partition_id(topic);
    if (shard_of(id, kShards) == found.size()) found.push_back(id);
  }
  return found;
}

class HandoverWorld {
 public:
  explicit HandoverWorld(uint64_t seed) : sim_(seed, {.loops = kShards}) {
    (void)sim_.disk().create_directories("/log");
    (void)sim_.disk().sync_directory("/");
    moving_ = partition_id(1);
    static const std::vector<PartitionId> one_of_each = one_of_each_shard();
    staying_ = one_of_each;
    for (int i = 0; i < 3; ++i) producers_.push_back({.id = 100 + i, .partition = moving_, .acked = {}});
    for (const PartitionId& id : staying_) {
      producers_.push_back({.id = 200 + static_cast<int64_t>(producers_.size()), .partition = id, .acked = {}});
    }
  }

  bool open() {
    shards_.clear();
    store_.reset();
    auto store = LocalSegmentStore::open(sim_.disk(), sim_.pool(), sim_.clock(), {.log_dir = "/log"});
    if (!store) return false;
    store_ = std::move(*store);
    auto runtime = sim_.runtime();
    LocalWalSessions wals(runtime, *store_, {.log_dir = "/log", .incarnation = ++incarnation_, .file_bytes = 1 << 20});
    ++epoch_;
    auto opened = open_log(runtime, *store_, wals, {.log_dir = "/log", .disk_full = false, .shard = {}},
                           [this](const PartitionId&) { return std::optional(KnownPartition{config_, epoch_}); });
    if (!opened) {
      EXPECT_TRUE(sim_.server_died()) << opened.error().message;
      return false;
    }
    shards_ = std::move(opened->shards);
    EXPECT_EQ(opened->stats.offline_partitions, 0u);
    owner_ = shard_of(moving_, kShards);
    for (const Producer& producer : producers_) {
      LogShard& shard = shard_for(producer.partition);
      if (!shard.find(producer.partition)) shard.add(std::make_unique<Partition>(producer.partition, config_, epoch_));
    }
    for (Producer& producer : producers_) producer.sent = producer.refused = false;
    return true;
  }
  // All producers write before, during and after each move. Returns false if the power went.
  bool work(int moves) {
    for (; moves > 0; --moves) {
      wanted_ += 3;
      for (Producer& producer : producers_) send(producer);
      if (!until([&] { return all_have(wanted_ - 2); }) || !move()) return false;
      if (!until([&] { return all_have(wanted_); })) return false;
    }
    return true;
  }
  void cut_power() {
    sim_.end_server(Death::kPowerCut);
    shards_.clear();
    store_.reset();
    sim_.start_server();
  }

  // The log has each acknowledged batch at its offset, and no batch twice.
  void expect_nothing_lost() {
    for (const Producer& producer : producers_) {
      const auto found = read_all(producer.partition);
      std::map<int32_t, int64_t> mine;
      for (const auto& [offset, batch] : found) {
        if (batch.first != producer.id) continue;
        EXPECT_TRUE(mine.emplace(batch.second, offset).second) << "producer " << producer.id << " twice at " << offset;
      }
      for (const auto& [sequence, offset] : producer.acked) {
        EXPECT_TRUE(mine.contains(sequence) && mine[sequence] == offset)
            << "producer " << producer.id << ", sequence " << sequence << " at offset " << offset;
      }
    }
  }
  // The last acknowledged batch still has its offset. The batch under way is taken now, or was taken before.
  void expect_producers_known() {
    for (Producer& producer : producers_) {
      if (!producer.acked.empty()) {
        const auto [sequence, offset] = *producer.acked.rbegin();
        const AppendResult again = append(producer, sequence);
        EXPECT_EQ(again.error, ErrorCode::kNone) << again.message;
        EXPECT_EQ(again.base_offset, offset);
      }
      const AppendResult next = append(producer, producer.sequence);
      EXPECT_EQ(next.error, ErrorCode::kNone) << next.message;
      producer.acked[producer.sequence++] = next.base_offset;
    }
  }

  SimRuntime sim_;
  unsigned owner_ = 0;
  PartitionId moving_;

 private:
  unsigned shard_index(const PartitionId& id) const { return id == moving_ ? owner_ : shard_of(id, kShards); }
  LogShard& shard_for(const PartitionId& id) { return *shards_[shard_index(id)]; }
  bool until(const std::function<bool()>& predicate) {
    const auto stop = sim_.run_until(predicate, 600 * runtime::kSecond);
    EXPECT_TRUE(stop == SimRuntime::Stop::kDone || sim_.server_died()) << "nothing goes on";
    return stop == SimRuntime::Stop::kDone;
  }
  bool all_have(int32_t acknowledged) const {
    for (const Producer& producer : producers_) {
      if (producer.sequence < acknowledged) return false;
    }
    return true;
  }
  static Slice batch(const Producer& producer, int32_t sequence) {
    protocol::RecordBatchBuilder builder({.producer_id = producer.id, .producer_epoch = 0, .base_sequence = sequence});
    builder.append(1000, std::nullopt, std::nullopt);
    return Slice::copy_of(builder.finish());
  }
  void send(Producer& producer) {
    if (producer.sent || producer.sequence >= wanted_) return;
    Partition* partition = shard_for(producer.partition).find(producer.partition);
    if (!partition) {
      producer.refused = true;
      return;
    }
    producer.sent = true;
    producer.refused = false;
    shard_for(producer.partition).append(*partition, batch(producer, producer.sequence), true, [this, &producer](AppendResult r) {
      producer.sent = false;
      if (r.error == ErrorCode::kNone) {
        producer.acked[producer.sequence++] = r.base_offset;
        send_soon(producer);
      } else {
        EXPECT_TRUE(r.error == ErrorCode::kNotLeaderOrFollower || sim_.server_died()) << r.message;
        producer.refused = true;
      }
    });
  }
  // Sends on the owner's loop. The owner may be another one by then.
  void send_soon(Producer& producer) {
    const unsigned owner = shard_index(producer.partition);
    sim_.loop(owner).post([this, &producer, owner] {
      if (shard_index(producer.partition) == owner) send(producer);
      else send_soon(producer);
    });
  }
  AppendResult append(const Producer& producer, int32_t sequence) {
    std::optional<AppendResult> result;
    LogShard& shard = shard_for(producer.partition);
    shard.append(*shard.find(producer.partition), batch(producer, sequence), true,
                 [&](AppendResult r) { result = std::move(r); });
    until([&] { return result.has_value(); });
    if (!result) result.emplace().error = ErrorCode::kUnknownServerError;
    return *result;
  }
  bool move() {
    std::optional<Result<PartitionSnapshot>> released;
    shards_[owner_]->release(moving_, [&](Result<PartitionSnapshot> result) { released = std::move(result); });
    for (Producer& producer : producers_) send(producer);  // some come too late
    if (!until([&] { return released.has_value(); })) return false;
    EXPECT_TRUE(*released);
    if (!*released) return false;
    owner_ = 1 - owner_;
    bool acquired = false;
    shards_[owner_]->acquire(std::move(**released), config_, ++epoch_, [&](Result<Partition*> result) {
      EXPECT_TRUE(result);
      acquired = true;
    });
    if (!until([&] { return acquired; })) return false;
    for (Producer& producer : producers_) {
      if (producer.refused) send(producer);
    }
    return true;
  }
  // Reads as a consumer. Returns producer and sequence of each batch, by offset.
  std::map<int64_t, std::pair<int64_t, int32_t>> read_all(const PartitionId& id) {
    std::map<int64_t, std::pair<int64_t, int32_t>> found;
    LogShard& shard = shard_for(id);
    Partition& partition = *shard.find(id);
    int64_t at = 0;
    while (at < partition.high_watermark()) {
      ReadResult result;
      bool done = shard.read(partition, {.offset = at, .max_bytes = 1 << 20}, result, [&](ReadResult late) {
        result = std::move(late);
        done = true;
      });
      if (!until([&] { return done; })) break;
      EXPECT_EQ(result.error, ErrorCode::kNone) << at;
      if (result.pieces.empty()) break;
      for (const FetchPiece& piece : result.pieces) {
        const auto* slice = std::get_if<Slice>(&piece);
        const std::vector<uint8_t> bytes =
            slice ? std::vector<uint8_t>(slice->data, slice->data + slice->size) : bytes_of(std::get<FileRange>(piece));
        for (size_t from = 0; from < bytes.size();) {
          const auto header = protocol::BatchHeader::parse(bytes.data() + from);
          EXPECT_EQ(header.base_offset, at) << "no gap";
          found[at] = {header.producer_id, header.base_sequence};
          at = header.next_offset();
          from += header.size();
        }
      }
    }
    EXPECT_EQ(at, partition.high_watermark());
    return found;
  }

  LogConfig config_;
  std::unique_ptr<LocalSegmentStore> store_;
  std::vector<std::unique_ptr<LogShard>> shards_;
  std::vector<PartitionId> staying_;
  std::vector<Producer> producers_;
  uint64_t incarnation_ = 1;
  int32_t epoch_ = 0;
  int32_t wanted_ = 0;
};

class HandoverPowerCut : public ::testing::Test {
 protected:
  void SetUp() override { set_log_level(LogLevel::kError); }
  void TearDown() override { set_log_level(LogLevel::kInfo); }
};

TEST_F(HandoverPowerCut, NothingIsLostWhereverItComes) {
  uint64_t writes = 0;
  {
    HandoverWorld world(1);
    ASSERT_TRUE(world.open());
    const uint64_t before = world.sim_.disk().write_points();
    ASSERT_TRUE(world.work(2));
    writes = world.sim_.disk().write_points() - before;
    world.expect_nothing_lost();
  }
  EXPECT_GT(writes, 30u);
  for (uint64_t cut = 1; cut <= writes && !HasFailure(); ++cut) {
    SCOPED_TRACE(::testing::Message() << "cut at write " << cut);
    HandoverWorld world(1);
    ASSERT_TRUE(world.open());
    world.sim_.disk().cut_at_write(cut);
    (void)world.work(2);
    EXPECT_TRUE(world.sim_.server_died());
    world.cut_power();
    ASSERT_TRUE(world.open());
    world.expect_nothing_lost();
    world.expect_producers_known();
    EXPECT_TRUE(world.work(1)) << "it can move again";
    world.expect_nothing_lost();
  }
}

// A tail lies in the log of a shard that will not serve the partition. The start checkpoints it, and releases the other log,
// whatever write of the second start is the last.
TEST_F(HandoverPowerCut, ASecondCutWhileTheLogIsOpened) {
  for (uint64_t cut = 1; cut <= 60 && !HasFailure(); ++cut) {
    SCOPED_TRACE(::testing::Message() << "cut at write " << cut);
    HandoverWorld world(2);
    ASSERT_TRUE(world.open());
    ASSERT_TRUE(world.work(1));
    world.cut_power();
    world.sim_.disk().cut_at_write(cut);
    if (world.open()) (void)world.work(1);
    world.cut_power();
    ASSERT_TRUE(world.open());
    world.expect_nothing_lost();
    world.expect_producers_known();
  }
}

}  // namespace
}  // namespace weir::storage::testing
