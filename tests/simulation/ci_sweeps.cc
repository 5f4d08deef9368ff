#include "simulation/ci_sweeps.h"

#include <algorithm>

#include "base/check.h"
#include "simulation/compaction_scenario.h"
#include "simulation/consumer_scenario.h"
#include "simulation/log_scenario.h"
#include "simulation/meta_scenario.h"
#include "simulation/server_scenario.h"
#include "simulation/transaction_scenario.h"

namespace weir::simulation {

// Steps are uneven, so that over the seeds every kind of write is cut. The `every-write` sweeps cut every write of one workload.
const std::vector<CiSweep>& ci_sweeps() {
  static const std::vector<CiSweep> sweeps = {
      {"log-one-shard",
       log_scenario(),
       {.seed_first = 1, .seed_last = 24, .every = 5},
       {.fixed = {{"shards", 1}, {"retention", 0}}},
       300,
       50},
      {"log-more-shards",
       log_scenario(),
       {.seed_first = 101, .seed_last = 120, .every = 7},
       {.fixed = {{"retention", 0}}},
       300,
       50},
      {"log-retention",
       log_scenario(),
       {.seed_first = 301, .seed_last = 312, .every = 5},
       {.fixed = {{"retention", 1}}},
       200,
       100,
       {kRetentionMovedAStart, kRetentionOutlivedADeath}},
      {"log-retention-every-write",
       log_scenario(),
       {.seed_first = 401, .seed_last = 401, .every = 1},
       {.fixed = {{"retention", 1}, {"steps", 60}}},
       50,
       50,
       {kRetentionMovedAStart, kRetentionOutlivedADeath}},
      {"log-checkpoints",
       log_scenario(),
       {.seed_first = 501, .seed_last = 520, .every = 5},
       {.fixed = {{"retention", 0}, {"checkpoints", 1}, {"repeats", 1}, {"topics-come-and-go", 0}, {"disk.write-us", 5'000}}},
       300,
       50},
      {"log-failing-disk",
       log_scenario(),
       {.seed_first = 101, .seed_last = 120, .every = 13},
       {.fixed = {{"retention", 0}}, .failing_disk = true},
       80,
       10},
      {"compaction", compaction_scenario(), {.seed_first = 1, .seed_last = 24, .every = 7}, {}, 200, 50},
      {"compaction-failing-disk",
       compaction_scenario(),
       {.seed_first = 101, .seed_last = 110, .every = 13},
       {.failing_disk = true},
       40,
       10},
      {"meta", meta_scenario(), {.seed_first = 1, .seed_last = 20, .every = 5}, {}, 200, 10, {"told by a watch"}},
      {"meta-failing-disk", meta_scenario(), {.seed_first = 101, .seed_last = 120, .every = 5}, {.failing_disk = true}, 100, 10},
      {"log-every-write",
       log_scenario(),
       {.seed_first = 201, .seed_last = 202, .every = 1},
       {.fixed = {{"retention", 0}, {"steps", 60}}},
       100,
       50},
      {"compaction-every-write", compaction_scenario(), {.seed_first = 201, .seed_last = 201, .every = 1}, {}, 50, 50},
      {"server-every-write",
       server_scenario(),
       {.seed_first = 201, .seed_last = 202, .every = 1},
       {.fixed = {{"network-faults", 0}, {"groups", 0}, {"steps", 15}, {"committers", 3}, {"disk.write-us", 5'000}}},
       60,
       50},
      {"server",
       server_scenario(),
       {.seed_first = 1, .seed_last = 10, .every = 17},
       {.fixed = {{"network-faults", 0}}},
       60,
       50,
       {kGroupRebalanced, kGroupsSettled, kMemberCrashed, kDiskWasFull}},
      {"server-faults",
       server_scenario(),
       {.seed_first = 21, .seed_last = 30, .every = 41},
       {.fixed = {{"network-faults", 1}}},
       20,
       50,
       {kGroupRebalanced, kGroupsSettled, kLinkWasDown}},
      {"transaction-every-write",
       transaction_scenario(),
       {.seed_first = 201, .seed_last = 201, .every = 1},
       {.fixed = {{"network-faults", 0}, {"work-ms", 40}, {"disk.write-us", 5'000}}},
       60,
       100,
       {kTransactionCommitted, kHistoryJudged}},
      {"transaction",
       transaction_scenario(),
       {.seed_first = 1, .seed_last = 12, .every = 131},
       {.fixed = {{"network-faults", 0}}},
       60,
       500,
       {kTransactionCommitted, kTransactionAborted, kTransactionFailed, kProducerFenced, kMemberExpelled, kZombieCameBack,
        kHistoryJudged}},
      {"transaction-faults",
       transaction_scenario(),
       {.seed_first = 21, .seed_last = 32, .every = 197},
       {.fixed = {{"network-faults", 1}}},
       40,
       500,
       {kTransactionCommitted, kProducerFenced, kZombieCameBack, kCommitUnanswered, kLinkWasDown, kHistoryJudged}},
      {"consumer-group-every-write",
       consumer_scenario(),
       {.seed_first = 201, .seed_last = 201, .every = 1},
       {.fixed = {{"network-faults", 0}, {"work-ms", 40}, {"disk.write-us", 5'000}}},
       40,
       100,
       {kPartitionsGiven, kConsumersSettled}},
      {"consumer-group",
       consumer_scenario(),
       {.seed_first = 1, .seed_last = 12, .every = 131},
       {.fixed = {{"network-faults", 0}}},
       40,
       300,
       {kPartitionsGiven, kPartitionsRevoked, kMemberExpired, kConsumerCrashed, kStaticMemberLeft, kInstanceTaken,
        kZombieConsumer, kMissedAnswer, kTopicGrew, kTopicWent, kConsumersSettled}},
      {"consumer-group-faults",
       consumer_scenario(),
       {.seed_first = 21, .seed_last = 32, .every = 197},
       {.fixed = {{"network-faults", 1}}},
       30,
       300,
       {kPartitionsGiven, kPartitionsRevoked, kMissedAnswer, kLinkWasDown, kConsumersSettled}},
  };
  return sweeps;
}

const CiSweep& ci_sweep(const std::string& name) {
  const auto& all = ci_sweeps();
  const auto found = std::find_if(all.begin(), all.end(), [&](const CiSweep& sweep) { return sweep.name == name; });
  WEIR_CHECK(found != all.end());
  return *found;
}

}  // namespace weir::simulation
