// Moves between log directories through whole log shards on simulated loops, while records come and go.
#include "storage/log/log_dir_mover.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "base/log.h"
#include "storage/log/log_recovery.h"
#include "storage/segment/local_segment_store.h"
#include "storage/segment/test_batches.h"
#include "storage/wal/local_wal_sessions.h"
#include "testing/sim_runtime.h"

namespace weir::storage::testing {
namespace {

using weir::testing::Death;
using weir::testing::SimRuntime;

class LogDirMoverTest : public ::testing::Test {
 protected:
  static constexpr unsigned kShards = 2;

  void SetUp() override {
    set_log_level(LogLevel::kError);
    config_.segment_bytes = 20'000;
    config_.file_delete_delay_ms = 1000;
    for (const char* folder : {"/a", "/b"}) ASSERT_TRUE(sim_.disk().create_directories(folder));
    ASSERT_TRUE(sim_.disk().sync_directory("/"));
    open();
  }
  void TearDown() override { set_log_level(LogLevel::kInfo); }

  void open() {
    auto store = LocalSegmentStore::open(sim_.disk(), sim_.pool(), sim_.clock(), {.log_dir = "/a"});
    ASSERT_TRUE(store) << store.error().message;
    ASSERT_TRUE((*store)->use_directories({{"/b", Uuid::from_random(1, 2)}}));
    store_ = std::move(*store);
    LogOptions options;
    options.log_dir = "/a";
    options.shard.tail_cache_bytes = 0;
    options.shard.directories = store_.get();
    auto runtime = sim_.runtime();
    LocalWalSessions wals(runtime, *store_, {.log_dir = "/a", .incarnation = ++incarnation_, .file_bytes = 1 << 20});
    auto opened = open_log(runtime, *store_, wals, options, [this](const PartitionId& id) {
      return std::optional(ends_.contains(id) ? KnownPartition{config_, 0} : KnownPartition{.deleted = true});
    });
    ASSERT_TRUE(opened) << opened.error().message;
    shards_ = std::move(opened->shards);
    for (const auto& [id, end] : ends_) {
      if (!shard(id).find(id)) shard(id).add(std::make_unique<Partition>(id, config_, 0));
    }
    std::vector<LogShard*> shards;
    for (const auto& shard : shards_) shards.push_back(shard.get());
    cleaner_ = std::make_unique<LogCleaner>(sim_.runtime(), shards, *store_, LogCleanerOptions{});
    cleaner_->start();
    mover_ = std::make_unique<LogDirMover>(sim_.runtime(), shards, *store_, *cleaner_,
                                           LogDirMoverOptions{.step_bytes = 4096, .directories = store_.get()});
    mover_->start();
  }
  void restart(Death death) {
    sim_.end_server(death);
    mover_.reset();
    cleaner_.reset();
    shards_.clear();
    store_.reset();
    sim_.start_server();
    open();
  }
  LogShard& shard(const PartitionId& id) { return *shards_[shard_of(id, kShards)]; }
  Partition& partition(const PartitionId& id) { return *shard(id).find(id); }
  void wait(const std::function<bool()>& condition) {
    ASSERT_EQ(sim_.run_until(condition, 600 * runtime::kSecond), SimRuntime::Stop::kDone);
  }
  void add(const PartitionId& id) {
    ends_[id] = 0;
    shard(id).add(std::make_unique<Partition>(id, config_, 0));
  }
  void put(const PartitionId& id, int batches) {
    for (int i = 0; i < batches; ++i) {
      bool done = false;
      shard(id).append(partition(id), make_batch(id, {.value_bytes = 5000}).bytes, true, [&](AppendResult result) {
        EXPECT_EQ(result.error, protocol::ErrorCode::kNone) << result.message;
        done = true;
      });
      wait([&] { return done; });
      ++ends_[id];
    }
  }
  void checkpoint(const PartitionId& id) {
    bool checkpointed = false;
    shard(id).checkpoint_all([&](Result<void> result) {
      EXPECT_TRUE(result);
      checkpointed = true;
    });
    wait([&] { return checkpointed; });
  }
  void move(const PartitionId& id, uint32_t directory) {
    bool done = false;
    shard(id).set_directory(partition(id), directory, [&](Result<void> result) {
      EXPECT_TRUE(result) << result.error().message;
      done = true;
    });
    wait([&] { return done; });
  }
  bool arrived(const PartitionId& id, uint32_t directory) {
    return partition(id).manifest().place == PartitionPlace{directory, directory};
  }
  // A consumer that begins at the start sees the offsets of all batches.
  void expect_readable(const PartitionId& id) {
    int64_t offset = partition(id).log_start_offset();
    while (offset < ends_[id]) {
      ReadResult result;
      bool done = false;
      ReadRequest request;
      request.offset = offset;
      request.max_bytes = 1;
      done = shard(id).read(partition(id), request, result, [&](ReadResult later) {
        result = std::move(later);
        done = true;
      });
      wait([&] { return done; });
      ASSERT_EQ(result.error, protocol::ErrorCode::kNone) << "offset " << offset;
      ASSERT_GT(result.bytes, 0u);
      ++offset;
    }
    EXPECT_EQ(partition(id).high_watermark(), ends_[id]);
  }
  std::set<std::string> folders(const PartitionId& id) {
    std::set<std::string> found;
    for (const std::string& path : sim_.disk().all_files()) {
      if (path.ends_with(".log") && path.find(id.topic.to_string()) != std::string::npos) found.insert(path.substr(0, 2));
    }
    return found;
  }

  SimRuntime sim_{3, {.loops = kShards}};
  LogConfig config_;
  std::map<PartitionId, int64_t> ends_;
  std::unique_ptr<LocalSegmentStore> store_;
  std::vector<std::unique_ptr<LogShard>> shards_;
  std::unique_ptr<LogCleaner> cleaner_;
  std::unique_ptr<LogDirMover> mover_;
  uint64_t incarnation_ = 0;
};

TEST_F(LogDirMoverTest, APartitionMovesWhileItIsWrittenAndRead) {
  const PartitionId id = partition_id(1);
  add(id);
  ASSERT_TRUE(arrived(id, 0));
  put(id, 20);
  checkpoint(id);
  put(id, 2);
  move(id, 1);
  const auto replicas = LogShard::replicas(partition(id));
  ASSERT_EQ(replicas.size(), 2u);
  EXPECT_EQ(replicas[0].directory, 0u);
  EXPECT_EQ(replicas[0].bytes, partition(id).size_bytes());
  EXPECT_EQ(replicas[1].directory, 1u);
  EXPECT_TRUE(replicas[1].future);
  EXPECT_GT(replicas[1].offset_lag, 0);
  for (int i = 0; i < 5; ++i) {
    put(id, 1);
    expect_readable(id);
    checkpoint(id);
  }
  wait([&] { return arrived(id, 1); });
  EXPECT_EQ(LogShard::replicas(partition(id)).size(), 1u);
  expect_readable(id);
  wait([&] { return folders(id) == std::set<std::string>{"/b"}; });
  put(id, 3);
  restart(Death::kPowerCut);
  EXPECT_TRUE(arrived(id, 1));
  expect_readable(id);
}

// The search goes in slices.
TEST_F(LogDirMoverTest, OneAmongThousandsIsFound) {
  PartitionId last;
  for (uint64_t i = 1; i <= 2 * LogShard::kMisplacedLooks * kShards + 10; ++i) {
    add(partition_id(i));
    last = std::max(last, partition_id(i));
  }
  put(last, 2);
  checkpoint(last);
  move(last, 1);
  wait([&] { return arrived(last, 1); });
  expect_readable(last);
}

TEST_F(LogDirMoverTest, AMoveThatADeathEndedGoesOn) {
  const PartitionId id = partition_id(1);
  add(id);
  put(id, 40);
  checkpoint(id);
  move(id, 1);
  int lives = 0;
  while (!arrived(id, 1)) {
    ASSERT_LT(++lives, 1000);
    const uint64_t before = mover_->stats().segments;
    wait([&] { return mover_->stats().segments > before || arrived(id, 1); });
    restart(lives % 2 ? Death::kPowerCut : Death::kKill);
  }
  EXPECT_GT(lives, 3);
  expect_readable(id);
  wait([&] { return folders(id) == std::set<std::string>{"/b"}; });
}

TEST_F(LogDirMoverTest, AFailingDirectoryIsTriedAgain) {
  const PartitionId id = partition_id(1);
  add(id);
  put(id, 10);
  checkpoint(id);
  sim_.disk().inject({.pattern = "/b/*", .operation = weir::testing::DiskOperation::kWrite, .times = 3, .os_errno = ENOSPC});
  move(id, 1);
  wait([&] { return mover_->stats().failures == 1; });
  expect_readable(id);
  wait([&] { return arrived(id, 1); });
  expect_readable(id);
}

TEST_F(LogDirMoverTest, APartitionThatIsCompactedWaits) {
  const PartitionId id = partition_id(1);
  add(id);
  put(id, 10);
  checkpoint(id);
  ASSERT_TRUE(cleaner_->hold(id));
  move(id, 1);
  sim_.run_for(10 * runtime::kSecond);
  EXPECT_EQ(mover_->stats().segments, 0u);
  cleaner_->release(id);
  wait([&] { return arrived(id, 1); });
  expect_readable(id);
}

TEST_F(LogDirMoverTest, ADeletedTopicLeavesNothingBehind) {
  const PartitionId id = partition_id(1);
  add(id);
  put(id, 40);
  checkpoint(id);
  move(id, 1);
  wait([&] { return mover_->stats().segments > 0; });
  shard(id).drop(id);
  ends_.erase(id);
  wait([&] { return folders(id).empty(); });
  sim_.run_for(120 * runtime::kSecond);
  EXPECT_TRUE(folders(id).empty());
  restart(Death::kKill);
  sim_.run_for(120 * runtime::kSecond);
  EXPECT_TRUE(folders(id).empty());
}

TEST_F(LogDirMoverTest, AnEmptyPartitionIsThereAtOnce) {
  add(partition_id(1));
  add(partition_id(2));
  ASSERT_TRUE(arrived(partition_id(1), 0));
  ASSERT_TRUE(arrived(partition_id(2), 1));
  move(partition_id(1), 1);
  EXPECT_TRUE(arrived(partition_id(1), 1));
  restart(Death::kPowerCut);
  EXPECT_TRUE(arrived(partition_id(1), 1));
  EXPECT_EQ(partition(partition_id(1)).high_watermark(), 0);
}

}  // namespace
}  // namespace weir::storage::testing
