#include "storage/segment/manifest_database.h"

#include <gtest/gtest.h>

#include "storage/segment/manifest_codec.h"
#include "storage/sqlite/raw_sql_fixture.h"
#include "testing/sim_disk.h"

namespace weir::storage {
namespace {

TEST(ManifestCodecTest, EpochsAndProducersComeBack) {
  const std::vector<EpochStart> epochs = {{0, 0}, {3, 17}, {INT32_MAX, INT64_MAX}};
  EXPECT_EQ(*decode_epochs(encode_epochs(epochs)), epochs);
  EXPECT_EQ(*decode_epochs({}), std::vector<EpochStart>{});
  ProducerEntry entry{5, 7, 9, 11, 13, {}};
  for (int32_t i = 0; i < 5; ++i) {
    EXPECT_EQ(*decode_producer(5, encode_producer(entry)), entry);
    entry.batches.push_back({i, INT32_MAX - i, INT64_MAX - i, i, -1});
  }
  EXPECT_EQ(*decode_producer(5, encode_producer(entry)), entry);
}

TEST(ManifestCodecTest, AProducersBatchBeginsAtAnOffset) {
  EXPECT_TRUE(decode_producer(5, encode_producer({5, 7, 9, 11, 13, {{1, 2, 4, 4, 5}}})));
  EXPECT_FALSE(decode_producer(5, encode_producer({5, 7, 9, 11, 13, {{1, 2, 3, 4, 5}}})));
  EXPECT_FALSE(decode_producer(5, encode_producer({5, 7, 9, 11, 13, {{1, 2, INT64_MAX, -1, 5}}})));
  EXPECT_FALSE(decode_producer(5, encode_producer({5, 7, 9, 11, 13, {{1, 2, INT64_MIN, 1, 5}}})));
}

TEST(ManifestCodecTest, OtherLengthsAreCorruption) {
  const auto epochs = encode_epochs({{0, 0}, {3, 17}});
  const auto entry = encode_producer({5, 7, 9, 11, 13, {{1, 2, 4, 3, 5}}});
  for (size_t length = 0; length < epochs.size(); ++length) {
    EXPECT_EQ(decode_epochs(Bytes(epochs).first(length)).has_value(), length % 12 == 0);
  }
  for (size_t length = 0; length < entry.size(); ++length) {
    EXPECT_FALSE(decode_producer(5, Bytes(entry).first(length)));
  }
  auto too_many = entry;
  too_many[22] = 6;
  too_many.resize(23 + 6 * 28);
  EXPECT_FALSE(decode_producer(5, too_many));
}

class ManifestDatabaseTest : public ::testing::Test {
 protected:
  // Makes the store's tables, runs `sql` on them, and returns the outcome of a load.
  ErrorCode load_after(const std::string& sql) {
    weir::testing::SimDisk disk(1);
    EXPECT_TRUE(ManifestDatabase::open(disk, "/manifest.db", nullptr));
    {
      auto database = Database::open(disk, "/manifest.db", {});
      EXPECT_TRUE(database);
      EXPECT_TRUE((*database)->begin());
      auto done = (*database)->execute(sql.c_str());
      EXPECT_TRUE(done) << done.error().message;
      EXPECT_TRUE((*database)->commit());
    }
    auto manifests = ManifestDatabase::open(disk, "/manifest.db", nullptr);
    if (!manifests) return manifests.error().code;
    auto loaded = (*manifests)->load();
    return loaded ? ErrorCode::kExists : loaded.error().code;
  }
  static constexpr const char* kSound =
      "INSERT INTO partitions VALUES (1, zeroblob(16), 0, 0, 9, zeroblob(12), 5, 2);"
      "INSERT INTO segments VALUES (1, 0, 5, 100, 1, 1, 1, 2, 0, 1, 1, 0, 0), (1, 5, 9, 100, 1, 1, 1, 0, 0, 1, 1, 0, 0);";
};

TEST_F(ManifestDatabaseTest, RowsThatContradictEachOtherAreNotLoaded) {
  const std::string sound = kSound;
  EXPECT_EQ(load_after(sound), ErrorCode::kExists);
  for (const char* damage :
       {"UPDATE partitions SET end_offset = 8", "UPDATE partitions SET end_offset = -1",
        "UPDATE partitions SET topic = zeroblob(15)", "UPDATE partitions SET epochs = zeroblob(13)",
        "UPDATE partitions SET log_start_offset = -1", "UPDATE segments SET next_offset = 6 WHERE base_offset = 0",
        "UPDATE segments SET next_offset = 0 WHERE base_offset = 0", "UPDATE segments SET length = 60 WHERE base_offset = 0",
        "UPDATE segments SET length = -1 WHERE base_offset = 0", "UPDATE segments SET partition_id = 2",
        "UPDATE partitions SET first_dirty_offset = 10", "UPDATE partitions SET first_dirty_offset = -1",
        "UPDATE partitions SET generation = 1", "UPDATE partitions SET generation = 4294967296",
        "UPDATE segments SET generation = -1 WHERE base_offset = 5", "DELETE FROM partitions",
        "INSERT INTO producers VALUES (1, 1, zeroblob(3))", "INSERT INTO producers VALUES (2, 1, zeroblob(23))"}) {
    EXPECT_EQ(load_after(sound + damage), ErrorCode::kCorrupt) << damage;
  }
  EXPECT_EQ(load_after("UPDATE format SET version = 9"), ErrorCode::kUnsupported);
}

TEST(ManifestMigrationTest, ADatabaseOfFormat1IsTakenOver) {
  weir::testing::SimDisk disk(1);
  constexpr const char* kFormat1 =
      "CREATE TABLE format (version INTEGER NOT NULL);"
      "INSERT INTO format VALUES (1);"
      "CREATE TABLE partitions (id INTEGER PRIMARY KEY, topic BLOB NOT NULL, partition INTEGER NOT NULL,"
      " log_start_offset INTEGER NOT NULL, end_offset INTEGER NOT NULL, epochs BLOB NOT NULL, UNIQUE (topic, "
      "partition));"
      "CREATE TABLE segments (partition_id INTEGER NOT NULL, base_offset INTEGER NOT NULL, next_offset "
      "INTEGER "
      "NOT NULL, length INTEGER NOT NULL, max_timestamp INTEGER NOT NULL, first_timestamp INTEGER NOT NULL, "
      "created_ms INTEGER NOT NULL, PRIMARY KEY (partition_id, base_offset)) WITHOUT ROWID;"
      "CREATE TABLE producers (partition_id INTEGER NOT NULL, producer_id INTEGER NOT NULL, entry BLOB NOT "
      "NULL,"
      " PRIMARY KEY (partition_id, producer_id)) WITHOUT ROWID;"
      "CREATE TABLE wal_sessions (shard INTEGER NOT NULL, incarnation INTEGER NOT NULL, first_chunk INTEGER "
      "NOT NULL,"
      " last_chunk INTEGER NOT NULL, sealed INTEGER NOT NULL, PRIMARY KEY (shard, incarnation)) WITHOUT "
      "ROWID;"
      "INSERT INTO partitions VALUES (1, zeroblob(16), 0, 0, 9, zeroblob(12));"
      "INSERT INTO segments VALUES (1, 0, 5, 100, 1, 1, 1), (1, 5, 9, 100, 1, 1, 1);";
  run_sql(disk, "/manifest.db", kFormat1);
  for (int start = 0; start < 2; ++start) {
    auto manifests = ManifestDatabase::open(disk, "/manifest.db", nullptr);
    ASSERT_TRUE(manifests) << manifests.error().message;
    auto loaded = (*manifests)->load();
    ASSERT_TRUE(loaded) << loaded.error().message;
    ASSERT_EQ(loaded->size(), 1u);
    EXPECT_EQ((*loaded)[0].generation, 0u);
    EXPECT_EQ((*loaded)[0].partition.manifest.segments.size(), 2u);
    EXPECT_EQ((*loaded)[0].partition.manifest.first_dirty_offset, 0);
    // Format 3: the files of the write-ahead log.
    ASSERT_EQ((*manifests)->wal_files()->size(), static_cast<size_t>(start));
    ASSERT_TRUE((*manifests)->note_wal_file({0, ~0ull}));
    ASSERT_TRUE((*manifests)->note_wal_file({0, ~0ull}));  // whether the first try had an effect may be unknown
    EXPECT_EQ(*(*manifests)->wal_files(), (std::vector<WalFile>{{0, ~0ull}}));
    // Format 5: whether times are known.
    EXPECT_FALSE((*loaded)[0].partition.manifest.segments[0].times_known);
    // Format 4: several log directories.
    EXPECT_EQ((*loaded)[0].partition.manifest.segments[0].directory, 0u);
    ASSERT_EQ((*manifests)->places()->size(), static_cast<size_t>(start));
    ASSERT_TRUE((*manifests)->put_places({{PartitionId{{}, 3}, PartitionPlace{1, 2}}}));
    EXPECT_EQ((*manifests)->places()->at(0).second, (PartitionPlace{1, 2}));
    ASSERT_EQ((*manifests)->directories()->size(), static_cast<size_t>(start));
    const ManifestDatabase::Directory directory{7, Uuid::from_random(1, 2), "/more"};
    ASSERT_TRUE((*manifests)->put_directories({&directory, 1}));
    EXPECT_EQ((*manifests)->directories()->at(0).id, directory.id);
    EXPECT_EQ((*manifests)->directories()->at(0).path, "/more");
  }
}

// Makes a database of an earlier version: runs `statements` on a new one.
void make_older(weir::testing::SimDisk& disk, const char* statements) {
  ASSERT_TRUE(ManifestDatabase::open(disk, "/manifest.db", nullptr));
  auto database = Database::open(disk, "/manifest.db", {});
  ASSERT_TRUE(database);
  ASSERT_TRUE((*database)->begin());
  auto done = (*database)->execute(statements);
  ASSERT_TRUE(done) << done.error().message;
  ASSERT_TRUE((*database)->keep_content());
  ASSERT_TRUE((*database)->commit());
}

// Tables as the version before transactions made them.
constexpr const char* kFormat6 =
    "DROP TABLE wal_guests;"
    "DROP TABLE segments;"
    "CREATE TABLE segments (partition_id INTEGER NOT NULL, base_offset INTEGER NOT NULL, next_offset INTEGER NOT NULL,"
    " length INTEGER NOT NULL, max_timestamp INTEGER NOT NULL, first_timestamp INTEGER NOT NULL, created_ms INTEGER NOT NULL,"
    " generation INTEGER NOT NULL DEFAULT 0, directory INTEGER NOT NULL DEFAULT 0, modified_ms INTEGER NOT NULL DEFAULT 0,"
    " times_known INTEGER NOT NULL DEFAULT 0,"
    " hash INTEGER NOT NULL AS (row_hash('segments', partition_id, base_offset, next_offset, length, max_timestamp,"
    " first_timestamp, created_ms, generation, directory, modified_ms, times_known)) STORED,"
    " PRIMARY KEY (partition_id, base_offset)) WITHOUT ROWID;"
    "INSERT INTO partitions VALUES (1, zeroblob(16), 0, 0, 9, zeroblob(12), 5, 2);"
    "INSERT INTO segments VALUES (1, 0, 5, 100, 2, 3, 4, 2, 0, 6, 1), (1, 5, 9, 100, 1, 1, 1, 0, 0, 1, 2);"
    "UPDATE format SET version = 6";

TEST(ManifestMigrationTest, ADatabaseOfFormat6IsTakenOver) {
  weir::testing::SimDisk disk(1);
  make_older(disk, kFormat6);
  for (int start = 0; start < 2; ++start) {
    auto manifests = ManifestDatabase::open(disk, "/manifest.db", nullptr);
    ASSERT_TRUE(manifests) << manifests.error().message;
    auto loaded = (*manifests)->load();
    ASSERT_TRUE(loaded) << loaded.error().message;
    ASSERT_EQ(loaded->size(), 1u);
    EXPECT_EQ((*loaded)[0].partition.manifest.segments,
              (std::vector<SegmentInfo>{{0, 5, 100, 2, 3, 4, 2, 0, 6, true, false}, {5, 9, 100, 1, 1, 1, 0, 0, 1, false, true}}));
  }
}

TEST(ManifestMigrationTest, ADatabaseOfFormat7IsTakenOver) {
  weir::testing::SimDisk disk(1);
  make_older(disk,
             "DROP TABLE wal_guests;"
             "INSERT INTO partitions VALUES (1, zeroblob(16), 0, 0, 9, zeroblob(12), 5, 2);"
             "UPDATE format SET version = 7");
  const WalGuest guest{1, {}};
  for (int start = 0; start < 2; ++start) {
    auto manifests = ManifestDatabase::open(disk, "/manifest.db", nullptr);
    ASSERT_TRUE(manifests) << manifests.error().message;
    EXPECT_EQ((*manifests)->load()->size(), 1u);
    EXPECT_EQ((*manifests)->wal_guests()->size(), start == 0 ? 0u : 1u);
    ASSERT_TRUE((*manifests)->put_wal({{1, 7, 1, 0, false}}, nullptr));
    ASSERT_TRUE((*manifests)->note_wal_guest(guest));
  }
}

// Takes the damaged rows for right and writes them, twice.
void mend(weir::testing::SimDisk& disk) {
  auto manifests = ManifestDatabase::open_damaged(disk, "/manifest.db", nullptr, nullptr);
  ASSERT_TRUE(manifests) << manifests.error().message;
  auto loaded = (*manifests)->load_damaged();
  ASSERT_TRUE(loaded);
  (*loaded)[0].fault.clear();
  ASSERT_TRUE((*manifests)->put_partitions(*loaded, nullptr, nullptr));
  ASSERT_TRUE((*manifests)->put_partitions(*loaded, nullptr, nullptr));
}

// Rows get new hashes when their table is made anew. Damaged rows must not look right then.
TEST(ManifestMigrationTest, DamageInADatabaseOfFormat6IsNotForgotten) {
  weir::testing::SimDisk disk(1);
  make_older(disk, kFormat6);
  run_sql(disk, "/manifest.db", "UPDATE segments SET next_offset = 4 WHERE base_offset = 0", HashFunction::kWrong);
  for (int attempt = 0; attempt < 2; ++attempt) {
    auto manifests = ManifestDatabase::open_damaged(disk, "/manifest.db", nullptr, nullptr);
    ASSERT_TRUE(manifests) << manifests.error().message;
    EXPECT_FALSE((*manifests)->distrusted().empty()) << attempt;
  }
  EXPECT_FALSE(ManifestDatabase::open(disk, "/manifest.db", nullptr));
  mend(disk);
  auto manifests = ManifestDatabase::open(disk, "/manifest.db", nullptr);
  EXPECT_TRUE(manifests) << manifests.error().message;
}

TEST(ManifestMigrationTest, DamageInADatabaseOfFormat6IsMendedAtOnce) {
  weir::testing::SimDisk disk(1);
  make_older(disk, kFormat6);
  run_sql(disk, "/manifest.db", "UPDATE segments SET next_offset = 4 WHERE base_offset = 0", HashFunction::kWrong);
  mend(disk);
  auto manifests = ManifestDatabase::open(disk, "/manifest.db", nullptr);
  EXPECT_TRUE(manifests) << manifests.error().message;
}

}  // namespace
}  // namespace weir::storage
