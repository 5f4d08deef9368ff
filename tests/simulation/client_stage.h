// What the clients of a scenario have in common: the history they write, and the times at which they may act. All of it belongs
// to the client loop.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "simulation/oracle.h"
#include "testing/history/history.h"
#include "testing/sim_runtime.h"

namespace weir::simulation {

class ClientStage {
 public:
  using Step = std::function<void()>;

  ClientStage(testing::SimRuntime& sim, Oracle& oracle, testing::SeededRandom chance)
      : random(chance), sim_(sim), oracle_(oracle) {}

  testing::SeededRandom random;
  testing::HistoryRecorder history;

  runtime::Loop& loop() { return sim_.client_loop(); }
  int64_t now_ns() { return sim_.now_ns(); }
  int64_t wall_ms() { return sim_.clock().wall_ms(); }
  Oracle& oracle() { return oracle_; }
  uint32_t new_client() { return next_client_++; }

  // Runs the step at once, or as soon as clients may act again.
  void act(Step step) { open_ ? step() : parked_.push_back(std::move(step)); }
  void after(int64_t delay_ns, Step step) {
    loop().schedule_after(delay_ns, [this, step = std::move(step)]() mutable { act(std::move(step)); });
  }
  void open() {
    open_ = true;
    for (Step& step : std::exchange(parked_, {})) act(std::move(step));
  }
  void close() { open_ = false; }
  // From now on clients bring to an end what they have begun.
  void settle() {
    settling_ = true;
    open();
  }
  void unsettle() { settling_ = false; }
  bool settling() const { return settling_; }

  // Requests of clients without an answer.
  void begin_request() { ++requests_; }
  void end_request() { --requests_; }
  bool quiet() const { return requests_ == 0; }

 private:
  testing::SimRuntime& sim_;
  Oracle& oracle_;
  bool open_ = false;
  bool settling_ = false;
  uint64_t requests_ = 0;
  uint32_t next_client_ = 0;
  std::vector<Step> parked_;
};

}  // namespace weir::simulation
