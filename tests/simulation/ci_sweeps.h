// The crash sweeps every build runs: the tests, and `weir_simulation --ci`, which the planted defects go through.
#pragma once

#include <string>
#include <vector>

#include "simulation/crash_harness.h"

namespace weir::simulation {

struct CiSweep {
  std::string name;
  ScenarioFactory factory;
  CrashSweep sweep;
  CrashOptions options = {};
  // A sweep below these proved little: the scenario does not work any more, or ends too early.
  uint64_t cuts_min = 0;
  uint64_t info_per_run_min = 0;
  std::vector<std::string> must_happen = {};  // Oracle::happened, in some run
};

const std::vector<CiSweep>& ci_sweeps();
const CiSweep& ci_sweep(const std::string& name);

}  // namespace weir::simulation
