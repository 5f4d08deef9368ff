// Virtual time and the queue of everything that is going to happen in a simulation.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "base/function.h"
#include "runtime/clock.h"
#include "testing/seeded_random.h"

namespace weir::testing {

enum class EventKind : uint8_t { kLoopStep = 1, kTimerDue, kPoolWork, kNetwork, kHarness };

// Runs events one at a time in the order of their virtual time; equal times in an order drawn from the seed.
class Scheduler {
 public:
  struct Key {
    int64_t time_ns = 0;
    uint64_t draw = 0;
    uint64_t sequence = 0;  // 0: no event
    auto operator<=>(const Key&) const = default;
  };

  Scheduler(uint64_t seed, int64_t start_wall_ms) : random_(seed, 2), clock_(*this, start_wall_ms) {}

  int64_t now_ns() const { return now_ns_; }
  runtime::Clock& clock() { return clock_; }
  // Lets the wall clock jump, as an operator or NTP does.
  void shift_wall_clock(int64_t delta_ms) { clock_.wall_offset_ms += delta_ms; }
  SeededRandom& random() { return random_; }
  TraceHash& trace() { return trace_; }

  // `lane` is who runs the event (a loop or a pool); 0 is the world outside.
  Key at(int64_t time_ns, EventKind kind, uint32_t lane, Function<void()> run);
  Key after(int64_t delay_ns, EventKind kind, uint32_t lane, Function<void()> run) {
    return at(now_ns_ + delay_ns, kind, lane, std::move(run));
  }
  bool erase(const Key& key) { return events_.erase(key) > 0; }
  void discard_lane(uint32_t lane);
  uint32_t new_lane() { return ++last_lane_; }
  // The lane whose event is running; 0 between events and in events of the outside world.
  uint32_t running_lane() const { return running_lane_; }

  bool idle() const { return events_.empty(); }
  int64_t next_time_ns() const { return events_.begin()->first.time_ns; }
  void step();  // not when idle
  void advance_to(int64_t time_ns);
  uint64_t events_run() const { return events_run_; }
  void set_trace_sink(std::function<void(const std::string&)> sink) { trace_sink_ = std::move(sink); }

 private:
  struct Event {
    EventKind kind;
    uint32_t lane;
    Function<void()> run;
  };
  struct VirtualClock final : runtime::Clock {
    VirtualClock(const Scheduler& from, int64_t start_ms) : scheduler(from), wall_offset_ms(start_ms) {}
    int64_t monotonic_ns() const override { return scheduler.now_ns(); }
    int64_t wall_ms() const override { return wall_offset_ms + scheduler.now_ns() / 1'000'000; }
    const Scheduler& scheduler;
    int64_t wall_offset_ms;
  };

  std::map<Key, Event> events_;
  int64_t now_ns_ = 1'000'000'000;
  uint64_t last_sequence_ = 0;
  uint64_t events_run_ = 0;
  uint32_t last_lane_ = 0;
  uint32_t running_lane_ = 0;
  SeededRandom random_;
  TraceHash trace_;
  std::function<void(const std::string&)> trace_sink_;
  VirtualClock clock_;
};

}  // namespace weir::testing
