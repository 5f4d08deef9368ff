#include "testing/sim_disk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/buffer.h"
#include "testing/manual_loop.h"

namespace weir::testing {
namespace {

using runtime::OpenFlags;

constexpr OpenFlags kCreate{.write = true, .create = true};
constexpr OpenFlags kWrite{.write = true};

std::vector<uint8_t> filled(size_t size, uint8_t value) { return std::vector<uint8_t>(size, value); }

// Creates a file whose name and content are durable.
std::unique_ptr<runtime::File> durable_file(SimDisk& disk, const std::string& path, size_t size, uint8_t value) {
  auto file = disk.open(path, kCreate).value();
  EXPECT_TRUE(file->write_at(0, filled(size, value)));
  EXPECT_TRUE(file->sync());
  EXPECT_TRUE(disk.sync_directory("/"));
  return file;
}

// Runs `scene` with many seeds and collects its results.
template <typename Scene>
auto over_seeds(Scene scene) {
  std::set<decltype(scene(std::declval<SimDisk&>()))> outcomes;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    SimDisk disk(seed);
    outcomes.insert(scene(disk));
  }
  return outcomes;
}

TEST(SimDisk, ReadsSeeWhatWasWrittenBeforeAnySync) {
  SimDisk disk(1);
  auto file = disk.open("/a", kCreate).value();
  ASSERT_TRUE(file->write_at(1000, filled(3000, 7)));
  std::vector<uint8_t> bytes(5000, 1);
  EXPECT_EQ(file->read_at(0, bytes).value(), 4000u);
  EXPECT_EQ(bytes[999], 0);
  EXPECT_EQ(bytes[1000], 7);
  EXPECT_EQ(bytes[3999], 7);
  EXPECT_EQ(file->read_at(4000, bytes).value(), 0u);
  EXPECT_EQ(file->size().value(), 4000u);
}

TEST(SimDisk, SyncedContentSurvivesEveryCut) {
  const auto outcomes = over_seeds([](SimDisk& disk) {
    auto file = durable_file(disk, "/a", 10'000, 5);
    disk.cut_power();
    return disk.contents("/a") == filled(10'000, 5);
  });
  EXPECT_EQ(outcomes, std::set{true});
}

TEST(SimDisk, UnsyncedSectorsSurviveOneByOne) {
  std::set<std::vector<uint8_t>> patterns;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    SimDisk disk(seed);
    auto file = durable_file(disk, "/a", 4096, 1);
    ASSERT_TRUE(file->write_at(0, filled(4096, 2)));
    disk.cut_power();
    const auto bytes = disk.contents("/a");
    std::vector<uint8_t> sectors;
    for (size_t at = 0; at < bytes.size(); at += 512) {
      sectors.push_back(bytes[at]);
      EXPECT_TRUE(std::all_of(bytes.begin() + at, bytes.begin() + at + 512, [&](uint8_t b) { return b == bytes[at]; }));
    }
    patterns.insert(sectors);
  }
  EXPECT_TRUE(patterns.contains(filled(8, 1)));
  EXPECT_TRUE(patterns.contains(filled(8, 2)));
  EXPECT_GT(patterns.size(), 80u);
}

TEST(SimDisk, LaterFileMaySurviveWithoutEarlierOne) {
  const auto outcomes = over_seeds([](SimDisk& disk) {
    auto first = durable_file(disk, "/a", 512, 0);
    auto second = durable_file(disk, "/b", 512, 0);
    EXPECT_TRUE(first->write_at(0, filled(512, 1)));
    EXPECT_TRUE(second->write_at(0, filled(512, 1)));
    disk.cut_power();
    return std::pair(disk.contents("/a")[0], disk.contents("/b")[0]);
  });
  EXPECT_EQ(outcomes.size(), 4u);
}

TEST(SimDisk, OverwrittenSectorMayShowIntermediateVersion) {
  const auto outcomes = over_seeds([](SimDisk& disk) {
    auto file = durable_file(disk, "/a", 512, 1);
    EXPECT_TRUE(file->write_at(0, filled(512, 2)));
    EXPECT_TRUE(file->write_at(0, filled(512, 3)));
    disk.cut_power();
    return disk.contents("/a")[0];
  });
  EXPECT_EQ(outcomes, (std::set<uint8_t>{1, 2, 3}));
}

TEST(SimDisk, LengthAndContentSurviveApart) {
  bool short_file = false, long_with_zeros = false, whole = false;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    SimDisk disk(seed);
    auto file = durable_file(disk, "/a", 512, 1);
    ASSERT_TRUE(file->write_at(512, filled(2048, 2)));
    disk.cut_power();
    const auto bytes = disk.contents("/a");
    ASSERT_GE(bytes.size(), 512u);
    ASSERT_LE(bytes.size(), 2560u);
    short_file |= bytes.size() == 512;
    long_with_zeros |= bytes.size() == 2560 && std::count(bytes.begin() + 512, bytes.end(), 0) > 0;
    whole |= bytes.size() == 2560 && std::count(bytes.begin() + 512, bytes.end(), 2) == 2048;
  }
  EXPECT_TRUE(short_file && long_with_zeros && whole);
}

TEST(SimDisk, TruncatedBytesDoNotComeBackThroughASync) {
  SimDisk disk(3);
  auto file = durable_file(disk, "/a", 20'000, 1);
  ASSERT_TRUE(file->truncate(100));
  ASSERT_TRUE(file->write_at(19'000, filled(1'000, 2)));
  ASSERT_TRUE(file->sync());
  disk.cut_power();
  const auto bytes = disk.contents("/a");
  ASSERT_EQ(bytes.size(), 20'000u);
  EXPECT_EQ(bytes[99], 1);
  EXPECT_EQ(std::count(bytes.begin() + 100, bytes.begin() + 19'000, 0), 18'900);
}

TEST(SimDisk, UnsyncedTruncateMayBeLost) {
  const auto outcomes = over_seeds([](SimDisk& disk) {
    auto file = durable_file(disk, "/a", 4096, 1);
    EXPECT_TRUE(file->truncate(0));
    disk.cut_power();
    return disk.contents("/a").size();
  });
  EXPECT_EQ(outcomes, (std::set<size_t>{0, 4096}));
}

TEST(SimDisk, UnsyncedTruncateIsNeverHalfDone) {
  std::set<std::pair<size_t, uint8_t>> outcomes;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    SimDisk disk(seed);
    auto file = durable_file(disk, "/a", 8192, 1);
    ASSERT_TRUE(file->truncate(0));
    ASSERT_TRUE(file->write_at(0, filled(512, 2)));
    disk.cut_power();
    const auto bytes = disk.contents("/a");
    if (bytes.size() == 8192) {
      EXPECT_EQ(bytes, filled(8192, 1));
    }
    outcomes.emplace(bytes.size(), bytes.empty() ? uint8_t{0} : bytes[0]);
  }
  EXPECT_TRUE(outcomes.contains({0, 0}) && outcomes.contains({512, 2}) && outcomes.contains({8192, 1}));
}

TEST(SimDisk, StaleBytesOfARecycledFileStay) {
  SimDisk disk(1);
  auto file = durable_file(disk, "/wal", 8192, 9);
  ASSERT_TRUE(disk.rename("/wal", "/recycled"));
  ASSERT_TRUE(disk.sync_directory("/"));
  ASSERT_TRUE(disk.open("/recycled", kWrite).value()->write_at(0, filled(512, 1)));
  disk.cut_power();
  EXPECT_EQ(disk.contents("/recycled")[512], 9);
  EXPECT_EQ(disk.contents("/recycled").size(), 8192u);
}

TEST(SimDisk, NameNeedsItsDirectorySynced) {
  const auto outcomes = over_seeds([](SimDisk& disk) {
    auto file = disk.open("/a", kCreate).value();
    EXPECT_TRUE(file->write_at(0, filled(10, 1)));
    EXPECT_TRUE(file->sync());
    EXPECT_FALSE(disk.has_durable("/a"));
    disk.cut_power();
    return disk.has("/a");
  });
  EXPECT_EQ(outcomes, (std::set{false, true}));
}

TEST(SimDisk, FileInAnUnsyncedDirectoryMayBeLostWithIt) {
  const auto outcomes = over_seeds([](SimDisk& disk) {
    EXPECT_TRUE(disk.create_directories("/d/e"));
    auto file = disk.open("/d/e/f", kCreate).value();
    EXPECT_TRUE(file->sync());
    EXPECT_TRUE(disk.sync_directory("/d/e"));
    disk.cut_power();
    return std::pair(disk.has("/d"), disk.has("/d/e/f"));
  });
  EXPECT_TRUE(outcomes.contains({false, false}) && outcomes.contains({true, true}) && outcomes.contains({true, false}));
}

TEST(SimDisk, RenameShowsOldOrNewNeverNeither) {
  const auto outcomes = over_seeds([](SimDisk& disk) {
    durable_file(disk, "/manifest", 512, 1);
    durable_file(disk, "/manifest.new", 512, 2);
    EXPECT_TRUE(disk.rename("/manifest.new", "/manifest"));
    disk.cut_power();
    return std::pair(disk.contents("/manifest")[0], disk.has("/manifest.new"));
  });
  EXPECT_EQ(outcomes, (std::set<std::pair<uint8_t, bool>>{{1, true}, {2, false}}));
}

TEST(SimDisk, RenameOverDirectoriesNeverShowsTheFileTwice) {
  const auto outcomes = over_seeds([](SimDisk& disk) {
    EXPECT_TRUE(disk.create_directories("/x"));
    EXPECT_TRUE(disk.create_directories("/y"));
    EXPECT_TRUE(disk.sync_directory("/"));
    EXPECT_TRUE(disk.open("/x/f", kCreate));
    EXPECT_TRUE(disk.rename("/x/f", "/y/f"));
    EXPECT_TRUE(disk.sync_directory("/y"));
    disk.cut_power();
    return std::pair(disk.has("/x/f"), disk.has("/y/f"));
  });
  EXPECT_EQ(outcomes, (std::set<std::pair<bool, bool>>{{false, true}}));
}

TEST(SimDisk, UnsyncedRemovalMayComeBackWithItsContent) {
  const auto outcomes = over_seeds([](SimDisk& disk) {
    durable_file(disk, "/a", 700, 4);
    EXPECT_TRUE(disk.remove("/a"));
    EXPECT_FALSE(disk.exists("/a").value());
    disk.cut_power();
    if (disk.has("/a")) {
      EXPECT_EQ(disk.contents("/a"), filled(700, 4));
    }
    return disk.has("/a");
  });
  EXPECT_EQ(outcomes, (std::set{false, true}));
}

TEST(SimDisk, SyncFileSystemCoversNamesAndContents) {
  const auto outcomes = over_seeds([](SimDisk& disk) {
    EXPECT_TRUE(disk.create_directories("/d/e"));
    EXPECT_TRUE(disk.open("/d/e/f", kCreate).value()->write_at(0, filled(5000, 3)));
    EXPECT_TRUE(disk.sync_file_system("/d"));
    disk.cut_power();
    return disk.has("/d/e/f") && disk.contents("/d/e/f") == filled(5000, 3);
  });
  EXPECT_EQ(outcomes, std::set{true});
}

TEST(SimDisk, FailedSyncDropsPagesAndLaterSyncDoesNotRepair) {
  const auto outcomes = over_seeds([](SimDisk& disk) {
    auto file = durable_file(disk, "/a", 512, 1);
    EXPECT_TRUE(file->write_at(0, filled(512, 2)));
    disk.fail_next_sync();
    EXPECT_FALSE(file->sync());
    EXPECT_EQ(disk.contents("/a")[0], 2);  // the page cache still shows it
    EXPECT_TRUE(file->sync());
    disk.cut_power();
    return disk.contents("/a")[0];
  });
  EXPECT_EQ(outcomes, (std::set<uint8_t>{1, 2}));
}

TEST(SimDisk, EvictionAfterAFailedSyncShowsTheDevice) {
  const auto outcomes = over_seeds([](SimDisk& disk) {
    auto file = durable_file(disk, "/a", 512, 1);
    EXPECT_TRUE(file->write_at(0, filled(512, 2)));
    disk.fail_next_sync();
    EXPECT_FALSE(file->sync());
    disk.evict("/a");
    return disk.contents("/a")[0];
  });
  EXPECT_EQ(outcomes, (std::set<uint8_t>{1, 2}));
}

TEST(SimDisk, KilledProcessLeavesThePageCacheWhichPowerCutMayTake) {
  const auto outcomes = over_seeds([](SimDisk& disk) {
    auto file = durable_file(disk, "/a", 512, 1);
    EXPECT_TRUE(file->write_at(0, filled(512, 2)));
    disk.kill_process();
    EXPECT_EQ(disk.contents("/a")[0], 2);
    EXPECT_FALSE(file->sync());  // a handle of the dead process
    disk.cut_power();
    return disk.contents("/a")[0];
  });
  EXPECT_EQ(outcomes, (std::set<uint8_t>{1, 2}));
}

TEST(SimDisk, InjectedFaultHitsTheChosenOperation) {
  SimDisk disk(1);
  auto file = durable_file(disk, "/a", 512, 1);
  disk.inject({.pattern = "/a", .operation = DiskOperation::kWrite, .skip = 1, .times = 1});
  EXPECT_TRUE(file->write_at(0, filled(10, 1)));
  const auto failed = file->write_at(0, filled(10, 1));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kIo);
  EXPECT_TRUE(file->write_at(0, filled(10, 1)));
  disk.inject({.pattern = "*", .operation = DiskOperation::kRead});
  std::vector<uint8_t> bytes(10);
  EXPECT_FALSE(file->read_at(0, bytes));
  EXPECT_TRUE(file->read_at(0, bytes));
}

TEST(SimDisk, FullDiskRefusesGrowthAndRecoversByRemoval) {
  SimDisk disk(1);
  disk.set_size_limit(64 * 1024);
  auto file = disk.open("/a", kCreate).value();
  EXPECT_TRUE(file->allocate(60 * 1024));
  EXPECT_EQ(disk.free_bytes("/").value(), 4u * 1024);
  EXPECT_EQ(disk.total_bytes("/").value(), 64u * 1024);
  EXPECT_EQ(file->size().value(), 0u);
  auto other = disk.open("/b", kCreate).value();
  const auto failed = other->write_at(0, filled(8 * 1024, 1));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kNoSpace);
  EXPECT_TRUE(file->write_at(0, filled(60 * 1024, 1)));  // preallocated
  ASSERT_TRUE(disk.remove("/a"));
  EXPECT_FALSE(other->write_at(0, filled(8 * 1024, 1)));  // still open
  file.reset();
  EXPECT_TRUE(other->write_at(0, filled(8 * 1024, 1)));
}

TEST(SimDisk, CutAtEveryWriteOfAReplacementKeepsOneOfTheTwoVersions) {
  // The classic: write aside, sync, rename, sync the directory. Right at every cut and every seed.
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    for (uint64_t n = 1; n <= 5; ++n) {
      SimDisk disk(seed);
      durable_file(disk, "/m", 3000, 1);
      disk.cut_at_write(n);
      bool done = false;
      if (auto file = disk.open("/m.new", kCreate)) {
        done =
            (*file)->write_at(0, filled(3000, 2)) && (*file)->sync() && disk.rename("/m.new", "/m") && disk.sync_directory("/");
      }
      EXPECT_TRUE(disk.dead());
      EXPECT_FALSE(done);
      EXPECT_FALSE(disk.exists("/m"));
      disk.cut_power();
      EXPECT_FALSE(disk.dead());
      const auto bytes = disk.contents("/m");
      EXPECT_TRUE(bytes == filled(3000, 1) || bytes == filled(3000, 2)) << "seed " << seed << " n " << n;
    }
  }
}

TEST(SimDisk, LockBelongsToALife) {
  SimDisk disk(1);
  auto lock = disk.lock("/lock");
  ASSERT_TRUE(lock);
  EXPECT_FALSE(disk.lock("/lock"));
  disk.kill_process();
  auto next = disk.lock("/lock");
  EXPECT_TRUE(next);
  lock->reset();  // of the dead process: does not release the new one
  EXPECT_FALSE(disk.lock("/lock"));
  next->reset();
  EXPECT_TRUE(disk.lock("/lock"));
}

TEST(SimDisk, DirectFilesWantAlignment) {
  SimDisk disk(1);
  auto file = disk.open("/a", {.write = true, .create = true, .direct = true}).value();
  Buffer buffer = Buffer::allocate(8192);
  std::fill_n(buffer.data(), 8192, uint8_t{1});
  EXPECT_TRUE(file->write_at(4096, Bytes(buffer.data(), 4096)));
  EXPECT_FALSE(file->write_at(100, Bytes(buffer.data(), 4096)));
  EXPECT_FALSE(file->write_at(0, Bytes(buffer.data(), 100)));
  EXPECT_FALSE(file->write_at(0, Bytes(buffer.data() + 1, 4096)));
}

struct WriterScene {
  explicit WriterScene(uint64_t seed) : world(seed) {
    file = durable_file(world.disk(), "/wal", 16'384, 0);
    writer = world.files().durable_writer("/wal", world.loop(), true).value();
    buffer = Buffer::allocate(8192);
    std::fill_n(buffer.data(), 8192, uint8_t{7});
    piece = {buffer.data(), 8192};
  }
  ManualLoop world;
  std::unique_ptr<runtime::File> file;
  std::unique_ptr<runtime::DurableWriter> writer;
  Buffer buffer;
  iovec piece;
};

TEST(SimDisk, CompletedDurableWriteSurvives) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    WriterScene scene(seed);
    bool done = false;
    scene.writer->write(4096, {&scene.piece, 1}, [&](Result<void> result) { done = result.has_value(); });
    EXPECT_FALSE(done);  // never inline
    scene.world.run();
    ASSERT_TRUE(done);
    scene.world.disk().cut_power();
    const auto bytes = scene.world.disk().contents("/wal");
    EXPECT_EQ(std::count(bytes.begin(), bytes.end(), 7), 8192);
    EXPECT_EQ(bytes[4096], 7);
  }
}

TEST(SimDisk, DurableWriteInFlightIsTornAnyhow) {
  std::set<int64_t> survived;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    WriterScene scene(seed);
    scene.writer->write(4096, {&scene.piece, 1}, [&](Result<void>) { FAIL(); });
    scene.world.disk().cut_power();
    const auto bytes = scene.world.disk().contents("/wal");
    survived.insert(std::count(bytes.begin(), bytes.end(), 7) / 512);
  }
  EXPECT_TRUE(survived.contains(0) && survived.contains(16));
  EXPECT_GT(survived.size(), 10u);
}

TEST(SimDisk, WriterOfTheOperatingSystemsCacheIsNotDurable) {
  std::set<uint8_t> outcomes;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    WriterScene scene(seed);
    auto cached = scene.world.files().durable_writer("/wal", scene.world.loop(), false).value();
    bool done = false;
    cached->write(0, {&scene.piece, 1}, [&](Result<void> result) { done = result.has_value(); });
    scene.world.run();
    ASSERT_TRUE(done);
    EXPECT_EQ(scene.world.disk().contents("/wal")[0], 7);
    scene.world.disk().cut_power();
    outcomes.insert(scene.world.disk().contents("/wal")[0]);
  }
  EXPECT_EQ(outcomes, (std::set<uint8_t>{0, 7}));
}

TEST(SimDisk, DestroyedWriterDoesNotCallBackAndItsWriteLandsLater) {
  WriterScene scene(1);
  scene.writer->write(0, {&scene.piece, 1}, [&](Result<void>) { FAIL(); });
  scene.writer.reset();
  EXPECT_EQ(scene.world.disk().contents("/wal")[0], 0);
  scene.world.run();
  EXPECT_EQ(scene.world.disk().contents("/wal")[0], 7);
}

TEST(SimDisk, DurableWriteFailsByInjectionAndWhenFull) {
  WriterScene scene(1);
  SimDisk& disk = scene.world.disk();
  std::vector<ErrorCode> codes;
  const auto note = [&](Result<void> result) { codes.push_back(result ? ErrorCode::kInvalid : result.error().code); };
  disk.inject({.pattern = "/wal", .operation = DiskOperation::kDurableWriteEnd});
  scene.writer->write(0, {&scene.piece, 1}, note);
  scene.world.run();
  disk.set_size_limit(16'384);
  scene.writer->write(16'384, {&scene.piece, 1}, note);
  scene.world.run();
  scene.writer->write(0, {&scene.piece, 1}, note);
  scene.world.run();
  EXPECT_EQ(codes, (std::vector{ErrorCode::kIo, ErrorCode::kNoSpace, ErrorCode::kInvalid}));
}

TEST(SimDisk, DamageHelpersReachTheDevice) {
  SimDisk disk(1);
  durable_file(disk, "/a", 1000, 1);
  disk.flip_bits("/a", 10, 0x80);
  disk.truncate_raw("/a", 500);
  disk.cut_power();
  EXPECT_EQ(disk.contents("/a").size(), 500u);
  EXPECT_EQ(disk.contents("/a")[10], 0x81);
  EXPECT_EQ(disk.durable_contents("/a"), disk.contents("/a"));
}

TEST(SimDisk, ListAndRemoveAll) {
  SimDisk disk(1);
  ASSERT_TRUE(disk.create_directories("/d/sub"));
  ASSERT_TRUE(disk.open("/d/b", kCreate).value()->write_at(0, filled(5, 1)));
  ASSERT_TRUE(disk.open("/d/a", kCreate));
  const auto entries = disk.list("/d").value();
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries[0].name, "a");
  EXPECT_EQ(entries[1].size, 5u);
  EXPECT_TRUE(entries[2].is_directory);
  EXPECT_FALSE(disk.remove("/d"));
  EXPECT_TRUE(disk.remove_all("/d"));
  EXPECT_TRUE(disk.remove_all("/d"));
  EXPECT_FALSE(disk.exists("/d").value());
  EXPECT_EQ(disk.open("/d/a", kWrite).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(disk.open("/d/a", kCreate).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace weir::testing
