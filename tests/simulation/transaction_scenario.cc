#include "simulation/transaction_scenario.h"

#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "protocol/errors.h"
#include "protocol/messages/create_topics.h"
#include "protocol/messages/metadata.h"
#include "simulation/staged_scenario.h"
#include "simulation/transaction_reader.h"
#include "simulation/transaction_stage.h"

namespace weir::simulation {

using testing::Isolation;
using testing::SeededRandom;
using testing::SimRuntime;

namespace {

class TransactionScenario final : public StagedScenario {
 public:
  TransactionScenario(SimRuntime& sim, Oracle& oracle, SeededRandom random, DrawnOptions& options)
      : StagedScenario(sim, oracle, options), stage_(sim, oracle, random, options), reader_(stage_) {
    make_clients();
  }

  void start() override;
  bool started() override { return StagedScenario::started() && topics_known(); }
  void verify() override;
  void settle() override;
  bool settled() override;
  void destroy() override;

 private:
  void make_clients();
  void add_worker(const WorkerRole& role);
  void replace(const WorkerRole& role);
  bool topics_known() const { return !stage_.input.partitions.empty() && !stage_.output.partitions.empty(); }
  void create_topics();
  void find_topics();
  ClientStage& stage() override { return stage_; }
  int64_t work_ns() const override { return stage_.options.work_ns; }
  int64_t lost_ns() const override { return runtime::kSecond; }
  void became_ready() override;
  void watch_ends();
  void judge(size_t group);

  TransactionStage stage_;
  std::vector<std::unique_ptr<TransactionWorker>> workers_;
  std::vector<std::unique_ptr<TransactionConsumer>> consumers_;
  TransactionReader reader_;
  std::vector<std::string> groups_;
  uint64_t replacements_ = 0;
};

void TransactionScenario::make_clients() {
  const TransactionOptions& options = stage_.options;
  const auto version_2 = [&](uint64_t number) { return !options.version_1 || (options.version_2 && number % 2 == 0); };
  for (uint64_t i = 0; i < options.plain_producers; ++i) add_worker({});
  for (uint64_t i = 0; i < options.producers; ++i) {
    add_worker({.transactional_id = fmt::format("producer-{}", i), .version_2 = version_2(i)});
  }
  const auto partitions = static_cast<uint64_t>(options.partitions);
  for (uint64_t i = 0; i < options.processors; ++i) {
    groups_.push_back(fmt::format("processing-{}", i));
    add_worker({.transactional_id = fmt::format("processor-{}", i),
                .version_2 = version_2(i + options.producers),
                .group = groups_.back(),
                .partition = static_cast<int32_t>(i % partitions),
                .member = options.members});
  }
  for (uint64_t i = 0; i < options.consumers; ++i) {
    const auto isolation = i % 2 == 0 ? Isolation::kReadCommitted : Isolation::kReadUncommitted;
    consumers_.push_back(std::make_unique<TransactionConsumer>(stage_, isolation, faults_.timeout_ns(), groups_));
    consumers_.back()->start();
  }
}

void TransactionScenario::add_worker(const WorkerRole& role) {
  workers_.push_back(
      std::make_unique<TransactionWorker>(stage_, role, faults_.timeout_ns(), [this](const WorkerRole& gone) { replace(gone); }));
  workers_.back()->start();
}

void TransactionScenario::replace(const WorkerRole& role) {
  WorkerRole next = role;
  // Only the generation tells members of a group apart.
  if (role.member) next.transactional_id = fmt::format("{}-{}", role.group, ++replacements_);
  if (role.member) next.version_2 = stage_.options.version_2 && (!stage_.options.version_1 || stage_.random.one_in(2));
  add_worker(next);
}

// --- A life

void TransactionScenario::start() {
  for (const auto& worker : workers_) worker->drop();
  for (const auto& consumer : consumers_) consumer->drop();
  reader_.drop();
  const TransactionOptions& drawn = stage_.options;
  start_server({{"group.min.session.timeout.ms", "100"},
                {"group.initial.rebalance.delay.ms", "20"},
                {"transaction.state.log.num.partitions", std::to_string(drawn.transaction_partitions)},
                {"offsets.topic.num.partitions", std::to_string(drawn.offsets_partitions)},
                {"log.segment.bytes", std::to_string(drawn.segment_bytes)}});
}

void TransactionScenario::became_ready() {
  if (topics_known()) return;
  sim_.client_loop().post([this, life = life_] {
    if (life == life_) create_topics();
  });
}

void TransactionScenario::destroy() {
  destroy_server();
  if (!stage_.settling()) return;
  // It died before everything had settled: the next life works again.
  stage_.unsettle();
  for (size_t i = 0; i < workers_.size(); ++i) {
    if (const auto role = workers_[i]->hand_over()) add_worker(*role);
  }
}

// A life may die before its answer: then the topics are there or not.
void TransactionScenario::create_topics() {
  protocol::CreateTopicsRequest::CreatableTopic topics[2];
  topics[0].name = stage_.input.name;
  topics[1].name = stage_.output.name;
  for (auto& topic : topics) {
    topic.num_partitions = stage_.options.partitions;
    topic.replication_factor = 1;
  }
  protocol::CreateTopicsRequest request;
  request.topics = topics;
  request.timeout_ms = 30'000;
  reader_.connection().call<protocol::CreateTopicsResponse>(7, request, [this, life = life_](const auto*) {
    if (life == life_) find_topics();
  });
}

void TransactionScenario::find_topics() {
  protocol::MetadataRequest request;
  request.topics = std::nullopt;
  reader_.connection().call<protocol::MetadataResponse>(13, request, [this, life = life_](const auto* response) {
    if (life != life_) return;
    for (size_t i = 0; response && i < response->topics.size(); ++i) {
      const auto& found = response->topics[i];
      for (StageTopic* topic : {&stage_.input, &stage_.output}) {
        if (found.name != topic->name || found.partitions.empty() || !topic->partitions.empty()) continue;
        topic->id = found.topic_id;
        for (int32_t k = 0; k < stage_.options.partitions; ++k)
          topic->partitions.push_back(stage_.history.partition(topic->name, k));
      }
    }
    if (!topics_known()) later(kRetryNs, [this] { create_topics(); });
  });
}

// --- Work

void TransactionScenario::settle() {
  stable_ = watching_ = false;
  stage_.settle();
}

bool TransactionScenario::settled() {
  for (const auto& worker : workers_) {
    if (!worker->ended()) return false;
  }
  if (!stage_.quiet()) return false;
  if (!std::exchange(watching_, true)) watch_ends();
  return stable_;
}

// Until nothing is open: transactions that were left behind time out.
void TransactionScenario::watch_ends() {
  reader_.read(Isolation::kReadUncommitted, false, [this](const std::vector<TransactionReader::Ends>& ends) {
    stable_ = std::all_of(ends.begin(), ends.end(), [](const auto& end) { return end.last_stable_offset == end.high_watermark; });
    if (!stable_) later(kRetryNs, [this] { watch_ends(); });
  });
}

// --- Judgement

void TransactionScenario::verify() {
  verified_ = false;
  const bool complete = stage_.settling();
  // Its connection may be half-open.
  if (faults_.of_network()) reader_.drop();
  reader_.read(Isolation::kReadCommitted, complete, [this, complete](const auto&) {
    reader_.read(Isolation::kReadUncommitted, complete, [this, complete](const auto&) {
      if (complete) return judge(0);
      verified_ = true;
    });
  });
}

// The offsets of the groups from this one on, then the history.
void TransactionScenario::judge(size_t group) {
  if (group < groups_.size()) {
    return reader_.fetch_offsets(groups_[group], [this, group, life = life_](bool good) {
      if (life != life_) return;
      // No transaction is under way: whatever is refused comes from a coordinator that still loads.
      good ? judge(group + 1) : later(kRetryNs, [this, group] { judge(group); });
    });
  }
  const testing::History history = check_history();
  oracle_.learned(
      static_cast<uint64_t>(std::count_if(history.operations.begin(), history.operations.end(),
                                          [](const auto& operation) { return operation.outcome == testing::Outcome::kOk; })));
  oracle_.happened(kHistoryJudged);
  verified_ = true;
}

}  // namespace

ScenarioFactory transaction_scenario() {
  return [](SimRuntime& sim, Oracle& oracle, SeededRandom random, DrawnOptions& options) {
    return std::make_unique<TransactionScenario>(sim, oracle, random, options);
  };
}

}  // namespace weir::simulation
