// Damage in each kind of file of a partition. Intact batches are read again afterwards, lost ones are named, and damaged files
// are kept.
#include "storage/log/log_salvage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <utility>

#include "protocol/record_batch_builder.h"
#include "storage/batch_info.h"
#include "storage/log/log_salvage_fixture.h"
#include "storage/segment/segment_names.h"

namespace weir::storage::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

TEST_F(LogSalvageTest, NothingIsDoneToAnIntactLog) {
  fill(ids_[0], 5);
  put(ids_[0], 100);
  put(ids_[1], 100);
  EXPECT_TRUE(salvage(false).intact());
  ASSERT_EQ(open(), "");
  EXPECT_EQ(read_all(ids_[0]), range(0, 6));
}

TEST_F(LogSalvageTest, ADirectoryThatIsGivenUp) {
  fill(ids_[0], 5);
  fill(ids_[1], 3);
  put(ids_[0], 100);  // in the write-ahead log
  end(Death::kKill);
  {
    auto manifests = ManifestDatabase::open(sim_.disk(), "/log/manifest.db", &sim_.clock());
    ASSERT_TRUE(manifests);
    auto rows = (*manifests)->load();
    ASSERT_TRUE(rows);
    for (auto& row : *rows) {
      if (row.partition.manifest.partition != ids_[0]) continue;
      for (SegmentInfo& segment : row.partition.manifest.segments) segment.directory = 2;
    }
    const ManifestDatabase::Remaining all{{{1, Uuid::from_random(1, 1), "/first"}, {2, Uuid::from_random(2, 2), "/second"}},
                                          {{ids_[0], {2, 2}}, {ids_[1], {0, 2}}, {ids_[2], {1, 1}}}};
    ASSERT_TRUE((*manifests)->put_partitions(*rows, nullptr, &all));
  }
  ASSERT_TRUE(sim_.disk().create_directories("/first"));
  const SalvageReport report = salvage(true, {2});
  ASSERT_THAT(report.partitions, SizeIs(1));
  EXPECT_EQ(report.partitions[0].partition, ids_[0]);
  ASSERT_THAT(report.partitions[0].lost, SizeIs(1));
  EXPECT_EQ(report.partitions[0].lost[0].first, 0);
  EXPECT_EQ(report.partitions[0].lost[0].next, 5);
  EXPECT_THAT(report.damage, ElementsAre(HasSubstr("/second")));
  EXPECT_THAT(report.set_aside, IsEmpty());
  EXPECT_FALSE(sim_.disk().exists("/second").value());
  {
    auto manifests = ManifestDatabase::open(sim_.disk(), "/log/manifest.db", &sim_.clock());
    ASSERT_TRUE(manifests);
    const auto left = (*manifests)->directories();
    ASSERT_TRUE(left);
    ASSERT_THAT(*left, SizeIs(1));
    EXPECT_EQ(left->front().path, "/first");
    const auto places = (*manifests)->places();
    ASSERT_TRUE(places);
    for (const auto& [id, place] : *places) EXPECT_EQ(place, (id == ids_[2] ? PartitionPlace{1, 1} : PartitionPlace{0, 0}));
    ASSERT_TRUE((*manifests)->put_places({{ids_[2], {0, 0}}}));
    ASSERT_TRUE((*manifests)->put_directories({}));
  }
  EXPECT_TRUE(salvage(false).intact());
  ASSERT_EQ(open(), "");
  EXPECT_EQ(read_all(ids_[0]), range(5, 6));
  EXPECT_EQ(read_all(ids_[1]), range(0, 3));
  put(ids_[0], 100);
  EXPECT_EQ(read_all(ids_[0]), range(5, 7));
}

TEST_F(LogSalvageTest, ABatchInASegment) {
  fill(ids_[0], 10);
  fill(ids_[1], 3);
  put(ids_[0], 100);  // in the write-ahead log
  const std::string file = segment_files(ids_[0]).at(0);
  sim_.disk().flip_bits(file, 4500, 4);  // offset 4
  const SalvageReport report = bring_back();
  ASSERT_THAT(report.partitions, SizeIs(1));
  EXPECT_EQ(report.partitions[0].topic, "orders");
  EXPECT_THAT(report.partitions[0].damage, ElementsAre(HasSubstr(file)));
  EXPECT_THAT(report.partitions[0].lost, ElementsAre(OffsetRange{4, 5}));
  EXPECT_THAT(report.set_aside, ElementsAre(file));
  EXPECT_TRUE(sim_.disk().exists(kAside + file.substr(4)).value_or(false)) << "kept as it was";
  EXPECT_FALSE(sim_.disk().exists(file).value_or(true));
  EXPECT_EQ(read_all(ids_[0]), (std::vector<int64_t>{0, 1, 2, 3, 5, 6, 7, 8, 9, 10}));
  EXPECT_EQ(read_all(ids_[1]), range(0, 3));
  // Salvage does not believe the times in headers. The broker checks the records.
  const auto& segments = shard(ids_[0]).find(ids_[0])->manifest().segments;
  EXPECT_TRUE(std::ranges::none_of(segments, &SegmentInfo::times_known));
  put(ids_[0], 100);
  EXPECT_EQ(read_all(ids_[0]).back(), 11);
}

// No checksum covers it, and consumers would compare it with the epochs that the broker tells.
TEST_F(LogSalvageTest, ALeaderEpochInASegment) {
  fill(ids_[0], 10);
  const std::string file = segment_files(ids_[0]).at(0);
  const std::vector<uint8_t> before = sim_.disk().contents(file);
  sim_.disk().flip_bits(file, 4 * BatchHeader::parse(before.data()).size() + 15, 4);
  const SalvageReport report = bring_back();
  ASSERT_THAT(report.partitions, SizeIs(1));
  EXPECT_THAT(report.partitions[0].damage, ElementsAre(HasSubstr("at offset 4, says 4, but manifest.db says 0")));
  EXPECT_THAT(report.partitions[0].lost, IsEmpty());
  EXPECT_EQ(report.partitions[0].mended, 1u);
  EXPECT_THAT(report.set_aside, ElementsAre(file));
  EXPECT_EQ(sim_.disk().contents(segment_files(ids_[0]).at(0)), before);
  EXPECT_EQ(read_all(ids_[0]), range(0, 10));
}

// The log ends where it did, so no offset is given twice.
TEST_F(LogSalvageTest, TheLastBatchOfTheLastSegment) {
  fill(ids_[0], 10);
  sim_.disk().flip_bits(segment_files(ids_[0]).at(0), 10 * 1069 - 300, 4);
  const SalvageReport report = bring_back();
  EXPECT_THAT(report.partitions.at(0).lost, ElementsAre(OffsetRange{9, 10}));
  EXPECT_EQ(read_all(ids_[0]), range(0, 9));
  put(ids_[0], 100);
  EXPECT_EQ(read_all(ids_[0]).back(), 10);
}

TEST_F(LogSalvageTest, ASegmentFileThatIsGone) {
  fill(ids_[0], 10);
  lose(segment_files(ids_[0]).at(0));
  put(ids_[0], 100);
  const SalvageReport report = bring_back();
  EXPECT_THAT(report.partitions.at(0).damage, ElementsAre(HasSubstr("is missing")));
  EXPECT_THAT(report.partitions.at(0).lost, ElementsAre(OffsetRange{0, 10}));
  EXPECT_EQ(read_all(ids_[0]), range(10, 11));
}

TEST_F(LogSalvageTest, ASegmentFileThatIsCutShort) {
  fill(ids_[0], 10);
  const std::string file = segment_files(ids_[0]).at(0);
  auto open_file = sim_.disk().open(file, {.write = true});
  ASSERT_TRUE((*open_file)->truncate(5000));
  const SalvageReport report = bring_back();
  EXPECT_THAT(report.partitions.at(0).damage, ElementsAre(HasSubstr("cut short")));
  ASSERT_THAT(report.partitions.at(0).lost, SizeIs(1));
  EXPECT_EQ(report.partitions[0].lost[0].next, 10);
  EXPECT_EQ(read_all(ids_[0]), range(0, report.partitions[0].lost[0].first));
}

// A batch does not say to which partition it belongs.
TEST_F(LogSalvageTest, ASegmentOfAnotherPartitionIsNotTaken) {
  config_.segment_bytes = 3000;
  ASSERT_EQ(restart(), "");
  fill(ids_[0], 10);
  fill(ids_[1], 10, 500);
  const std::string file = segment_files(ids_[0]).at(2), other = segment_files(ids_[1]).at(1);
  ASSERT_THAT(file, HasSubstr(segment_file_name(4, 0)));
  ASSERT_THAT(other, HasSubstr(segment_file_name(5, 0)));
  replace(file, sim_.disk().contents(other));
  const SalvageReport report = bring_back();
  ASSERT_THAT(report.partitions, SizeIs(1));
  EXPECT_THAT(report.partitions[0].damage, ElementsAre(HasSubstr("it is another file, and nothing of it is taken")));
  EXPECT_THAT(report.partitions[0].lost, ElementsAre(OffsetRange{4, 6}));
  EXPECT_EQ(read_all(ids_[0]), (std::vector<int64_t>{0, 1, 2, 3, 6, 7, 8, 9}));
}

TEST_F(LogSalvageTest, ASegmentWithTheSameOffsetsAndOtherTimesIsNotTaken) {
  fill(ids_[0], 10);
  int64_t at = 0;
  const auto other = make_checkpoint(ids_[1], at, 10, {.value_bytes = 1000, .timestamp = 5000});
  replace(segment_files(ids_[0]).at(0), bytes_of(other.batches));
  EXPECT_THAT(bring_back().partitions.at(0).lost, ElementsAre(OffsetRange{0, 10}));
  EXPECT_THAT(read_all(ids_[0]), IsEmpty());
}

TEST_F(LogSalvageTest, AGapIsNamedWhereNothingWasCompacted) {
  for (const bool compacted : {false, true}) {
    SCOPED_TRACE(compacted);
    end(Death::kKill);
    (void)sim_.disk().remove_all("/log");
    ASSERT_TRUE(sim_.disk().create_directories("/log"));
    config_.cleanup_compact = false;
    ASSERT_EQ(open(), "");
    fill(ids_[0], 10);
    config_.cleanup_compact = compacted;  // an append would need keys
    const std::string file = segment_files(ids_[0]).at(0);
    std::vector<uint8_t> bytes = sim_.disk().contents(file);
    const auto batch = static_cast<ptrdiff_t>(BatchHeader::parse(bytes.data()).size());
    bytes.erase(bytes.begin() + 3 * batch, bytes.begin() + 5 * batch);
    replace(file, bytes);
    const SalvageReport report = bring_back();
    if (compacted) EXPECT_THAT(report.partitions.at(0).lost, IsEmpty());
    else EXPECT_THAT(report.partitions.at(0).lost, ElementsAre(OffsetRange{3, 5}));
    EXPECT_EQ(read_all(ids_[0]), (std::vector<int64_t>{0, 1, 2, 5, 6, 7, 8, 9}));
  }
}

// Index entries are hints. A reader notices wrong ones, and no record depends on them.
TEST_F(LogSalvageTest, AnIndexCostsNothing) {
  fill(ids_[0], 40, 60'000);
  std::string index;
  for (const std::string& path : sim_.disk().all_files()) {
    if (path.starts_with("/log/" + partition_folder_name(ids_[0])) && path.ends_with(".index")) index = path;
  }
  ASSERT_NE(index, "");
  sim_.disk().flip_bits(index, 30, 64);
  EXPECT_TRUE(salvage(false).intact());
  ASSERT_EQ(open(), "");
  EXPECT_EQ(read_all(ids_[0]), range(0, 40));
}

TEST_F(LogSalvageTest, ManifestRowsThatContradictEachOther) {
  fill(ids_[0], 10);
  fill(ids_[1], 3);
  put(ids_[0], 100);
  end(Death::kKill);
  {
    auto database = Database::open(sim_.disk(), "/log/manifest.db", {.clock = &sim_.clock()});
    ASSERT_TRUE(database);
    ASSERT_TRUE((*database)->begin());
    ASSERT_TRUE(
        (*database)->execute("UPDATE segments SET next_offset = 3, length = -7 WHERE base_offset = 0 AND partition_id = "
                             "(SELECT partition_id FROM segments ORDER BY next_offset DESC LIMIT 1)"));
    ASSERT_TRUE((*database)->commit());
  }
  EXPECT_THAT(open(), HasSubstr("weir log salvage"));
  const SalvageReport report = bring_back();
  EXPECT_THAT(report.partitions.at(0).damage, ElementsAre(HasSubstr("contradict")));
  EXPECT_THAT(report.partitions.at(0).lost, IsEmpty());
  EXPECT_THAT(report.set_aside, IsEmpty()) << "the files are as they were";
  EXPECT_EQ(read_all(ids_[0]), range(0, 11));
  EXPECT_EQ(read_all(ids_[1]), range(0, 3));
}

TEST_F(LogSalvageTest, AManifestRowThatIsGone) {
  fill(ids_[0], 10);
  put(ids_[0], 100);
  end(Death::kKill);
  {
    auto database = Database::open(sim_.disk(), "/log/manifest.db", {.clock = &sim_.clock()});
    ASSERT_TRUE(database);
    ASSERT_TRUE((*database)->begin());
    ASSERT_TRUE((*database)->execute("DELETE FROM partitions"));
    ASSERT_TRUE((*database)->commit());
  }
  bring_back();
  EXPECT_EQ(read_all(ids_[0]), range(0, 11));
}

// A statement without our function cannot compute the hash, so the row looks like one with a changed bit.
TEST_F(LogSalvageTest, ManifestRowsThatAreNotAsTheyWereWritten) {
  constexpr const char* kDamage[] = {
      "UPDATE segments SET max_timestamp = 7 WHERE partition_id = 1",
      "UPDATE partitions SET log_start_offset = 4 WHERE id = 1",
      "UPDATE partitions SET topic = x'00112233445566778899aabbccddeeff' WHERE id = 1",
      "UPDATE partitions SET id = 99 WHERE id = 1",
      "UPDATE segments SET partition_id = 99 WHERE partition_id = 1",
  };
  for (const char* damage : kDamage) {
    SCOPED_TRACE(damage);
    if (!shards_.empty()) end(Death::kKill);
    (void)sim_.disk().remove_all("/log");
    ASSERT_TRUE(sim_.disk().create_directories("/log"));
    ASSERT_EQ(open(), "");
    fill(ids_[0], 10);
    fill(ids_[1], 3);
    put(ids_[0], 100);
    end(Death::kKill);
    run_sql(sim_.disk(), "/log/manifest.db", damage, HashFunction::kWrong);
    EXPECT_THAT(open(), HasSubstr("is not as it was written"));
    bring_back();
    EXPECT_EQ(read_all(ids_[0]), range(0, 11));
    EXPECT_EQ(read_all(ids_[1]), range(0, 3));
  }
}

// A log whose records were all deleted goes on at its end, whichever partition's rows are damaged.
TEST_F(LogSalvageTest, AnEmptiedLogKeepsItsOffsets) {
  fill(ids_[0], 10);
  fill(ids_[1], 3);
  bool deleted = false;
  shard(ids_[0]).delete_records(*shard(ids_[0]).find(ids_[0]), -1, [&](Result<int64_t> start) { deleted = start.has_value(); });
  sim_.run_until([&] { return deleted; }, 60 * runtime::kSecond);
  ASSERT_TRUE(deleted);
  sim_.run_for(120 * runtime::kSecond);  // the files go
  end(Death::kKill);
  run_sql(sim_.disk(), "/log/manifest.db", "UPDATE segments SET max_timestamp = 7", HashFunction::kWrong);
  const SalvageReport report = bring_back();
  for (const SalvagedPartition& told : report.partitions) EXPECT_THAT(told.lost, IsEmpty());
  EXPECT_EQ(shard(ids_[0]).find(ids_[0])->log_start_offset(), 10);
  EXPECT_EQ(shard(ids_[0]).find(ids_[0])->log_end_offset(), 10);
  EXPECT_EQ(read_all(ids_[1]), range(0, 3));
}

TEST_F(LogSalvageTest, ALogDirectoryWhoseRowIsMissingIsNotForgotten) {
  fill(ids_[0], 3);
  end(Death::kKill);
  {
    auto database = Database::open(sim_.disk(), "/log/manifest.db", {.clock = &sim_.clock()});
    ASSERT_TRUE(database);
    ASSERT_TRUE((*database)->begin());
    ASSERT_TRUE((*database)->execute("INSERT INTO places VALUES (zeroblob(16), 0, 1, 1)"));
    ASSERT_TRUE((*database)->commit());
  }
  auto manifests = ManifestDatabase::open_damaged(sim_.disk(), "/log/manifest.db", &sim_.clock(), nullptr);
  ASSERT_FALSE(manifests);
  EXPECT_THAT(manifests.error().message, HasSubstr("lacks the row of a log directory"));
}

TEST_F(LogSalvageTest, ManifestRowsThatAreMissing) {
  fill(ids_[0], 10);
  put(ids_[1], 100);
  end(Death::kKill);
  run_sql(sim_.disk(), "/log/manifest.db", "DELETE FROM segments", HashFunction::kWrong);
  EXPECT_THAT(open(), HasSubstr("are not those that were committed last"));
  EXPECT_THAT(bring_back().damage, ElementsAre(HasSubstr("are not those that were committed last")));
  EXPECT_EQ(read_all(ids_[0]), range(0, 10));
  EXPECT_EQ(read_all(ids_[1]), range(0, 1));
}

TEST_F(LogSalvageTest, ManifestsThatWentBack) {
  fill(ids_[0], 10);
  put(ids_[1], 100);
  end(Death::kKill);
  const SqliteMetaStore::Options options{.path = "/log/meta.db"};
  ASSERT_TRUE(SqliteMetaStore::open(sim_.disk(), sim_.pool(), options));
  {
    auto database = Database::open(sim_.disk(), options.path, {});
    ASSERT_TRUE(database);
    ASSERT_TRUE((*database)->note(1000));
  }
  auto metadata = SqliteMetaStore::open(sim_.disk(), sim_.pool(), options);
  ASSERT_TRUE(metadata);
  metadata_ = std::move(*metadata);
  EXPECT_THAT(bring_back().damage, ElementsAre(HasSubstr("manifest.db went back")));
  EXPECT_EQ(read_all(ids_[0]), range(0, 10));
  EXPECT_EQ(read_all(ids_[1]), range(0, 1));
}

TEST_F(LogSalvageTest, DataOfPartitionsThatNobodyKnowsIsLeftAlone) {
  fill(ids_[0], 3);
  end(Death::kKill);
  std::erase(topics_, ids_[0]);
  auto manifests = ManifestDatabase::open_damaged(sim_.disk(), "/log/manifest.db", &sim_.clock(), nullptr);
  ASSERT_TRUE(manifests);
  LogSalvage job(sim_.disk(), sim_.clock(), **manifests, "/log", [](const PartitionId&) { return std::nullopt; });
  const auto report = job.look();
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error().message, HasSubstr(partition_folder_name(ids_[0])));
}

// Whatever write salvage dies at, it can be run again, and no intact batch is lost.
TEST_F(LogSalvageTest, MayEndAtAnyWrite) {
  for (uint64_t cut = 1; cut <= 60 && !HasFailure(); ++cut) {
    SCOPED_TRACE(::testing::Message() << "cut at write " << cut);
    end(Death::kKill);
    (void)sim_.disk().remove_all("/log");
    ASSERT_TRUE(sim_.disk().create_directories("/log"));
    ASSERT_TRUE(sim_.disk().sync_directory("/"));
    ASSERT_EQ(open(), "");
    fill(ids_[0], 10);
    put(ids_[1], 100);
    put(ids_[1], 5000);
    put(ids_[1], 100);
    put(ids_[1], 100);
    end(Death::kKill);
    sim_.disk().flip_bits(segment_files(ids_[0]).at(0), 4500, 4);
    const std::string wal = wal_files(ids_[1]).at(0);
    auto file = sim_.disk().open(wal, {});
    // The large batch of the second partition, wherever its chunk lies.
    std::vector<uint8_t> bytes(256 * 1024);
    ASSERT_TRUE((*file)->read_at(0, bytes));
    const std::vector<uint8_t> run(3000, 'v');
    const auto found = std::search(bytes.begin(), bytes.end(), run.begin(), run.end());
    ASSERT_NE(found, bytes.end());
    sim_.disk().flip_bits(wal, static_cast<uint64_t>(found - bytes.begin()) + 100, 4);
    sim_.disk().cut_at_write(cut);
    {
      auto manifests = ManifestDatabase::open_damaged(sim_.disk(), "/log/manifest.db", &sim_.clock(), nullptr);
      if (manifests) {
        LogSalvage job(sim_.disk(), sim_.clock(), **manifests, "/log",
                       [](const PartitionId&) { return std::optional(KnownPartition{}); });
        if (job.look()) (void)job.apply(kAside);
      }
    }
    end(Death::kPowerCut);
    (void)salvage(true);
    ASSERT_EQ(open(), "");
    EXPECT_THAT(offline(), IsEmpty());
    EXPECT_EQ(read_all(ids_[0]), (std::vector<int64_t>{0, 1, 2, 3, 5, 6, 7, 8, 9}));
    EXPECT_EQ(read_all(ids_[1]), (std::vector<int64_t>{0, 2, 3}));
  }
}

class LogSalvageOfTransactionsTest : public LogSalvageTest {
 protected:
  // A partition with aborted transactions of two producers, each batch a segment: data of 0 and 1, marker of 0, data and marker
  // of 1, data of 0.
  void SetUp() override {
    LogSalvageTest::SetUp();
    end(Death::kKill);
    auto store = LocalSegmentStore::open(sim_.disk(), sim_.pool(), sim_.clock(), {.log_dir = "/log"});
    ASSERT_TRUE(store);
    ASSERT_TRUE((*store)->load());
    for (int64_t at = 0; at < 6; ++at) {
      const bool marker = at == 2 || at == 4;
      const int64_t producer_id = at == 1 || at == 3 || at == 4 ? 1 : 0;
      protocol::RecordBatchBuilder builder({.base_offset = at,
                                            .partition_leader_epoch = 0,
                                            .producer_id = producer_id,
                                            .producer_epoch = 0,
                                            .base_sequence = marker ? -1 : static_cast<int32_t>(at / 2),
                                            .transactional = true,
                                            .control = marker});
      if (marker) builder.append_end_marker(1000, false, 0);
      else builder.append(1000, as_bytes("k"), as_bytes("v"));
      CheckpointPartition::Batch batch;
      batch.bytes = Slice::copy_of(builder.finish());
      batch.info = info_of(BatchHeader::parse(batch.bytes.data), batch.bytes.bytes());
      batch.info.partition = ids_[0];
      CheckpointPartition checkpoint;
      checkpoint.partition = ids_[0];
      checkpoint.epochs = {{0, 0}};
      checkpoint.segment_bytes = 1;
      if (marker) checkpoint.aborted.push_back(aborted_[at == 2 ? 0 : 1]);
      if (at == 5) {
        checkpoint.producers.push_back(
            {.producer_id = 0, .producer_epoch = 0, .last_timestamp = 1000, .transaction_first_offset = 5, .batches = {}});
      }
      checkpoint.batches.push_back(std::move(batch));
      auto checkpointed = (*store)->checkpoint_now(checkpoints(std::move(checkpoint)));
      ASSERT_TRUE(checkpointed) << checkpointed.error().message;
    }
    store->reset();
    ASSERT_EQ(open(), "");
  }
  void expect_aborted() {
    const PartitionManifest& manifest = shard(ids_[0]).find(ids_[0])->manifest();
    for (const auto& [offset, count] : {std::pair(0, 1), {1, 2}, {3, 1}}) {
      const auto read = store_->read_now(manifest, offset, {1, INT64_MAX, true});
      ASSERT_TRUE(read) << read.error().message;
      const auto from = offset == 3 ? aborted_.begin() + 1 : aborted_.begin();
      EXPECT_EQ(read->aborted, std::vector<AbortedTransaction>(from, from + count)) << offset;
    }
  }
  void forget_rows() {
    end(Death::kKill);
    auto database = Database::open(sim_.disk(), "/log/manifest.db", {.clock = &sim_.clock()});
    ASSERT_TRUE(database);
    ASSERT_TRUE((*database)->begin());
    ASSERT_TRUE((*database)->execute("DELETE FROM partitions"));
    ASSERT_TRUE((*database)->commit());
  }
  // First offsets and producers.
  std::map<int64_t, int64_t> open_transactions() { return shard(ids_[0]).find(ids_[0])->state().open_transactions(); }
  std::string index(int64_t base_offset) {
    return "/log/" + partition_folder_name(ids_[0]) + "/" + aborted_index_file_name(base_offset);
  }

  const std::vector<AbortedTransaction> aborted_ = {{0, 0, 2, 1}, {1, 1, 4, 5}};
};

TEST_F(LogSalvageOfTransactionsTest, ADamagedIndexIsMadeAnewFromTheBatches) {
  expect_aborted();
  sim_.disk().flip_bits(index(2), 9, 1);
  const SalvageReport report = bring_back();
  EXPECT_THAT(report.partitions.at(0).damage, ElementsAre(HasSubstr("aborted transactions")));
  EXPECT_THAT(report.partitions.at(0).lost, IsEmpty());
  expect_aborted();
  EXPECT_THAT(open_transactions(), ElementsAre(Pair(5, 0))) << "its coordinator ends it";
}

TEST_F(LogSalvageOfTransactionsTest, AnIndexThatIsMissingIsMadeAnew) {
  ASSERT_TRUE(sim_.disk().remove(index(4)));
  bring_back();
  expect_aborted();
}

// The records of these transactions are in other segments. A batch without records holds the place of the marker.
TEST_F(LogSalvageOfTransactionsTest, EntriesOutliveTheBatchesOfTheirSegment) {
  const std::string folder = "/log/" + partition_folder_name(ids_[0]) + "/";
  sim_.disk().flip_bits(folder + segment_file_name(2), 70, 1);
  ASSERT_TRUE(sim_.disk().remove(folder + segment_file_name(4)));
  const SalvageReport report = bring_back();
  EXPECT_THAT(report.partitions.at(0).lost, ElementsAre(OffsetRange{2, 3}, OffsetRange{4, 5}));
  expect_aborted();
  EXPECT_THAT(open_transactions(), ElementsAre(Pair(5, 0)));
}

TEST_F(LogSalvageOfTransactionsTest, WithoutRowsTheBatchesTell) {
  ASSERT_TRUE(sim_.disk().remove(index(4)));
  forget_rows();
  bring_back();
  expect_aborted();
  EXPECT_THAT(open_transactions(), ElementsAre(Pair(5, 0)));
}

TEST_F(LogSalvageOfTransactionsTest, WithoutRowsATransactionWhoseMarkerMayBeLostCountsAsEnded) {
  ASSERT_TRUE(sim_.disk().remove("/log/" + partition_folder_name(ids_[0]) + "/" + segment_file_name(4)));
  forget_rows();
  bring_back();
  EXPECT_THAT(open_transactions(), ElementsAre(Pair(5, 0)));
}

}  // namespace
}  // namespace weir::storage::testing
