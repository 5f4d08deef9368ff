#include "testing/scheduler.h"

#include <fmt/core.h>

#include <algorithm>
#include <vector>

namespace weir::testing {

Scheduler::Key Scheduler::at(int64_t time_ns, EventKind kind, uint32_t lane, Function<void()> run) {
  const Key key{std::max(time_ns, now_ns_), random_.next(), ++last_sequence_};
  events_.emplace(key, Event{kind, lane, std::move(run)});
  return key;
}

void Scheduler::discard_lane(uint32_t lane) {
  std::vector<Event> discarded;  // their destructors may call back
  for (auto event = events_.begin(); event != events_.end();) {
    if (event->second.lane == lane) {
      discarded.push_back(std::move(event->second));
      event = events_.erase(event);
    } else {
      ++event;
    }
  }
}

void Scheduler::step() {
  WEIR_CHECK(running_lane_ == 0);
  auto entry = events_.extract(events_.begin());
  now_ns_ = entry.key().time_ns;
  Event& event = entry.mapped();
  ++events_run_;
  trace_.add(static_cast<uint64_t>(event.kind) << 32 | event.lane);
  trace_.add(static_cast<uint64_t>(now_ns_));
  if (trace_sink_) trace_sink_(fmt::format("{} kind {} lane {}", now_ns_, static_cast<int>(event.kind), event.lane));
  running_lane_ = event.lane;
  event.run();
  event.run = nullptr;  // objects that the event holds are destroyed in its own lane
  running_lane_ = 0;
}

void Scheduler::advance_to(int64_t time_ns) {
  WEIR_CHECK(idle() || next_time_ns() >= time_ns);
  now_ns_ = std::max(now_ns_, time_ns);
}

}  // namespace weir::testing
