// A log of several partitions over the simulated disk, for tests of starts over damaged folders.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/log.h"
#include "protocol/record_batch_builder.h"
#include "storage/log/log_recovery.h"
#include "storage/log/offline_markers.h"
#include "storage/segment/local_segment_store.h"
#include "storage/segment/segment_names.h"
#include "storage/segment/test_batches.h"
#include "storage/wal/chunk.h"
#include "storage/wal/local_wal_sessions.h"
#include "testing/sim_runtime.h"

namespace weir::storage::testing {

using weir::testing::Death;
using weir::testing::SimRuntime;

class LogOnDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::kError);
    ASSERT_TRUE(sim_.disk().create_directories("/log"));
    ASSERT_TRUE(sim_.disk().sync_directory("/"));
    for (uint64_t topic = 1; topic <= 6; ++topic) topics_.push_back(partition_id(topic));
  }
  void TearDown() override { set_log_level(LogLevel::kInfo); }

  // Opens the log. Returns "", or why it does not open.
  std::string open(unsigned shards = 2) {
    shards_.clear();
    store_.reset();
    auto store = LocalSegmentStore::open(sim_.disk(), sim_.pool(), sim_.clock(), {.log_dir = "/log"});
    if (!store) return store.error().message;
    store_ = std::move(*store);
    LogOptions options;
    options.log_dir = "/log";
    options.shard.producers_max = producers_max_;
    options.shard.tail_cache_bytes = tail_cache_bytes_;
    auto runtime = sim_.runtime();
    runtime.loops.resize(shards);
    const auto wals = make_wals(runtime);
    auto opened = open_log(
        runtime, *store_, *wals, options,
        [this](const PartitionId& id) {
          const bool known = std::ranges::find(topics_, id) != topics_.end();
          if (deleted_.contains(id)) return std::optional(KnownPartition{.deleted = true});
          return known ? std::optional(KnownPartition{config_, 0}) : std::nullopt;
        },
        [this] { return topics_; });
    if (!opened) return opened.error().message;
    shards_ = std::move(opened->shards);
    remains_ = std::move(opened->remains);
    for (const PartitionId& id : topics_) {
      LogShard& owner = *shards_[shard_of(id, shards)];
      if (!owner.find(id)) owner.add(std::make_unique<Partition>(id, config_, 0));
    }
    return "";
  }
  virtual std::unique_ptr<WalSessions> make_wals(const runtime::Runtime& runtime) {
    return std::make_unique<LocalWalSessions>(
        runtime, *store_, LocalWalSettings{.log_dir = "/log", .incarnation = ++incarnation_, .file_bytes = 1 << 20});
  }
  std::string restart(unsigned shards = 2) {
    end(Death::kKill);
    return open(shards);
  }
  void end(Death death) {
    sim_.end_server(death);
    shards_.clear();
    store_.reset();
    sim_.start_server();
  }

  LogShard& shard(const PartitionId& id) { return *shards_[shard_of(id, static_cast<unsigned>(shards_.size()))]; }
  void put(const PartitionId& id, size_t bytes) {
    const CheckpointPartition::Batch batch = make_batch(id, {.value_bytes = bytes});
    bool done = false;
    shard(id).append(*shard(id).find(id), batch.bytes, true, [&](AppendResult result) {
      EXPECT_EQ(result.error, protocol::ErrorCode::kNone) << result.message;
      done = true;
    });
    ASSERT_EQ(sim_.run_until([&] { return done; }, 60 * runtime::kSecond), SimRuntime::Stop::kDone);
  }
  // Appends batches to the partition until its shard's log uses the second file and has the third one ready. Checkpoints fail, so
  // all files stay.
  void begin_second_file(const PartitionId& id) {
    sim_.disk().inject({.pattern = "*.log", .operation = weir::testing::DiskOperation::kCreate, .times = 1'000'000});
    for (int i = 0; i < 40 && wal_files(id).size() < 3; ++i) {
      put(id, 60'000);
      sim_.run_for(runtime::kSecond / 10);
    }
    ASSERT_EQ(wal_files(id).size(), 3u);
  }
  // Returns paths, the oldest first.
  std::vector<std::string> wal_files(const PartitionId& id) {
    const std::string folder = "/log/wal/" + std::to_string(shard_of(id, 2)) + "/";
    std::vector<std::string> files;
    for (const std::string& path : sim_.disk().all_files()) {
      if (path.starts_with(folder) && path.ends_with(".wal")) files.push_back(path);
    }
    return files;
  }
  void checkpoint_all(const PartitionId& id) {
    bool checkpointed = false;
    shard(id).checkpoint_all([&](Result<void>) { checkpointed = true; });
    ASSERT_EQ(sim_.run_until([&] { return checkpointed; }, 60 * runtime::kSecond), SimRuntime::Stop::kDone);
  }
  void lose(const std::string& path) { ASSERT_TRUE(sim_.disk().remove(path)); }
  void give_up(const std::string& path) {
    ASSERT_TRUE(sim_.disk().open(path.substr(0, path.size() - 3) + "lost", {.write = true, .create = true}));
  }
  std::set<PartitionId> offline() {
    std::set<PartitionId> found;
    for (const auto& each : shards_) {
      each->for_each([&](Partition& partition) {
        if (partition.offline()) found.insert(partition.id());
      });
    }
    return found;
  }
  std::set<PartitionId> all_of_the_shard_of(const PartitionId& id) {
    std::set<PartitionId> found;
    for (const PartitionId& other : topics_) {
      if (shard_of(other, 2) == shard_of(id, 2)) found.insert(other);
    }
    return found;
  }
  // Adds three partitions of one shard.
  std::vector<PartitionId> three() {
    std::vector<PartitionId> found;
    for (uint64_t topic = 10; found.size() < 3; ++topic) {
      if (shard_of(partition_id(topic), 2) == 0) found.push_back(partition_id(topic));
    }
    topics_.insert(topics_.end(), found.begin(), found.end());
    return found;
  }

  SimRuntime sim_{1, {.loops = 2}};
  std::unique_ptr<LocalSegmentStore> store_;
  std::vector<std::unique_ptr<LogShard>> shards_;
  LogConfig config_;
  size_t producers_max_ = 100'000;
  uint64_t tail_cache_bytes_ = 64 << 20;
  std::vector<PartitionId> topics_;
  std::set<PartitionId> deleted_;
  std::unordered_set<TopicId> remains_;
  uint64_t incarnation_ = 1;
};

}  // namespace weir::storage::testing
