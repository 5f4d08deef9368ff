#include "simulation/consumer_scenario.h"

#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "apps/server.h"
#include "simulation/consumer_group_judge.h"
#include "simulation/topic_administrator.h"
#include "simulation/topic_producer.h"
#include "testing/history/history_checker.h"

namespace weir::simulation {

using testing::SeededRandom;
using testing::SimRuntime;

namespace {

constexpr int64_t kRetryNs = 50 * runtime::kMillisecond;
constexpr int64_t kSettleNs = 60 * runtime::kSecond;

class ConsumerScenario final : public Scenario {
 public:
  ConsumerScenario(SimRuntime& sim, Oracle& oracle, SeededRandom random, DrawnOptions& options)
      : sim_(sim),
        oracle_(oracle),
        faults_(sim, oracle, SeededRandom(sim.seed(), 60), options),
        stage_(sim, oracle, random, options, faults_),
        administrator_(stage_),
        judge_(stage_) {
    make_clients();
  }

  void start() override;
  bool started() override { return ready_; }
  void verify() override;
  bool verified() override { return verified_; }
  void work() override;
  bool worked() override;
  void settle() override;
  bool settled() override;
  void stop() override {
    server_->stop([this] { drained_ = true; });
  }
  bool stopped() override;
  void destroy() override;
  std::string failure() override { return failure_; }

 private:
  void make_clients();
  void add_member(const ConsumerRole& role);
  void fail_life(const std::string& why) {
    if (failure_.empty() && !sim_.server_died()) failure_ = why;
  }
  // Has something done in a while, unless this life is over by then.
  void later(int64_t delay_ns, std::function<void()> step) {
    sim_.client_loop().schedule_after(delay_ns, [this, step = std::move(step), life = life_] {
      if (life == life_) step();
    });
  }
  void watch_groups();
  std::string unsettled() const;
  void judge_history();

  SimRuntime& sim_;
  Oracle& oracle_;
  ServerFaults faults_;
  ConsumerStage stage_;
  std::vector<std::string> groups_;
  std::vector<std::unique_ptr<ConsumerMember>> members_;
  std::vector<std::unique_ptr<TopicProducer>> producers_;
  TopicAdministrator administrator_;
  ConsumerGroupJudge judge_;
  uint64_t coming_ = 0;  // members that will take a role

  // This life.
  uint64_t life_ = 0;
  runtime::Runtime world_;
  std::unique_ptr<apps::Server> server_;
  std::string failure_;
  bool ready_ = false;
  bool working_ = false;
  bool work_over_ = false;
  bool calm_ = false;  // no request that a client gave up is under way any more
  bool calming_ = false;
  bool watching_ = false;
  bool stable_ = false;
  bool verified_ = false;
  bool drained_ = false;
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
  failure_.clear();
  ++life_;
  // No request to the last life may reach this one while it is being judged.
  for (const auto& member : members_) member->drop();
  for (const auto& producer : producers_) producer->drop();
  administrator_.drop();
  judge_.drop();
  stage_.drop();
  world_ = sim_.runtime();
  apps::ServerOptions options;
  options.data_dir = "/data";
  options.max_memory_bytes = 64 << 20;
  const ConsumerGroupOptions& drawn = stage_.options;
  for (const auto& [key, value] :
       {std::pair<const char*, std::string>{"listeners", "PLAINTEXT://0.0.0.0:9092"},
        {"advertised.listeners", "PLAINTEXT://127.0.0.1:9092"},
        {"auto.create.topics.enable", "false"},
        {"log.message.timestamp.after.max.ms", "9223372036854775807"},  // the broker's clock may be off
        {"group.consumer.min.session.timeout.ms", "100"},
        {"group.consumer.session.timeout.ms", std::to_string(drawn.session_timeout_ms)},
        {"group.consumer.min.heartbeat.interval.ms", "1"},
        {"group.consumer.heartbeat.interval.ms", std::to_string(drawn.heartbeat_interval_ms)},
        {"group.consumer.assignment.interval.ms", std::to_string(drawn.assignment_interval_ms)},
        {"offsets.topic.num.partitions", std::to_string(drawn.offsets_partitions)},
        {"log.segment.bytes", std::to_string(drawn.segment_bytes)}}) {
    if (auto set = options.config.set(key, value); !set) return fail_life(set.error().message);
  }
  auto server = apps::Server::start(world_, std::move(options));
  if (!server) return fail_life("start: " + server.error().message);
  server_ = std::move(*server);
  server_->when_ready([this](Result<void> ready) {
    ready_ = ready.has_value();
    if (!ready) fail_life("not ready: " + ready.error().message);
  });
}

void ConsumerScenario::destroy() {
  ++life_;
  server_.reset();
  ready_ = working_ = drained_ = false;
  stage_.close();
  faults_.end();
  stage_.unsettle();
  stage_.quiet_since_ns = -1;
}

bool ConsumerScenario::stopped() {
  if (!drained_) return false;
  if (auto done = server_->finish(); !done) fail_life("finish: " + done.error().message);
  return true;
}

void ConsumerScenario::work() {
  working_ = true;
  work_over_ = calm_ = calming_ = false;
  faults_.begin();
  stage_.open();
  later(stage_.options.work_ns, [this] { work_over_ = true; });
}

bool ConsumerScenario::worked() {
  if (!work_over_) return false;
  if (working_) {
    working_ = false;
    stage_.close();
    faults_.end();
  }
  if (!stage_.quiet()) return false;
  if (!std::exchange(calming_, true)) {
    calm_ = !faults_.of_network();
    if (!calm_) later(stage_.lost_ns(), [this] { calm_ = true; });
  }
  return calm_;
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
  const testing::History history = stage_.history.history();
  const testing::Report report = testing::check_history(history);
  for (const testing::Anomaly& anomaly : report.anomalies()) oracle_.violation(report.describe(anomaly));
  oracle_.happened(kConsumersSettled);
}

}  // namespace

ScenarioFactory consumer_scenario() {
  return [](SimRuntime& sim, Oracle& oracle, SeededRandom random, DrawnOptions& options) {
    return std::make_unique<ConsumerScenario>(sim, oracle, random, options);
  };
}

}  // namespace weir::simulation
