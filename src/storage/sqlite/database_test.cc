// What SQLite would pass over in silence is noticed at open; what a power cut leaves is no cause for alarm.
#include "storage/sqlite/database.h"

#include <gtest/gtest.h>

#include <memory>
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

constexpr const char* kPath = "/db/some.db";
constexpr const char* kLog = "/db/some.db-wal";
constexpr const char* kMark = "/db/some.db-wal-in-use";

class DatabaseTest : public ::testing::Test {
 protected:
  DatabaseTest() {
    EXPECT_TRUE(disk_.create_directories("/db"));
    EXPECT_TRUE(disk_.sync_directory("/"));
  }

  Result<void> open() {
    database_.reset();
    auto opened = Database::open(disk_, kPath, {.schema = "CREATE TABLE numbers (number INTEGER PRIMARY KEY)"});
    if (!opened) return std::unexpected(opened.error());
    database_ = std::move(*opened);
    return {};
  }
  ErrorCode refusal() {
    const auto opened = open();
    EXPECT_FALSE(opened) << "opened";
    return opened ? ErrorCode::kUnknown : opened.error().code;
  }
  Result<void> add(int64_t number) {
    if (auto begun = database_->begin(); !begun) return begun;
    auto put = database_->prepare("INSERT INTO numbers VALUES (?1)");
    if (!put) return std::unexpected(put.error());
    if (auto done = put->bind(1, number).run(); !done) {
      database_->rollback();
      return done;
    }
    return database_->commit();
  }
  int64_t count() {
    auto statement = database_->prepare("SELECT count(*) FROM numbers");
    EXPECT_TRUE(statement && statement->step());
    return statement->integer(0);
  }
  void die(Death death) {
    disk_.end_life(death);
    database_.reset();
  }
  // Killed with `count` transactions in the write-ahead log.
  void killed_with(int64_t count) {
    ASSERT_TRUE(open());
    for (int64_t i = 0; i < count; ++i) ASSERT_TRUE(add(i));
    die(Death::kKill);
    ASSERT_TRUE(disk_.has(kMark));
  }

  SimDisk disk_{1};
  std::unique_ptr<Database> database_;
};

TEST_F(DatabaseTest, ClosedItHasAnEmptyLogAndNoMark) {
  ASSERT_TRUE(open());
  EXPECT_FALSE(disk_.has(kMark)) << "nothing is in the log yet";
  ASSERT_TRUE(add(1));
  EXPECT_TRUE(disk_.has_durable(kMark));
  database_.reset();
  EXPECT_FALSE(disk_.has(kMark));
  EXPECT_TRUE(disk_.contents(kLog).empty()) << "its reserved blocks stay, its contents do not";
  ASSERT_TRUE(open());
  EXPECT_EQ(count(), 1);
}

TEST_F(DatabaseTest, EveryDamagedByteOfTheLogsHeaderIsNoticed) {
  killed_with(3);
  for (uint64_t at = 0; at < 32; ++at) {
    disk_.flip_bits(kLog, at, 0x20);
    EXPECT_EQ(refusal(), ErrorCode::kCorrupt) << at;
    disk_.flip_bits(kLog, at, 0x20);
  }
  ASSERT_TRUE(open());
  EXPECT_EQ(count(), 3);
}

TEST_F(DatabaseTest, AMissingOrEmptyLogIsNoticed) {
  killed_with(3);
  const std::vector<uint8_t> log = disk_.contents(kLog);
  disk_.overwrite_raw(kLog, 0, std::vector<uint8_t>(log.size(), 0));
  EXPECT_EQ(refusal(), ErrorCode::kCorrupt);
  disk_.truncate_raw(kLog, 0);
  EXPECT_EQ(refusal(), ErrorCode::kCorrupt);
  ASSERT_TRUE(disk_.remove(kLog));
  EXPECT_EQ(refusal(), ErrorCode::kCorrupt);
  EXPECT_EQ(refusal(), ErrorCode::kCorrupt) << "at every start";
  // The operator knows that another program has emptied it.
  ASSERT_TRUE(disk_.remove(kMark));
  ASSERT_TRUE(open());
}

TEST_F(DatabaseTest, AMissingDatabaseBesideALogInUseIsNotMadeAnew) {
  killed_with(3);
  ASSERT_TRUE(disk_.remove(kPath));
  EXPECT_EQ(refusal(), ErrorCode::kCorrupt);
  EXPECT_FALSE(disk_.has(kPath));
}

// A transaction is a frame of 24 bytes and a page here.
TEST_F(DatabaseTest, ADamagedTransactionInFrontOfAnotherIsNoticed) {
  killed_with(5);
  const uint64_t frame = (disk_.contents(kLog).size() - 32) / 5;
  SeededRandom random(7);
  for (uint64_t number = 0; number < 3; ++number) {
    for (int i = 0; i < 50; ++i) {
      const uint64_t at = 32 + number * frame + random.next() % frame;
      disk_.flip_bits(kLog, at, 1);
      EXPECT_EQ(refusal(), ErrorCode::kCorrupt) << at;
      disk_.flip_bits(kLog, at, 1);
    }
  }
  ASSERT_TRUE(open());
  EXPECT_EQ(count(), 5);
}

// The end of the log looks the same whether the last transaction was damaged or never completed.
TEST_F(DatabaseTest, TheLastTransactionMayBeTorn) {
  killed_with(5);
  disk_.flip_bits(kLog, disk_.contents(kLog).size() - 100, 1);
  ASSERT_TRUE(open());
  EXPECT_EQ(count(), 4);
}

// One life: numbers are added until the disk ends it, syncs fail now and then.
TEST_F(DatabaseTest, PowerCutsAndFailedSyncsAreNoCauseForAlarm) {
  set_log_level(LogLevel::kError);
  SeededRandom random(11);
  int64_t next = 0;
  int64_t added = 0;  // acknowledged
  for (uint64_t life = 1; life <= 1500 && !HasFailure(); ++life) {
    SCOPED_TRACE(::testing::Message() << "life " << life);
    disk_.cut_at_write(random.next() % 40);
    disk_.fail_next_sync(0);
    const auto opened = open();
    if (!opened) {
      ASSERT_TRUE(disk_.dead()) << opened.error().message;
    } else {
      if (!disk_.dead()) {
        ASSERT_GE(count(), added);
        added = count();
      }
      if (random.next() % 3 == 0) disk_.fail_next_sync(1 + random.next() % 4);
      for (uint64_t i = random.next() % 12; i > 0 && !disk_.dead(); --i) {
        if (add(next++)) ++added;
      }
      if (random.next() % 4 == 0) database_.reset();  // an orderly end, unless the disk dies meanwhile
    }
    die(random.next() % 2 ? Death::kPowerCut : Death::kKill);
  }
  EXPECT_GT(added, 1000);
  set_log_level(LogLevel::kInfo);
}

}  // namespace
}  // namespace weir::storage
