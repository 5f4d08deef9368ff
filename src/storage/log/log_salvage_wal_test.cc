// Damage in the write-ahead log and in the rows about it. Intact batches are read again afterwards.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <utility>

#include "storage/log/log_salvage_fixture.h"

namespace weir::storage::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::set<PartitionId> of_unknown_end(const SalvageReport& report) {
  std::set<PartitionId> found;
  for (const SalvagedPartition& told : report.partitions) {
    if (told.end_unknown) found.insert(told.partition);
  }
  return found;
}

// Otherwise the batches of the write-ahead log would be put aside unread.
TEST_F(LogSalvageTest, SessionsThatAreMissingAreNotGuessed) {
  put(ids_[0], 100);
  end(Death::kKill);
  run_sql(sim_.disk(), "/log/manifest.db", "DELETE FROM wal_sessions", HashFunction::kWrong);
  auto manifests = ManifestDatabase::open_damaged(sim_.disk(), "/log/manifest.db", &sim_.clock(), nullptr);
  ASSERT_TRUE(manifests) << manifests.error().message;
  LogSalvage job(sim_.disk(), sim_.clock(), **manifests, "/log",
                 [](const PartitionId&) { return std::optional(KnownPartition{}); });
  const auto report = job.look();
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error().message, HasSubstr("are not those that were committed last"));
}

TEST_F(LogSalvageTest, RowsOfTheWriteAheadLogThatAreNotAsTheyWereWrittenAreRefused) {
  end(Death::kKill);
  run_sql(sim_.disk(), "/log/manifest.db", "UPDATE wal_sessions SET first_chunk = 9", HashFunction::kWrong);
  auto manifests = ManifestDatabase::open_damaged(sim_.disk(), "/log/manifest.db", &sim_.clock(), nullptr);
  ASSERT_FALSE(manifests);
  EXPECT_THAT(manifests.error().message, HasSubstr("wal_sessions"));
}

TEST_F(LogSalvageTest, AChunkOfTheWriteAheadLog) {
  put(ids_[0], 100);
  put(ids_[1], 5000);  // will be damaged
  put(ids_[0], 100);
  put(ids_[1], 100);
  end(Death::kKill);
  const std::string file = wal_files(ids_[0]).at(0);
  sim_.disk().flip_bits(file, 4096 + 4096 + 3000, 4);
  ASSERT_EQ(open(), "");
  EXPECT_THAT(offline(), ElementsAre(ids_[1]));
  const SalvageReport report = bring_back();
  ASSERT_THAT(report.partitions, SizeIs(1));
  EXPECT_EQ(report.partitions[0].partition, ids_[1]);
  EXPECT_THAT(report.partitions[0].lost, ElementsAre(OffsetRange{0, 1}));
  EXPECT_EQ(read_all(ids_[0]), range(0, 2));
  EXPECT_EQ(read_all(ids_[1]), range(1, 2));
  EXPECT_THAT(report.set_aside, ::testing::Contains(file));
  EXPECT_TRUE(sim_.disk().exists(std::string(kAside) + "/wal-0/" + file.substr(file.rfind('/') + 1)).value_or(false));
}

TEST_F(LogSalvageTest, AFileOfTheWriteAheadLogThatIsGone) {
  put(ids_[0], 100);
  begin_second_file(ids_[1]);
  const int64_t end1 = shard(ids_[1]).find(ids_[1])->high_watermark();
  put(ids_[1], 100);
  put(ids_[2], 100);
  end(Death::kKill);
  sim_.disk().clear_faults();
  const auto files = wal_files(ids_[0]);
  lose(files.front());
  EXPECT_THAT(open(), HasSubstr("are gone"));
  const SalvageReport report = bring_back();
  const auto told = std::ranges::find(report.partitions, ids_[1], &SalvagedPartition::partition);
  ASSERT_NE(told, report.partitions.end());
  ASSERT_THAT(told->lost, SizeIs(1));
  EXPECT_EQ(told->lost[0].first, 0);
  EXPECT_FALSE(told->end_unknown) << "it went on behind the loss";
  std::set<PartitionId> all = all_of_the_shard_of(ids_[0]);
  all.erase(ids_[1]);
  all.erase(ids_[2]);
  EXPECT_EQ(of_unknown_end(report), all);
  EXPECT_EQ(read_all(ids_[1]).back(), end1);
  EXPECT_EQ(read_all(ids_[2]), range(0, 1));
}

// These partitions have data in the write-ahead log only.
TEST_F(LogSalvageTest, PartitionsThatLivedOnlyInAFileThatIsGone) {
  for (const PartitionId& id : ids_) {
    for (int i = 0; i < 3; ++i) put(id, 100);
  }
  end(Death::kKill);
  for (const std::string& file : wal_files(ids_[0])) lose(file);
  EXPECT_THAT(open(), HasSubstr("are gone"));
  const SalvageReport report = bring_back();
  EXPECT_EQ(of_unknown_end(report), all_of_the_shard_of(ids_[0]));
  for (const SalvagedPartition& told : report.partitions) EXPECT_THAT(told.lost, IsEmpty());
  EXPECT_THAT(read_all(ids_[0]), IsEmpty()) << "who had read further goes on behind the loss";
  EXPECT_THAT(shard(ids_[0]).find(ids_[0])->manifest().epochs, ElementsAre(EpochStart{0, 0}));
  put(ids_[0], 100);
  EXPECT_EQ(read_all(ids_[0]), range(kOffsetsOfUnknownEnd, kOffsetsOfUnknownEnd + 1));
}

TEST_F(LogSalvageTest, ThePartOfALogThatIsLeftIsServedAndNewOffsetsAreFarBehindIt) {
  fill(ids_[0], 3);
  put(ids_[0], 100);
  end(Death::kKill);
  for (const std::string& file : wal_files(ids_[0])) lose(file);
  const SalvageReport report = bring_back();
  EXPECT_THAT(of_unknown_end(report), ::testing::Contains(ids_[0]));
  EXPECT_EQ(read_all(ids_[0]), range(0, 3));
  EXPECT_EQ(shard(ids_[0]).find(ids_[0])->log_end_offset(), 3 + kOffsetsOfUnknownEnd);
}

// The start that took them offline has forgotten the file by now.
TEST_F(LogSalvageTest, PartitionsThatAFileWhichWasGivenUpTookOffline) {
  put(ids_[0], 100);
  end(Death::kKill);
  for (const std::string& file : wal_files(ids_[0])) {
    lose(file);
    give_up(file);
  }
  ASSERT_EQ(open(), "");
  ASSERT_EQ(offline(), all_of_the_shard_of(ids_[0]));
  end(Death::kKill);
  seal_last_session();
  const SalvageReport report = salvage(true);
  EXPECT_EQ(of_unknown_end(report), all_of_the_shard_of(ids_[0]));
  EXPECT_FALSE(last_session_is_sealed()) << "leader epochs move on";
  EXPECT_TRUE(salvage(false).intact());
  ASSERT_EQ(open(), "");
  EXPECT_THAT(offline(), IsEmpty());
  put(ids_[0], 100);
  EXPECT_EQ(read_all(ids_[0]), range(kOffsetsOfUnknownEnd, kOffsetsOfUnknownEnd + 1));
}

// The kind of the marker tells it. A path in the reason may contain anything.
TEST_F(LogSalvageTest, AMarkerForASegmentSaysNothingOfTheEnd) {
  fill(ids_[0], 3);
  fill(ids_[1], 3);
  end(Death::kKill);
  const std::string reason = "/mnt/old.wal/00000000000000000000.log ends early";
  OfflineMarkers markers(sim_.disk(), "/log");
  ASSERT_TRUE(markers.put(ids_[0], reason, OfflineKind::kSegment));
  ASSERT_TRUE(markers.put(ids_[1], reason, OfflineKind::kWriteAheadLog));
  const SalvageReport report = bring_back();
  EXPECT_THAT(of_unknown_end(report), ElementsAre(ids_[1]));
  EXPECT_EQ(shard(ids_[0]).find(ids_[0])->log_end_offset(), 3);
}

// An earlier version wrote the markers.
TEST_F(LogSalvageTest, TheReasonOfAMarkerWithoutAKindTellsOfTheEnd) {
  fill(ids_[0], 3);
  fill(ids_[1], 3);
  end(Death::kKill);
  ASSERT_TRUE(sim_.disk().create_directories("/log/offline"));
  const auto mark = [&](const PartitionId& id, std::string_view text) {
    replace("/log/offline/" + partition_folder_name(id), {text.begin(), text.end()});
  };
  mark(ids_[0], "00000000000000000000.log ends early");
  mark(ids_[1], "/log/wal/0/0000000000000001.wal is gone");
  EXPECT_THAT(of_unknown_end(bring_back()), ElementsAre(ids_[1]));
}

TEST_F(LogSalvageTest, FilesOfTheWriteAheadLogUnderEachOthersNames) {
  put(ids_[0], 100);
  begin_second_file(ids_[1]);
  put(ids_[1], 100);
  put(ids_[2], 100);
  const int64_t end1 = shard(ids_[1]).find(ids_[1])->high_watermark();
  end(Death::kKill);
  sim_.disk().clear_faults();
  const auto files = wal_files(ids_[0]);
  swap(files[0], files[1]);
  EXPECT_THAT(open(), HasSubstr("By its header it is"));
  const SalvageReport report = bring_back();
  EXPECT_THAT(report.partitions, IsEmpty()) << "nothing is lost";
  EXPECT_THAT(report.damage, ElementsAre(HasSubstr("read as that"), HasSubstr("read as that")));
  EXPECT_THAT(report.set_aside, ::testing::IsSupersetOf(files));
  EXPECT_EQ(read_all(ids_[0]), range(0, 1));
  EXPECT_EQ(read_all(ids_[1]), range(0, end1));
  EXPECT_EQ(read_all(ids_[2]), range(0, 1));
}

TEST_F(LogSalvageTest, FilesOfTheWriteAheadLogUnderNamesOfAnotherShard) {
  uint64_t topic = 100;
  while (shard_of(partition_id(topic), 2) == 0) ++topic;
  const PartitionId other = partition_id(topic);
  topics_.push_back(other);
  ASSERT_EQ(restart(), "");
  put(ids_[0], 100);
  put(other, 100);
  put(other, 100);
  end(Death::kKill);
  swap(wal_files(ids_[0]).at(0), wal_files(other).at(0));
  const SalvageReport report = bring_back();
  EXPECT_THAT(report.partitions, IsEmpty());
  EXPECT_EQ(read_all(ids_[0]), range(0, 1));
  EXPECT_EQ(read_all(other), range(0, 2));
}

TEST_F(LogSalvageTest, AFileOfTheWriteAheadLogInThePlaceOfAnother) {
  put(ids_[0], 100);
  begin_second_file(ids_[1]);
  put(ids_[2], 100);
  end(Death::kKill);
  sim_.disk().clear_faults();
  const auto files = wal_files(ids_[0]);
  replace(files[1], sim_.disk().contents(files[0]));
  const SalvageReport report = bring_back();
  EXPECT_EQ(of_unknown_end(report), all_of_the_shard_of(ids_[0]));
  EXPECT_THAT(report.set_aside, ::testing::IsSupersetOf(files));
  EXPECT_EQ(read_all(ids_[0]), range(0, 1));
  EXPECT_GT(shard(ids_[2]).find(ids_[2])->log_end_offset(), 1);
}

// When a partition goes offline, its batches behind the damage are kept, because the write-ahead log is recycled.
TEST_F(LogSalvageTest, WhatCameBehindTheDamageOutlivesTheWriteAheadLog) {
  put(ids_[0], 5000);
  put(ids_[0], 100);
  put(ids_[0], 200);
  put(ids_[1], 100);
  end(Death::kKill);
  sim_.disk().flip_bits(wal_files(ids_[0]).at(0), 4096 + 3000, 4);
  ASSERT_EQ(open(), "");
  EXPECT_THAT(offline(), ElementsAre(ids_[0]));
  ASSERT_EQ(restart(1), "") << "another number of shards: the write-ahead log is checkpointed and removed";
  ASSERT_EQ(restart(2), "");
  const SalvageReport report = bring_back();
  ASSERT_THAT(report.partitions, SizeIs(1));
  EXPECT_THAT(report.partitions[0].lost, ElementsAre(OffsetRange{0, 1}));
  EXPECT_FALSE(report.partitions[0].end_unknown);
  EXPECT_EQ(read_all(ids_[0]), range(1, 3));
}

// No checksum covers the offsets of kept batches.
TEST_F(LogSalvageTest, AnOffsetInWhatIsKeptBesideAMarkerIsNotBelieved) {
  put(ids_[0], 5000);
  put(ids_[0], 100);
  put(ids_[0], 200);
  end(Death::kKill);
  sim_.disk().flip_bits(wal_files(ids_[0]).at(0), 4096 + 3000, 4);
  ASSERT_EQ(open(), "");
  ASSERT_EQ(restart(1), "");
  end(Death::kKill);
  const std::string kept = "/log/offline/" + partition_folder_name(ids_[0]) + ".batches";
  const std::vector<uint8_t> bytes = sim_.disk().contents(kept);
  sim_.disk().flip_bits(kept, BatchHeader::parse(bytes.data()).size() + 1, 0x55);
  const SalvageReport report = bring_back();
  ASSERT_THAT(report.partitions, SizeIs(1));
  EXPECT_THAT(report.partitions[0].damage, ::testing::Contains(HasSubstr(kept)));
  EXPECT_THAT(report.partitions[0].lost, ElementsAre(OffsetRange{0, 1}));
  EXPECT_TRUE(report.partitions[0].end_unknown);
  EXPECT_EQ(report.partitions[0].log_end_offset, 2 + kOffsetsOfUnknownEnd);
  EXPECT_THAT(report.set_aside, ElementsAre(kept));
  EXPECT_TRUE(sim_.disk().exists(kAside + kept.substr(4)).value_or(false));
  EXPECT_EQ(read_all(ids_[0]), range(1, 2));
}

}  // namespace
}  // namespace weir::storage::testing
