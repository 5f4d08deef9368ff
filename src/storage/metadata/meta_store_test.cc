// The contract of MetaStore, on every backend.
#include "storage/metadata/meta_store.h"

#include "storage/metadata/faulty_meta_store.h"
#include "storage/metadata/meta_store_fixture.h"
#include "storage/sqlite/raw_sql_fixture.h"

namespace weir::storage {
namespace {

using Kind = MetaOperation::Kind;

TEST_P(MetaStoreContract, KeysAreOrderedAndCarryRevisions) {
  const int64_t start = range().revision;
  EXPECT_EQ(transact(put("b", "1")).revision, start + 1);
  EXPECT_EQ(transact(put("a", "2")).revision, start + 2);
  EXPECT_EQ(transact(put("b", "3")).revision, start + 3);
  const MetaRange all = range();
  ASSERT_THAT(keys(all), ::testing::ElementsAre("a", "b"));
  EXPECT_EQ(all.revision, start + 3);
  EXPECT_EQ(all.entries[1].value, "3");
  EXPECT_EQ(all.entries[1].create_revision, start + 1);
  EXPECT_EQ(all.entries[1].mod_revision, start + 3);
}

TEST_P(MetaStoreContract, PrefixesIncludeHighBytesAndStopInTime) {
  transact({{},
            {{Kind::kPut, "a", ""},
             {Kind::kPut, "t/1", ""},
             {Kind::kPut, "t/\xff\xff", ""},
             {Kind::kPut, "t0", ""},
             {Kind::kPut, "\xff", ""},
             {Kind::kPut, "\xff\xff", ""}}});
  EXPECT_THAT(keys(range("t/")), ::testing::ElementsAre("t/1", "t/\xff\xff"));
  EXPECT_THAT(keys(range("\xff")), ::testing::ElementsAre("\xff", "\xff\xff"));
  EXPECT_EQ(range("").entries.size(), 6u);
  EXPECT_TRUE(transact({{}, {{Kind::kDeletePrefix, "t/", ""}}}).succeeded);
  EXPECT_THAT(keys(range("t")), ::testing::ElementsAre("t0"));
  EXPECT_TRUE(transact({{}, {{Kind::kDeletePrefix, "\xff", ""}}}).succeeded);
  EXPECT_THAT(keys(range()), ::testing::ElementsAre("a", "t0"));
}

TEST_P(MetaStoreContract, ComparesGuardEverything) {
  const int64_t created = transact(put("k", "v")).revision;
  // Each of these must hold for the put to happen.
  EXPECT_FALSE(transact({{{"k", 0, {}}}, {{Kind::kPut, "k", "x"}}}).succeeded);
  EXPECT_FALSE(transact({{{"k", created + 1, {}}}, {{Kind::kPut, "k", "x"}}}).succeeded);
  EXPECT_FALSE(transact({{{"k", {}, "w"}}, {{Kind::kPut, "k", "x"}}}).succeeded);
  EXPECT_FALSE(transact({{{"none", {}, ""}}, {{Kind::kPut, "k", "x"}}}).succeeded);
  EXPECT_FALSE(transact({{{"k", created, {}}, {"none", 5, {}}}, {{Kind::kPut, "k", "x"}}}).succeeded);
  EXPECT_EQ(range("k").entries[0].value, "v");
  EXPECT_EQ(range().revision, created);
  EXPECT_TRUE(
      transact({{{"k", created, {}}, {"none", 0, {}}, {"k", {}, "v"}}, {{Kind::kPut, "none", "y"}, {Kind::kDelete, "k", ""}}})
          .succeeded);
  EXPECT_THAT(keys(range()), ::testing::ElementsAre("none"));
}

TEST_P(MetaStoreContract, RevisionsGrowWithChangesOnly) {
  const int64_t start = transact(put("k", "v")).revision;
  EXPECT_EQ(transact({{}, {{Kind::kDelete, "none", ""}}}).revision, start);
  EXPECT_EQ(transact({{}, {}}).revision, start);
  const MetaOutcome deleted = transact({{}, {{Kind::kDelete, "k", ""}, {Kind::kPut, "l", ""}}});
  EXPECT_EQ(deleted.revision, start + 1);
  EXPECT_EQ(range("l").entries[0].create_revision, start + 1);
}

TEST_P(MetaStoreContract, LimitsAreThoseOfEtcd) {
  MetaTransaction large;
  for (size_t i = 0; i < MetaStore::kMaxOperations; ++i) {
    large.operations.push_back({Kind::kPut, "k" + std::to_string(i), ""});
    large.compares.push_back({"none", 0, {}});
  }
  EXPECT_TRUE(transact(large).succeeded);
  MetaTransaction operations = large, compares = large;
  operations.operations.push_back({Kind::kPut, "one more", ""});
  compares.compares.push_back({"none", 0, {}});
  for (MetaTransaction& wrong : std::vector<MetaTransaction>{operations,
                                                             compares,
                                                             put("k", std::string(2 << 20, 'x')),
                                                             put("", ""),
                                                             {{}, {{Kind::kPut, "a", "1"}, {Kind::kPut, "a", "2"}}},
                                                             {{}, {{Kind::kPut, "a", "1"}, {Kind::kDelete, "a", ""}}},
                                                             {{}, {{Kind::kDeletePrefix, "a", ""}, {Kind::kPut, "ab", "1"}}}}) {
    auto refused = store_->transact_blocking(wrong);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalid) << refused.error().message;
  }
  EXPECT_THAT(keys(range("one")), ::testing::IsEmpty());
}

TEST_P(MetaStoreContract, CallsCompleteInOrderAndSeeEachOther) {
  std::vector<std::string> answers;
  for (int i = 0; i < 5; ++i) {
    store_->transact(put("k" + std::to_string(i), "v"), world_.loop(), [&answers, i](Result<MetaOutcome> result) {
      ASSERT_TRUE(result && result->succeeded);
      answers.push_back("put " + std::to_string(i));
    });
    store_->range("k", world_.loop(), [&answers, i](Result<MetaRange> result) {
      ASSERT_TRUE(result);
      EXPECT_EQ(result->entries.size(), static_cast<size_t>(i + 1));
      answers.push_back("range " + std::to_string(i));
    });
  }
  EXPECT_TRUE(answers.empty());
  world_.run();
  EXPECT_THAT(answers, ::testing::ElementsAre("put 0", "range 0", "put 1", "range 1", "put 2", "range 2", "put 3", "range 3",
                                              "put 4", "range 4"));
}

INSTANTIATE_TEST_SUITE_P(Backends, MetaStoreContract, ::testing::ValuesIn(kMetaBackends), backend_name);

class SqliteMetaStoreTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(world_.files().create_directories("/data")); }
  std::unique_ptr<SqliteMetaStore> open() {
    auto opened = SqliteMetaStore::open(world_.files(), world_.pool(), {.path = "/data/meta.db"});
    EXPECT_TRUE(opened) << opened.error().message;
    return opened ? std::move(*opened) : nullptr;
  }
  weir::testing::ManualLoop world_;
};

TEST_F(SqliteMetaStoreTest, EntriesAndRevisionSurviveARestart) {
  auto store = open();
  const auto outcome = store->transact_blocking(put("k", "v"));
  ASSERT_TRUE(outcome);
  store.reset();
  store = open();
  const auto range = store->range_blocking("");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->revision, outcome->revision);
  ASSERT_EQ(range->entries.size(), 1u);
  EXPECT_EQ(range->entries[0].mod_revision, outcome->revision);
}

TEST_F(SqliteMetaStoreTest, TransactionsThatArriveTogetherShareOneSync) {
  auto store = open();
  ASSERT_TRUE(store->transact_blocking(put("first", "")));  // the log file's own creation
  const uint64_t before = store->syncs();
  ASSERT_TRUE(store->transact_blocking(put("alone", "")));
  EXPECT_EQ(store->syncs(), before + 1);
  int done = 0;
  for (int i = 0; i < 100; ++i) {
    store->transact(put("k" + std::to_string(i), "v"), world_.loop(),
                    [&](Result<MetaOutcome> result) { done += result && result->succeeded; });
  }
  world_.run();
  EXPECT_EQ(done, 100);
  EXPECT_EQ(store->syncs(), before + 2);
}

TEST_F(SqliteMetaStoreTest, AFailedCommitIsUndoneOrUnknown) {
  auto store = open();
  ASSERT_TRUE(store->transact_blocking(put("k", "1")));
  // The commit's sync fails, emptying the write-ahead log works: certainly not done.
  world_.disk().fail_next_sync(1);
  auto failed = store->transact_blocking(put("k", "2"));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kIo);
  EXPECT_EQ(store->range_blocking("k")->entries[0].value, "1");
  // Every sync fails: the outcome is unknown, and the store takes nothing until it is certain.
  world_.disk().inject({.pattern = "*meta.db*", .operation = weir::testing::DiskOperation::kSync, .times = 1000});
  auto unknown = store->transact_blocking(put("k", "3"));
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::kUnknown);
  EXPECT_FALSE(store->range_blocking("k"));
  world_.disk().clear_faults();
  EXPECT_EQ(store->range_blocking("k")->entries[0].value, "1");
  EXPECT_TRUE(store->transact_blocking(put("k", "4")));
  store.reset();
  EXPECT_EQ(open()->range_blocking("k")->entries[0].value, "4");
}

TEST_F(SqliteMetaStoreTest, ADamagedFileIsReported) {
  open().reset();
  const std::string text =
      "this is not a database at all, it is a text file of more than one hundred bytes, and SQLite should "
      "say so..........";
  world_.disk().overwrite_raw("/data/meta.db", 0, as_bytes(text));
  auto opened = SqliteMetaStore::open(world_.files(), world_.pool(), {.path = "/data/meta.db"});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt) << opened.error().message;
}

constexpr const char* kFormat1 =
    "CREATE TABLE store (id INTEGER PRIMARY KEY CHECK (id = 1), format INTEGER NOT NULL, revision INTEGER NOT NULL);"
    "INSERT INTO store VALUES (1, 1, 9);"
    "CREATE TABLE entries (key BLOB PRIMARY KEY, value BLOB NOT NULL, create_revision INTEGER NOT NULL,"
    " mod_revision INTEGER NOT NULL) WITHOUT ROWID;"
    "INSERT INTO entries VALUES (CAST('/a' AS BLOB), CAST('1' AS BLOB), 2, 7), (CAST('/b' AS BLOB), x'', 9, 9);";

TEST_F(SqliteMetaStoreTest, ADatabaseOfFormat1IsTakenOverAtEveryPowerCut) {
  for (uint64_t cut = 1;; ++cut) {
    weir::testing::ManualLoop world(cut);
    ASSERT_TRUE(world.files().create_directories("/data"));
    ASSERT_TRUE(world.files().sync_directory("/"));
    run_sql(world.files(), "/data/meta.db", kFormat1);
    ASSERT_TRUE(world.files().sync_file_system("/data"));
    ASSERT_TRUE(world.files().sync_directory("/data"));
    world.disk().cut_at_write(cut);
    (void)SqliteMetaStore::open(world.files(), world.pool(), {.path = "/data/meta.db"});
    const bool finished = !world.disk().dead();
    world.disk().cut_at_write(0);
    world.disk().cut_power();
    for (int start = 0; start < 2; ++start) {
      auto store = SqliteMetaStore::open(world.files(), world.pool(), {.path = "/data/meta.db"});
      ASSERT_TRUE(store) << "cut " << cut << ": " << store.error().message;
      auto range = (*store)->range_blocking("");
      ASSERT_TRUE(range);
      EXPECT_EQ(range->revision, 9 + start);
      ASSERT_EQ(range->entries.size(), 2u + static_cast<size_t>(start));
      EXPECT_EQ(range->entries[0].value, "1");
      EXPECT_EQ(range->entries[0].create_revision, 2);
      EXPECT_EQ(range->entries[0].mod_revision, 7);
      EXPECT_TRUE((*store)->transact_blocking(put("/c", "")));
    }
    if (finished) break;
  }
}

// Cuts the power at every write of a run of transactions. Afterwards every acknowledged transaction is there, and every other
// one is there as a whole or not at all.
TEST_F(SqliteMetaStoreTest, SurvivesAPowerCutAtEveryWrite) {
  for (uint64_t cut = 1;; ++cut) {
    weir::testing::ManualLoop world(cut);
    ASSERT_TRUE(world.files().create_directories("/data"));
    ASSERT_TRUE(world.files().sync_directory("/"));
    world.disk().cut_at_write(cut);
    int acknowledged = 0;
    auto opened = SqliteMetaStore::open(world.files(), world.pool(), {.path = "/data/meta.db"});
    for (int i = 0; opened && i < 12; ++i) {
      auto result = (*opened)->transact_blocking(
          {{}, {{Kind::kPut, "a", std::to_string(i)}, {Kind::kPut, "b", std::string(3000, 'x') + std::to_string(i)}}});
      if (!result) break;
      acknowledged = i + 1;
    }
    const bool finished = !world.disk().dead();
    opened = fail(ErrorCode::kClosed, "");
    world.disk().cut_at_write(0);
    world.disk().cut_power();
    auto again = SqliteMetaStore::open(world.files(), world.pool(), {.path = "/data/meta.db"});
    ASSERT_TRUE(again) << "cut " << cut << ": " << again.error().message;
    auto range = (*again)->range_blocking("");
    ASSERT_TRUE(range) << "cut " << cut << ": " << range.error().message;
    const int survived = range->entries.empty() ? 0 : std::stoi(range->entries[0].value) + 1;
    EXPECT_TRUE(survived == acknowledged || survived == acknowledged + 1)
        << "cut " << cut << ": " << survived << " of " << acknowledged;
    if (survived > 0) {
      ASSERT_EQ(range->entries.size(), 2u);
      EXPECT_EQ(range->entries[1].value, std::string(3000, 'x') + std::to_string(survived - 1));
    }
    EXPECT_TRUE((*again)->transact_blocking(put("after", "")));
    if (finished) break;
  }
}

TEST(FaultyMetaStoreTest, AnswersDoNotTellTheTruth) {
  weir::testing::ManualLoop world;
  MemoryMetaStore memory;
  FaultyMetaStore store(memory);
  using Fault = FaultyMetaStore::Fault;
  store.plan({Fault::kUnknownDone, Fault::kUnknownNotDone, Fault::kFailed});
  std::vector<ErrorCode> codes;
  for (const char* key : {"a", "b", "c", "d"}) {
    store.transact(put(key, ""), world.loop(),
                   [&](Result<MetaOutcome> result) { codes.push_back(result ? ErrorCode::kExists : result.error().code); });
  }
  world.run();
  EXPECT_THAT(codes, ::testing::ElementsAre(ErrorCode::kUnknown, ErrorCode::kUnknown, ErrorCode::kIo, ErrorCode::kExists));
  EXPECT_THAT(keys(*memory.range_blocking("")), ::testing::ElementsAre("a", "d"));

  store.hold();
  bool answered = false;
  store.transact(put("e", ""), world.loop(), [&](Result<MetaOutcome>) { answered = true; });
  world.run();
  EXPECT_FALSE(answered);
  EXPECT_EQ(memory.range_blocking("e")->entries.size(), 1u);
  store.release();
  EXPECT_TRUE(answered);
}

TEST(FaultyMetaStoreTest, WatchesAreSilentRepeatThemselvesAndEnd) {
  weir::testing::ManualLoop world;
  MemoryMetaStore memory;
  FaultyMetaStore store(memory);
  using Fault = FaultyMetaStore::WatchFault;
  store.plan_watches({Fault::kLost, Fault::kTwice, Fault::kNone, Fault::kCompacted});
  std::vector<std::string> told;
  const auto watch = [&] {
    return store.watch("", 0, world.loop(), [&](Result<MetaEvents> events) {
      told.push_back(events ? events->events.at(0).entry.key : events.error().message);
    });
  };
  auto watching = watch();
  const auto change = [&](const char* key) {
    ASSERT_TRUE(store.transact_blocking(put(key, "")));
    world.run();
  };
  for (const char* key : {"a", "b", "c", "d", "e"}) change(key);
  EXPECT_THAT(told, ::testing::ElementsAre("b", "b", "c", "injected: compacted"));
  store.plan_watches({Fault::kCut});
  watching = watch();
  for (const char* key : {"f", "g"}) change(key);
  EXPECT_EQ(told.back(), "injected: the watch was cut");
}

TEST(FaultyMetaStoreTest, LeasesAreLost) {
  weir::testing::ManualLoop world;
  MemoryMetaStore memory(&world.clock());
  FaultyMetaStore store(memory);
  MetaLease lease;
  store.grant_lease(60'000, world.loop(), [&](Result<MetaLease> granted) { lease = *granted; });
  world.advance(runtime::kMillisecond);
  ASSERT_TRUE(store.transact_blocking(put("a", "", lease.id)));
  store.lose_leases();
  EXPECT_THAT(keys(*memory.range_blocking("")), ::testing::IsEmpty());
  std::optional<ErrorCode> refused;
  store.keep_alive(lease.id, world.loop(), [&](Result<MetaLease> kept) { refused = kept.error().code; });
  world.advance(runtime::kMillisecond);
  EXPECT_EQ(refused, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace weir::storage
