// Starts over a data folder from which something vanished: refused, or exactly what may have lost records is offline.
#include "storage/log/log_recovery.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <unordered_set>

#include "base/log.h"
#include "protocol/record_batch_builder.h"
#include "storage/log/offline_markers.h"
#include "storage/segment/local_segment_store.h"
#include "storage/segment/segment_names.h"
#include "storage/segment/test_batches.h"
#include "storage/wal/chunk.h"
#include "testing/sim_runtime.h"

namespace weir::storage::testing {
namespace {

using weir::testing::Death;
using weir::testing::SimRuntime;

class LogRecoveryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::kError);
    ASSERT_TRUE(sim_.disk().create_directories("/log"));
    ASSERT_TRUE(sim_.disk().sync_directory("/"));
    for (uint64_t topic = 1; topic <= 6; ++topic) topics_.push_back(partition_id(topic));
  }
  void TearDown() override { set_log_level(LogLevel::kInfo); }

  // Opens the log; "" or why not.
  std::string open(unsigned shards = 2) {
    shards_.clear();
    store_.reset();
    auto store = LocalSegmentStore::open(sim_.disk(), sim_.pool(), sim_.clock(), {.log_dir = "/log"});
    if (!store) return store.error().message;
    store_ = std::move(*store);
    LogOptions options;
    options.log_dir = "/log";
    options.wal_file_bytes = 1 << 20;
    auto runtime = sim_.runtime();
    runtime.loops.resize(shards);
    auto opened = open_log(
        runtime, *store_, options, ++incarnation_,
        [this](const PartitionId& id) {
          const bool known = std::ranges::find(topics_, id) != topics_.end();
          if (deleted_.contains(id)) return std::optional(KnownPartition{.deleted = true});
          return known ? std::optional(KnownPartition{LogConfig{}, 0}) : std::nullopt;
        },
        [this] { return topics_; });
    if (!opened) return opened.error().message;
    shards_ = std::move(opened->shards);
    remains_ = std::move(opened->remains);
    for (const PartitionId& id : topics_) {
      LogShard& owner = *shards_[shard_of(id, shards)];
      if (!owner.find(id)) owner.add(std::make_unique<Partition>(id, LogConfig{}, 0));
    }
    return "";
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
    const MergePartition::Batch batch = make_batch(id, {.value_bytes = bytes});
    bool done = false;
    shard(id).append(*shard(id).find(id), batch.bytes, true, [&](AppendResult result) {
      EXPECT_EQ(result.error, protocol::ErrorCode::kNone) << result.message;
      done = true;
    });
    ASSERT_EQ(sim_.run_until([&] { return done; }, 60 * runtime::kSecond), SimRuntime::Stop::kDone);
  }
  // Batches of the partition until the second file of its shard's log is in use and the third one ready. Nothing is
  // merged, so all of them stay.
  void begin_second_file(const PartitionId& id) {
    sim_.disk().inject({.pattern = "*.log", .operation = weir::testing::DiskOperation::kCreate, .times = 1'000'000});
    for (int i = 0; i < 40 && wal_files(id).size() < 3; ++i) {
      put(id, 60'000);
      sim_.run_for(runtime::kSecond / 10);
    }
    ASSERT_EQ(wal_files(id).size(), 3u);
  }
  // Paths, oldest first.
  std::vector<std::string> wal_files(const PartitionId& id) {
    const std::string folder = "/log/wal/" + std::to_string(shard_of(id, 2)) + "/";
    std::vector<std::string> files;
    for (const std::string& path : sim_.disk().all_files()) {
      if (path.starts_with(folder) && path.ends_with(".wal")) files.push_back(path);
    }
    return files;
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
  // Three partitions of one shard.
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
  std::vector<PartitionId> topics_;
  std::set<PartitionId> deleted_;
  std::unordered_set<TopicId> remains_;
  uint64_t incarnation_ = 1;
};

TEST_F(LogRecoveryTest, ALostFileIsRefusedAndWhatCameBackIsWhole) {
  const auto ids = three();
  ASSERT_EQ(open(), "");
  put(ids[0], 100);
  sim_.run_for(runtime::kSecond);
  end(Death::kKill);
  const auto files = wal_files(ids[0]);
  ASSERT_FALSE(files.empty());
  const std::string aside = "/log/aside";
  ASSERT_TRUE(sim_.disk().rename(files[0], aside));
  for (int start = 0; start < 2; ++start) {
    const std::string why = open();
    EXPECT_NE(why.find(files[0]), std::string::npos) << why;
    EXPECT_NE(why.find(".lost"), std::string::npos) << why;
  }
  ASSERT_TRUE(sim_.disk().rename(aside, files[0]));
  ASSERT_EQ(open(), "");
  EXPECT_TRUE(offline().empty());
  EXPECT_EQ(shard(ids[0]).find(ids[0])->high_watermark(), 1);
}

TEST_F(LogRecoveryTest, TheNewestFileGivenUpCostsWhateverMayHaveBeenInIt) {
  const auto ids = three();
  ASSERT_EQ(open(), "");
  put(ids[0], 100);
  begin_second_file(ids[0]);
  end(Death::kKill);
  const auto files = wal_files(ids[0]);
  for (size_t i = 1; i < 3; ++i) {
    lose(files[i]);
    give_up(files[i]);
  }
  ASSERT_EQ(open(), "");
  EXPECT_EQ(offline(), all_of_the_shard_of(ids[0])) << "those that were never written to, too: nobody knows";
  ASSERT_EQ(restart(), "");
  EXPECT_EQ(offline(), all_of_the_shard_of(ids[0])) << "and that is remembered";
}

TEST_F(LogRecoveryTest, AnOlderFileGivenUpSparesThoseThatGoOnWithoutAGap) {
  const auto ids = three();
  ASSERT_EQ(open(), "");
  put(ids[0], 100);
  begin_second_file(ids[1]);  // the first file: ids 0 and 1
  put(ids[1], 100);
  put(ids[2], 100);
  end(Death::kKill);
  const auto files = wal_files(ids[0]);
  lose(files.front());
  give_up(files.front());
  ASSERT_EQ(open(), "");
  const auto found = offline();
  EXPECT_TRUE(found.contains(ids[0])) << "has nothing left, and did";
  EXPECT_TRUE(found.contains(ids[1])) << "goes on behind a gap";
  EXPECT_FALSE(found.contains(ids[2])) << "begins at 0: nothing of it was in the file";
  for (const PartitionId& id : topics_) {
    EXPECT_TRUE(shard_of(id, 2) == 0 || !found.contains(id)) << "another shard's";
  }
}

TEST_F(LogRecoveryTest, WithoutItsDatabaseAWriteAheadLogIsRefused) {
  ASSERT_EQ(open(), "");
  put(topics_[0], 100);
  end(Death::kKill);
  for (const std::string& path : sim_.disk().all_files()) {
    if (path.starts_with("/log/manifest.db")) lose(path);
  }
  EXPECT_NE(open().find("write-ahead log"), std::string::npos);
}

// The rows of the sessions went with the database's last transactions: the files must not be taken for garbage.
TEST_F(LogRecoveryTest, AFileOfNoSessionIsRefused) {
  ASSERT_EQ(open(), "");
  put(topics_[0], 100);
  ASSERT_TRUE(store_->put_wal_sessions_and_files({}, {}));
  EXPECT_NE(restart().find("not of any session"), std::string::npos);
}

// What is not known is not deleted: in the write-ahead log, in segments, in a folder of a merge that did not commit, as a
// note that it is offline.
TEST_F(LogRecoveryTest, APartitionThatNobodyKnowsIsRefusedAndStays) {
  const auto ids = three();
  const PartitionId id = ids[0];
  ASSERT_EQ(open(), "");
  put(id, 100);
  put(ids[1], 100);
  const auto forget = [&](const char* what) {
    SCOPED_TRACE(what);
    const auto known = topics_;
    std::erase(topics_, id);
    end(Death::kKill);
    const auto all_files = [&] {
      auto files = sim_.disk().all_files();
      std::erase_if(files, [](const std::string& path) { return path.ends_with("-in-use"); });
      return files;
    };
    const auto files = all_files();
    for (int start = 0; start < 2; ++start) {
      const std::string why = open();
      EXPECT_NE(why.find(id.topic.to_string()), std::string::npos) << why;
      EXPECT_NE(why.find(what), std::string::npos) << why;
      EXPECT_NE(why.find(".deleted"), std::string::npos) << why;
    }
    end(Death::kKill);
    EXPECT_EQ(all_files(), files);
    topics_ = known;
    ASSERT_EQ(open(), "");
    EXPECT_EQ(shard(id).find(id)->high_watermark(), 1);
  };
  forget("write-ahead log");
  bool merged = false;
  shard(id).merge_all([&](Result<void>) { merged = true; });
  ASSERT_EQ(sim_.run_until([&] { return merged; }, 60 * runtime::kSecond), SimRuntime::Stop::kDone);
  forget("1 segments up to offset 1");
  const PartitionId stray = partition_id(99);
  const std::string folder = "/log/" + partition_folder_name(stray);
  ASSERT_TRUE(sim_.disk().create_directories(folder));
  ASSERT_TRUE(sim_.disk().open(folder + "/00000000000000000000.log", {.write = true, .create = true}));
  EXPECT_NE(restart().find(stray.topic.to_string()), std::string::npos);
  ASSERT_TRUE(sim_.disk().remove_all(folder));
  ASSERT_TRUE(OfflineMarkers(sim_.disk(), "/log").put(stray, "why"));
  EXPECT_NE(restart().find("offline"), std::string::npos);
}

TEST_F(LogRecoveryTest, WhatIsLeftOfADeletedPartitionGoesAndIsTold) {
  const auto ids = three();
  ASSERT_EQ(open(), "");
  for (int i = 0; i < 2; ++i) put(ids[i], 100);
  bool merged = false;
  shard(ids[0]).merge_all([&](Result<void>) { merged = true; });
  ASSERT_EQ(sim_.run_until([&] { return merged; }, 60 * runtime::kSecond), SimRuntime::Stop::kDone);
  const std::string folder = "/log/" + partition_folder_name(ids[0]);
  ASSERT_TRUE(sim_.disk().exists(folder).value_or(false));
  ASSERT_TRUE(OfflineMarkers(sim_.disk(), "/log").put(ids[0], "why"));
  std::erase(topics_, ids[0]);
  deleted_ = {ids[0], ids[2]};
  ASSERT_EQ(restart(), "");
  EXPECT_EQ(remains_, std::unordered_set<TopicId>{ids[0].topic}) << "of the other one there was nothing";
  sim_.run_for(runtime::kSecond);
  store_->maintain_now();
  EXPECT_FALSE(sim_.disk().exists(folder).value_or(true));
  EXPECT_TRUE(OfflineMarkers(sim_.disk(), "/log").load()->empty());
  EXPECT_EQ(shard(ids[1]).find(ids[1])->high_watermark(), 1);
}

// Every start changes the number of shards and dies at another write: the log that was merged goes step by step.
TEST_F(LogRecoveryTest, AChangeOfShardsMayEndAtAnyWrite) {
  for (uint64_t cut = 1; cut <= 90 && !HasFailure(); cut += 2) {
    SCOPED_TRACE(::testing::Message() << "cut at write " << cut);
    end(Death::kKill);
    (void)sim_.disk().remove_all("/log");
    ASSERT_TRUE(sim_.disk().create_directories("/log"));
    ASSERT_TRUE(sim_.disk().sync_directory("/"));
    ASSERT_EQ(open(), "");
    for (const PartitionId& id : topics_) put(id, 30'000);
    begin_second_file(topics_[0]);
    std::vector<int64_t> ends;
    for (const PartitionId& id : topics_) ends.push_back(shard(id).find(id)->high_watermark());
    end(Death::kKill);
    sim_.disk().clear_faults();
    sim_.disk().cut_at_write(cut);
    (void)open(1);
    end(Death::kPowerCut);
    ASSERT_EQ(open(1), "");
    EXPECT_TRUE(offline().empty());
    for (size_t i = 0; i < topics_.size(); ++i) {
      EXPECT_EQ(shard(topics_[i]).find(topics_[i])->high_watermark(), ends[i]) << i;
    }
  }
}

}  // namespace
}  // namespace weir::storage::testing
