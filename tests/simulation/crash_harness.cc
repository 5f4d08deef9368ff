#include "simulation/crash_harness.h"

#include <fmt/core.h>
#include <sqlite3.h>

#include <algorithm>
#include <utility>

namespace weir::simulation {

using testing::Death;
using testing::SimRuntime;

namespace {

// The machine and its network, drawn from the seed.
SimRuntime::Options machine(DrawnOptions& options) {
  SimRuntime::Options runtime;
  runtime.loops = static_cast<unsigned>(options.one_of("shards", {2, 1, 3, 4}));
  runtime.late_ends = options.one_of("late-ends", {0, 3});
  runtime.disk.eviction_one_in = options.one_of("disk.eviction", {32, 3});
  runtime.disk.durable_write_max_ns = static_cast<int64_t>(options.one_of("disk.write-us", {400, 60, 5'000})) * 1'000;
  runtime.pool.max_delay_ns = static_cast<int64_t>(options.one_of("pool.us", {300, 30, 5'000})) * 1'000;
  runtime.network.partial_one_in = options.one_of("network.partial", {16, 3});
  runtime.network.max_latency_ns = static_cast<int64_t>(options.one_of("network.latency-us", {200, 20, 2'000})) * 1'000;
  runtime.network.max_buffer = options.one_of("network.buffer", {262'144, 8'192});
  return runtime;
}

class Run {
 public:
  Run(const ScenarioFactory& factory, uint64_t seed, uint64_t cut, const CrashOptions& options)
      : options_(options), random_(seed ^ testing::mix(cut), 50), drawn_(seed, options.fixed), sim_(seed, machine(drawn_)) {
    // SQLite draws nonces from a generator of its own, one for the process.
    sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, static_cast<int>(seed | 1), nullptr);
    result_.seed = seed;
    result_.cut = cut;
    if (options.trace) sim_.set_trace_sink(options.trace);
    // Workload and schedule depend on the seed alone: up to its cut every run of a seed is the same.
    scenario_ = factory(sim_, oracle_, testing::SeededRandom(seed, 51), drawn_);
  }

  CrashRun go() {
    sim_.disk().cut_at_write(result_.cut);
    while (true) {
      ++result_.lives;
      if (live() || !oracle_.violations().empty()) break;
      if (sim_.server_died() && result_.lives == 1) result_.cut_reached = true;
      restart();
    }
    sim_.end_server(Death::kKill);
    scenario_->destroy();
    result_.writes = sim_.disk().write_points();
    result_.info = oracle_.info();
    result_.happened = oracle_.happened();
    result_.violations = oracle_.violations();
    result_.trace_hash = sim_.trace_hash();
    result_.options = drawn_.text();
    for (const std::string& name : drawn_.unknown()) result_.violations.push_back("there is no option " + name);
    return std::move(result_);
  }

 private:
  // True if this life came to its planned end.
  bool live() {
    plan_faults();
    scenario_->start();
    if (!phase("start", [this] { return scenario_->started(); })) return false;
    scenario_->verify();
    if (!phase("verification", [this] { return scenario_->verified(); })) return false;
    // Records that readers have just seen must be safe without any further write.
    if (std::exchange(cut_when_verified_, false)) return false;
    scenario_->work();
    if (!phase("work", [this] { return scenario_->worked(); })) return false;
    scenario_->verify();
    if (!phase("verification after work", [this] { return scenario_->verified(); })) return false;
    if (result_.lives == 1) result_.exhausted = true;
    if (result_.lives >= options_.lives_max || !random_.one_in(3)) return settle();
    scenario_->stop();
    if (!phase("stop", [this] { return scenario_->stopped(); })) return false;
    result_.lives = std::max(result_.lives, options_.lives_max - 1);  // one more life, to see what an orderly end left
    return false;
  }

  // False if the disk's cut came meanwhile: then another life has to settle.
  bool settle() {
    sim_.disk().clear_faults();
    sim_.disk().fail_next_sync(0);
    sim_.disk().set_size_limit(UINT64_MAX);
    sim_.network().heal();
    scenario_->settle();
    if (!phase("settling", [this] { return scenario_->settled(); }, options_.settle_max_ns)) return false;
    scenario_->verify();
    return phase("verification of what settled", [this] { return scenario_->verified(); });
  }

  bool phase(const char* name, const std::function<bool()>& finished) { return phase(name, finished, options_.phase_max_ns); }
  bool phase(const char* name, const std::function<bool()>& finished, int64_t max_ns) {
    const auto stop = sim_.run_until([&] { return finished() || !scenario_->failure().empty(); }, max_ns);
    if (stop == SimRuntime::Stop::kDone && !scenario_->failure().empty()) {
      if (!faulty_) oracle_.violation(fmt::format("life {}: {}", result_.lives, scenario_->failure()));
      return false;
    }
    if (stop == SimRuntime::Stop::kDone) return oracle_.violations().empty();
    if (stop != SimRuntime::Stop::kDied) {
      oracle_.violation(fmt::format("life {}: {} does not end ({})", result_.lives, name,
                                    stop == SimRuntime::Stop::kIdle ? "nothing left to run" : "out of virtual time"));
    }
    return false;
  }

  // Makes one or two operations of this life fail.
  void plan_faults() {
    sim_.disk().clear_faults();
    sim_.disk().fail_next_sync(0);
    faulty_ = options_.failing_disk && result_.lives < options_.lives_max && !random_.one_in(4);
    if (!faulty_) return;
    if (random_.one_in(2)) sim_.disk().fail_next_sync(random_.between(1, 30));
    sim_.disk().inject({.operation = testing::DiskOperation::kDurableWriteEnd, .skip = random_.below(40)});
    if (random_.one_in(3)) sim_.disk().inject({.operation = testing::DiskOperation::kWrite, .skip = random_.below(100)});
    if (random_.one_in(3)) sim_.disk().inject({.operation = testing::DiskOperation::kRead, .skip = random_.below(100)});
  }

  void restart() {
    const bool kill = random_.one_in(4);
    sim_.end_server(kill ? Death::kKill : Death::kPowerCut);
    scenario_->destroy();
    sim_.start_server();
    if (result_.lives + 1 >= options_.lives_max) return;
    // Recovery writes little: early cuts are drawn more often.
    switch (random_.below(4)) {
      case 0:
        return sim_.disk().cut_at_write(random_.between(1, 8));
      case 1:
        return sim_.disk().cut_at_write(random_.between(1, options_.later_cut_max));
      case 2:
        cut_when_verified_ = true;
        return;
      default:
        return;
    }
  }

  const CrashOptions& options_;
  testing::SeededRandom random_;
  DrawnOptions drawn_;
  SimRuntime sim_;
  Oracle oracle_;
  std::unique_ptr<Scenario> scenario_;
  bool cut_when_verified_ = false;
  bool faulty_ = false;
  CrashRun result_;
};

}  // namespace

CrashRun run_crash(const ScenarioFactory& factory, uint64_t seed, uint64_t cut, const CrashOptions& options) {
  return Run(factory, seed, cut, options).go();
}

SweepResult sweep_crashes(const ScenarioFactory& factory, const CrashSweep& sweep, const CrashOptions& options,
                          const std::function<bool(const CrashRun&)>& progress) {
  SweepResult result;
  for (uint64_t seed = sweep.seed_first; seed <= sweep.seed_last; ++seed) {
    uint64_t cuts = 0;
    for (uint64_t cut = 1 + testing::mix(seed) % sweep.every;; cut += sweep.every) {
      CrashRun run = run_crash(factory, seed, cut, options);
      ++result.runs;
      result.info += run.info;
      for (const auto& [what, times] : run.happened) result.happened[what] += times;
      if (run.cut_reached) ++result.cuts;
      // A first life that fails before its cut fails before all later ones.
      const bool failed_early = !run.violations.empty() && !run.cut_reached;
      const bool last = run.exhausted || failed_early || ++cuts == sweep.cuts_max;
      const bool go_on = !progress || progress(run);
      if (!run.violations.empty()) result.failed.push_back(std::move(run));
      if (!go_on) return result;
      if (last) break;
    }
  }
  return result;
}

std::string describe(const CrashRun& run) {
  std::string text = fmt::format("seed {} cut {}: {} lives, {} writes, {} info, trace {:016x}", run.seed, run.cut, run.lives,
                                 run.writes, run.info, run.trace_hash);
  for (const std::string& violation : run.violations) text += "\n  " + violation;
  if (!run.violations.empty()) text += "\n  options: " + run.options;
  return text;
}

}  // namespace weir::simulation
