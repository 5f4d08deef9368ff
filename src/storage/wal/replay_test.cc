#include "storage/wal/replay.h"

#include <gtest/gtest.h>

#include "storage/wal/replay_fixture.h"

namespace weir::storage {
namespace {

using testing::Death;

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
