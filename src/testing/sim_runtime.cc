#include "testing/sim_runtime.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace weir::testing {

SimRuntime::SimRuntime(uint64_t seed, Options options)
    : seed_(seed),
      options_(options),
      random_(seed, 3),
      scheduler_(seed, options.start_wall_ms),
      network_(scheduler_, options.network) {
  WEIR_CHECK(options.machines > 0);
  for (unsigned i = 0; i < options.machines; ++i) {
    machines_.push_back(std::make_unique<Machine>(i == 0 ? seed : mix(seed + i), options.disk, scheduler_));
  }
  clients_ = make_process(kClientHost, scheduler_.clock(), 1);
  for (unsigned i = 0; i < options.machines; ++i) {
    machines_[i]->server = make_process(host_of(i), machines_[i]->clock, options_.loops);
  }
  network_.set_death_check([this](uint32_t process) { return is_dead(process); });
}

bool SimRuntime::is_dead(uint32_t process) const {
  for (const auto& machine : machines_) {
    if (process == machine->server->number) return machine->server->ended || machine->disk.dead();
  }
  return process != clients_->number;
}

bool SimRuntime::server_died() const {
  return std::any_of(machines_.begin(), machines_.end(), [](const auto& machine) { return machine->disk.dead(); });
}

uint64_t SimRuntime::trace_hash() const {
  uint64_t hash = scheduler_trace().value();
  for (const auto& machine : machines_) hash = mix(hash ^ machine->disk.trace_hash());
  return hash;
}

// Tasks of one loop may own objects that die on another loop. So all tasks go before the first loop does, as in production.
SimRuntime::~SimRuntime() {
  scheduler_.discard_lane(0);
  const auto shut_down = [](const Process& process) {
    for (const auto& loop : process.loops) loop->shut_down();
    process.pool->shut_down();
  };
  for (const auto& machine : machines_) shut_down(*machine->server);
  shut_down(*clients_);
}

std::unique_ptr<SimRuntime::Process> SimRuntime::make_process(uint32_t host, const runtime::Clock& clock, unsigned loops) {
  auto process = std::make_unique<Process>();
  process->number = ++processes_;
  for (unsigned i = 0; i < loops; ++i) {
    const SimPlace place{.clock = clock, .host = host, .process = process->number, .index = i};
    process->loops.push_back(std::make_unique<SimLoop>(scheduler_, network_, seed_, place, options_.late_ends));
  }
  process->pool = std::make_unique<SimPool>(scheduler_, options_.pool);
  return process;
}

runtime::Runtime SimRuntime::runtime(unsigned machine) {
  Machine& on = *machines_.at(machine);
  runtime::Runtime runtime;
  runtime.clock = &on.clock;
  runtime.files = &on.disk;
  runtime.pool = on.server->pool.get();
  for (const auto& each : on.server->loops) runtime.loops.push_back(each.get());
  return runtime;
}

bool SimRuntime::step() {
  if (scheduler_.idle() || server_died()) return false;
  scheduler_.step();
  return true;
}

SimRuntime::Stop SimRuntime::run_until(const std::function<bool()>& predicate, int64_t max_virtual_ns) {
  const int64_t deadline_ns = scheduler_.now_ns() + max_virtual_ns;
  while (!predicate()) {
    if (server_died()) return Stop::kDied;
    if (scheduler_.idle()) return Stop::kIdle;
    if (scheduler_.next_time_ns() > deadline_ns) {
      scheduler_.advance_to(deadline_ns);
      return Stop::kTimeout;
    }
    step();
  }
  return server_died() ? Stop::kDied : Stop::kDone;
}

SimRuntime::Stop SimRuntime::run_for(int64_t virtual_ns) {
  const int64_t deadline_ns = scheduler_.now_ns() + virtual_ns;
  const Stop stop = run_until([] { return false; }, virtual_ns);
  if (stop != Stop::kIdle) return stop;
  scheduler_.advance_to(deadline_ns);
  return Stop::kTimeout;
}

SimRuntime::Stop SimRuntime::run_until_idle(int64_t max_virtual_ns) {
  return run_until([] { return false; }, max_virtual_ns);
}

void SimRuntime::schedule(int64_t delay_ns, Function<void()> task) {
  scheduler_.after(delay_ns, EventKind::kHarness, 0, std::move(task));
}

void SimRuntime::end_server(Death death, unsigned machine) {
  Machine& on = *machines_.at(machine);
  WEIR_CHECK(!on.server->ended && scheduler_.running_lane() == 0);
  on.server->ended = true;
  on.disk.end_life(death);
  network_.end_process(on.server->number);
  for (const auto& each : on.server->loops) each->shut_down();
  on.server->pool->shut_down();
}

void SimRuntime::start_server(unsigned machine) {
  Machine& on = *machines_.at(machine);
  WEIR_CHECK(on.server->ended);
  ended_.push_back(std::move(on.server));
  on.server = make_process(host_of(machine), on.clock, options_.loops);
}

void SimRuntime::set_trace_sink(std::function<void(const std::string&)> sink) {
  for (const auto& machine : machines_) machine->disk.set_trace_sink(sink);
  scheduler_.set_trace_sink(std::move(sink));
}

}  // namespace weir::testing
