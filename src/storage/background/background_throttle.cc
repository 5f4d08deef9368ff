#include "storage/background/background_throttle.h"

#include <algorithm>
#include <utility>

namespace weir::storage {

namespace {

constexpr double kNsPerSecond = static_cast<double>(runtime::kSecond);
constexpr uint64_t kPieceBytes = 4 << 20;     // while nothing is held back; small enough to notice a slow flush soon
constexpr uint64_t kLeastMeasured = 8 << 20;  // a smaller write measures the latency, not the rate
constexpr double kWeightOfNewest = 0.25;
constexpr int64_t kAtWorkNs = runtime::kSecond / 10;  // since a job's last piece
constexpr int64_t kTimerNs = runtime::kMillisecond;   // shorter waits are put off until they add up

}  // namespace

BackgroundThrottle::BackgroundThrottle(const runtime::Clock& clock, runtime::Loop& home, Options options)
    : clock_(clock), home_(home), options_(options) {}

void BackgroundThrottle::calibrate(int64_t idle_flush_ns, double bytes_per_second) {
  const std::lock_guard lock(mutex_);
  idle_flush_ns_ = idle_flush_ns;
  bytes_per_second_ = std::max(bytes_per_second > 0 ? bytes_per_second : kAssumedRate, kLeastRate);
}

// --- foreground

void BackgroundThrottle::flushed(int64_t latency_ns, uint64_t bytes) {
  const int64_t now = clock_.monotonic_ns();
  const std::lock_guard lock(mutex_);
  if (idle_flush_ns_ == 0) return;
  const auto transfer_ns = static_cast<int64_t>(static_cast<double>(bytes) / bytes_per_second_ * kNsPerSecond);
  const int64_t took_ns = std::max<int64_t>(latency_ns - transfer_ns, 0);
  const int64_t number = now / kSliceNs;
  Slice& slice = slices_[static_cast<size_t>(number) % kSlices];
  if (slice.number != number) slice = {number, 0, 0};
  ++slice.flushes;
  if (static_cast<double>(took_ns) > kSlowFactor * static_cast<double>(idle_flush_ns_)) ++slice.slow;
  if (!quiet(now)) return;
  quiet_.record(took_ns);
  if (quiet_.count() < kIdleSamples) return;
  idle_flush_ns_ = std::max<int64_t>(quiet_.percentile_ns(0.99), 1);
  quiet_ = {};
}

void BackgroundThrottle::set_pressure(unsigned shard, double pressure) {
  const std::lock_guard lock(mutex_);
  if (shard >= pressure_.size()) pressure_.resize(shard + 1);
  pressure_[shard] = pressure;
}

// The p99 is above a value if more than one flush in a hundred is.
bool BackgroundThrottle::flushes_are_slow(int64_t now_ns) const {
  const int64_t oldest = now_ns / kSliceNs - static_cast<int64_t>(kSlices) + 1;
  uint64_t flushes = 0, slow = 0;
  for (const Slice& slice : slices_) {
    if (slice.number < oldest) continue;
    flushes += slice.flushes;
    slow += slice.slow;
  }
  return options_.share < 1 && slow * 100 > flushes;
}

// 1: the background gets its share and no more. 0: it gets all it can take.
double BackgroundThrottle::held_part() const {
  double highest = 0;
  for (const double pressure : pressure_) highest = std::max(highest, pressure);
  return std::clamp((kNotHeld - highest) / (kNotHeld - kHeldFully), 0.0, 1.0);
}

// --- background

uint64_t BackgroundThrottle::piece_bytes() const {
  const int64_t now = clock_.monotonic_ns();
  const std::lock_guard lock(mutex_);
  return flushes_are_slow(now) && held_part() > 0 ? options_.held_piece_bytes : kPieceBytes;
}

void BackgroundThrottle::wrote(BackgroundJob job, uint64_t bytes, int64_t busy_ns) {
  const int64_t now = clock_.monotonic_ns();
  const std::lock_guard lock(mutex_);
  bytes_ += bytes;
  charge(job, bytes, busy_ns, now);
}

void BackgroundThrottle::removed_file() {
  const int64_t now = clock_.monotonic_ns();
  const std::lock_guard lock(mutex_);
  charge(BackgroundJob::kCheckpoint, kRemovalBytes, 0, now);
}

void BackgroundThrottle::charge(BackgroundJob job, uint64_t bytes, int64_t busy_ns, int64_t now_ns) {
  Account& account = accounts_[static_cast<size_t>(job)];
  account.last_piece_ns = now_ns;
  if (!flushes_are_slow(now_ns)) {
    account.free_at_ns = now_ns;
    return;
  }
  int at_work = 0;
  for (const Account& each : accounts_) at_work += each.free_at_ns > now_ns || now_ns - each.last_piece_ns < kAtWorkNs ? 1 : 0;
  const double seconds = static_cast<double>(bytes) / (bytes_per_second_ * options_.share / at_work) * held_part();
  account.free_at_ns = std::max(account.free_at_ns, now_ns - busy_ns) + static_cast<int64_t>(seconds * kNsPerSecond);
}

bool BackgroundThrottle::quiet(int64_t now_ns) const {
  for (const Account& account : accounts_) {
    if (now_ns - account.last_piece_ns < kQuietNs) return false;
  }
  return true;
}

void BackgroundThrottle::measured(uint64_t bytes, int64_t busy_ns) {
  if (bytes < kLeastMeasured || busy_ns < runtime::kMillisecond) return;
  const double rate = static_cast<double>(bytes) / static_cast<double>(busy_ns) * kNsPerSecond;
  const std::lock_guard lock(mutex_);
  bytes_per_second_ = std::max(kWeightOfNewest * rate + (1 - kWeightOfNewest) * bytes_per_second_, kLeastRate);
}

int64_t BackgroundThrottle::wait_ns(BackgroundJob job) {
  const int64_t now = clock_.monotonic_ns();
  const std::lock_guard lock(mutex_);
  const int64_t left = accounts_[static_cast<size_t>(job)].free_at_ns - now;
  if (left < kTimerNs || !flushes_are_slow(now) || held_part() == 0) return 0;
  // A single wait is short: pressure may rise meanwhile, or flushes may become quick again.
  const int64_t wait = std::min(left, kLongestWaitNs);
  held_ns_ += wait;
  return wait;
}

void BackgroundThrottle::after(int64_t delay_ns, runtime::Task task) {
  home_.post([this, delay_ns, task = std::move(task)]() mutable { home_.schedule_after(delay_ns, std::move(task)); });
}

BackgroundThrottle::State BackgroundThrottle::state() const {
  const int64_t now = clock_.monotonic_ns();
  const std::lock_guard lock(mutex_);
  return {flushes_are_slow(now), idle_flush_ns_, bytes_per_second_, held_ns_, bytes_};
}

}  // namespace weir::storage
