// open() notices damage that SQLite passes over in silence. The remains of a power cut are no cause for alarm.
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

constexpr const char* kSchema =
    "CREATE TABLE numbers (number INTEGER PRIMARY KEY, text TEXT, UNIQUE (text));"
    "CREATE TABLE hashed (key BLOB PRIMARY KEY, value BLOB, hash INTEGER NOT NULL AS (row_hash('hashed', key, value)) STORED)"
    " WITHOUT ROWID;";

class DatabaseTest : public ::testing::Test {
 protected:
  DatabaseTest() {
    EXPECT_TRUE(disk_.create_directories("/db"));
    EXPECT_TRUE(disk_.sync_directory("/"));
  }

  Result<void> open() {
    database_.reset();
    auto opened = Database::open(disk_, kPath, {.schema = kSchema});
    if (!opened) return std::unexpected(opened.error());
    database_ = std::move(*opened);
    return database_->adopt();
  }
  ErrorCode refusal() {
    const auto opened = open();
    EXPECT_FALSE(opened) << "opened";
    return opened ? ErrorCode::kUnknown : opened.error().code;
  }
  Result<void> add(int64_t number) {
    if (auto begun = database_->begin(); !begun) return begun;
    auto put = database_->prepare("INSERT INTO numbers VALUES (?1, 'number ' || ?1)");
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
  Result<void> change(const char* sql) {
    if (auto begun = database_->begin(); !begun) return begun;
    if (auto done = database_->execute(sql); !done) return done;
    return database_->commit();
  }
  std::string rows() {
    std::string all;
    for (const char* sql : {"SELECT number, text FROM numbers ORDER BY number", "SELECT key, value FROM hashed ORDER BY key"}) {
      auto statement = database_->prepare(sql);
      EXPECT_TRUE(statement);
      while (statement && statement->step().value_or(false)) {
        all += std::to_string(statement->integer(0));
        for (int i = 0; i < 2; ++i) all += "|" + std::string(as_string(statement->blob(i)));
      }
    }
    return all;
  }
  // Adds transactions to those that are there.
  void killed_with_more() {
    ASSERT_TRUE(open());
    ASSERT_TRUE(add(100));
    die(Death::kKill);
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

// Here every transaction has the same number of frames, of 24 bytes and a page each.
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

// With a flipped byte open() finds the committed rows, or refuses and changes nothing. (tests/simulation has all databases of a
// broker.)
TEST_F(DatabaseTest, ADamagedByteIsNoticedOrDoesNotMatter) {
  ASSERT_TRUE(open());
  ASSERT_TRUE(change("INSERT INTO hashed SELECT zeroblob(number * 40), 'value' FROM numbers"));
  for (int64_t i = 0; i < 40; ++i) ASSERT_TRUE(add(i));
  ASSERT_TRUE(change("INSERT INTO hashed SELECT CAST(text AS BLOB), zeroblob(number * 200) FROM numbers"));
  ASSERT_TRUE(change("DELETE FROM hashed WHERE length(value) > 4000"));  // free pages
  const std::string sound = rows();
  database_.reset();
  const std::vector<uint8_t> file = disk_.contents(kPath);
  uint64_t starts = 0, refused = 0;
  for (uint64_t at = 0; at < file.size() && !HasFailure(); at += at < 100 ? 1 : 53) {
    ++starts;
    SCOPED_TRACE(::testing::Message() << "byte " << at);
    const auto mask = static_cast<uint8_t>(1 << (at % 8));
    disk_.flip_bits(kPath, at, mask);
    if (auto opened = open()) {
      EXPECT_EQ(rows(), sound);
      database_.reset();
      disk_.overwrite_raw(kPath, 0, file);
    } else {
      EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt) << opened.error().message;
      ++refused;
      disk_.flip_bits(kPath, at, mask);
      ASSERT_EQ(disk_.contents(kPath), file) << "a refusal changes nothing";
    }
  }
  EXPECT_GT(refused, starts / 8);
  ASSERT_TRUE(open());
  EXPECT_EQ(rows(), sound);
}

TEST_F(DatabaseTest, ADamagedRowIsNamed) {
  ASSERT_TRUE(open());
  ASSERT_TRUE(change("INSERT INTO hashed VALUES (CAST('/topics/orders' AS BLOB), CAST('a value' AS BLOB))"));
  database_.reset();
  const std::vector<uint8_t> file = disk_.contents(kPath);
  const std::string text(file.begin(), file.end());
  disk_.flip_bits(kPath, text.find("a value") + 2, 4);
  const auto opened = open();
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find("/db/some.db is damaged"), std::string::npos) << opened.error().message;
  EXPECT_NE(opened.error().message.find("table hashed (key /topics/orders)"), std::string::npos) << opened.error().message;
}

// Each of the two files is sound.
TEST_F(DatabaseTest, ADatabaseOfAnotherTimeThanItsLogIsNoticed) {
  ASSERT_TRUE(open());
  ASSERT_TRUE(add(1));
  ASSERT_TRUE(change("INSERT INTO hashed VALUES (x'01', x'02')"));
  database_.reset();
  const std::vector<uint8_t> early = disk_.contents(kPath);
  ASSERT_TRUE(open());
  ASSERT_TRUE(change("INSERT INTO hashed VALUES (x'02', x'02')"));
  database_.reset();
  const std::vector<uint8_t> late = disk_.contents(kPath);
  killed_with_more();
  disk_.overwrite_raw(kPath, 0, early);
  EXPECT_EQ(refusal(), ErrorCode::kCorrupt);
  EXPECT_EQ(disk_.contents(kPath), early);
  disk_.overwrite_raw(kPath, 0, late);
  ASSERT_TRUE(open());
  EXPECT_EQ(count(), 2);
}

TEST_F(DatabaseTest, AnEmptiedDatabaseBesideALogIsRefusedAndTheLogStays) {
  killed_with(3);
  const std::vector<uint8_t> file = disk_.contents(kPath);
  const std::vector<uint8_t> log = disk_.contents(kLog);
  for (const uint64_t length : {0, 100, 4096}) {
    disk_.truncate_raw(kPath, length);
    EXPECT_EQ(refusal(), ErrorCode::kCorrupt) << length;
    EXPECT_EQ(disk_.contents(kLog), log);
    disk_.overwrite_raw(kPath, 0, file);
  }
  ASSERT_TRUE(open());
  EXPECT_EQ(count(), 3);
}

TEST_F(DatabaseTest, TheRevisionGrowsWithChangesOnly) {
  ASSERT_TRUE(open());
  const int64_t first = database_->revision();
  ASSERT_TRUE(add(1));
  EXPECT_EQ(database_->revision(), first + 1);
  EXPECT_FALSE(add(1)) << "it is there";
  ASSERT_TRUE(change("DELETE FROM numbers WHERE number = 2"));
  ASSERT_TRUE(database_->begin());
  ASSERT_TRUE(database_->execute("DELETE FROM numbers"));
  database_->rollback();
  ASSERT_TRUE(database_->note(17));
  EXPECT_EQ(database_->revision(), first + 1);
  ASSERT_TRUE(change("INSERT OR REPLACE INTO numbers VALUES (1, 'one'), (3, 'three')"));
  ASSERT_TRUE(change("DELETE FROM numbers"));
  ASSERT_TRUE(open());
  EXPECT_EQ(database_->revision(), first + 3);
  EXPECT_EQ(database_->noted(), 17);
}

// Each life adds numbers until the disk ends it. Syncs fail now and then.
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
  EXPECT_GT(added, 500);
  set_log_level(LogLevel::kInfo);
}

}  // namespace
}  // namespace weir::storage
