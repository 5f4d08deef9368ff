#include "testing/history/history_model.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "testing/history/history_checker.h"
#include "testing/history/recovered_log.h"

namespace weir::testing {
namespace {

using Kinds = std::set<AnomalyKind>;
using enum AnomalyKind;

TEST(HistoryModel, RightHistoriesAreClean) {
  for (uint64_t seed = 1; seed <= 500; ++seed) {
    const History history = model_history({.seed = seed});
    const Report report = check_history(history);
    ASSERT_TRUE(report.clean()) << "seed " << seed << "\n" << report.text() << to_text(history);
  }
}

// A check of quadratic time would not end.
TEST(HistoryModel, LongHistoriesAreClean) {
  const History history = model_history({.seed = 7, .operations = 300'000, .partitions = 8, .producers = 20, .processors = 10});
  const Report report = check_history(history);
  EXPECT_TRUE(report.clean()) << report.text();
}

// A history is worth something if much happens in it.
TEST(HistoryModel, ClientsDoEverything) {
  std::set<std::pair<size_t, Outcome>> seen;
  uint64_t fenced_commits = 0, branches_that_happened = 0;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    const History history = model_history({.seed = seed});
    for (const Operation& operation : history.operations) {
      seen.emplace(operation.body.index(), operation.outcome);
      const auto* end = std::get_if<EndTransaction>(&operation.body);
      fenced_commits += end && end->commit && operation.outcome == Outcome::kFail;
    }
    const RecoveredLog log(history);
    for (const RecordedTransaction& transaction : log.transactions()) {
      branches_that_happened +=
          transaction.fate == RecordedTransaction::Fate::kCommitted && transaction.evidence != transaction.commit;
    }
  }
  const size_t kept = OperationBody(Kept()).index();  // its members have no epochs of their own
  for (size_t kind = 0; kind < std::variant_size_v<OperationBody>; ++kind)
    EXPECT_EQ(seen.contains({kind, Outcome::kOk}), kind != kept) << kind;
  EXPECT_GT(fenced_commits, 20u);
  EXPECT_GT(branches_that_happened, 20u);
}

struct FaultCase {
  ModelFault fault;
  const char* name;
  Kinds expected;  // each one is found in some seed
};

class ModelFaults : public ::testing::TestWithParam<FaultCase> {};

TEST_P(ModelFaults, AreFound) {
  constexpr uint64_t kSeeds = 200;
  const FaultCase& fault = GetParam();
  Kinds found;
  uint64_t seeds_with_anomalies = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const History history = model_history({.seed = seed, .fault = fault.fault});
    const Report report = check_history(history);
    seeds_with_anomalies += !report.clean();
    for (const Anomaly& anomaly : report.anomalies()) found.insert(anomaly.kind);
  }
  EXPECT_GE(seeds_with_anomalies, 5u);
  for (const AnomalyKind kind : fault.expected) EXPECT_TRUE(found.contains(kind)) << name_of(kind);
}

const FaultCase kFaults[] = {
    {ModelFault::kReadPastOpen, "ReadPastOpen", {kDirtyRead, kAbortedRead}},
    {ModelFault::kShowAborted, "ShowAborted", {kAbortedRead}},
    {ModelFault::kHideCommitted, "HideCommitted", {kPollSkip, kLostWrite}},
    {ModelFault::kTornCommit, "TornCommit", {kIntermediateRead, kLostWrite}},
    {ModelFault::kLoseAppend, "LoseAppend", {kLostWrite, kOffsetReused}},
    {ModelFault::kAppendTwice, "AppendTwice", {kDuplicate}},
    {ModelFault::kAppendRefused, "AppendRefused", {kPhantom}},
    {ModelFault::kFillHole, "FillHole", {kNonMonotonicSend, kPollSkip}},
    {ModelFault::kMisplaceRecord, "MisplaceRecord", {kPhantom, kLostWrite}},
    {ModelFault::kZombieAppends, "ZombieAppends", {kAbortedRead, kFencedWrite}},
    {ModelFault::kZombieCommits, "ZombieCommits", {kAbortedRead, kFencedWrite}},
    {ModelFault::kSkipRecord, "SkipRecord", {kPollSkip, kIntermediateRead}},
    {ModelFault::kShowAgain, "ShowAgain", {kNonMonotonicPoll}},
    {ModelFault::kApplyAbortedOffsets, "ApplyAbortedOffsets", {kPhantomOffset, kOutputMissing}},
    {ModelFault::kLoseOffsets, "LoseOffsets", {kOffsetWentBack, kProcessedTwice, kOutputUncommitted}},
    {ModelFault::kShowUnstableOffsets, "ShowUnstableOffsets", {kOffsetWentBack, kProcessedTwice}},
    {ModelFault::kAnyGeneration, "AnyGeneration", {kOffsetWentBack, kTwoOwners}},
    {ModelFault::kGenerationStays, "GenerationStays", {kTwoOwners}},
};
static_assert(std::size(kFaults) == kModelFaults - 1);

INSTANTIATE_TEST_SUITE_P(Each, ModelFaults, ::testing::ValuesIn(kFaults),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace weir::testing
