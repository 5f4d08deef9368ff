// A graph of events with an edge from each one to those that came later, and the search for cycles in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace weir::testing {

enum class EdgeKind : uint8_t {
  kProgram,   // a client was done with one operation when it began the other
  kProducer,  // a client sent one before the other to the same partition
  kAppend,    // a lower offset
  kRead,      // a poll showed the record
  kDecision,  // a committed read showed the transaction
  kFence,     // the producer was fenced
};

struct EventEdge {
  uint32_t from = 0;
  uint32_t to = 0;
  EdgeKind kind = EdgeKind::kProgram;
};

class EventGraph {
 public:
  // Sorts the edges by their start.
  EventGraph(size_t nodes, std::vector<EventEdge> edges);

  size_t size() const { return starts_.size() - 1; }
  std::span<const EventEdge> from(uint32_t node) const {
    return {edges_.data() + starts_[node], edges_.data() + starts_[node + 1]};
  }
  const EventEdge& edge(size_t index) const { return edges_[index]; }
  size_t index_of(const EventEdge& edge) const { return static_cast<size_t>(&edge - edges_.data()); }

  // The strongly connected components of two and more nodes among those that `chosen` says. Linear time.
  std::vector<std::vector<uint32_t>> components(const std::vector<bool>& chosen) const;
  // A cycle within a component with as few edges as a search from some of its nodes finds. Program order costs nothing, and
  // neither do appends that follow one another. In order; the last edge ends where the first one starts.
  std::vector<EventEdge> short_cycle(const std::vector<uint32_t>& component) const;

 private:
  std::vector<EventEdge> cycle_through(uint32_t start, const std::vector<uint32_t>& component) const;

  std::vector<EventEdge> edges_;
  std::vector<size_t> starts_;
};

}  // namespace weir::testing
