// The crash sweeps of every build. ci_sweeps_test.cc runs them, and `weir_simulation --ci` runs them over planted defects.
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
  // A sweep below these proved little: its scenario does not work any more, or ends too early.
  uint64_t cuts_min = 0;
  uint64_t info_per_run_min = 0;              // Oracle::info
  std::vector<std::string> must_happen = {};  // Oracle::happened, in at least one run
};

const std::vector<CiSweep>& ci_sweeps();
const CiSweep& ci_sweep(const std::string& name);

}  // namespace weir::simulation
