#include "simulation/staged_scenario.h"

namespace weir::simulation {

StagedScenario::StagedScenario(testing::SimRuntime& sim, Oracle& oracle, DrawnOptions& options)
    : sim_(sim), oracle_(oracle), faults_(sim, oracle, testing::SeededRandom(sim.seed(), 60), options) {}

void StagedScenario::later(int64_t delay_ns, std::function<void()> step) {
  sim_.client_loop().schedule_after(delay_ns, [this, step = std::move(step), life = life_] {
    if (life == life_) step();
  });
}

void StagedScenario::start_server(const Settings& settings) {
  failure_.clear();
  ++life_;
  world_ = sim_.runtime();
  apps::ServerOptions options;
  options.data_dir = "/data";
  options.max_memory_bytes = 64 << 20;
  Settings all = {{"listeners", "PLAINTEXT://0.0.0.0:9092"},
                  {"advertised.listeners", "PLAINTEXT://127.0.0.1:9092"},
                  {"auto.create.topics.enable", "false"},
                  {"log.message.timestamp.after.max.ms", "9223372036854775807"}};  // the broker's clock may be off
  all.insert(all.end(), settings.begin(), settings.end());
  for (const auto& [key, value] : all) {
    if (auto set = options.config.set(key, value); !set) return fail_life(set.error().message);
  }
  auto server = apps::Server::start(world_, std::move(options));
  if (!server) return fail_life("start: " + server.error().message);
  server_ = std::move(*server);
  server_->when_ready([this](Result<void> ready) {
    ready_ = ready.has_value();
    if (ready_) became_ready();
    else fail_life("not ready: " + ready.error().message);
  });
}

void StagedScenario::destroy_server() {
  ++life_;
  server_.reset();
  ready_ = working_ = drained_ = false;
  stage().close();
  faults_.end();
}

void StagedScenario::work() {
  working_ = true;
  work_over_ = calm_ = calming_ = false;
  faults_.begin();
  stage().open();
  later(work_ns(), [this] { work_over_ = true; });
}

bool StagedScenario::worked() {
  if (!work_over_) return false;
  if (working_) {
    working_ = false;
    stage().close();
    faults_.end();
  }
  if (!stage().quiet()) return false;
  if (!std::exchange(calming_, true)) {
    calm_ = !faults_.of_network();
    if (!calm_) later(lost_ns(), [this] { calm_ = true; });
  }
  return calm_;
}

void StagedScenario::stop() {
  server_->stop([this] { drained_ = true; });
}

bool StagedScenario::stopped() {
  if (!drained_) return false;
  if (auto done = server_->finish(); !done) fail_life("finish: " + done.error().message);
  return true;
}

testing::History StagedScenario::check_history() {
  testing::History history = stage().history.history();
  const testing::Report report = testing::check_history(history);
  for (const testing::Anomaly& anomaly : report.anomalies()) oracle_.violation(report.describe(anomaly));
  return history;
}

}  // namespace weir::simulation
