// Virtual time and the queue of all future events of a simulation.
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

class Scheduler;

// A machine's clock. Its monotonic time is the world's. Its wall clock may be off.
class VirtualClock final : public runtime::Clock {
 public:
  explicit VirtualClock(const Scheduler& world) : world_(world) {}
  int64_t monotonic_ns() const override;
  int64_t wall_ms() const override;
  void shift_wall(int64_t delta_ms) { wall_offset_ms_ += delta_ms; }
  int64_t wall_offset_ms() const { return wall_offset_ms_; }

 private:
  const Scheduler& world_;
  int64_t wall_offset_ms_ = 0;
};

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

  Scheduler(uint64_t seed, int64_t start_wall_ms) : start_wall_ms_(start_wall_ms), random_(seed, 2), clock_(*this) {}

  int64_t now_ns() const { return now_ns_; }
  runtime::Clock& clock() { return clock_; }
  // Lets the wall clock of the whole world jump, as an operator or NTP does.
  void shift_wall_clock(int64_t delta_ms) { start_wall_ms_ += delta_ms; }
  int64_t wall_ms() const { return start_wall_ms_ + now_ns_ / 1'000'000; }
  SeededRandom& random() { return random_; }
  TraceHash& trace() { return trace_; }

  // `lane` names the loop or pool that runs the event. 0: the world outside.
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

  std::map<Key, Event> events_;
  int64_t now_ns_ = 1'000'000'000;
  int64_t start_wall_ms_;
  uint64_t last_sequence_ = 0;
  uint64_t events_run_ = 0;
  uint32_t last_lane_ = 0;
  uint32_t running_lane_ = 0;
  SeededRandom random_;
  TraceHash trace_;
  std::function<void(const std::string&)> trace_sink_;
  VirtualClock clock_;
};

inline int64_t VirtualClock::monotonic_ns() const { return world_.now_ns(); }
inline int64_t VirtualClock::wall_ms() const { return world_.wall_ms() + wall_offset_ms_; }

}  // namespace weir::testing
