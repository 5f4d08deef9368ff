#include "testing/history/event_graph.h"

#include <algorithm>
#include <deque>
#include <limits>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace weir::testing {

EventGraph::EventGraph(size_t nodes, std::vector<EventEdge> edges) : edges_(edges.size()), starts_(nodes + 1, 0) {
  for (const EventEdge& edge : edges) ++starts_[edge.from + 1];
  for (size_t node = 0; node < nodes; ++node) starts_[node + 1] += starts_[node];
  std::vector<size_t> next(starts_.begin(), starts_.end() - 1);
  for (const EventEdge& edge : edges) edges_[next[edge.from]++] = edge;
}

// Tarjan's algorithm, with a stack of its own in place of recursion.
std::vector<std::vector<uint32_t>> EventGraph::components(const std::vector<bool>& chosen) const {
  constexpr uint32_t kUnseen = std::numeric_limits<uint32_t>::max();
  struct Visit {
    uint32_t node;
    size_t next_edge;
  };
  std::vector<uint32_t> number(size(), kUnseen), low(size(), 0);
  std::vector<bool> on_path(size(), false);
  std::vector<uint32_t> path;
  std::vector<Visit> visits;
  std::vector<std::vector<uint32_t>> found;
  uint32_t count = 0;
  const auto enter = [&](uint32_t node) {
    number[node] = low[node] = count++;
    path.push_back(node);
    on_path[node] = true;
    visits.push_back({node, starts_[node]});
  };
  for (uint32_t root = 0; root < size(); ++root) {
    if (!chosen[root] || number[root] != kUnseen) continue;
    enter(root);
    while (!visits.empty()) {
      Visit& visit = visits.back();
      const uint32_t node = visit.node;
      if (visit.next_edge < starts_[node + 1]) {
        const uint32_t to = edges_[visit.next_edge++].to;
        if (!chosen[to]) continue;
        if (number[to] == kUnseen) enter(to);  // `visit` is no longer valid
        else if (on_path[to]) low[node] = std::min(low[node], number[to]);
        continue;
      }
      visits.pop_back();
      if (!visits.empty()) low[visits.back().node] = std::min(low[visits.back().node], low[node]);
      if (low[node] != number[node]) continue;
      std::vector<uint32_t> component;
      do {
        component.push_back(path.back());
        on_path[path.back()] = false;
        path.pop_back();
      } while (component.back() != node);
      if (component.size() > 1) found.push_back(std::move(component));
    }
  }
  return found;
}

std::vector<EventEdge> EventGraph::short_cycle(const std::vector<uint32_t>& component) const {
  constexpr size_t kStarts = 12;  // a search from all nodes would take quadratic time
  const auto length = [](const std::vector<EventEdge>& cycle) {
    return std::count_if(cycle.begin(), cycle.end(), [](const EventEdge& edge) { return edge.kind != EdgeKind::kProgram; });
  };
  std::vector<EventEdge> best;
  const size_t step = std::max<size_t>(1, component.size() / kStarts);
  for (size_t i = 0; i < component.size(); i += step) {
    std::vector<EventEdge> cycle = cycle_through(component[i], component);
    if (best.empty() || length(cycle) < length(best)) best = std::move(cycle);
  }
  return best;
}

std::vector<EventEdge> EventGraph::cycle_through(uint32_t start, const std::vector<uint32_t>& component) const {
  struct Reached {
    uint32_t cost = 0;
    const EventEdge* by = nullptr;
    bool done = false;
  };
  const std::unordered_set<uint32_t> inside(component.begin(), component.end());
  std::unordered_map<uint32_t, Reached> reached;
  std::deque<uint32_t> queue = {start};
  // The start counts as reached once an edge comes back to it.
  for (bool first = true; !queue.empty(); first = false) {
    const uint32_t node = queue.front();
    queue.pop_front();
    if (node == start && !first) break;
    Reached& here = reached[node];
    if (std::exchange(here.done, true)) continue;
    const uint32_t cost_here = first ? 0 : here.cost;
    const EventEdge* by = here.by;
    for (const EventEdge& edge : from(node)) {
      if (!inside.contains(edge.to)) continue;
      const bool free =
          edge.kind == EdgeKind::kProgram || (edge.kind == EdgeKind::kAppend && by && by->kind == EdgeKind::kAppend);
      const uint32_t cost = cost_here + (free ? 0 : 1);
      const auto [known, fresh] = reached.try_emplace(edge.to);
      const bool open = fresh || (edge.to == start && !known->second.by) || (!known->second.done && cost < known->second.cost);
      if (!open) continue;
      known->second.cost = cost;
      known->second.by = &edge;
      free ? queue.push_front(edge.to) : queue.push_back(edge.to);
    }
  }
  std::vector<EventEdge> cycle;
  for (uint32_t node = start; cycle.empty() || node != start;) {
    const EventEdge* by = reached.at(node).by;
    cycle.push_back(*by);
    node = by->from;
  }
  std::reverse(cycle.begin(), cycle.end());
  return cycle;
}

}  // namespace weir::testing
