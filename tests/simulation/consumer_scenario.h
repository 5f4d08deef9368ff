// A broker with consumer groups of the protocol of KIP-848: dynamic and static members that come, go, stall and come back, topics
// that an administrator makes, grows and deletes under their regular expressions, producers, faults of the network, the disk and
// the clock, and a death at any write.
//
// Members judge each answer. At the end, when nothing fails any more, each group has to be Stable within a minute: its members
// are those that live, each partition that somebody subscribes to has one owner, and every record is read and committed. Then the
// checker of src/testing/history judges the history: intervals of owners never overlap, and committed offsets never go back.
#pragma once

#include "simulation/consumer_member.h"
#include "simulation/crash_harness.h"

namespace weir::simulation {

// Oracle::happened, besides the events of faults and members.
inline constexpr const char* kConsumersSettled = "all consumer groups were stable, and the history was judged";
inline constexpr const char* kTopicGrew = "a topic got more partitions";
inline constexpr const char* kTopicWent = "a topic was deleted";

ScenarioFactory consumer_scenario();

}  // namespace weir::simulation
