// Damage in the write-ahead log and in what is known of it: what is intact is read again afterwards.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "base/crc32c.h"
#include "storage/log/log_salvage_fixture.h"

namespace weir::storage::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// What the write-ahead log holds would be put aside unread.
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
  EXPECT_EQ(read_all(ids_[1]).back(), end1);
  EXPECT_EQ(read_all(ids_[2]), range(0, 1));
}

// What the write-ahead log holds behind the damage is kept when the partition goes offline, for the log is recycled.
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
  EXPECT_EQ(read_all(ids_[0]), range(1, 3));
}

}  // namespace
}  // namespace weir::storage::testing
