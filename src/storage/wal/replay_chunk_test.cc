// Replay of a log of one file with a chunk that is cut off, changed or wiped out.
#include <gtest/gtest.h>

#include <algorithm>

#include "storage/wal/replay.h"
#include "storage/wal/replay_fixture.h"

namespace weir::storage {
namespace {

using testing::Death;

TEST(ReplayChunk, ATornLastChunkIsDroppedWhateverIsLeftOfIt) {
  // Every block of the last chunk in turn keeps its bytes from before the write.
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

// The log writes a file in full before it uses it. A file that ends early was cut, and nobody knows what was behind the cut.
TEST(ReplayChunk, TruncatedAtEveryBlock) {
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

TEST(ReplayChunk, EveryFlippedByteOfAChunkInTheMiddleIsNoticedAndNothingElseIsLost) {
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
TEST(ReplayChunk, EveryFlippedByteOfTheLastChunkIsKnownFromATornOne) {
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
  // In a sealed session the same is corruption, and costs only the batch that was hit.
  log.seal(2);
  log.flip(start + 64 + 300 + 100);
  log.look();
  EXPECT_EQ(log.seen.batches, log.without(2, 1));
  ASSERT_EQ(log.seen.corruptions.size(), 1u);
  EXPECT_EQ(log.seen.corruptions[0].partitions, std::vector<PartitionId>{log.partition(1)});
}

TEST(ReplayChunk, EveryFlippedByteOfTheFileHeaderIsSurvived) {
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
  EXPECT_TRUE(result.files.empty());  // so it is not recycled
}

TEST(ReplayChunk, AWholeChunkWipedOutInTheMiddle) {
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

TEST(ReplayChunk, ALargeBatchDamagedInTheMiddle) {
  OneFile log(Chunks{{100, 80'000, 90'000, 120}, {200}});
  log.flip(log.starts[0] + 30'000);
  log.look();
  EXPECT_EQ(log.seen.batches, log.without(1, 1));
  ASSERT_EQ(log.seen.corruptions.size(), 1u);
  EXPECT_EQ(log.seen.corruptions[0].lost, std::vector<BatchInfo>{log.world.appended_batches[1].info});
  EXPECT_EQ(log.seen.corruptions[0].partitions, std::vector<PartitionId>{log.partition(1)});
}

TEST(ReplayChunk, ASealedSessionEndsWhereItsRowSays) {
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

// A recycled file holds stale bytes where a write did not arrive. So replay cannot tell a torn chunk in it from a damaged one.
TEST(ReplayChunk, ADamagedLastChunkOfARecycledFileIsDroppedAsTorn) {
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

}  // namespace
}  // namespace weir::storage
