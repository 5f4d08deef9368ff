// Tests the harness itself: a correct small ledger passes everywhere, and the harness finds each bug that is planted in the
// ledger.
#include "simulation/crash_harness.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/crc32c.h"

namespace weir::simulation {
namespace {

using runtime::kMillisecond;
using testing::SeededRandom;
using testing::SimRuntime;

enum class Bug {
  kNone,
  kAckBeforeSync,
  kNoDirectorySync,
  kNoChecksum,        // recovery believes every record it can read
  kServesPageCache,   // recovery serves records that it has read and not made durable
  kIgnoresSyncError,  // acknowledges after a failed sync
};

// Appends fixed records to one file. Acknowledges them after a sync.
class Ledger {
 public:
  static constexpr size_t kRecord = 640;  // crosses sectors
  using Record = std::array<uint8_t, kRecord>;

  Ledger(runtime::FileSystem& files, Bug bug) : files_(files), bug_(bug) {}

  Result<void> open() {
    if (auto made = files_.create_directories("/ledger"); !made) return made;
    auto file = files_.open("/ledger/log", {.write = true, .create = true});
    if (!file) return std::unexpected(file.error());
    file_ = std::move(*file);
    Record record;
    while (true) {
      const auto got = file_->read_at(records_.size() * kRecord, record);
      if (!got) return std::unexpected(got.error());
      if (*got < kRecord || (bug_ != Bug::kNoChecksum && !valid(record))) break;
      uint64_t payload;
      std::memcpy(&payload, record.data(), 8);
      records_.push_back(payload);
    }
    if (auto done = file_->truncate(records_.size() * kRecord); !done) return done;
    if (bug_ != Bug::kServesPageCache) {
      if (auto done = file_->sync(); !done) return done;
    }
    if (bug_ == Bug::kNoDirectorySync) return {};
    if (auto done = files_.sync_directory("/ledger"); !done) return done;
    return files_.sync_directory("/");
  }

  Result<int64_t> append(uint64_t payload) {
    Record record;
    record.fill(static_cast<uint8_t>(payload));
    std::memcpy(record.data(), &payload, 8);
    const uint32_t crc = crc32c(Bytes(record).first(kRecord - 4));
    std::memcpy(record.data() + kRecord - 4, &crc, 4);
    if (auto done = file_->write_at(records_.size() * kRecord, Bytes(record)); !done) return std::unexpected(done.error());
    if (bug_ != Bug::kAckBeforeSync) {
      auto done = file_->sync();
      if (!done && bug_ != Bug::kIgnoresSyncError) return std::unexpected(done.error());
    }
    records_.push_back(payload);
    return static_cast<int64_t>(records_.size()) - 1;
  }
  const std::vector<uint64_t>& records() const { return records_; }

 private:
  static bool valid(const Record& record) {
    uint32_t crc;
    std::memcpy(&crc, record.data() + kRecord - 4, 4);
    return crc == crc32c(Bytes(record).first(kRecord - 4));
  }
  runtime::FileSystem& files_;
  Bug bug_;
  std::unique_ptr<runtime::File> file_;
  std::vector<uint64_t> records_;
};

class LedgerScenario final : public Scenario {
 public:
  LedgerScenario(SimRuntime& sim, Oracle& oracle, SeededRandom random, Bug bug)
      : sim_(sim), oracle_(oracle), random_(random), bug_(bug) {}

  void start() override {
    ledger_ = std::make_unique<Ledger>(sim_.disk(), bug_);
    const auto opened = ledger_->open();
    if (!opened && !sim_.server_died()) oracle_.violation("cannot open: " + opened.error().message);
  }
  bool started() override { return true; }
  void verify() override {
    Oracle::Found found;
    found.high_watermark = static_cast<int64_t>(ledger_->records().size());
    for (uint64_t payload : ledger_->records()) found.records.emplace(static_cast<int64_t>(found.records.size()), payload);
    oracle_.found(kPartition, found);
  }
  bool verified() override { return true; }
  void work() override {
    left_ = 5;
    if (bug_ == Bug::kIgnoresSyncError) sim_.disk().fail_next_sync(2);
    append();
  }
  bool worked() override { return left_ == 0; }
  void destroy() override { ledger_.reset(); }

 private:
  void append() {
    const uint64_t payload = random_.next();
    oracle_.sent(kPartition, payload);
    sim_.pool().submit(
        [this, payload] {
          const auto offset = ledger_->append(payload);
          if (offset) oracle_.acked(kPartition, *offset, payload);
        },
        sim_.loop(),
        [this] {
          if (--left_ > 0) append();
        });
  }
  static constexpr TopicPartition kPartition{};
  SimRuntime& sim_;
  Oracle& oracle_;
  SeededRandom random_;
  Bug bug_;
  std::unique_ptr<Ledger> ledger_;
  int left_ = 0;
};

ScenarioFactory ledger(Bug bug) {
  return [bug](SimRuntime& sim, Oracle& oracle, SeededRandom random, DrawnOptions&) {
    return std::make_unique<LedgerScenario>(sim, oracle, random, bug);
  };
}

TEST(CrashHarness, RightLedgerPassesEveryCut) {
  const auto result = sweep_crashes(ledger(Bug::kNone), {.seed_first = 1, .seed_last = 40});
  for (const CrashRun& run : result.failed) ADD_FAILURE() << describe(run);
  EXPECT_GT(result.cuts, 40u * 10);
  EXPECT_GT(result.info, result.runs * 5);
}

class CrashHarnessFinds : public ::testing::TestWithParam<Bug> {};

TEST_P(CrashHarnessFinds, TheBug) {
  const auto result = sweep_crashes(ledger(GetParam()), {.seed_first = 1, .seed_last = 40}, {},
                                    [](const CrashRun& run) { return run.violations.empty(); });
  ASSERT_EQ(result.failed.size(), 1u);
  // The numbers in the report repeat the run.
  const CrashRun& first = result.failed.front();
  const CrashRun again = run_crash(ledger(GetParam()), first.seed, first.cut);
  EXPECT_EQ(again.violations, first.violations);
  EXPECT_EQ(again.trace_hash, first.trace_hash);
}

INSTANTIATE_TEST_SUITE_P(Bugs, CrashHarnessFinds,
                         ::testing::Values(Bug::kAckBeforeSync, Bug::kNoDirectorySync, Bug::kNoChecksum, Bug::kServesPageCache,
                                           Bug::kIgnoresSyncError));

TEST(CrashHarness, HangsAreReported) {
  class Hanging final : public Scenario {
    void start() override {}
    bool started() override { return false; }
    void verify() override {}
    bool verified() override { return true; }
    void work() override {}
    bool worked() override { return true; }
    void destroy() override {}
  };
  const auto run = run_crash([](auto&, auto&, auto, auto&) { return std::make_unique<Hanging>(); }, 1, 1);
  ASSERT_EQ(run.violations.size(), 1u);
  EXPECT_NE(run.violations[0].find("start does not end"), std::string::npos);
}

// Fills the disk and never empties it. Its work ends only when there is room, or never.
class Unsettled final : public Scenario {
 public:
  Unsettled(SimRuntime& sim, DrawnOptions& options) : sim_(sim), stuck_(options.feature("stuck")) {}
  void start() override { sim_.disk().set_size_limit(0); }
  bool started() override { return true; }
  void verify() override {}
  bool verified() override { return true; }
  void work() override {}
  bool worked() override { return true; }
  void settle() override { has_room_ = *sim_.disk().free_bytes("/") > 0; }
  bool settled() override { return has_room_ && !stuck_; }
  void destroy() override {}

 private:
  SimRuntime& sim_;
  bool stuck_;
  bool has_room_ = false;
};

TEST(CrashHarness, EveryRunEndsHealedAndSettled) {
  const ScenarioFactory factory = [](SimRuntime& sim, Oracle&, SeededRandom, DrawnOptions& options) {
    return std::make_unique<Unsettled>(sim, options);
  };
  EXPECT_TRUE(run_crash(factory, 1, 0, {.fixed = {{"stuck", 0}}}).violations.empty());
  const CrashRun stuck = run_crash(factory, 1, 0, {.fixed = {{"stuck", 1}}});
  ASSERT_EQ(stuck.violations.size(), 1u);
  EXPECT_NE(stuck.violations[0].find("settling does not end"), std::string::npos);
  EXPECT_NE(describe(stuck).find("stuck=1"), std::string::npos) << "the options are not told";
}

TEST(CrashHarness, AMisspeltOptionIsReported) {
  const CrashRun run = run_crash(ledger(Bug::kNone), 1, 0, {.fixed = {{"shrads", 1}}});
  EXPECT_EQ(run.violations, std::vector<std::string>{"there is no option shrads"});
}

TEST(Oracle, JudgesRecords) {
  const TopicPartition p{Uuid::from_random(1, 2), 3};
  const auto judge = [&](auto collect) {
    Oracle oracle;
    for (uint64_t payload = 100; payload < 105; ++payload) oracle.sent(p, payload);
    oracle.acked(p, 0, 100);
    oracle.read(p, 1, 101);
    collect(oracle);
    return oracle.violations().size();
  };
  EXPECT_EQ(judge([&](Oracle& o) { o.found(p, {0, 2, {{0, 100}, {1, 101}}}); }), 0u);
  EXPECT_EQ(judge([&](Oracle& o) { o.found(p, {0, 3, {{0, 100}, {1, 101}, {2, 102}}}); }), 0u);  // sent, not acked: fine
  EXPECT_GT(judge([&](Oracle& o) { o.found(p, {0, 1, {{0, 100}}}); }), 0u);                      // lost
  EXPECT_GT(judge([&](Oracle& o) { o.found(p, {0, 2, {{0, 100}, {1, 102}}}); }), 0u);            // changed
  EXPECT_GT(judge([&](Oracle& o) { o.found(p, {0, 3, {{0, 100}, {1, 101}, {2, 999}}}); }), 0u);  // invented
  EXPECT_GT(judge([&](Oracle& o) { o.found(p, {0, 3, {{0, 100}, {1, 101}, {2, 101}}}); }), 0u);  // twice
  EXPECT_GT(judge([&](Oracle& o) { o.found(p, {0, 4, {{0, 100}, {1, 101}, {3, 103}}}); }), 0u);  // a hole
  EXPECT_GT(judge([&](Oracle& o) { o.found(p, {1, 2, {{1, 101}}}); }), 0u);                      // deleted by nobody
  EXPECT_EQ(judge([&](Oracle& o) {
              o.delete_requested(p, 1);
              o.found(p, {1, 2, {{1, 101}}});
            }),
            0u);
  EXPECT_GT(judge([&](Oracle& o) {
              o.delete_requested(p, 1);
              o.delete_acked(p, 1);
              o.found(p, {0, 2, {{0, 100}, {1, 101}}});
            }),
            0u);
  EXPECT_GT(judge([&](Oracle& o) {
              o.producer_acked(p, 7, 0, 0, 0);
              o.producer_acked(p, 7, 0, 0, 1);
            }),
            0u);
}

TEST(Oracle, JudgesTopicsIdsCountersAndValues) {
  const Uuid a = Uuid::from_random(1, 1), b = Uuid::from_random(2, 2);
  const auto judge = [&](auto collect) {
    Oracle oracle;
    collect(oracle);
    return oracle.violations().size();
  };
  EXPECT_GT(judge([&](Oracle& o) {
              o.topic_created(a);
              o.topics_found({});
            }),
            0u);
  EXPECT_EQ(judge([&](Oracle& o) {
              o.topic_created(a);
              o.topic_delete_requested(a);
              o.topics_found({});
            }),
            0u);
  EXPECT_GT(judge([&](Oracle& o) {
              o.topic_created(a);
              o.topic_deleted(a);
              o.topics_found({a});
            }),
            0u);
  EXPECT_EQ(judge([&](Oracle& o) {
              o.topic_create_requested(b);
              o.topics_found({b});
            }),
            0u);
  EXPECT_GT(judge([&](Oracle& o) { o.topics_found({b}); }), 0u);
  EXPECT_GT(judge([&](Oracle& o) {
              o.id_allocated("producer id", 1);
              o.id_allocated("producer id", 1);
            }),
            0u);
  EXPECT_EQ(judge([&](Oracle& o) {
              o.never_back("epoch", 1);
              o.never_back("epoch", 1);
              o.never_back("epoch", 4);
            }),
            0u);
  EXPECT_GT(judge([&](Oracle& o) {
              o.never_back("epoch", 4);
              o.never_back("epoch", 3);
            }),
            0u);
  EXPECT_EQ(judge([&](Oracle& o) {
              o.value_requested("k", "1");
              o.value_found("k", "");
            }),
            0u);
  EXPECT_GT(judge([&](Oracle& o) {
              o.value_requested("k", "1");
              o.value_acked("k", "1");
              o.value_found("k", "");
            }),
            0u);
  const auto reads = [&](bool in_order) {
    return judge([&](Oracle& o) {
      o.value_requested("k", "1");
      const uint64_t before = o.value_version("k");
      o.value_read("k", "1", before);
      // If the second read began before the answer to the first, it may be the older one. If it began after that answer, the
      // value went back.
      o.value_read("k", "", in_order ? o.value_version("k") : before);
    });
  };
  EXPECT_EQ(reads(false), 0u);
  EXPECT_GT(reads(true), 0u);
}

}  // namespace
}  // namespace weir::simulation
