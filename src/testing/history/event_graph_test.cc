#include "testing/history/event_graph.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace weir::testing {
namespace {

using enum EdgeKind;

std::vector<std::vector<uint32_t>> components(const EventGraph& graph) {
  auto found = graph.components(std::vector<bool>(graph.size(), true));
  for (auto& component : found) std::sort(component.begin(), component.end());
  std::sort(found.begin(), found.end());
  return found;
}

TEST(EventGraph, FindsAllCycles) {
  const EventGraph graph(
      8, {{0, 1, kAppend}, {1, 2, kAppend}, {2, 1, kRead}, {2, 3, kAppend}, {4, 5, kRead}, {5, 6, kRead}, {6, 4, kRead}});
  EXPECT_EQ(components(graph), (std::vector<std::vector<uint32_t>>{{1, 2}, {4, 5, 6}}));
}

TEST(EventGraph, FindsNoneWithout) {
  const EventGraph graph(4, {{0, 1, kAppend}, {0, 2, kAppend}, {1, 3, kRead}, {2, 3, kRead}});
  EXPECT_TRUE(components(graph).empty());
}

TEST(EventGraph, LooksAtChosenNodesOnly) {
  const EventGraph graph(3, {{0, 1, kAppend}, {1, 2, kAppend}, {2, 0, kRead}});
  EXPECT_EQ(graph.components({true, true, true}).size(), 1u);
  EXPECT_TRUE(graph.components({true, false, true}).empty());
}

// One stack frame for each node would be too many.
TEST(EventGraph, FindsALongCycle) {
  constexpr uint32_t kNodes = 1'000'000;
  std::vector<EventEdge> edges;
  for (uint32_t node = 0; node < kNodes; ++node) edges.push_back({node, (node + 1) % kNodes, kRead});
  const EventGraph graph(kNodes, std::move(edges));
  const auto found = components(graph);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].size(), kNodes);
}

TEST(EventGraph, AShortCycleIsClosedAndShort) {
  // 0..9 in a ring, and a shortcut from 5 back to 0.
  std::vector<EventEdge> edges;
  for (uint32_t node = 0; node < 10; ++node) edges.push_back({node, (node + 1) % 10, kRead});
  edges.push_back({5, 0, kDecision});
  const EventGraph graph(10, std::move(edges));
  const auto cycle = graph.short_cycle(components(graph).at(0));
  ASSERT_EQ(cycle.size(), 6u);
  for (size_t i = 0; i < cycle.size(); ++i) EXPECT_EQ(cycle[i].to, cycle[(i + 1) % cycle.size()].from);
}

}  // namespace
}  // namespace weir::testing
