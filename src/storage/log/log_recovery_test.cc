// Starts over a data folder from which something vanished. The start is refused, or exactly the partitions that may have lost
// records are offline.
#include "storage/log/log_recovery.h"

#include <gtest/gtest.h>

#include "storage/log/log_on_disk_fixture.h"

namespace weir::storage::testing {
namespace {

class LogRecoveryTest : public LogOnDisk {};

// Writes the manifest of a log without records.
void put_manifest(SimRuntime& sim, PartitionManifest manifest) {
  auto database = ManifestDatabase::open(sim.disk(), "/log/manifest.db", &sim.clock());
  ASSERT_TRUE(database) << database.error().message;
  CheckpointPlan plan;
  plan.after = std::move(manifest);
  CheckpointPartition checkpoint;
  checkpoint.partition = plan.after.partition;
  const ManifestDatabase::Change change{1, true, &plan, &checkpoint};
  ASSERT_TRUE((*database)->commit({&change, 1}));
}

TEST_F(LogRecoveryTest, AnEpochAboveTheBrokersIsNotBelieved) {
  const PartitionId id = topics_[0];
  PartitionManifest manifest;
  manifest.partition = id;
  manifest.log_start_offset = manifest.end_offset = 9;
  manifest.epochs = {{0, 0}, {INT32_MAX - 1, 4}, {INT32_MAX, 9}};
  put_manifest(sim_, manifest);
  ASSERT_EQ(open(), "");
  const Partition& partition = *shard(id).find(id);
  EXPECT_EQ(partition.leader_epoch(), 0);
  EXPECT_EQ(partition.epochs(), (std::vector<EpochStart>{{0, 0}}));
  put(id, 100);
  checkpoint_all(id);
  ASSERT_EQ(restart(), "");
  EXPECT_EQ(shard(id).find(id)->epochs(), (std::vector<EpochStart>{{0, 0}}));
}

// All producers come back from the write-ahead log and from rows. There may be less memory for them than before.
TEST_F(LogRecoveryTest, ProducersAreBoundedFromTheStart) {
  ASSERT_EQ(open(), "");
  const auto flood = [&](const PartitionId& id, int64_t first) {
    for (int64_t producer = first; producer < first + 50; ++producer) {
      protocol::RecordBatchBuilder builder({.producer_id = producer, .producer_epoch = 0, .base_sequence = 0});
      builder.append(1000, std::nullopt, std::nullopt);
      shard(id).append(*shard(id).find(id), Slice::copy_of(builder.finish()), true, [](AppendResult) {});
    }
    bool done = false;
    shard(id).quiesce([&] { done = true; });
    ASSERT_EQ(sim_.run_until([&] { return done; }, 60 * runtime::kSecond), SimRuntime::Stop::kDone);
  };
  flood(topics_[0], 1000);
  checkpoint_all(topics_[0]);
  flood(topics_[0], 2000);
  flood(topics_[1], 3000);
  EXPECT_EQ(shard(topics_[0]).find(topics_[0])->producers().size(), 100u);
  producers_max_ = 7;
  ASSERT_EQ(restart(), "");
  for (const auto& each : shards_) EXPECT_LE(each->producers(), 7u);
  const ProducerState& left = shard(topics_[0]).find(topics_[0])->producers();
  EXPECT_GT(left.size(), 0u);
  for (const ProducerEntry& entry : left.entries()) EXPECT_GE(entry.producer_id, 2043) << "the newest stay";
  for (const PartitionId& id : {topics_[0], topics_[1]}) checkpoint_all(id);
  producers_max_ = 100'000;
  ASSERT_EQ(restart(), "");
  size_t all = 0;
  for (const auto& each : shards_) all += each->producers();
  EXPECT_LE(all, 14u) << "the rows of the others are gone";
}

TEST_F(LogRecoveryTest, AProducerIsAsOldAsItsLastAppend) {
  ASSERT_EQ(open(), "");
  const PartitionId id = topics_[0];
  protocol::RecordBatchBuilder builder({.producer_id = 9, .producer_epoch = 0, .base_sequence = 0});
  builder.append(1000, std::nullopt, std::nullopt);
  bool done = false;
  shard(id).append(*shard(id).find(id), Slice::copy_of(builder.finish()), true, [&](AppendResult) { done = true; });
  ASSERT_EQ(sim_.run_until([&] { return done; }, 60 * runtime::kSecond), SimRuntime::Stop::kDone);
  const int64_t appended_ms = shard(id).find(id)->producers().find(9)->last_timestamp;
  sim_.run_for(3600 * runtime::kSecond);
  ASSERT_EQ(restart(), "");
  EXPECT_EQ(shard(id).find(id)->producers().find(9)->last_timestamp, appended_ms);
  EXPECT_EQ(shard(id).find(id)->expire_producers(appended_ms + 1), 1u);
}

TEST_F(LogRecoveryTest, OffsetsEndBeforeTheyTurnNegative) {
  const PartitionId id = topics_[0];
  PartitionManifest manifest;
  manifest.partition = id;
  manifest.log_start_offset = manifest.end_offset = INT64_MAX - 1;
  put_manifest(sim_, manifest);
  ASSERT_EQ(open(), "");
  put(id, 100);  // the last one
  AppendResult refused;
  shard(id).append(*shard(id).find(id), make_batch(id, {}).bytes, true,
                   [&](AppendResult result) { refused = std::move(result); });
  EXPECT_EQ(refused.error, protocol::ErrorCode::kUnknownServerError);
  EXPECT_EQ(refused.message, "The offsets of this partition are used up");
  EXPECT_EQ(shard(id).find(id)->high_watermark(), INT64_MAX);
}

// A supervisor may start a broker that nobody writes to again and again.
TEST_F(LogRecoveryTest, StartsWithoutAWriteAddNoFiles) {
  ASSERT_EQ(open(), "");
  const PartitionId id = topics_.front();
  put(id, 1000);
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(restart(), "");
    for (const auto& each : shards_) each->start_timers();
    sim_.run_for(5 * runtime::kSecond);
  }
  EXPECT_LE(wal_files(id).size(), 4u);
  EXPECT_EQ(shard(id).find(id)->log_end_offset(), 1);
}

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

// The rows of the sessions went with the database's last transactions. The files must not look like garbage.
TEST_F(LogRecoveryTest, AFileOfNoSessionIsRefused) {
  ASSERT_EQ(open(), "");
  put(topics_[0], 100);
  ASSERT_TRUE(store_->put_wal_sessions_and_files({}, {}));
  EXPECT_NE(restart().find("not of any session"), std::string::npos);
}

// Data of an unknown partition is not deleted. It may be in the write-ahead log, in segments, in a folder of a checkpoint that
// did not commit, or in an offline marker.
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
  bool checkpointed = false;
  shard(id).checkpoint_all([&](Result<void>) { checkpointed = true; });
  ASSERT_EQ(sim_.run_until([&] { return checkpointed; }, 60 * runtime::kSecond), SimRuntime::Stop::kDone);
  forget("1 segment up to offset 1");
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
  bool checkpointed = false;
  shard(ids[0]).checkpoint_all([&](Result<void>) { checkpointed = true; });
  ASSERT_EQ(sim_.run_until([&] { return checkpointed; }, 60 * runtime::kSecond), SimRuntime::Stop::kDone);
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

// Every start changes the number of shards and dies at another write. The checkpointed log goes step by step.
TEST_F(LogRecoveryTest, WhatRetentionTookOfTheTailStaysAway) {
  config_.segment_bytes = 50'000;  // two batches
  config_.retention_bytes = 100'000;
  config_.retention_ms = -1;
  ASSERT_EQ(open(), "");
  const PartitionId id = topics_[0];
  const auto partition = [&] { return shard(id).find(id); };
  const auto retain = [&](int64_t expected) {
    shard(id).run_retention();
    ASSERT_EQ(sim_.run_until([&] { return partition()->pending_log_start() == partition()->log_start_offset(); },
                             60 * runtime::kSecond),
              SimRuntime::Stop::kDone);
    EXPECT_EQ(partition()->log_start_offset(), expected);
  };
  for (int i = 0; i < 10; ++i) put(id, 20'000);
  const uint64_t batch = partition()->size_bytes() / 10;
  retain(4);
  ASSERT_EQ(restart(), "");
  EXPECT_EQ(partition()->log_start_offset(), 4);
  EXPECT_EQ(partition()->high_watermark(), 10);
  EXPECT_EQ(partition()->manifest().end_offset, 0);
  EXPECT_EQ(partition()->size_bytes(), 6 * batch);
  retain(4);
  put(id, 20'000);
  put(id, 20'000);
  retain(6);
  bool checkpointed = false;
  shard(id).checkpoint_all([&](Result<void> result) { checkpointed = result.has_value(); });
  ASSERT_EQ(sim_.run_until([&] { return checkpointed; }, 60 * runtime::kSecond), SimRuntime::Stop::kDone);
  ASSERT_EQ(partition()->manifest().segments.size(), 3u);
  EXPECT_EQ(partition()->manifest().segments.front().base_offset, 6);
  put(id, 20'000);
  ASSERT_EQ(restart(1), "");
  EXPECT_EQ(partition()->log_start_offset(), 6);
  EXPECT_EQ(partition()->high_watermark(), 13);
  EXPECT_EQ(partition()->size_bytes(), 7 * batch);
}

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

// However long the delay is, no sum of times overflows into the past.
TEST_F(LogRecoveryTest, FilesOfADeletedTopicStayForTheLongestDelay) {
  config_.file_delete_delay_ms = INT64_MAX;
  const auto ids = three();
  ASSERT_EQ(open(), "");
  put(ids[0], 100);
  checkpoint_all(ids[0]);
  const auto segments = [&] {
    const auto files = sim_.disk().all_files();
    return std::ranges::count_if(files, [](const std::string& path) { return path.ends_with(".log"); });
  };
  ASSERT_EQ(segments(), 1);
  shard(ids[0]).drop(ids[0]);
  sim_.run_for(10 * runtime::kSecond);
  store_->maintain_now();
  EXPECT_EQ(segments(), 1);
}

}  // namespace
}  // namespace weir::storage::testing
