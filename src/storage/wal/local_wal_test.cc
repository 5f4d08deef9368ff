#include "storage/wal/local_wal.h"

#include <gtest/gtest.h>

#include "storage/wal/wal_fixture.h"

namespace weir::storage {
namespace {

using testing::Death;
using testing::DiskFault;
using testing::DiskOperation;
using Stop = testing::SimRuntime::Stop;

constexpr int64_t kMicrosecond = 1000;

// A disk whose durable writes take exactly 100 microseconds.
testing::SimRuntime::Options exact_disk() {
  testing::SimRuntime::Options options;
  options.disk.durable_write_min_ns = options.disk.durable_write_max_ns = options.disk.durable_write_slow_ns = 100 * kMicrosecond;
  return options;
}

class FlushPolicy : public ::testing::Test {
 protected:
  FlushPolicy() : sim_(1, exact_disk()) {
    LocalWalOptions options;
    EXPECT_TRUE(sim_.disk().create_directories("/data"));
    options.directory = "/data/wal/0";
    options.incarnation = 1;
    options.file_bytes = 4 << 20;
    options.first_file_bytes = 4 << 20;
    options.chunk_bytes = 1 << 20;
    wal_ = LocalWal::create(sim_.disk(), sim_.loop(), sim_.pool(), std::move(options));
    wal_->on_durable([this](ChunkNumber) { completed_at_.push_back(sim_.now_ns()); });
    run_for(runtime::kSecond);  // the first file is ready
  }
  void append(uint32_t size = 200) {
    const TestBatch batch = make_batch(0, offset_++, size);
    wal_->append(batch.info, batch.bytes);
  }
  // Appends in a turn of the loop, as a request does.
  void append_in_turn(int count = 1, uint32_t size = 200) {
    sim_.loop().post([this, count, size] {
      for (int i = 0; i < count; ++i) append(size);
    });
  }
  void run_for(int64_t ns) { sim_.run_for(ns); }
  void expect_completion_after(int64_t start, int64_t least, int64_t most) {
    ASSERT_FALSE(completed_at_.empty());
    EXPECT_GE(completed_at_.back() - start, least);
    EXPECT_LE(completed_at_.back() - start, most);
  }

  testing::SimRuntime sim_;
  std::unique_ptr<LocalWal> wal_;
  int64_t offset_ = 0;
  std::vector<int64_t> completed_at_;
};

TEST_F(FlushPolicy, IdleFlushesAtTheEndOfTheTurn) {
  const int64_t start = sim_.now_ns();
  append_in_turn(10);
  run_for(10 * runtime::kMillisecond);
  ASSERT_EQ(completed_at_.size(), 1u);  // the whole turn in one chunk
  EXPECT_EQ(wal_->durable(), 1u);
  expect_completion_after(start, 100 * kMicrosecond, 250 * kMicrosecond);
}

TEST_F(FlushPolicy, AClientThatWaitsForEachAnswerNeverWaitsForMore) {
  for (int i = 0; i < 5; ++i) {
    const int64_t start = sim_.now_ns();
    append_in_turn();
    ASSERT_EQ(sim_.run_until([&] { return wal_->durable() == wal_->open() - 1 && wal_->idle(); }, runtime::kSecond), Stop::kDone);
    ASSERT_EQ(sim_.run_until([&] { return completed_at_.size() == static_cast<size_t>(i + 1); }, runtime::kSecond), Stop::kDone);
    expect_completion_after(start, 100 * kMicrosecond, 250 * kMicrosecond);
  }
}

TEST_F(FlushPolicy, UnderLoadFlushesKeepTheirDistance) {
  append_in_turn();
  ASSERT_EQ(sim_.run_until([&] { return !wal_->idle(); }, runtime::kSecond), Stop::kDone);
  run_for(50 * kMicrosecond);  // in flight
  append_in_turn(4);           // five under way
  ASSERT_EQ(sim_.run_until([&] { return completed_at_.size() == 1; }, runtime::kSecond), Stop::kDone);
  const int64_t first = completed_at_[0];
  run_for(200 * kMicrosecond);
  EXPECT_EQ(wal_->durable(), 1u);  // the fifth does not come back
  ASSERT_EQ(sim_.run_until([&] { return completed_at_.size() == 2; }, runtime::kSecond), Stop::kDone);
  expect_completion_after(first, 600 * kMicrosecond, 750 * kMicrosecond);
  EXPECT_EQ(wal_->durable(), 2u);
  EXPECT_TRUE(wal_->idle());
}

TEST_F(FlushPolicy, AsManyAsAreUnderWayEndTheWait) {
  append_in_turn();
  ASSERT_EQ(sim_.run_until([&] { return !wal_->idle(); }, runtime::kSecond), Stop::kDone);
  append_in_turn(4);
  ASSERT_EQ(sim_.run_until([&] { return completed_at_.size() == 1; }, runtime::kSecond), Stop::kDone);
  for (size_t round = 2; round < 6; ++round) {  // five requests in flight share a flush from now on
    run_for(50 * kMicrosecond);
    const int64_t start = sim_.now_ns();
    append_in_turn(round == 2 ? 1 : 5);
    ASSERT_EQ(sim_.run_until([&] { return completed_at_.size() == round; }, runtime::kSecond), Stop::kDone);
    expect_completion_after(start, 100 * kMicrosecond, 250 * kMicrosecond);
    EXPECT_TRUE(wal_->idle());
  }
}

TEST_F(FlushPolicy, EnoughBytesEndTheWait) {
  append_in_turn();
  ASSERT_EQ(sim_.run_until([&] { return !wal_->idle(); }, runtime::kSecond), Stop::kDone);
  append_in_turn(3);
  ASSERT_EQ(sim_.run_until([&] { return completed_at_.size() == 1; }, runtime::kSecond), Stop::kDone);
  const int64_t first = completed_at_[0];
  append_in_turn(3, 50'000);
  ASSERT_EQ(sim_.run_until([&] { return completed_at_.size() == 2; }, runtime::kSecond), Stop::kDone);
  expect_completion_after(first, 100 * kMicrosecond, 250 * kMicrosecond);
}

TEST_F(FlushPolicy, FlushNowEndsTheWait) {
  append_in_turn();
  ASSERT_EQ(sim_.run_until([&] { return !wal_->idle(); }, runtime::kSecond), Stop::kDone);
  append_in_turn(3);
  ASSERT_EQ(sim_.run_until([&] { return completed_at_.size() == 1; }, runtime::kSecond), Stop::kDone);
  const int64_t first = completed_at_[0];
  sim_.loop().post([&] { wal_->flush_now(); });
  ASSERT_EQ(sim_.run_until([&] { return completed_at_.size() == 2; }, runtime::kSecond), Stop::kDone);
  expect_completion_after(first, 100 * kMicrosecond, 250 * kMicrosecond);
}

TEST_F(FlushPolicy, ChunksStayBelowTheirBound) {
  append_in_turn(50, 60'000);  // 3 MB; the bound is 1 MiB
  ASSERT_EQ(sim_.run_until([&] { return completed_at_.size() >= 3; }, runtime::kSecond), Stop::kDone);
  EXPECT_EQ(wal_->durable(), 3u);
  EXPECT_TRUE(wal_->idle());
  EXPECT_EQ(wal_->measures().flushes.count(), 3u);
  EXPECT_GE(wal_->measures().flushes.percentile_ns(0.5), 100 * kMicrosecond);
  EXPECT_LE(wal_->measures().flushes.percentile_ns(0.99), 250 * kMicrosecond);
}

TEST_F(FlushPolicy, FlushNowWithNothingToFlush) {
  wal_->flush_now();
  run_for(runtime::kSecond);
  EXPECT_EQ(wal_->flushes(), 0u);
  EXPECT_EQ(wal_->durable(), 0u);
}

TEST(LocalWal, AppendsBeforeTheFirstFileIsReadyWait) {
  WalWorld world;
  ASSERT_TRUE(world.start());
  EXPECT_EQ(world.append(0, 200).chunk, 1u);
  EXPECT_GT(world.wal->measures().pending_bytes, 0u);
  world.flush();
  EXPECT_EQ(world.wal->durable(), 1u);
  EXPECT_EQ(world.wal->measures().pending_bytes, 0u);
}

TEST(LocalWal, FillsFileAfterFileAndRecyclesWhatIsReleased) {
  WalWorld world;
  ASSERT_TRUE(world.start());
  for (int i = 0; i < 100; ++i) world.append_and_flush(i % 3, 5'000);  // two blocks each, 64 KiB files
  EXPECT_EQ(world.wal->durable(), 100u);
  EXPECT_EQ(world.wal->unreleased_bytes(), 100 * 2 * kWalBlock);
  EXPECT_EQ(world.wal->last_chunk_of_oldest_file(), 7u);
  const size_t files = world.sim.disk().list(kWalTestDirectory)->size();
  EXPECT_GE(files, 15u);

  world.wal->release(50);
  EXPECT_EQ(world.wal->unreleased_bytes(), 50 * 2 * kWalBlock);
  EXPECT_EQ(world.wal->last_chunk_of_oldest_file(), 56u);
  world.sim.run_for(runtime::kSecond);
  EXPECT_EQ(world.sim.disk().list(kWalTestDirectory)->size(),
            files - 5);  // 7 released, 2 of them kept as spares
  EXPECT_FALSE(world.sim.disk().has(world.path(1)));

  for (int i = 0; i < 30; ++i) world.append_and_flush(0, 5'000);  // into recycled files
  CollectingVisitor seen;
  const auto result = world.look(seen);
  ASSERT_TRUE(result);
  EXPECT_TRUE(seen.corruptions.empty());
  const std::vector<ReplayedBatch> kept(world.appended_batches.begin() + 49, world.appended_batches.end());
  EXPECT_EQ(seen.batches, kept);
}

TEST(LocalWal, TheFileOfTheNewestChunkIsNotReleased) {
  WalWorld world;
  ASSERT_TRUE(world.start());
  for (int i = 0; i < 7; ++i) world.append_and_flush(0, 5'000);  // fills the file
  world.sim.run_for(runtime::kSecond);
  world.append(0, 5'000);
  world.wal->flush_now();
  ASSERT_EQ(world.sim.run_until([&] { return world.wal->last_chunk_of_oldest_file() == 7; }, runtime::kSecond), Stop::kDone);
  ASSERT_EQ(world.wal->durable(), 7u);  // chunk 8 is on its way into the next file
  world.wal->release(7);
  EXPECT_EQ(world.wal->last_chunk_of_oldest_file(), 7u);
  world.flush();
  world.sim.run_for(runtime::kSecond);
  EXPECT_EQ(world.wal->last_chunk_of_oldest_file(), 0u);
  EXPECT_FALSE(world.sim.disk().has(world.path(1)));
  EXPECT_EQ(world.wal->unreleased_bytes(), 2 * kWalBlock);
}

TEST(LocalWal, BatchesLargerThanAChunkAndThanAFile) {
  WalWorld world;
  ASSERT_TRUE(world.start());
  world.append(0, 100);
  world.append(1, 40'000);     // more than a chunk
  world.append(2, 1'000'000);  // more than a file
  world.append(2, 100);
  world.flush();
  world.append_and_flush(0, 300'000);
  for (int i = 0; i < 20; ++i) world.append_and_flush(i % 3, 9'000);
  CollectingVisitor seen;
  ASSERT_TRUE(world.look(seen));
  EXPECT_TRUE(seen.corruptions.empty());
  EXPECT_EQ(seen.batches, world.appended_batches);

  world.wal->release(world.wal->durable() - 1);
  world.sim.run_for(runtime::kSecond);
  EXPECT_LE(world.sim.disk().used_bytes(), 6 * 64u * 1024);  // the long files are gone, not kept as spares
  world.end(Death::kPowerCut);
  ASSERT_TRUE(world.start());
  EXPECT_TRUE(world.visitor.corruptions.empty());
  EXPECT_EQ(world.visitor.batches.back(), world.appended_batches.back());
}

TEST(LocalWal, AFailedFlushEndsTheSession) {
  WalWorld world;
  ASSERT_TRUE(world.start());
  world.append_and_flush(0, 300);
  world.sim.disk().inject({.operation = DiskOperation::kDurableWriteEnd});
  world.append(0, 300);
  world.flush();
  EXPECT_TRUE(world.wal->ended());
  EXPECT_EQ(world.failed_calls, 1);
  EXPECT_EQ(world.wal->durable(), 1u);
  const std::vector<uint8_t> file = world.sim.disk().contents(world.path(1));
  const auto appended = world.append(0, 300);  // is lost
  EXPECT_GT(appended.chunk, world.wal->durable());
  EXPECT_TRUE(std::ranges::equal(appended.bytes.bytes(), Bytes(world.appended_batches.back().bytes)));
  world.wal->flush_now();
  world.sim.run_for(10 * runtime::kSecond);
  EXPECT_EQ(world.sim.disk().contents(world.path(1)), file);
  EXPECT_EQ(world.durable_calls, 1);
  EXPECT_EQ(world.failed_calls, 1);
}

TEST(LocalWal, WaitsForSpaceAndGoesOnByItself) {
  WalWorld world;
  ASSERT_TRUE(world.start());
  for (int i = 0; i < 6; ++i) world.append_and_flush(0, 5'000);
  world.sim.run_for(runtime::kSecond);
  world.sim.disk().set_size_limit(world.sim.disk().used_bytes());
  for (int i = 0; i < 20; ++i) world.append(0, 5'000);
  world.wal->flush_now();
  world.sim.run_for(5 * runtime::kSecond);
  EXPECT_FALSE(world.wal->idle());
  EXPECT_FALSE(world.wal->ended());
  ASSERT_TRUE(world.wal->trouble());
  EXPECT_EQ(world.wal->trouble()->code, ErrorCode::kNoSpace);
  world.sim.disk().set_size_limit(UINT64_MAX);
  world.flush();
  EXPECT_TRUE(world.wal->idle());
  EXPECT_FALSE(world.wal->trouble());
  CollectingVisitor seen;
  ASSERT_TRUE(world.look(seen));
  EXPECT_EQ(seen.batches, world.appended_batches);
}

TEST(LocalWal, DestroyedWithAWriteOnItsWay) {
  WalWorld world;
  ASSERT_TRUE(world.start());
  world.append_and_flush(0, 300);
  world.append(0, 300);
  world.wal->flush_now();
  world.sim.run_until([&] { return world.wal->measures().pending_bytes == 0 || world.sim.disk().write_points() % 2 == 0; },
                      kMicrosecond);
  const int before = world.durable_calls;
  world.wal.reset();
  world.sim.run_until_idle();
  EXPECT_EQ(world.durable_calls, before);
}

TEST(LocalWal, ItsFilesAreInTheRegisterWhileTheyHoldChunks) {
  WalWorld world;
  ASSERT_TRUE(world.start());
  const auto files = [&] {
    std::set<uint64_t> generations;
    for (const std::string& path : world.sim.disk().all_files()) {
      const auto name = parse_wal_file_name(path.substr(path.rfind('/') + 1));
      if (name && name->kind == WalFileKind::kLog) generations.insert(name->generation);
    }
    return generations;
  };
  for (int i = 0; i < 40; ++i) world.append_and_flush(0, 5'000);
  world.sim.run_for(runtime::kSecond);
  EXPECT_GE(files().size(), 5u);
  EXPECT_EQ(world.file_register.noted, files());
  world.wal->release(40);
  world.sim.run_for(runtime::kSecond);
  EXPECT_LE(files().size(), 2u);
  EXPECT_EQ(world.file_register.noted, files());
}

// Perhaps the register knows the file all the same: then it must stay, and nothing is written to it before that is certain.
TEST(LocalWal, AFileThatTheRegisterDidNotTakeIsKeptAndOffered) {
  for (const bool taken : {false, true}) {
    WalWorld world;
    world.file_register.failures = 2;
    world.file_register.takes_failed = taken;
    ASSERT_TRUE(world.start());
    world.append(0, 300);
    world.sim.run_for(runtime::kSecond / 2);
    EXPECT_EQ(world.wal->durable(), 0u);
    EXPECT_TRUE(world.wal->stalled());
    EXPECT_TRUE(world.sim.disk().has(world.path(1)));
    world.sim.run_for(3 * runtime::kSecond);
    EXPECT_EQ(world.wal->durable(), 1u);
    EXPECT_TRUE(decode_chunk_header(Bytes(world.sim.disk().contents(world.path(1))).subspan(kWalBlock)));
    EXPECT_TRUE(world.file_register.noted.contains(1));
  }
}

// The rest of the disk belongs to others: the log prepares no file ahead, and new files are small.
TEST(LocalWal, SavesSpaceOnAFullDisk) {
  WalWorld world;
  LocalWalOptions options = world.small_files();
  options.file_bytes = options.first_file_bytes = 4 << 20;
  options.save_space = true;
  ASSERT_TRUE(world.start(options));
  const auto size_of = [&](uint64_t generation) {
    return world.sim.disk().has(world.path(generation)) ? world.sim.disk().contents(world.path(generation)).size() : 0;
  };
  world.sim.run_for(runtime::kSecond);
  EXPECT_EQ(size_of(1), 0u) << "nothing waits for it";
  for (int i = 0; i < 100; ++i) world.append_and_flush(0, 5'000);  // two blocks each
  EXPECT_EQ(size_of(1), 1u << 20);
  EXPECT_EQ(size_of(2), 0u) << "none ahead";
  for (int i = 0; i < 40; ++i) world.append_and_flush(0, 5'000);
  EXPECT_EQ(world.wal->durable(), 140u);
  EXPECT_EQ(size_of(2), 1u << 20);
  world.append(0, 2'000'000);  // needs more than that
  world.flush();
  EXPECT_EQ(world.wal->durable(), 141u);
  for (int i = 0; i < 60; ++i) world.append_and_flush(0, 5'000);
  world.wal->save_space(false);
  world.sim.run_for(runtime::kSecond);
  EXPECT_EQ(size_of(5), 4u << 20) << "one ahead, of the usual size";
  world.end(Death::kKill);
  ASSERT_TRUE(world.start());
  EXPECT_EQ(world.visitor.batches.size(), 201u);
  EXPECT_TRUE(world.visitor.corruptions.empty());
}

TEST(LocalWal, SpareFilesOfTheLastRunAreUsedAgain) {
  WalWorld world;
  ASSERT_TRUE(world.start());
  for (int i = 0; i < 40; ++i) world.append_and_flush(0, 5'000);
  world.wal->release(40);
  world.sim.run_for(runtime::kSecond);
  world.end(Death::kKill);
  ASSERT_TRUE(world.start());
  EXPECT_EQ(world.replayed.leftovers.size(), 2u);
  world.append_and_flush(0, 300);
  world.sim.run_for(runtime::kSecond);
  const auto header = decode_file_header(world.sim.disk().contents(world.path(world.replayed.next_generation)));
  ASSERT_TRUE(header);
  EXPECT_TRUE(header->recycled);
}

TEST(FlushLatency, PercentilesAreWithinAnEighth) {
  FlushLatency latency;
  EXPECT_EQ(latency.percentile_ns(0.5), 0);
  for (int64_t us = 1; us <= 1000; ++us) latency.record(us * kMicrosecond);
  EXPECT_NEAR(static_cast<double>(latency.percentile_ns(0.5)), 500e3, 63e3);
  EXPECT_NEAR(static_cast<double>(latency.percentile_ns(0.99)), 990e3, 130e3);
  latency.record(int64_t{1} << 62);  // off the scale, not off the array
  EXPECT_GT(latency.percentile_ns(1.0), 60 * runtime::kSecond);
  for (int i = 0; i < 500'000; ++i) latency.record(10 * kMicrosecond);
  EXPECT_LE(latency.percentile_ns(0.99), 12 * kMicrosecond);
}

}  // namespace
}  // namespace weir::storage
