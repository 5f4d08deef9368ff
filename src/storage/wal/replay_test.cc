#include "storage/wal/replay.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "storage/wal/wal_fixture.h"

namespace weir::storage {
namespace {

using testing::Death;
using Chunks = std::vector<std::vector<uint32_t>>;  // sizes of the batches

// A session of `sizes.size()` chunks, one per entry, in one file; then the process is killed.
struct OneFile {
  static constexpr uint64_t kFileBytes = 4 << 20;
  explicit OneFile(const Chunks& chunks) {
    LocalWalOptions options = world.small_files();
    options.file_bytes = options.first_file_bytes = kFileBytes;
    options.chunk_bytes = 1 << 20;
    EXPECT_TRUE(world.start(options));
    for (const auto& sizes : chunks) {
      starts.push_back(place());
      for (size_t i = 0; i < sizes.size(); ++i) world.append(static_cast<int32_t>(i), sizes[i]);
      world.flush();
    }
    starts.push_back(place());
    world.end(Death::kKill);
    path = world.path(1);
  }
  uint64_t place() const { return starts.empty() ? kWalBlock : kWalBlock + world.wal->measures().written_bytes; }
  std::vector<ReplayedBatch> upto(ChunkNumber last) const {
    std::vector<ReplayedBatch> batches;
    for (const auto& batch : world.appended_batches) {
      if (batch.chunk <= last) batches.push_back(batch);
    }
    return batches;
  }
  std::vector<ReplayedBatch> without(ChunkNumber chunk, int32_t partition = -1) const {
    std::vector<ReplayedBatch> batches;
    for (const auto& batch : world.appended_batches) {
      if (batch.chunk != chunk || (partition >= 0 && batch.facts.partition.index != partition)) batches.push_back(batch);
    }
    return batches;
  }
  PartitionId partition(int32_t index) const { return make_batch(index, 0, 61).facts.partition; }
  void flip(uint64_t offset, uint8_t mask = 0x10) { world.sim.disk().flip_bits(path, offset, mask); }
  void seal(ChunkNumber last) {
    world.rows.back().sealed = true;
    world.rows.back().last_chunk = last;
  }
  WalReplayResult look() {
    seen = CollectingVisitor();
    auto result = world.look(seen);
    EXPECT_TRUE(result) << result.error().message;
    return result ? *result : WalReplayResult{};
  }

  WalWorld world;
  std::vector<uint64_t> starts;  // of the chunks, and the end
  std::string path;
  CollectingVisitor seen;
};

TEST(Replay, OfNothing) {
  WalWorld world;
  CollectingVisitor seen;
  const auto result = world.look(seen);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->next_chunk, 1u);
  EXPECT_EQ(result->next_generation, 1u);
  EXPECT_TRUE(result->files.empty());
}

TEST(Replay, DeliversEverythingInOrder) {
  OneFile log(Chunks{{100}, {200, 300, 70'000}, {61, 65'537, 61}, {5'000}});
  const auto result = log.look();
  EXPECT_EQ(log.seen.batches, log.world.appended_batches);
  EXPECT_TRUE(log.seen.corruptions.empty());
  EXPECT_EQ(result.chunks, 4u);
  EXPECT_EQ(result.batches, 8u);
  EXPECT_EQ(result.torn_bytes, 0u);
  ASSERT_EQ(result.sessions.size(), 1u);
  EXPECT_EQ(result.sessions[0].end_chunk, 4u);
  EXPECT_EQ(result.next_chunk, 5u);
  EXPECT_EQ(result.next_generation, 2u);
  ASSERT_EQ(result.files.size(), 1u);
  EXPECT_EQ(result.files[0], (EarlierWalFile{1, OneFile::kFileBytes, log.starts.back(), 4}));
}

TEST(Replay, SessionAfterSession) {
  WalWorld world;
  for (int session = 0; session < 5; ++session) {
    ASSERT_TRUE(world.start());
    EXPECT_EQ(world.visitor.batches, world.appended_batches);
    EXPECT_TRUE(world.visitor.corruptions.empty());
    EXPECT_EQ(world.wal->open(), static_cast<ChunkNumber>(session * 10 + 1));
    for (int i = 0; i < 10; ++i) world.append_and_flush(i % 3, 9'000);
    world.end(Death::kKill);
  }
  EXPECT_EQ(world.rows.size(), 5u);
}

TEST(Replay, ReleasedFilesOfEarlierSessionsGo) {
  WalWorld world;
  ASSERT_TRUE(world.start());
  for (int i = 0; i < 20; ++i) world.append_and_flush(0, 9'000);
  world.end(Death::kKill);
  ASSERT_TRUE(world.start());
  EXPECT_EQ(world.wal->unreleased_bytes(), 20 * 3 * kWalBlock + 4 * kWalBlock);
  world.append_and_flush(0, 100);
  world.wal->release(20);
  world.sim.run_for(runtime::kSecond);
  world.end(Death::kPowerCut);
  ASSERT_TRUE(world.start());
  EXPECT_FALSE(world.replayed.sessions[0].has_files);
  ASSERT_EQ(world.visitor.batches.size(), 1u);
  EXPECT_EQ(world.visitor.batches[0].chunk, 21u);
  EXPECT_EQ(world.rows.size(), 2u);  // the first row is gone
}

TEST(Replay, ReadsLittleMoreThanTheTail) {
  WalWorld world;
  LocalWalOptions options = world.small_files();
  options.file_bytes = options.first_file_bytes = 16 << 20;
  options.chunk_bytes = 1 << 20;
  ASSERT_TRUE(world.start(options));
  world.append_and_flush(0, 100);
  CollectingVisitor seen;
  EXPECT_LE(world.look(seen)->bytes_read, 512u * 1024);
  for (int i = 0; i < 20; ++i) world.append_and_flush(0, 1'000'000);
  CollectingVisitor all;
  const auto result = world.look(all);
  EXPECT_EQ(all.batches.size(), 21u);
  EXPECT_LE(result->bytes_read, 20'000'000u * 12 / 10);
}

TEST(Replay, ATornLastChunkIsDroppedWhateverIsLeftOfIt) {
  // Every block of the last chunk in turn keeps what was there before the write.
  OneFile log(Chunks{{100}, {300, 70'000, 5'000}});
  const std::vector<uint8_t> whole = log.world.sim.disk().contents(log.path);
  const std::vector<uint8_t> zeros(kWalBlock, 0);
  int dropped = 0;
  for (uint64_t at = log.starts[1]; at < log.starts[2]; at += kWalBlock) {
    log.world.sim.disk().overwrite_raw(log.path, at, zeros);
    const auto result = log.look();
    const bool needed = !log.seen.batches.empty() && log.seen.batches.size() < 4;
    EXPECT_TRUE(needed) << at;
    EXPECT_EQ(log.seen.batches, log.upto(1));
    EXPECT_TRUE(log.seen.corruptions.empty());
    EXPECT_EQ(result.sessions[0].end_chunk, 1u);
    EXPECT_EQ(result.next_chunk, 2u);
    dropped += result.torn_bytes != 0;
    log.world.sim.disk().overwrite_raw(log.path, at, Bytes(whole).subspan(at, kWalBlock));
  }
  EXPECT_GE(dropped, static_cast<int>((log.starts[2] - log.starts[1]) / kWalBlock) - 1);
}

// A file is written in full before it is used: one that ends early was cut, and what was behind the cut is not known.
TEST(Replay, TruncatedAtEveryBlock) {
  OneFile log(Chunks{{100}, {5'000, 5'000}, {70'000}, {200}});
  const uint64_t end = log.starts.back();
  log.world.sim.disk().truncate_raw(log.path, end + kWalBlock);
  log.look();
  EXPECT_TRUE(log.seen.corruptions.empty()) << "the log ends in front of the cut";
  for (uint64_t length = end; length >= kWalBlock; length -= kWalBlock) {
    log.world.sim.disk().truncate_raw(log.path, length);
    log.look();
    ChunkNumber whole = 0;
    while (whole < 4 && log.starts[whole + 1] <= length) ++whole;
    EXPECT_EQ(log.seen.batches, log.upto(whole)) << length;
    EXPECT_TRUE(log.seen.unknown()) << length;
  }
  log.seal(4);
  log.look();
  EXPECT_TRUE(log.seen.unknown());  // all four are missing from a sealed session
  for (const uint64_t length : {uint64_t{4000}, uint64_t{0}}) {
    log.world.sim.disk().truncate_raw(log.path, length);
    const auto result = log.look();
    EXPECT_TRUE(log.seen.unknown());
    EXPECT_EQ(result.unknown_files.size(), 1u);
    EXPECT_EQ(result.next_chunk, 5u);
  }
}

TEST(Replay, EveryFlippedByteOfAChunkInTheMiddleIsNoticedAndNothingElseIsLost) {
  OneFile log(Chunks{{100}, {300, 150, 200}, {400}});
  // One block: header 64, batches 650, padding, footer.
  const uint64_t start = log.starts[1];
  ASSERT_EQ(log.starts[2], start + kWalBlock);
  const uint64_t footer = 64 + align_up(650, 8);
  for (uint64_t i = 0; i < kWalBlock; ++i) {
    log.flip(start + i);
    const auto result = log.look();
    EXPECT_EQ(result.next_chunk, 4u) << i;
    if (i < 64) {  // the header: found again by the footer
      EXPECT_EQ(log.seen.batches, log.world.appended_batches) << i;
      ASSERT_EQ(log.seen.corruptions.size(), 1u) << i;
      EXPECT_FALSE(log.seen.unknown()) << i;
      EXPECT_TRUE(log.seen.corruptions[0].partitions.empty()) << i;
    } else if (i < 714) {  // a batch: its partition only
      const int32_t hit = i < 364 ? 0 : i < 514 ? 1 : 2;
      EXPECT_EQ(log.seen.batches, log.without(2, hit)) << i;
      ASSERT_EQ(log.seen.corruptions.size(), 1u) << i;
      EXPECT_FALSE(log.seen.unknown()) << i;
      EXPECT_EQ(log.seen.corruptions[0].partitions, std::vector<PartitionId>{log.partition(hit)}) << i;
      EXPECT_EQ(log.seen.corruptions[0].first_chunk, 2u);
    } else if (i >= footer && i < footer + footer_bytes(3)) {
      EXPECT_EQ(log.seen.batches, log.without(2)) << i;
      ASSERT_EQ(log.seen.corruptions.size(), 1u) << i;
      EXPECT_TRUE(log.seen.unknown()) << i;
    } else {  // padding
      EXPECT_EQ(log.seen.batches, log.world.appended_batches) << i;
      EXPECT_TRUE(log.seen.corruptions.empty()) << i;
    }
    log.flip(start + i);
  }
}

// In a file that was zero before, a write that was cut off leaves whole sectors of zeros.
TEST(Replay, EveryFlippedByteOfTheLastChunkIsKnownFromATornOne) {
  OneFile log(Chunks{{100}, {300, 150, 200}});
  const uint64_t start = log.starts[1];
  const uint64_t footer = 64 + align_up(650, 8);
  for (uint64_t i = 0; i < footer + footer_bytes(3); ++i) {
    log.flip(start + i);
    const auto result = log.look();
    EXPECT_EQ(result.torn_bytes, 0u) << i;
    EXPECT_EQ(result.next_chunk, 3u) << i;
    if (i < 64) {  // the header: found again by the footer
      EXPECT_EQ(log.seen.batches, log.world.appended_batches) << i;
      ASSERT_EQ(log.seen.corruptions.size(), 1u) << i;
      EXPECT_FALSE(log.seen.unknown()) << i;
    } else if (i < 714) {  // a batch: its partition only
      const int32_t hit = i < 364 ? 0 : i < 514 ? 1 : 2;
      EXPECT_EQ(log.seen.batches, log.without(2, hit)) << i;
      ASSERT_EQ(log.seen.corruptions.size(), 1u) << i;
      EXPECT_EQ(log.seen.corruptions[0].partitions, std::vector<PartitionId>{log.partition(hit)}) << i;
    } else if (i >= footer) {
      EXPECT_EQ(log.seen.batches, log.upto(1)) << i;
      EXPECT_TRUE(log.seen.unknown()) << i;
    }
    log.flip(start + i);
  }
  // In a sealed session the same is corruption, of just what was hit.
  log.seal(2);
  log.flip(start + 64 + 300 + 100);
  log.look();
  EXPECT_EQ(log.seen.batches, log.without(2, 1));
  ASSERT_EQ(log.seen.corruptions.size(), 1u);
  EXPECT_EQ(log.seen.corruptions[0].partitions, std::vector<PartitionId>{log.partition(1)});
}

TEST(Replay, EveryFlippedByteOfTheFileHeaderIsSurvived) {
  OneFile log(Chunks{{100}, {200}});
  for (uint64_t i = 0; i < 64; ++i) {
    log.flip(i);
    log.look();
    EXPECT_EQ(log.seen.batches, log.world.appended_batches) << i;
    EXPECT_FALSE(log.seen.unknown()) << i;
    EXPECT_EQ(log.seen.corruptions.size(), 1u) << i;
    log.flip(i);
  }
  log.flip(3);
  log.flip(kWalBlock + 3);  // and the first chunk's
  const auto result = log.look();
  EXPECT_TRUE(log.seen.unknown());
  EXPECT_TRUE(log.seen.batches.empty());
  EXPECT_EQ(result.unknown_files, std::vector<std::string>{log.path});
  EXPECT_TRUE(result.files.empty());  // is not recycled
}

TEST(Replay, AWholeChunkWipedOutInTheMiddle) {
  OneFile log(Chunks{{100}, {9'000}, {9'000}, {200}});
  log.world.sim.disk().overwrite_raw(log.path, log.starts[1], std::vector<uint8_t>(log.starts[3] - log.starts[1], 0));
  const auto result = log.look();
  EXPECT_EQ(result.next_chunk, 5u);
  ASSERT_EQ(log.seen.corruptions.size(), 1u);
  EXPECT_TRUE(log.seen.corruptions[0].unknown_partitions);
  EXPECT_EQ(log.seen.corruptions[0].first_chunk, 2u);
  EXPECT_EQ(log.seen.corruptions[0].last_chunk, 3u);
  EXPECT_EQ(log.seen.corruptions[0].offset, log.starts[1]);
  ASSERT_EQ(log.seen.batches.size(), 2u);
  EXPECT_EQ(log.seen.batches[1].chunk, 4u);
}

TEST(Replay, ALargeBatchDamagedInTheMiddle) {
  OneFile log(Chunks{{100, 80'000, 90'000, 120}, {200}});
  log.flip(log.starts[0] + 30'000);
  log.look();
  EXPECT_EQ(log.seen.batches, log.without(1, 1));
  ASSERT_EQ(log.seen.corruptions.size(), 1u);
  EXPECT_EQ(log.seen.corruptions[0].lost, std::vector<BatchFacts>{log.world.appended_batches[1].facts});
  EXPECT_EQ(log.seen.corruptions[0].partitions, std::vector<PartitionId>{log.partition(1)});
}

TEST(Replay, ASealedSessionEndsWhereItsRowSays) {
  OneFile log(Chunks{{100}, {200}, {300}});
  log.seal(2);  // a third chunk was never accepted
  const auto result = log.look();
  EXPECT_EQ(log.seen.batches, log.upto(2));
  EXPECT_EQ(result.next_chunk, 3u);
  EXPECT_TRUE(log.seen.corruptions.empty());
  log.seal(5);  // chunks are missing
  log.look();
  EXPECT_EQ(log.seen.batches, log.world.appended_batches);
  ASSERT_EQ(log.seen.corruptions.size(), 1u);
  EXPECT_TRUE(log.seen.unknown());
  EXPECT_EQ(log.seen.corruptions[0].first_chunk, 4u);
  EXPECT_EQ(log.seen.corruptions[0].last_chunk, 5u);
}

// A recycled file holds stale bytes where a write did not come: there a torn chunk cannot be told from a damaged one.
TEST(Replay, ADamagedLastChunkOfARecycledFileIsDroppedAsTorn) {
  WalWorld world;
  ASSERT_TRUE(world.start());
  for (int i = 0; i < 40; ++i) world.append_and_flush(0, 5'000);
  world.wal->release(40);
  world.sim.run_for(runtime::kSecond);
  world.end(Death::kKill);
  ASSERT_TRUE(world.start());
  const std::string path = world.path(world.replayed.next_generation);
  world.append_and_flush(0, 300);
  world.end(Death::kKill);
  ASSERT_TRUE(decode_file_header(world.sim.disk().contents(path))->recycled);
  world.sim.disk().flip_bits(path, kWalBlock + 100, 1);
  CollectingVisitor seen;
  const auto result = world.look(seen);
  ASSERT_TRUE(result);
  EXPECT_TRUE(seen.corruptions.empty());
  EXPECT_GT(result->torn_bytes, 0u);
}

TEST(Replay, AFileOfAnotherIncarnationIsRefused) {
  OneFile log(Chunks{{100}});
  log.world.rows.back().incarnation += 1;
  const auto result = log.world.look(log.seen);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(result.error().message.find(log.path), std::string::npos) << result.error().message;
}

TEST(Replay, AFileUnderAnotherNameIsRefused) {
  OneFile log(Chunks{{100}});
  ASSERT_TRUE(log.world.sim.disk().rename(log.path, log.world.path(9)));
  const auto result = log.world.look(log.seen);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kCorrupt);
}

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

// Whichever it is, the whole directory included.
TEST(Replay, AMissingFileThatTheRegisterKnowsIsRefused) {
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

TEST(Replay, AMissingFileThatWasGivenUpIsReportedBeforeWhatCameAfterIt) {
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

TEST(Replay, AMissingFileInTheMiddle) {
  ManyFiles log(20);
  log.end(Death::kKill);
  log.file_register.noted.clear();  // as a folder of an earlier format
  ASSERT_TRUE(log.sim.disk().remove(log.path(2)));
  log.look_again();
  EXPECT_EQ(log.seen.batches.size(), 13u);
  ASSERT_EQ(log.seen.corruptions.size(), 1u);
  EXPECT_TRUE(log.seen.unknown());
  EXPECT_EQ(log.seen.corruptions[0].first_chunk, 8u);
  EXPECT_EQ(log.seen.corruptions[0].last_chunk, 14u);
}

TEST(Replay, MissingFilesAtTheFrontWereReleased) {
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

TEST(Replay, AMissingLastFileOfASealedSession) {
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

TEST(Replay, ChunksBehindASealAreNotDeliveredThoughAllBeforeItWereReleased) {
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

TEST(Replay, TheFirstChunkOfTheOldestFileDamaged) {
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

TEST(Replay, TheLastChunkOfAFullFileDamaged) {
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

TEST(Replay, AFilePreparedLaterProvesThatAChunkWasDurable) {
  ManyFiles log(3);  // the next file was prepared when chunk 1 was durable
  log.sim.run_for(runtime::kSecond);
  log.end(Death::kKill);
  log.sim.disk().overwrite_raw(log.path(1), kWalBlock, std::vector<uint8_t>(8 * kWalBlock, 0));
  const auto result = log.look_again();
  EXPECT_TRUE(log.seen.unknown());
  EXPECT_GE(result.next_chunk, 2u);
}

TEST(Replay, StaleChunksOfARecycledFileAreNeverAccepted) {
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

TEST(Replay, AChunkForgedByAClientIsNotTakenForOne) {
  // A batch whose payload holds a well-formed chunk 3 at a block boundary, right behind a damaged chunk 2.
  OneFile log(Chunks{{100}, {200}});
  std::vector<uint8_t> forged(kWalBlock, 0);
  const auto block = static_cast<uint32_t>(log.starts[2] / kWalBlock);
  encode_chunk_header({{log.world.incarnation, 1, 0x1234}, 3, kWalBlock, block, 64, 120, 0}, forged.data());
  log.world.sim.disk().overwrite_raw(log.path, log.starts[2], forged);
  log.flip(log.starts[1] + 100);
  const auto result = log.look();
  EXPECT_FALSE(log.seen.unknown());
  EXPECT_EQ(log.seen.batches, log.upto(1));
  EXPECT_EQ(result.next_chunk, 3u);
}

TEST(Replay, ADeviceErrorFailsTheReplayInsteadOfShorteningTheLog) {
  OneFile log(Chunks{{100}, {200}});
  log.world.sim.disk().inject({.operation = testing::DiskOperation::kRead, .times = 1});
  CollectingVisitor seen;
  EXPECT_FALSE(log.world.look(seen));
  EXPECT_TRUE(seen.corruptions.empty());
}

TEST(Replay, WhatItAcceptedIsDurable) {
  // flush=os: written bytes are in the page cache only when the process dies.
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    WalWorld world(seed);
    LocalWalOptions options = world.small_files();
    options.flush_to_device = false;
    ASSERT_TRUE(world.start(options));
    for (int i = 0; i < 12; ++i) world.append_and_flush(i % 3, 5'000);
    world.end(Death::kKill);
    ASSERT_TRUE(world.start(options));
    EXPECT_EQ(world.visitor.batches, world.appended_batches);
    world.end(Death::kPowerCut);
    ASSERT_TRUE(world.start(options));
    EXPECT_EQ(world.visitor.batches, world.appended_batches);
    EXPECT_TRUE(world.visitor.corruptions.empty());
  }
}

}  // namespace
}  // namespace weir::storage
