// Replay of files that are missing, recycled, or damaged where one file follows the other.
#include <gtest/gtest.h>

#include <algorithm>

#include "storage/wal/replay.h"
#include "storage/wal/replay_fixture.h"

namespace weir::storage {
namespace {

using testing::Death;

// Chunks of one session in files of 64 KiB, two blocks each, seven to a file.
struct ManyFiles : WalWorld {
  explicit ManyFiles(int chunks) {
    EXPECT_TRUE(start());
    for (int i = 0; i < chunks; ++i) append_and_flush(i % 3, 5'000);
  }
  WalReplayResult look_again() {
    seen = CollectingVisitor();
    auto result = look(seen);
    EXPECT_TRUE(result);
    return result ? *result : WalReplayResult{};
  }
  CollectingVisitor seen;
};

// Whichever file it is, and if the whole directory is gone.
TEST(ReplayFiles, AMissingFileThatTheRegisterKnowsIsRefused) {
  for (const std::vector<uint64_t>& missing : {std::vector<uint64_t>{1}, {2}, {3}, {4}, {1, 2, 3, 4}}) {
    ManyFiles log(20);
    log.end(Death::kKill);
    ASSERT_EQ(log.file_register.noted, (std::set<uint64_t>{1, 2, 3, 4})) << "one is ready for what comes";
    for (const uint64_t generation : missing) ASSERT_TRUE(log.sim.disk().remove(log.path(generation)));
    if (missing.size() == 4) {
      ASSERT_TRUE(log.sim.disk().remove_all(kWalTestDirectory));
    }
    CollectingVisitor seen;
    const auto result = log.look(seen);
    ASSERT_FALSE(result) << missing[0];
    EXPECT_EQ(result.error().code, ErrorCode::kCorrupt);
    for (const uint64_t generation : missing) {
      EXPECT_NE(result.error().message.find(log.path(generation)), std::string::npos) << result.error().message;
    }
    EXPECT_TRUE(seen.batches.empty());
  }
}

TEST(ReplayFiles, AMissingFileThatWasGivenUpIsReportedBeforeWhatCameAfterIt) {
  for (uint64_t generation = 1; generation <= 3; ++generation) {
    ManyFiles log(20);
    log.end(Death::kKill);
    ASSERT_TRUE(log.sim.disk().remove(log.path(generation)));
    const std::string mark = std::string(kWalTestDirectory) + "/" + wal_file_name(generation, WalFileKind::kGivenUp);
    ASSERT_TRUE(log.sim.disk().open(mark, {.write = true, .create = true}));
    const auto result = log.look_again();
    EXPECT_EQ(result.given_up, std::vector<std::string>{mark});
    EXPECT_TRUE(log.seen.unknown());
    EXPECT_EQ(log.seen.corruptions[0].file, log.path(generation));
    EXPECT_EQ(log.seen.batches.size(), generation == 3 ? 14u : 13u);
  }
}

TEST(ReplayFiles, AMissingFileInTheMiddle) {
  ManyFiles log(20);
  log.end(Death::kKill);
  log.file_register.noted.clear();  // as in a folder of an earlier format
  ASSERT_TRUE(log.sim.disk().remove(log.path(2)));
  log.look_again();
  EXPECT_EQ(log.seen.batches.size(), 13u);
  ASSERT_EQ(log.seen.corruptions.size(), 1u);
  EXPECT_TRUE(log.seen.unknown());
  EXPECT_EQ(log.seen.corruptions[0].first_chunk, 8u);
  EXPECT_EQ(log.seen.corruptions[0].last_chunk, 14u);
}

TEST(ReplayFiles, MissingFilesAtTheFrontWereReleased) {
  ManyFiles log(20);
  log.end(Death::kKill);
  log.file_register.noted.erase(1);
  ASSERT_TRUE(log.sim.disk().remove(log.path(1)));
  const auto result = log.look_again();
  EXPECT_TRUE(log.seen.corruptions.empty());
  EXPECT_EQ(log.seen.batches.size(), 13u);
  EXPECT_EQ(log.seen.batches[0].chunk, 8u);
  EXPECT_EQ(result.next_chunk, 21u);
}

TEST(ReplayFiles, AMissingLastFileOfASealedSession) {
  ManyFiles log(20);
  log.end(Death::kKill);
  log.rows.back().sealed = true;
  log.rows.back().last_chunk = 20;
  log.file_register.noted.clear();
  ASSERT_TRUE(log.sim.disk().remove(log.path(3)));
  log.look_again();
  EXPECT_EQ(log.seen.batches.size(), 14u);
  EXPECT_TRUE(log.seen.unknown());
}

TEST(ReplayFiles, ChunksBehindASealAreNotDeliveredThoughAllBeforeItWereReleased) {
  ManyFiles log(20);
  log.end(Death::kKill);
  log.rows.back().sealed = true;
  log.rows.back().last_chunk = 14;
  log.file_register.noted = {3};
  ASSERT_TRUE(log.sim.disk().remove(log.path(1)));
  ASSERT_TRUE(log.sim.disk().remove(log.path(2)));
  const auto result = log.look_again();
  EXPECT_TRUE(log.seen.batches.empty());
  EXPECT_TRUE(log.seen.corruptions.empty());
  EXPECT_EQ(result.next_chunk, 15u);
}

TEST(ReplayFiles, TheFirstChunkOfTheOldestFileDamaged) {
  ManyFiles log(20);
  log.end(Death::kKill);
  log.file_register.noted.erase(1);
  ASSERT_TRUE(log.sim.disk().remove(log.path(1)));
  log.sim.disk().flip_bits(log.path(2), kWalBlock + 1, 1);  // its header: found by its footer
  log.look_again();
  EXPECT_EQ(log.seen.batches.size(), 13u);
  ASSERT_EQ(log.seen.corruptions.size(), 1u);
  EXPECT_FALSE(log.seen.unknown());
  log.sim.disk().overwrite_raw(log.path(2), kWalBlock, std::vector<uint8_t>(2 * kWalBlock, 0));  // all of it
  const auto result = log.look_again();
  EXPECT_EQ(log.seen.batches.size(), 12u);
  EXPECT_TRUE(log.seen.unknown());
  EXPECT_EQ(log.seen.corruptions.back().last_chunk, 8u);
  EXPECT_EQ(result.next_chunk, 21u);
}

TEST(ReplayFiles, TheLastChunkOfAFullFileDamaged) {
  ManyFiles log(20);
  log.end(Death::kKill);
  log.sim.disk().flip_bits(log.path(1), kWalBlock + 6 * 2 * kWalBlock + 1000,
                           1);  // chunk 7, behind which only file 2 proves it
  log.look_again();
  EXPECT_EQ(log.seen.batches.size(), 19u);
  ASSERT_EQ(log.seen.corruptions.size(), 1u);
  EXPECT_FALSE(log.seen.unknown());
  log.sim.disk().overwrite_raw(log.path(1), kWalBlock + 6 * 2 * kWalBlock, std::vector<uint8_t>(2 * kWalBlock, 0));
  log.look_again();
  EXPECT_EQ(log.seen.batches.size(), 19u);
  EXPECT_TRUE(log.seen.unknown());
}

TEST(ReplayFiles, AFilePreparedLaterProvesThatAChunkWasDurable) {
  ManyFiles log(3);  // the next file was prepared when chunk 1 was durable
  log.sim.run_for(runtime::kSecond);
  log.end(Death::kKill);
  log.sim.disk().overwrite_raw(log.path(1), kWalBlock, std::vector<uint8_t>(8 * kWalBlock, 0));
  const auto result = log.look_again();
  EXPECT_TRUE(log.seen.unknown());
  EXPECT_GE(result.next_chunk, 2u);
}

// Which partitions go on without a gap behind a loss shows only if the loss is reported where it is.
struct OrderVisitor : CollectingVisitor {
  void on_corruption(const WalCorruption& corruption) override {
    batches_before.push_back(batches.size());
    CollectingVisitor::on_corruption(corruption);
  }
  std::vector<size_t> batches_before;
};

TEST(ReplayFiles, AnUnreadableFileIsReportedBehindTheBatchesInFrontOfIt) {
  ManyFiles log(9);
  log.sim.run_for(runtime::kSecond);
  log.end(Death::kKill);
  log.file_register.noted.erase(3);  // the next one: it would show that chunks are missing
  ASSERT_TRUE(log.sim.disk().remove(log.path(3)));
  log.sim.disk().overwrite_raw(log.path(2), 0, std::vector<uint8_t>(2 * kWalBlock, 0));
  OrderVisitor seen;
  ASSERT_TRUE(log.look(seen));
  EXPECT_TRUE(seen.unknown());
  EXPECT_EQ(seen.batches.size(), 7u);
  EXPECT_EQ(seen.batches_before, std::vector<size_t>{7});
}

// As `weir log salvage` replays.
struct TakenFiles : ManyFiles {
  TakenFiles() : ManyFiles(20) { end(Death::kKill); }
  WalReplayResult take(std::vector<std::string> more_directories = {}) {
    WalReplayOptions how = with_noted();
    how.take_what_is_there = true;
    how.more_directories = std::move(more_directories);
    seen = CollectingVisitor();
    auto result = replay_wal(sim.disk(), kWalTestDirectory, kWalTestShard, rows, seen, how);
    EXPECT_TRUE(result);
    return result ? *result : WalReplayResult{};
  }
  void rename(const std::string& from, const std::string& to) { ASSERT_TRUE(sim.disk().rename(from, to)); }
};

TEST(ReplayFiles, FilesUnderEachOthersNamesAreTakenByTheirHeaders) {
  TakenFiles log;
  log.rename(log.path(1), "/data/one");
  log.rename(log.path(3), log.path(1));
  log.rename("/data/one", log.path(3));
  CollectingVisitor refused;
  const auto start = log.look(refused);
  ASSERT_FALSE(start);
  EXPECT_NE(start.error().message.find("By its header it is " + wal_file_name(3, WalFileKind::kLog)), std::string::npos)
      << start.error().message;
  const auto result = log.take();
  EXPECT_EQ(log.seen.batches, log.appended_batches);
  EXPECT_FALSE(log.seen.unknown());
  EXPECT_EQ(log.seen.corruptions.size(), 2u);
  EXPECT_TRUE(result.unknown_files.empty());
  EXPECT_EQ(result.all_files.size(), 4u);
}

TEST(ReplayFiles, AFileThatLiesWithAnotherShardIsTaken) {
  TakenFiles log;
  ASSERT_TRUE(log.sim.disk().create_directories("/data/other"));
  log.rename(log.path(2), "/data/other/" + wal_file_name(9, WalFileKind::kLog));
  log.take({"/data/other", "/data/none"});
  EXPECT_EQ(log.seen.batches, log.appended_batches);
  EXPECT_FALSE(log.seen.unknown());
  EXPECT_EQ(log.seen.corruptions.size(), 1u);
}

TEST(ReplayFiles, AFileInThePlaceOfAnotherIsAsBadAsNone) {
  TakenFiles log;
  const std::vector<uint8_t> first = log.sim.disk().contents(log.path(1));
  ASSERT_TRUE(log.sim.disk().remove(log.path(3)));
  ASSERT_TRUE(log.sim.disk().open(log.path(3), {.write = true, .create = true}));
  log.sim.disk().overwrite_raw(log.path(3), 0, first);
  const auto result = log.take();
  EXPECT_EQ(log.seen.batches.size(), 14u);
  EXPECT_TRUE(log.seen.unknown());
  EXPECT_EQ(log.seen.corruptions[0].file, log.path(3));
  EXPECT_EQ(result.unknown_files, std::vector<std::string>{log.path(3)});
}

TEST(ReplayFiles, AFileThatTheRegisterDoesNotKnowIsNotTaken) {
  TakenFiles log;
  log.file_register.noted = {2, 3, 4};
  log.rename(log.path(1), log.path(7));
  log.take();
  EXPECT_EQ(log.seen.batches.size(), 13u) << "it was released";
  EXPECT_FALSE(log.seen.unknown());
}

TEST(ReplayFiles, StaleChunksOfARecycledFileAreNeverAccepted) {
  // Everything is recycled many times over, at places that match; the log ends at each of them once.
  for (int last = 0; last < 9; ++last) {
    WalWorld world;
    ASSERT_TRUE(world.start());
    for (int i = 0; i < 60 + last; ++i) {
      world.append_and_flush(i % 3, 5'000);
      world.wal->release(static_cast<ChunkNumber>(i));
      world.sim.run_for(runtime::kSecond);
    }
    world.end(Death::kKill);
    CollectingVisitor seen;
    const auto result = world.look(seen);
    ASSERT_TRUE(result);
    EXPECT_TRUE(seen.corruptions.empty());
    EXPECT_EQ(result->next_chunk, static_cast<ChunkNumber>(61 + last));
    ASSERT_FALSE(seen.batches.empty());
    const auto count = static_cast<ptrdiff_t>(seen.batches.size());
    EXPECT_TRUE(std::equal(world.appended_batches.end() - count, world.appended_batches.end(), seen.batches.begin()));
  }
}

}  // namespace
}  // namespace weir::storage
