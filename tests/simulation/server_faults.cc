#include "simulation/server_faults.h"

#include <algorithm>

namespace weir::simulation {

ServerFaults::ServerFaults(testing::SimRuntime& sim, Oracle& oracle, testing::SeededRandom random, DrawnOptions& options)
    : sim_(sim), oracle_(oracle), random_(random), every_ms_(options.one_of("faults.every-ms", {20, 5, 100})) {
  const auto add = [&](const char* name, Fault fault, bool& kind) {
    if (!options.feature(name)) return;
    faults_.push_back(fault);
    kind = true;
  };
  bool clock = false;
  // In every other seed the network is sound, so that nothing but the crash is to blame.
  if (options.feature("network-faults")) {
    add("faults.reset", &ServerFaults::reset, network_);
    add("faults.lose", &ServerFaults::lose, network_);
    add("faults.freeze", &ServerFaults::freeze, network_);
    add("faults.block", &ServerFaults::block, network_);
    add("faults.stall", &ServerFaults::stall, network_);
  }
  add("faults.full-disk", &ServerFaults::fill_disk, disk_);
  add("faults.clock", &ServerFaults::jump, clock);
}

void ServerFaults::begin() {
  ++round_;
  working_ = true;
  lasting_ = false;
  if (!faults_.empty()) next();
}

void ServerFaults::end() {
  ++round_;
  working_ = lasting_ = false;
  sim_.network().heal();
  sim_.disk().set_size_limit(UINT64_MAX);
}

void ServerFaults::next() {
  const auto delay_ns = static_cast<int64_t>(random_.between(1, 2 * every_ms_ * runtime::kMillisecond));
  sim_.client_loop().schedule_after(delay_ns, [this, round = round_] {
    if (round != round_) return;
    const Fault fault = faults_[random_.below(faults_.size())];
    if (!lasting_) (this->*fault)();
    next();
  });
}

void ServerFaults::pass(uint64_t at_most_ms) {
  lasting_ = true;
  const auto length_ns = static_cast<int64_t>(random_.between(1, at_most_ms)) * runtime::kMillisecond;
  sim_.client_loop().schedule_after(length_ns, [this, round = round_] {
    if (round != round_) return;
    lasting_ = false;
    sim_.network().heal();
    sim_.disk().set_size_limit(UINT64_MAX);
  });
}

void ServerFaults::reset() { random_.one_in(4) ? sim_.network().reset_all() : sim_.network().reset_one(); }

void ServerFaults::lose() { sim_.network().lose_one(); }

void ServerFaults::freeze() {
  sim_.network().freeze(true);
  pass(random_.one_in(4) ? 900 : 60);  // now and then longer than clients wait
}

void ServerFaults::block() {
  constexpr uint32_t kClients = testing::SimRuntime::kClientHost;
  const uint32_t server = testing::SimRuntime::host_of(0);
  random_.one_in(2) ? sim_.network().block(kClients, server, true) : sim_.network().block(server, kClients, true);
  oracle_.happened(kLinkWasDown);
  pass(random_.one_in(4) ? 900 : 60);  // now and then longer than clients wait
}

void ServerFaults::stall() {
  sim_.network().stall_one();
  pass(random_.one_in(4) ? 900 : 60);  // now and then longer than clients wait
}

void ServerFaults::fill_disk() {
  // Below the low mark of the reserve, and not to the last byte: the broker looks once a second, real disks fill slowly.
  sim_.disk().set_size_limit(sim_.disk().used_bytes() + random_.between(8 << 20, 40 << 20));
  oracle_.happened(kDiskWasFull);
  pass(4'000);
}

void ServerFaults::jump() {
  const auto far_ms = static_cast<int64_t>(random_.between(1, random_.one_in(2) ? 2'000 : 30 * 3'600'000));
  // Less than a day off, so that nothing expires by the clock.
  constexpr int64_t kFarMs = 20 * 3'600'000;
  const int64_t offset_ms = sim_.wall_clock_offset_ms() + (random_.one_in(2) ? far_ms : -far_ms);
  sim_.shift_wall_clock(std::clamp(offset_ms, -kFarMs, kFarMs) - sim_.wall_clock_offset_ms(), 0);
}

}  // namespace weir::simulation
