#include "testing/sim_runtime.h"

#include <utility>

#include "base/check.h"

namespace weir::testing {

SimRuntime::SimRuntime(uint64_t seed, Options options)
    : seed_(seed),
      options_(options),
      random_(seed, 3),
      scheduler_(seed, options.start_wall_ms),
      disk_(seed, options.disk),
      network_(scheduler_, options.network) {
  clients_ = make_process(1);
  server_ = make_process(options_.loops);
  network_.set_death_check([this](uint32_t process) {
    if (process == server_->number) return server_->ended || disk_.dead();
    return process != clients_->number;
  });
}

// Tasks of one loop may own what goes home to another: all of them go before the first loop does, as in production.
SimRuntime::~SimRuntime() {
  scheduler_.discard_lane(0);
  for (const Process* process : {server_.get(), clients_.get()}) {
    for (const auto& loop : process->loops) loop->shut_down();
    process->pool->shut_down();
  }
}

std::unique_ptr<SimRuntime::Process> SimRuntime::make_process(unsigned loops) {
  auto process = std::make_unique<Process>();
  process->number = ++processes_;
  for (unsigned i = 0; i < loops; ++i) {
    process->loops.push_back(std::make_unique<SimLoop>(scheduler_, network_, seed_, i, process->number, options_.late_ends));
  }
  process->pool = std::make_unique<SimPool>(scheduler_, options_.pool);
  return process;
}

runtime::Runtime SimRuntime::runtime() {
  runtime::Runtime runtime;
  runtime.clock = &scheduler_.clock();
  runtime.files = &disk_;
  runtime.pool = server_->pool.get();
  for (const auto& each : server_->loops) runtime.loops.push_back(each.get());
  return runtime;
}

bool SimRuntime::step() {
  if (scheduler_.idle() || disk_.dead()) return false;
  scheduler_.step();
  return true;
}

SimRuntime::Stop SimRuntime::run_until(const std::function<bool()>& predicate, int64_t max_virtual_ns) {
  const int64_t deadline_ns = scheduler_.now_ns() + max_virtual_ns;
  while (!predicate()) {
    if (disk_.dead()) return Stop::kDied;
    if (scheduler_.idle()) return Stop::kIdle;
    if (scheduler_.next_time_ns() > deadline_ns) {
      scheduler_.advance_to(deadline_ns);
      return Stop::kTimeout;
    }
    step();
  }
  return disk_.dead() ? Stop::kDied : Stop::kDone;
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

void SimRuntime::end_server(Death death) {
  WEIR_CHECK(!server_->ended && scheduler_.running_lane() == 0);
  server_->ended = true;
  disk_.end_life(death);
  network_.end_process(server_->number);
  for (const auto& each : server_->loops) each->shut_down();
  server_->pool->shut_down();
}

void SimRuntime::start_server() {
  WEIR_CHECK(server_->ended);
  ended_.push_back(std::move(server_));
  server_ = make_process(options_.loops);
}

void SimRuntime::set_trace_sink(std::function<void(const std::string&)> sink) {
  disk_.set_trace_sink(sink);
  scheduler_.set_trace_sink(std::move(sink));
}

}  // namespace weir::testing
