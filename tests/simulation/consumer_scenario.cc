#include "simulation/consumer_scenario.h"

#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "simulation/consumer_group_judge.h"
#include "simulation/staged_scenario.h"
#include "simulation/topic_administrator.h"
#include "simulation/topic_producer.h"

namespace weir::simulation {

using testing::SeededRandom;
using testing::SimRuntime;

namespace {

constexpr int64_t kSettleNs = 60 * runtime::kSecond;

class ConsumerScenario final : public StagedScenario {
 public:
  ConsumerScenario(SimRuntime& sim, Oracle& oracle, SeededRandom random, DrawnOptions& options)
      : StagedScenario(sim, oracle, options),
        stage_(sim, oracle, random, options, faults_),
        administrator_(stage_),
        judge_(stage_) {
    make_clients();
  }

  void start() override;
  void verify() override;
  void settle() override;
  bool settled() override;
  void destroy() override;

 private:
  void make_clients();
  void add_member(const ConsumerRole& role);
  ClientStage& stage() override { return stage_; }
  int64_t work_ns() const override { return stage_.options.work_ns; }
  int64_t lost_ns() const override { return stage_.lost_ns(); }
  void watch_groups();
  std::string unsettled() const;
  void judge_history();

  ConsumerStage stage_;
  std::vector<std::string> groups_;
  std::vector<std::unique_ptr<ConsumerMember>> members_;
  std::vector<std::unique_ptr<TopicProducer>> producers_;
  TopicAdministrator administrator_;
  ConsumerGroupJudge judge_;
  uint64_t coming_ = 0;  // members that will take a role
};

void ConsumerScenario::make_clients() {
  const ConsumerGroupOptions& options = stage_.options;
  for (uint64_t i = 0; i < options.groups; ++i) {
    groups_.push_back(fmt::format("consumers-{}", i));
    for (uint64_t k = 0; k < options.members; ++k) {
      ConsumerRole role{groups_.back(), {}};
      if (k < options.static_members) role.instance = fmt::format("instance-{}", k);
      add_member(role);
    }
  }
  for (uint64_t i = 0; i < options.producers; ++i) {
    producers_.push_back(std::make_unique<TopicProducer>(stage_));
    producers_.back()->start();
  }
  administrator_.start();
}

void ConsumerScenario::add_member(const ConsumerRole& role) {
  members_.push_back(std::make_unique<ConsumerMember>(stage_, role, [this](const ConsumerRole& gone) {
    ++coming_;
    const uint64_t delay_ms = stage_.random.one_in(3) ? stage_.random.below(1'000) : stage_.random.below(50);
    stage_.after(static_cast<int64_t>(delay_ms) * runtime::kMillisecond, [this, gone] {
      --coming_;
      add_member(gone);
    });
  }));
  members_.back()->start();
}

// --- A life

void ConsumerScenario::start() {
  for (const auto& member : members_) member->drop();
  for (const auto& producer : producers_) producer->drop();
  administrator_.drop();
  judge_.drop();
  stage_.drop();
  const ConsumerGroupOptions& drawn = stage_.options;
  start_server({{"group.consumer.min.session.timeout.ms", "100"},
                {"group.consumer.session.timeout.ms", std::to_string(drawn.session_timeout_ms)},
                {"group.consumer.min.heartbeat.interval.ms", "1"},
                {"group.consumer.heartbeat.interval.ms", std::to_string(drawn.heartbeat_interval_ms)},
                {"group.consumer.assignment.interval.ms", std::to_string(drawn.assignment_interval_ms)},
                {"offsets.topic.num.partitions", std::to_string(drawn.offsets_partitions)},
                {"log.segment.bytes", std::to_string(drawn.segment_bytes)}});
}

void ConsumerScenario::destroy() {
  destroy_server();
  stage_.unsettle();
  stage_.quiet_since_ns = -1;
}

// --- The end

void ConsumerScenario::settle() {
  stable_ = watching_ = false;
  stage_.settle();
  later(kSettleNs, [this] {
    if (!stable_) oracle_.violation("not settled within a minute: " + unsettled());
  });
}

bool ConsumerScenario::settled() {
  if (!std::exchange(watching_, true)) watch_groups();
  return stable_;
}

// What is not at its end yet, as far as clients know.
std::string ConsumerScenario::unsettled() const {
  if (coming_ > 0) return fmt::format("{} members are still to come", coming_);
  if (!administrator_.finished()) return "the administrator waits for an answer";
  for (const auto& producer : producers_) {
    if (!producer->finished()) return "a producer has not sent everything";
  }
  std::vector<const ConsumerMember*> living;
  for (const auto& member : members_) {
    if (member->ended()) continue;
    if (std::string what = member->unsettled(); !what.empty()) return member->role().group + ": " + what;
    living.push_back(member.get());
  }
  return judge_.unsettled(groups_, living);
}

// Until everything is at its end, as clients know it and as the broker tells.
void ConsumerScenario::watch_groups() {
  const bool sent = std::all_of(producers_.begin(), producers_.end(), [](const auto& producer) { return producer->finished(); });
  if (sent && administrator_.finished() && stage_.quiet_since_ns < 0) stage_.quiet_since_ns = sim_.now_ns();
  judge_.ask(groups_, [this] {
    stable_ = unsettled().empty();
    if (!stable_) later(kRetryNs, [this] { watch_groups(); });
  });
}

// --- Judgement

void ConsumerScenario::verify() {
  verified_ = false;
  // Its connection may be half-open.
  if (faults_.of_network()) judge_.drop();
  if (faults_.of_network()) stage_.drop();
  judge_.look_at_offsets(groups_, [this] {
    if (stage_.settling()) judge_history();
    verified_ = true;
  });
}

void ConsumerScenario::judge_history() {
  check_history();
  oracle_.happened(kConsumersSettled);
}

}  // namespace

ScenarioFactory consumer_scenario() {
  return [](SimRuntime& sim, Oracle& oracle, SeededRandom random, DrawnOptions& options) {
    return std::make_unique<ConsumerScenario>(sim, oracle, random, options);
  };
}

}  // namespace weir::simulation
