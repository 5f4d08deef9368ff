// The whole broker, as the weir program assembles it, with clients that speak Kafka's protocol over the simulated network:
// idempotent producers, consumers, groups with members, and an administrator who creates and deletes topics, deletes records
// and alters configs. Meanwhile connections break, links fail, the disk is full and the wall clock jumps (server_faults.h).
#pragma once

#include "simulation/crash_harness.h"
#include "simulation/group_member.h"
#include "simulation/server_faults.h"

namespace weir::simulation {

// Oracle::happened, besides the events of faults and members.
inline constexpr const char* kGroupsSettled = "groups of members read to the end";

ScenarioFactory server_scenario();

}  // namespace weir::simulation
