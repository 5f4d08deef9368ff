// The other database's note shows that a database went back. Nothing that a power cut leaves looks like that.
#include "storage/sqlite/noted_database.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "base/log.h"
#include "testing/seeded_random.h"
#include "testing/sim_disk.h"

namespace weir::storage {
namespace {

using weir::testing::Death;
using weir::testing::SeededRandom;
using weir::testing::SimDisk;

class Numbers final : public NotedDatabase {
 public:
  static Result<std::unique_ptr<Numbers>> open(SimDisk& disk, const std::string& path) {
    auto numbers = std::make_unique<Numbers>();
    if (auto done = numbers->open_file(disk, path, nullptr); !done) return std::unexpected(done.error());
    return numbers;
  }
  Numbers() : NotedDatabase({.schema = "CREATE TABLE numbers (number INTEGER PRIMARY KEY)", .select_format = "SELECT 1"}) {}
  Result<void> add(int64_t number) {
    {
      std::lock_guard lock(database_mutex_);
      if (auto begun = database_->begin(); !begun) return begun;
      if (auto done = database_->execute(("INSERT INTO numbers VALUES (" + std::to_string(number) + ")").c_str()); !done) {
        database_->rollback();
        return done;
      }
      if (auto done = database_->commit(); !done) return done;
    }
    announce();
    return {};
  }
  int64_t count() {
    auto statement = database_->prepare("SELECT count(*) FROM numbers");
    EXPECT_TRUE(statement && statement->step());
    return statement->integer(0);
  }

 private:
  Result<void> upgrade(int64_t) override { return {}; }
  Result<void> prepare() override { return {}; }
};

class NotedDatabaseTest : public ::testing::Test {
 protected:
  NotedDatabaseTest() {
    EXPECT_TRUE(disk_.create_directories("/db"));
    EXPECT_TRUE(disk_.sync_directory("/"));
  }
  Result<void> open() {
    for (size_t i = 0; i < 2; ++i) {
      all_[i].reset();
      auto opened = Numbers::open(disk_, path(i));
      if (!opened) return std::unexpected(opened.error());
      all_[i] = std::move(*opened);
    }
    return NotedDatabase::pair(*all_[0], *all_[1]);
  }
  void die(Death death) {
    disk_.end_life(death);
    for (auto& each : all_) each.reset();
  }
  static std::string path(size_t i) { return i == 0 ? "/db/first.db" : "/db/second.db"; }
  using Files = std::vector<std::pair<std::string, std::vector<uint8_t>>>;
  Files files() {
    Files all;
    for (const std::string& name : disk_.all_files()) all.emplace_back(name, disk_.contents(name));
    return all;
  }
  void put_back(const std::string& name, const std::vector<uint8_t>& contents) {
    disk_.truncate_raw(name, 0);
    disk_.overwrite_raw(name, 0, contents);
  }
  void expect_refusal(size_t of) {
    const Files before = files();
    for (int start = 0; start < 2; ++start) {
      const auto opened = open();
      ASSERT_FALSE(opened);
      EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt);
      EXPECT_TRUE(opened.error().message.starts_with(path(of) + " went back")) << opened.error().message;
      for (auto& each : all_) each.reset();
      EXPECT_EQ(files(), before);
    }
  }

  SimDisk disk_{1};
  std::array<std::unique_ptr<Numbers>, 2> all_;
};

TEST_F(NotedDatabaseTest, ALogThatWasCutAnywhereIsNoticed) {
  for (size_t of = 0; of < 2; ++of) {
    ASSERT_TRUE(open());
    for (int64_t i = 0; i < 3; ++i) ASSERT_TRUE(all_[of]->add(i));
    die(Death::kKill);
    const std::string log = path(of) + "-wal";
    const std::vector<uint8_t> whole = disk_.contents(log);
    for (uint64_t length = whole.size() - 1; length > 100; length -= std::min<uint64_t>(length, 611)) {
      SCOPED_TRACE(length);
      disk_.truncate_raw(log, length);
      ASSERT_NO_FATAL_FAILURE(expect_refusal(of));
      put_back(log, whole);
    }
    disk_.flip_bits(log, whole.size() - 1, 1);
    ASSERT_NO_FATAL_FAILURE(expect_refusal(of));
    disk_.flip_bits(log, whole.size() - 1, 1);
    ASSERT_TRUE(open());
    EXPECT_EQ(all_[of]->count(), 3);
    die(Death::kKill);
  }
}

TEST_F(NotedDatabaseTest, AnOlderCopyIsNoticed) {
  for (size_t of = 0; of < 2; ++of) {
    ASSERT_TRUE(open());
    ASSERT_TRUE(all_[of]->add(1));
    for (auto& each : all_) each.reset();
    const std::vector<uint8_t> early = disk_.contents(path(of));
    ASSERT_TRUE(open());
    ASSERT_TRUE(all_[of]->add(2));
    for (auto& each : all_) each.reset();
    const std::vector<uint8_t> late = disk_.contents(path(of));
    put_back(path(of), early);
    ASSERT_NO_FATAL_FAILURE(expect_refusal(of));
    put_back(path(of), late);
    ASSERT_TRUE(open());
    EXPECT_EQ(all_[of]->count(), 2);
  }
}

// A note is a lower bound: one that did not become durable is no reason to refuse.
TEST_F(NotedDatabaseTest, ANoteThatFailsCostsNothing) {
  set_log_level(LogLevel::kError);
  ASSERT_TRUE(open());
  disk_.inject({.pattern = "/db/second.db*", .operation = weir::testing::DiskOperation::kWrite, .times = 1000});
  EXPECT_TRUE(all_[0]->add(1));
  disk_.clear_faults();
  die(Death::kKill);
  ASSERT_TRUE(open());
  EXPECT_EQ(all_[0]->count(), 1);
  ASSERT_TRUE(all_[0]->add(2));
  die(Death::kPowerCut);
  ASSERT_TRUE(open());
  EXPECT_EQ(all_[0]->count(), 2);
  set_log_level(LogLevel::kInfo);
}

TEST_F(NotedDatabaseTest, PowerCutsAndFailedSyncsAreNoCauseForAlarm) {
  set_log_level(LogLevel::kError);
  SeededRandom random(12);
  int64_t next = 0;
  std::array<int64_t, 2> added = {};
  for (uint64_t life = 1; life <= 1000 && !HasFailure(); ++life) {
    SCOPED_TRACE(::testing::Message() << "life " << life);
    disk_.cut_at_write(random.next() % 60);
    disk_.fail_next_sync(0);
    const auto opened = open();
    if (!opened) {
      ASSERT_TRUE(disk_.dead()) << opened.error().message;
    } else {
      for (size_t i = 0; i < 2 && !disk_.dead(); ++i) {
        ASSERT_GE(all_[i]->count(), added[i]);
        added[i] = all_[i]->count();
      }
      if (random.next() % 3 == 0) disk_.fail_next_sync(1 + random.next() % 6);
      for (uint64_t i = random.next() % 12; i > 0 && !disk_.dead(); --i) {
        const size_t which = random.next() % 2;
        if (all_[which]->add(next++)) ++added[which];
      }
      if (random.next() % 4 == 0) {
        for (auto& each : all_) each.reset();  // an orderly end, unless the disk dies meanwhile
      }
    }
    die(random.next() % 2 ? Death::kPowerCut : Death::kKill);
  }
  EXPECT_GT(added[0] + added[1], 500);
  set_log_level(LogLevel::kInfo);
}

}  // namespace
}  // namespace weir::storage
