// Long runs of the crash scenarios, and single runs for a closer look.
//
//   weir_simulation --scenario log --seeds 1-1000 --cuts 50     many short runs
//   weir_simulation --scenario log --seed 7 --cut 31 --trace    one run, a line per event
//   weir_simulation --ci server,log-one-shard --first           sweeps of every build, until one finds something
#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "simulation/ci_sweeps.h"
#include "simulation/compaction_scenario.h"
#include "simulation/consumer_scenario.h"
#include "simulation/crash_harness.h"
#include "simulation/log_scenario.h"
#include "simulation/meta_scenario.h"
#include "simulation/server_scenario.h"
#include "simulation/transaction_scenario.h"

namespace weir::simulation {
namespace {

struct Arguments {
  std::string scenario = "all";
  CrashSweep sweep{.seed_first = 1, .seed_last = 20, .cuts_max = 0, .every = 7};
  DrawnOptions::Fixed fixed;
  bool failing_disk = false;
  std::optional<uint64_t> cut;
  bool trace = false;
  bool verbose = false;
  std::string ci;  // names, or "all"
  bool first = false;
};

constexpr std::string_view kUsage =
    "usage:\n"
    "weir_simulation [--scenario compaction|consumer-group|log|meta|server|transaction|all] [--seeds A-B | --seed A]\n"
    "                [--cuts K] [--every K] [--set NAME=VALUE]... [--failing-disk] [--cut N [--trace]] [--verbose]\n"
    "weir_simulation --ci NAME,...|all [--set NAME=VALUE]... [--first]\n"
    "  --cuts K         at most K cuts per seed (default: until the workload ends)\n"
    "  --every K        every K-th write only (default 7)\n"
    "  --cut N          one run per seed, cut at write N; 0 is a run without a cut\n"
    "  --set NAME=VALUE this option is not drawn from the seed; a failure prints them all\n"
    "  --failing-disk   syncs, writes and reads fail now and then\n"
    "  --ci NAMES       the sweeps of ci_sweeps.cc, in this order\n"
    "  --first          stop at the first run that fails\n";

std::optional<uint64_t> number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Nothing if the command line makes no sense.
std::optional<Arguments> parse(int count, char** words) {
  Arguments arguments;
  for (int i = 1; i < count; ++i) {
    const std::string_view flag = words[i];
    if (flag == "--failing-disk") {
      arguments.failing_disk = true;
      continue;
    }
    if (flag == "--trace") {
      arguments.trace = true;
      continue;
    }
    if (flag == "--verbose") {
      arguments.verbose = true;
      continue;
    }
    if (flag == "--first") {
      arguments.first = true;
      continue;
    }
    if (++i == count) return std::nullopt;
    const std::string_view value = words[i];
    if (flag == "--scenario") {
      arguments.scenario = value;
      continue;
    }
    if (flag == "--ci") {
      arguments.ci = value;
      continue;
    }
    if (flag == "--set") {
      const size_t equals = std::min(value.find('='), value.size());
      const auto set = number(value.substr(std::min(equals + 1, value.size())));
      if (!set) return std::nullopt;
      arguments.fixed[std::string(value.substr(0, equals))] = *set;
      continue;
    }
    const size_t dash = flag == "--seeds" ? value.find('-') : std::string_view::npos;
    const auto first = number(value.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : number(value.substr(dash + 1));
    if (!first || !last) return std::nullopt;
    if (flag == "--seeds" || flag == "--seed") {
      arguments.sweep.seed_first = *first;
      arguments.sweep.seed_last = *last;
    } else if (flag == "--cuts") {
      arguments.sweep.cuts_max = *first;
    } else if (flag == "--every" && *first > 0) {
      arguments.sweep.every = *first;
    } else if (flag == "--cut") {
      arguments.cut = *first;
    } else {
      return std::nullopt;
    }
  }
  return arguments;
}

void report(const std::string& scenario, const CrashRun& run) {
  fmt::print("{}: {}\n", scenario, describe(run));
  std::fflush(stdout);
}

bool sweep(const std::string& name, const ScenarioFactory& factory, const CrashSweep& which, const CrashOptions& options,
           const Arguments& arguments) {
  const SweepResult result = sweep_crashes(factory, which, options, [&](const CrashRun& once) {
    if (arguments.verbose || !once.violations.empty()) report(name, once);
    return once.violations.empty() || !arguments.first;
  });
  fmt::print("{}: {} runs, {} cuts, {} info, {} failed\n", name, result.runs, result.cuts, result.info, result.failed.size());
  for (const auto& [what, times] : result.happened) fmt::print("  {}: {} times\n", what, times);
  return result.failed.empty();
}

// False if any run broke a promise.
bool run(const std::string& name, const ScenarioFactory& factory, const Arguments& arguments) {
  CrashOptions options;
  options.fixed = arguments.fixed;
  options.failing_disk = arguments.failing_disk;
  if (arguments.trace) options.trace = [](const std::string& line) { fmt::print("{}\n", line); };
  if (arguments.cut) {
    bool good = true;
    for (uint64_t seed = arguments.sweep.seed_first; seed <= arguments.sweep.seed_last; ++seed) {
      const CrashRun once = run_crash(factory, seed, *arguments.cut, options);
      report(name, once);
      good = good && once.violations.empty();
    }
    return good;
  }
  return sweep(name, factory, arguments.sweep, options, arguments);
}

// False if a run broke a promise, or if a name is not known.
bool run_ci(const Arguments& arguments) {
  std::vector<const CiSweep*> chosen;
  for (const CiSweep& ci : ci_sweeps()) {
    if (arguments.ci == "all") chosen.push_back(&ci);
  }
  for (std::string_view rest = arguments.ci; rest != "all" && !rest.empty();) {
    const std::string_view name = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    for (const CiSweep& ci : ci_sweeps()) {
      if (ci.name == name) chosen.push_back(&ci);
    }
    if (chosen.empty() || chosen.back()->name != name) {
      fmt::print("no such sweep: {}\n", name);
      return false;
    }
  }
  bool good = true;
  for (const CiSweep* ci : chosen) {
    CrashOptions options = ci->options;
    for (const auto& [option, value] : arguments.fixed) options.fixed[option] = value;
    good = sweep(ci->name, ci->factory, ci->sweep, options, arguments) && good;
    if (!good && arguments.first) break;
  }
  return good;
}

}  // namespace
}  // namespace weir::simulation

int main(int count, char** words) {
  using namespace weir::simulation;
  if (count == 2 && (words[1] == std::string_view("--help") || words[1] == std::string_view("-h"))) {
    fmt::print("{}", kUsage);
    return 0;
  }
  const auto arguments = parse(count, words);
  const std::map<std::string, ScenarioFactory> scenarios{{"compaction", compaction_scenario()},
                                                         {"consumer-group", consumer_scenario()},
                                                         {"log", log_scenario()},
                                                         {"meta", meta_scenario()},
                                                         {"server", server_scenario()},
                                                         {"transaction", transaction_scenario()}};
  if (!arguments || (arguments->scenario != "all" && !scenarios.contains(arguments->scenario))) {
    fmt::print("{}", kUsage);
    return 2;
  }
  weir::set_log_level(weir::LogLevel::kError);
  if (!arguments->ci.empty()) return run_ci(*arguments) ? 0 : 1;
  bool good = true;
  for (const auto& [name, factory] : scenarios) {
    if (arguments->scenario == "all" || arguments->scenario == name) good = run(name, factory, *arguments) && good;
  }
  return good ? 0 : 1;
}
