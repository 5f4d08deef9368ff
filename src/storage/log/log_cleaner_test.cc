// Compaction through whole log shards on simulated loops: the choice of partitions, the replacement of segments, and events
// between.
#include "storage/log/log_cleaner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

#include "base/log.h"
#include "protocol/record_batch_builder.h"
#include "storage/compaction/compaction_fixture.h"
#include "storage/log/log_recovery.h"
#include "storage/segment/local_segment_store.h"
#include "storage/wal/local_wal_sessions.h"
#include "testing/sim_runtime.h"

namespace weir::storage::testing {
namespace {

using weir::testing::SimRuntime;

class LogCleanerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::kError);
    config_.cleanup_compact = true;
    config_.cleanup_delete = false;
    config_.segment_bytes = 2000;
    ASSERT_TRUE(sim_.disk().create_directories("/log"));
    ASSERT_TRUE(sim_.disk().sync_directory("/"));
    open();
  }
  void TearDown() override { set_log_level(LogLevel::kInfo); }

  void open() {
    auto store = LocalSegmentStore::open(sim_.disk(), sim_.pool(), sim_.clock(), {.log_dir = "/log"});
    ASSERT_TRUE(store) << store.error().message;
    store_ = std::move(*store);
    LogOptions options;
    options.log_dir = "/log";
    options.shard.tail_cache_bytes = tail_cache_bytes_;
    auto runtime = sim_.runtime();
    LocalWalSessions wals(runtime, *store_, {.log_dir = "/log", .incarnation = ++incarnation_, .file_bytes = 1 << 20});
    auto opened = open_log(runtime, *store_, wals, options, [this](const PartitionId& id) {
      return configs_.contains(id) ? std::optional(KnownPartition{configs_.at(id), 0}) : std::nullopt;
    });
    ASSERT_TRUE(opened) << opened.error().message;
    shards_ = std::move(opened->shards);
    make_cleaner({});
  }
  void make_cleaner(LogCleanerOptions options) {
    std::vector<LogShard*> shards;
    for (const auto& shard : shards_) shards.push_back(shard.get());
    cleaner_ = std::make_unique<LogCleaner>(sim_.runtime(), shards, *store_, options);
  }
  LogShard& shard(const PartitionId& id) { return *shards_[shard_of(id, 2)]; }
  Partition& add(const PartitionId& id) {
    configs_[id] = config_;
    return shard(id).add(std::make_unique<Partition>(id, config_, 0));
  }
  Partition& partition(const PartitionId& id) { return *shard(id).find(id); }

  void put(const PartitionId& id, const std::string& key, const std::string& value, const protocol::BatchOptions& options = {}) {
    protocol::RecordBatchBuilder builder(options);
    const std::string name = "trace";
    const std::vector<protocol::RecordHeader> headers{{name, as_bytes(name)}};
    builder.append(sim_.clock().wall_ms(), as_bytes(key), as_bytes(value), headers);
    bool done = false;
    shard(id).append(partition(id), Slice::copy_of(builder.finish()), true, [&](AppendResult result) {
      EXPECT_EQ(result.error, protocol::ErrorCode::kNone) << result.message;
      done = true;
    });
    wait([&] { return done; });
  }
  // Appends `count` records of about 100 bytes with `keys` different keys, and checkpoints them.
  void fill(const PartitionId& id, int count, int keys) {
    for (int i = 0; i < count; ++i) put(id, "k" + std::to_string(i % keys), std::to_string(i) + std::string(100, '.'));
    checkpoint(id);
  }
  void checkpoint(const PartitionId& id) {
    bool checkpointed = false;
    shard(id).checkpoint_all([&](Result<void>) { checkpointed = true; });
    wait([&] { return checkpointed; });
  }
  void wait(const std::function<bool()>& condition) {
    ASSERT_EQ(sim_.run_until(condition, 3600 * runtime::kSecond), SimRuntime::Stop::kDone);
  }
  void clean_all() {
    bool done = false;
    cleaner_->clean_all([&] { done = true; });
    wait([&] { return done; });
  }
  // Reads everything as a consumer. Returns values by key.
  std::map<std::string, std::string> read(const PartitionId& id, size_t* records = nullptr) {
    std::map<std::string, std::string> values;
    Partition& from = partition(id);
    std::vector<FoundRecord> found;
    batches_.clear();
    int64_t offset = from.log_start_offset();
    while (offset < from.high_watermark()) {
      ReadResult result;
      bool done = false;
      ReadRequest request;
      request.offset = offset;
      request.max_bytes = 5000;
      done = shard(id).read(from, request, result, [&](ReadResult later) {
        result = std::move(later);
        done = true;
      });
      wait([&] { return done; });
      EXPECT_EQ(result.error, protocol::ErrorCode::kNone) << "at " << offset;
      const size_t before = batches_.size();
      for (const FetchPiece& piece : result.pieces) {
        if (const auto* slice = std::get_if<Slice>(&piece)) collect(slice->bytes(), found, &batches_);
        if (const auto* range = std::get_if<FileRange>(&piece)) collect(bytes_of(*range), found, &batches_);
      }
      if (batches_.size() == before) {
        ADD_FAILURE() << "nothing at " << offset;
        break;
      }
      offset = batches_.back().next_offset();
    }
    for (const FoundRecord& record : found) values[record.key] = record.value;
    if (records) *records = found.size();
    return values;
  }

  SimRuntime sim_{1, {.loops = 2}};
  std::vector<BatchHeader> batches_;  // of the last read
  LogConfig config_;
  uint64_t tail_cache_bytes_ = 0;
  uint64_t incarnation_ = 0;
  std::map<PartitionId, LogConfig> configs_;
  std::unique_ptr<LocalSegmentStore> store_;
  std::vector<std::unique_ptr<LogShard>> shards_;
  std::unique_ptr<LogCleaner> cleaner_;
};

TEST_F(LogCleanerTest, PartitionsOfAllShardsAreCleaned) {
  std::vector<PartitionId> ids;
  for (int32_t i = 0; i < 6; ++i) ids.push_back(partition_id(1, i));
  std::set<unsigned> owners;
  for (const PartitionId& id : ids) {
    add(id);
    owners.insert(shard_of(id, 2));
    fill(id, 100, 4);
  }
  ASSERT_EQ(owners.size(), 2u);
  clean_all();
  EXPECT_EQ(cleaner_->stats().runs, 6u);
  EXPECT_GT(cleaner_->stats().bytes_before, 4 * cleaner_->stats().bytes_after);
  for (const PartitionId& id : ids) {
    size_t records = 0;
    EXPECT_EQ(read(id, &records).at("k3").substr(0, 3), "99.");
    EXPECT_LT(records, 30u);
  }
  clean_all();
  EXPECT_EQ(cleaner_->stats().runs, 6u) << "nothing is dirty any more";
}

TEST_F(LogCleanerTest, TheRatioTheLagAndThePolicyDecide) {
  const PartitionId lazy = partition_id(1), young = partition_id(2), other = partition_id(3), overdue = partition_id(4);
  config_.min_cleanable_dirty_ratio = 1;
  add(lazy);
  config_.max_compaction_lag_ms = 10'000;
  add(overdue);
  config_ = {};
  config_.segment_bytes = 2000;
  add(other);
  config_.cleanup_compact = true;
  config_.min_compaction_lag_ms = 60'000;
  add(young);
  for (const PartitionId& id : {lazy, young, other, overdue}) fill(id, 100, 4);
  clean_all();
  EXPECT_EQ(cleaner_->stats().runs, 0u);
  EXPECT_EQ(cleaner_->stats().max_dirty_percent, 100);
  sim_.run_for(61 * runtime::kSecond);
  clean_all();
  EXPECT_EQ(cleaner_->stats().runs, 2u);
  EXPECT_GT(partition(young).manifest().first_dirty_offset, 0);
  EXPECT_GT(partition(overdue).manifest().first_dirty_offset, 0);
  EXPECT_EQ(partition(lazy).manifest().first_dirty_offset, 0);
  EXPECT_EQ(partition(other).manifest().first_dirty_offset, 0);
}

TEST_F(LogCleanerTest, ADamagedPartitionIsLeftOutAndTheOthersGoOn) {
  const PartitionId bad = partition_id(1), good = partition_id(2);
  add(bad);
  fill(bad, 100, 1);  // the dirtier one
  add(good);
  fill(good, 100, 20);
  const auto segment = partition(bad).manifest().segments.front();
  sim_.disk().flip_bits("/log/" + partition_folder_name(bad) + "/" + segment_file_name(segment.base_offset), 120, 4);
  cleaner_->name_topics([](unsigned, const TopicId&) { return "orders"; });
  clean_all();
  EXPECT_EQ(cleaner_->stats().uncleanable_partitions, 1u);
  EXPECT_TRUE(cleaner_->uncleanable(bad));
  ASSERT_EQ(cleaner_->stats().uncleanable.size(), 1u);
  EXPECT_EQ(cleaner_->stats().uncleanable[0].name, partition_text("orders", bad));
  EXPECT_NE(cleaner_->stats().uncleanable[0].reason.find(segment_file_name(segment.base_offset, segment.generation)),
            std::string::npos)
      << "the file is named: " << cleaner_->stats().uncleanable[0].reason;
  EXPECT_EQ(partition(bad).manifest().first_dirty_offset, 0);
  EXPECT_GT(partition(good).manifest().first_dirty_offset, 0);
  EXPECT_EQ(cleaner_->stats().failed_runs, 1u);
  clean_all();
  EXPECT_EQ(cleaner_->stats().failed_runs, 1u) << "not tried again";
  shard(bad).drop(bad);
  clean_all();
  EXPECT_EQ(cleaner_->stats().uncleanable_partitions, 0u);
}

TEST_F(LogCleanerTest, TheLastBatchOfAnActiveProducerStays) {
  const PartitionId id = partition_id(1);
  add(id);
  for (int32_t i = 0; i < 3; ++i) put(id, "p", "1", {.producer_id = 7, .producer_epoch = 0, .base_sequence = i});
  fill(id, 40, 1);
  clean_all();
  read(id);
  ASSERT_FALSE(batches_.empty());
  EXPECT_EQ(batches_[0].producer_id, 7);
  EXPECT_EQ(batches_[0].base_sequence, 2);
  EXPECT_EQ(batches_[0].record_count, 1);
  put(id, "p", "newer");
  fill(id, 40, 1);
  clean_all();
  read(id);
  EXPECT_EQ(batches_[0].base_sequence, 2);
  EXPECT_EQ(batches_[0].record_count, 0);
  EXPECT_NE(batches_[1].producer_id, 7);
}

TEST_F(LogCleanerTest, ADiskThatFailsOnceIsTriedAgain) {
  const PartitionId id = partition_id(1);
  add(id);
  fill(id, 100, 4);
  const std::string pattern = "*" + partition_folder_name(id) + "*";
  sim_.disk().inject({.pattern = pattern, .operation = weir::testing::DiskOperation::kRead, .skip = 1, .times = 1});
  clean_all();
  EXPECT_EQ(cleaner_->stats().failed_runs, 1u);
  EXPECT_FALSE(cleaner_->uncleanable(id));
  clean_all();
  EXPECT_EQ(cleaner_->stats().runs, 1u);
  // Each time the cleaning is given up.
  fill(id, 100, 4);
  sim_.disk().inject({.pattern = pattern, .operation = weir::testing::DiskOperation::kRead, .times = 1000});
  for (int i = 0; i < 4; ++i) clean_all();
  EXPECT_EQ(cleaner_->stats().failed_runs, 4u);
  EXPECT_TRUE(cleaner_->uncleanable(id));
}

TEST_F(LogCleanerTest, ASlowTopicIsCheckpointedAndCompactedWithoutAFullLogFile) {
  const PartitionId id = partition_id(1);
  add(id);
  make_cleaner({.backoff_ms = 1000});
  cleaner_->start();
  for (int i = 0; i < 100; ++i) put(id, "k" + std::to_string(i % 3), std::to_string(i) + std::string(100, '.'));
  wait([&] { return cleaner_->stats().runs > 0; });
  EXPECT_GT(partition(id).manifest().end_offset, 0);
  EXPECT_EQ(read(id).at("k0").substr(0, 3), "99.");
  EXPECT_LT(partition(id).size_bytes(), 6000u);
  cleaner_->stop();
}

TEST_F(LogCleanerTest, ConsumersReadWhatIsLeftThoughAllIsInMemory) {
  const PartitionId id = partition_id(1), later = partition_id(2);
  tail_cache_bytes_ = 20'000;
  cleaner_.reset();
  shards_.clear();
  store_.reset();
  open();
  add(id);
  add(later);
  for (int i = 0; i < 100; ++i) put(id, "k" + std::to_string(i % 3), std::to_string(i) + std::string(100, '.'));
  size_t records = 0;
  read(id, &records);
  EXPECT_EQ(records, 100u);
  const uint64_t in_memory = shard(id).tail_cache_bytes();
  clean_all();
  EXPECT_GT(partition(id).tail_start(), 80);
  EXPECT_LT(shard(id).tail_cache_bytes(), in_memory / 2);
  EXPECT_EQ(read(id, &records).at("k0").substr(0, 3), "99.");
  EXPECT_LT(records, 30u);
  // Later appends, evictions and deletions add up.
  fill(id, 100, 3);
  EXPECT_EQ(read(id).at("k0").substr(0, 3), "99.");
  clean_all();
  shard(id).drop(id);
  fill(later, 300, 3);
  EXPECT_LE(shard(later).tail_cache_bytes(), tail_cache_bytes_);
}

TEST_F(LogCleanerTest, OldAgeRollsASegmentThatCompactionWaitsFor) {
  const PartitionId id = partition_id(1);
  config_.max_compaction_lag_ms = 5000;
  add(id);
  put(id, "a", "1");
  put(id, "a", "2");
  clean_all();
  EXPECT_EQ(partition(id).manifest().end_offset, 0);
  sim_.run_for(6 * runtime::kSecond);
  put(id, "a", "3");
  clean_all();  // checkpointed and cleaned in one look
  EXPECT_EQ(partition(id).manifest().segments.size(), 2u);
  EXPECT_EQ(cleaner_->stats().runs, 1u);
  size_t records = 0;
  EXPECT_EQ(read(id, &records).at("a"), "3");
  EXPECT_EQ(records, 2u);  // of the first segment one
}

TEST_F(LogCleanerTest, InputAndOutputAreLimited) {
  const PartitionId id = partition_id(1);
  add(id);
  fill(id, 200, 4);
  make_cleaner({.io_bytes_per_second_max = 1000, .step_bytes = 500});
  const int64_t before = sim_.now_ns();
  clean_all();
  const double seconds = static_cast<double>(sim_.now_ns() - before) / 1e9;
  EXPECT_GT(seconds, 50);  // 34 KB are read twice
  EXPECT_LT(seconds, 100);
  EXPECT_EQ(cleaner_->stats().runs, 1u);
}

TEST_F(LogCleanerTest, OtherOptionsActOnARunThatIsUnderWay) {
  const PartitionId id = partition_id(1);
  add(id);
  fill(id, 200, 4);
  make_cleaner({.io_bytes_per_second_max = 1000, .step_bytes = 500});
  bool done = false;
  const int64_t before = sim_.now_ns();
  cleaner_->clean_all([&] { done = true; });
  sim_.run_for(5 * runtime::kSecond);
  EXPECT_FALSE(done);
  cleaner_->set_options({.step_bytes = 500});
  wait([&] { return done; });
  EXPECT_LT(static_cast<double>(sim_.now_ns() - before) / 1e9, 10);
  EXPECT_EQ(cleaner_->stats().runs, 1u);
}

TEST_F(LogCleanerTest, CleanersComeAndGoWithTheOptions) {
  const PartitionId id = partition_id(1);
  add(id);
  fill(id, 200, 4);
  make_cleaner({.threads = 0});
  cleaner_->start();
  sim_.run_for(60 * runtime::kSecond);
  EXPECT_EQ(cleaner_->stats().last_look_ms, -1);
  cleaner_->set_options({.threads = 2, .backoff_ms = int64_t{1} << 40});
  sim_.run_for(60 * runtime::kSecond);
  EXPECT_EQ(cleaner_->stats().last_look_ms, -1) << "they wait for long";
  cleaner_->set_options({.threads = 2, .backoff_ms = 100});
  sim_.run_for(10 * runtime::kSecond);
  EXPECT_EQ(cleaner_->stats().runs, 1u) << "and no longer";
  cleaner_->set_options({.threads = 0, .backoff_ms = 100});
  sim_.run_for(runtime::kSecond);
  const int64_t last = cleaner_->stats().last_look_ms;
  sim_.run_for(60 * runtime::kSecond);
  EXPECT_EQ(cleaner_->stats().last_look_ms, last);
}

TEST_F(LogCleanerTest, WhatChangesMeanwhileCounts) {
  const PartitionId id = partition_id(1), gone = partition_id(2), trimmed = partition_id(3);
  make_cleaner({.io_bytes_per_second_max = 2000, .step_bytes = 500});
  for (const PartitionId& one : {id, gone, trimmed}) {
    add(one);
    fill(one, 100, 4);
  }
  const auto meanwhile = [&](Function<void()> change) {
    bool done = false;
    cleaner_->clean_all([&] { done = true; });
    wait([&] { return cleaner_->stats().running == 1; });
    sim_.run_for(3 * runtime::kSecond);
    ASSERT_EQ(cleaner_->stats().running, 1u);
    change();
    wait([&] { return done || cleaner_->stats().running == 0; });
  };
  // All three are equally dirty, and any of them may be cleaned. So all change.
  meanwhile([&] {
    for (const PartitionId& one : {id, gone, trimmed}) {
      LogConfig config = config_;
      config.cleanup_compact = false;
      shard(one).set_config(one, config);
    }
  });
  EXPECT_EQ(cleaner_->stats().runs, 0u);
  for (const PartitionId& one : {id, gone, trimmed}) {
    EXPECT_EQ(partition(one).manifest().first_dirty_offset, 0);
    if (one != gone) shard(one).set_config(one, one == trimmed ? config_ : LogConfig{});
  }
  meanwhile([&] {
    shard(trimmed).delete_records(partition(trimmed), 90, [](Result<int64_t>) {});
    wait([&] { return partition(trimmed).log_start_offset() == 90; });
  });
  EXPECT_EQ(read(trimmed).at("k0").substr(0, 3), "96.");
  clean_all();
  EXPECT_EQ(read(trimmed).at("k3").substr(0, 3), "99.");
  shard(trimmed).set_config(trimmed, LogConfig{});
  shard(gone).set_config(gone, config_);
  meanwhile([&] { shard(gone).drop(gone); });
  EXPECT_EQ(cleaner_->stats().uncleanable_partitions, 0u);
  EXPECT_EQ(read(id).at("k3").substr(0, 3), "99.");
}

TEST_F(LogCleanerTest, CompactedAndDeleted) {
  const PartitionId id = partition_id(1);
  config_.cleanup_delete = true;
  config_.retention_ms = 60'000;
  add(id);
  fill(id, 100, 4);
  clean_all();
  EXPECT_EQ(cleaner_->stats().runs, 1u);
  sim_.run_for(61 * runtime::kSecond);
  fill(id, 100, 4);
  shard(id).run_retention();
  wait([&] { return partition(id).log_start_offset() > 0; });
  EXPECT_GE(partition(id).log_start_offset(), 90);
  clean_all();
  EXPECT_EQ(read(id).at("k3").substr(0, 3), "99.");
  EXPECT_LT(partition(id).size_bytes(), 6000u);
}

TEST_F(LogCleanerTest, ARestartFindsWhatWasCompacted) {
  const PartitionId id = partition_id(1);
  add(id);
  fill(id, 100, 4);
  clean_all();
  size_t before = 0, after = 0;
  const auto values = read(id, &before);
  const PartitionManifest manifest = partition(id).manifest();
  sim_.end_server(weir::testing::Death::kPowerCut);
  cleaner_.reset();
  shards_.clear();
  store_.reset();
  sim_.start_server();
  open();
  EXPECT_EQ(partition(id).manifest(), manifest);
  EXPECT_EQ(read(id, &after), values);
  EXPECT_EQ(after, before);
}

}  // namespace
}  // namespace weir::storage::testing
