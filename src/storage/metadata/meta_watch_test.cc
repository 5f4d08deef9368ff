// Watches, leases, and ranges of a part or of the past: on every backend.
#include "storage/metadata/meta_store_fixture.h"

namespace weir::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class MetaWatchContract : public MetaStoreContract {
 protected:
  // "key=value@revision" for a put, "-key@revision" for a deletion, "error" for the end, and a bar between two calls.
  struct Log {
    std::vector<std::string> lines;
    std::unique_ptr<MetaWatch> watch;
  };
  void watch(Log& log, const std::string& prefix, int64_t from) {
    log.watch = store_->watch(prefix, from, world_.loop(), [&log](Result<MetaEvents> told) {
      if (!told) return log.lines.push_back(told.error().code == ErrorCode::kNotFound ? "compacted" : "error");
      for (const MetaEvent& event : told->events) {
        const std::string at = "@" + std::to_string(event.entry.mod_revision);
        log.lines.push_back(event.deleted ? "-" + event.entry.key + at : event.entry.key + "=" + event.entry.value + at);
        EXPECT_LE(event.entry.mod_revision, told->revision);
      }
    });
  }
  static std::string at(int64_t revision) { return "@" + std::to_string(revision); }
  MetaLease grant(int64_t ttl_ms) {
    MetaLease granted;
    store_->grant_lease(ttl_ms, world_.loop(), [&](Result<MetaLease> lease) {
      ASSERT_TRUE(lease) << lease.error().message;
      granted = *lease;
    });
    world_.advance(runtime::kMillisecond);
    EXPECT_GE(granted.ttl_ms, ttl_ms);
    return granted;
  }
  bool keep_alive(int64_t lease) {
    std::optional<ErrorCode> refused;
    bool answered = false;
    store_->keep_alive(lease, world_.loop(), [&](Result<MetaLease> kept) {
      answered = true;
      if (!kept) refused = kept.error().code;
    });
    world_.advance(runtime::kMillisecond);
    EXPECT_TRUE(answered);
    EXPECT_EQ(refused.value_or(ErrorCode::kNotFound), ErrorCode::kNotFound);
    return !refused;
  }
};

TEST_P(MetaWatchContract, RangesComeInPages) {
  for (const char* key : {"a", "t/1", "t/2", "t/3", "t/4", "u"}) transact(put(key, ""));
  MetaRangeRequest request("t/");
  request.limit = 2;
  MetaRange page = range(request);
  EXPECT_THAT(keys(page), ElementsAre("t/1", "t/2"));
  EXPECT_TRUE(page.more);
  request.start = page.entries.back().key + '\0';
  request.revision = page.revision;
  transact(put("t/21", ""));
  page = range(request);
  EXPECT_THAT(keys(page), ElementsAre("t/3", "t/4")) << "as of the first page";
  EXPECT_FALSE(page.more);
  request.start = "t/9";
  EXPECT_THAT(keys(range(request)), IsEmpty());
  request.start = "v";
  EXPECT_THAT(keys(range(request)), IsEmpty());
}

TEST_P(MetaWatchContract, RangesOfThePastAreAsItWas) {
  transact(put("a", "1"));
  const int64_t then = transact(put("b", "1")).revision;
  transact({{}, {{Kind::kPut, "a", "2"}, {Kind::kDelete, "b", ""}, {Kind::kPut, "c", "1"}}});
  MetaRangeRequest request("");
  request.revision = then;
  const MetaRange past = range(request);
  EXPECT_EQ(past.revision, then);
  ASSERT_THAT(keys(past), ElementsAre("a", "b"));
  EXPECT_EQ(past.entries[0].value, "1");
  EXPECT_EQ(past.entries[0].mod_revision, then - 1);
  request.revision = then + 2;
  EXPECT_EQ(store_->range_blocking(request).error().code, ErrorCode::kInvalid);
  GetParam().compact(*store_);
  request.revision = then;
  EXPECT_EQ(store_->range_blocking(request).error().code, ErrorCode::kNotFound);
  request.revision = then + 1;
  EXPECT_THAT(keys(range(request)), ElementsAre("a", "c"));
}

TEST_P(MetaWatchContract, ATransactionThatFailsTellsWhatItFound) {
  const int64_t revision = transact({{}, {{Kind::kPut, "a", "1"}, {Kind::kPut, "b", "2"}}}).revision;
  MetaTransaction transaction{{{"a", 0, {}}}, {{Kind::kPut, "a", "x"}}, {"b", "none", "a"}};
  const MetaOutcome failed = transact(transaction);
  EXPECT_FALSE(failed.succeeded);
  EXPECT_EQ(failed.revision, revision);
  EXPECT_THAT(failed.found, ElementsAre(MetaEntry{"b", "2", revision, revision}, MetaEntry{"a", "1", revision, revision}));
  transaction.compares.clear();
  EXPECT_THAT(transact(transaction).found, IsEmpty());
  for (size_t i = 0; i < MetaStore::kMaxOperations; ++i) transaction.otherwise.push_back("k");
  EXPECT_EQ(store_->transact_blocking(transaction).error().code, ErrorCode::kInvalid);
}

TEST_P(MetaWatchContract, AWatchTellsEachChangeOnceInOrder) {
  transact(put("t/0", "before"));
  Log log;
  watch(log, "t/", 0);
  world_.run();
  const int64_t start = transact(put("t/1", "a")).revision;
  transact(put("u", "other"));
  transact({{}, {{Kind::kPut, "t/2", "b"}, {Kind::kPut, "t/1", "c"}}});
  transact({{}, {{Kind::kDelete, "none", ""}}});
  transact({{}, {{Kind::kDeletePrefix, "t/", ""}}});
  world_.run();
  const std::string third = at(start + 3);
  EXPECT_THAT(log.lines, ElementsAre("t/1=a" + at(start), "t/2=b" + at(start + 2), "t/1=c" + at(start + 2), "-t/0" + third,
                                     "-t/1" + third, "-t/2" + third));
}

TEST_P(MetaWatchContract, AWatchBeginsWhereItIsToldTo) {
  const int64_t first = transact(put("a", "1")).revision;
  transact(put("a", "2"));
  Log early, late;
  watch(early, "", first + 1);
  watch(late, "", first + 3);
  world_.run();
  EXPECT_THAT(early.lines, ElementsAre("a=2" + at(first + 1)));
  transact(put("a", "3"));
  transact(put("a", "4"));
  world_.run();
  EXPECT_THAT(early.lines, ElementsAre("a=2" + at(first + 1), "a=3" + at(first + 2), "a=4" + at(first + 3)));
  EXPECT_THAT(late.lines, ElementsAre("a=4" + at(first + 3)));
}

TEST_P(MetaWatchContract, WhatIsCompactedCannotBeWatched) {
  const int64_t first = transact(put("a", "1")).revision;
  transact(put("a", "2"));
  Log before;
  watch(before, "", first);
  GetParam().compact(*store_);
  Log log, now;
  watch(log, "", first);
  watch(now, "", first + 2);
  transact(put("a", "3"));
  world_.run();
  EXPECT_THAT(log.lines, ElementsAre("compacted"));
  EXPECT_THAT(now.lines, ElementsAre("a=3" + at(first + 2)));
  EXPECT_EQ(before.lines.size(), 3u) << "it had been told already";
}

TEST_P(MetaWatchContract, NothingIsToldOnceTheWatchIsGone) {
  Log log;
  watch(log, "", 0);
  transact(put("a", "1"));
  log.watch.reset();
  transact(put("a", "2"));
  world_.run();
  EXPECT_THAT(log.lines, IsEmpty());
}

TEST_P(MetaWatchContract, MoreThanIsKeptIsCompacted) {
  const int64_t first = transact(put("a", "1")).revision;
  for (int i = 0; i < 40; ++i) transact(put("big", std::string(100'000, 'x')));
  Log log;
  watch(log, "", first);
  world_.run();
  EXPECT_THAT(log.lines, ElementsAre("compacted"));
}

TEST_P(MetaWatchContract, KeysGoWithTheirLease) {
  const MetaLease lease = grant(1000);
  transact(put("mine", "1", lease.id));
  transact(put("other", "1"));
  EXPECT_EQ(range("mine").entries[0].lease, lease.id);
  Log log;
  watch(log, "", 0);
  world_.advance(lease.ttl_ms * runtime::kMillisecond / 2);
  EXPECT_TRUE(keep_alive(lease.id));
  world_.advance(lease.ttl_ms * runtime::kMillisecond * 3 / 4);
  EXPECT_THAT(keys(range()), ElementsAre("mine", "other"));
  const int64_t revision = range().revision;
  world_.advance(lease.ttl_ms * runtime::kMillisecond);
  EXPECT_THAT(keys(range()), ElementsAre("other"));
  EXPECT_THAT(log.lines, ElementsAre("-mine" + at(revision + 1)));
  EXPECT_FALSE(keep_alive(lease.id));
  const auto late = store_->transact_blocking(put("mine", "2", lease.id));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::kNotFound);
}

TEST_P(MetaWatchContract, ALeaseCanBeRevoked) {
  const MetaLease lease = grant(100'000), another = grant(100'000);
  EXPECT_NE(lease.id, another.id);
  transact({{}, {{Kind::kPut, "a", "1", lease.id}, {Kind::kPut, "b", "1", another.id}, {Kind::kPut, "c", "1", lease.id}}});
  // A key under a lease can be compared and put as all others.
  EXPECT_TRUE(transact({{{"a", {}, "1"}}, {{Kind::kPut, "a", "2", lease.id}}}).succeeded);
  // A put without the lease takes the key out of it.
  transact(put("c", "2"));
  bool done = false;
  store_->revoke_lease(lease.id, world_.loop(), [&](Result<void> result) { done = result.has_value(); });
  world_.advance(runtime::kMillisecond);
  EXPECT_TRUE(done);
  EXPECT_THAT(keys(range()), ElementsAre("b", "c"));
  EXPECT_EQ(range("c").entries[0].lease, 0);
}

TEST_P(MetaWatchContract, LeasedKeysAreInRangesAndPrefixes) {
  const MetaLease lease = grant(100'000);
  for (const char* key : {"t/1", "t/3", "t/5"}) transact(put(key, ""));
  for (const char* key : {"t/2", "t/4"}) transact(put(key, "", lease.id));
  MetaRangeRequest request("t/");
  request.limit = 3;
  EXPECT_THAT(keys(range(request)), ElementsAre("t/1", "t/2", "t/3"));
  const int64_t created = range("t/1").entries[0].create_revision;
  transact(put("t/1", "", lease.id));
  EXPECT_EQ(range("t/1").entries[0].create_revision, created);
  transact({{}, {{Kind::kDeletePrefix, "t/", ""}}});
  EXPECT_THAT(keys(range()), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Backends, MetaWatchContract, ::testing::ValuesIn(kMetaBackends), backend_name);

// Promises of the stores of one process beyond the contract, so that an image costs no time of its own.
class LocalWatchTest : public MetaWatchContract {};

TEST_P(LocalWatchTest, WatchersAreToldBeforeTheTransactionIsAnswered) {
  std::vector<std::string> order;
  const auto watching =
      store_->watch("", 0, world_.loop(), [&](Result<MetaEvents> told) { order.push_back("told " + told->events[0].entry.key); });
  for (const char* key : {"a", "b"}) {
    store_->transact(put(key, ""), world_.loop(),
                     [&order, key](Result<MetaOutcome>) { order.push_back(std::string("answered ") + key); });
    world_.run();
  }
  EXPECT_THAT(order, ElementsAre("told a", "answered a", "told b", "answered b"));
}

INSTANTIATE_TEST_SUITE_P(Backends, LocalWatchTest, ::testing::ValuesIn(kMetaBackends), backend_name);

TEST(SqliteMetaLeases, EndWithTheProcessAndTheirRevisionsAreNotGivenAgain) {
  weir::testing::ManualLoop world;
  ASSERT_TRUE(world.files().create_directories("/data"));
  auto store = open_sqlite_store(world);
  ASSERT_TRUE(store);
  ASSERT_TRUE(store->transact_blocking(put("t/1", "1")));
  int64_t revision = 0;
  store->grant_lease(60'000, world.loop(), [&](Result<MetaLease> lease) {
    ASSERT_TRUE(lease);
    auto outcome = store->transact_blocking(put("t/2", "1", lease->id));
    ASSERT_TRUE(outcome);
    revision = outcome->revision;
  });
  world.advance(runtime::kMillisecond);
  ASSERT_GT(revision, 0);
  store.reset();
  world.disk().cut_power();
  store = open_sqlite_store(world);
  ASSERT_TRUE(store);
  auto range = store->range_blocking("");
  ASSERT_TRUE(range);
  EXPECT_THAT(keys(*range), ElementsAre("t/1"));
  EXPECT_EQ(range->revision, revision);
}

}  // namespace
}  // namespace weir::storage
