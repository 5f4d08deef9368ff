// The whole broker, as the weir program assembles it, with clients that speak Kafka's protocol over the simulated network:
// idempotent producers, a consumer, an administrator who creates and deletes topics and records.
#pragma once

#include "simulation/crash_harness.h"

namespace weir::simulation {

ScenarioFactory server_scenario(unsigned steps_per_client = 25);

}  // namespace weir::simulation
