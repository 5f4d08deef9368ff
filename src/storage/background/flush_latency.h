// Histogram of flush latencies for the banner, /health and metrics. It has 8 buckets per power of two, so a percentile is off by
// at most an eighth. Old flushes fade: counts are halved every kWindow flushes.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace weir::storage {

class FlushLatency {
 public:
  void record(int64_t nanoseconds) {
    ++buckets_[bucket(static_cast<uint64_t>(std::max<int64_t>(nanoseconds, 0)))];
    ++total_;
    sum_ns_ += std::max<int64_t>(nanoseconds, 0);
    ++doublings_[std::min(bucket(static_cast<uint64_t>(std::max<int64_t>(nanoseconds, 0))) / kSteps, kDoublings - 1)];
    if (++in_window_ >= kWindow) fade();
  }

  // The latency that `fraction` (0 to 1) of the recent flushes did not exceed. 0 without flushes.
  int64_t percentile_ns(double fraction) const {
    uint64_t sum = 0;
    for (const uint32_t count : buckets_) sum += count;
    const double wanted = fraction * static_cast<double>(sum);
    uint64_t seen = 0;
    for (size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (buckets_[i] != 0 && static_cast<double>(seen) >= wanted) return static_cast<int64_t>(upper_bound(i));
    }
    return 0;
  }
  uint64_t count() const { return total_; }
  int64_t sum_ns() const { return sum_ns_; }

  // All flushes since the start, in buckets of 8 µs, 16 µs, 32 µs and so on; none fades.
  static constexpr size_t kDoublings = 24;
  const std::array<uint64_t, kDoublings>& doublings() const { return doublings_; }
  static constexpr int64_t doubling_bound_ns(size_t index) { return int64_t{8000} << index; }

  // Adds the flushes of another log.
  void merge(const FlushLatency& other) {
    for (size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
    for (size_t i = 0; i < doublings_.size(); ++i) doublings_[i] += other.doublings_[i];
    total_ += other.total_;
    sum_ns_ += other.sum_ns_;
  }

 private:
  static constexpr uint32_t kWindow = 1u << 16;
  static constexpr size_t kSteps = 8;

  static size_t bucket(uint64_t ns) {
    const uint64_t units = ns / 1000;  // microseconds
    if (units < kSteps) return units;
    const size_t shift = static_cast<size_t>(std::bit_width(units)) - 4;
    return std::min<size_t>(kSteps * (shift + 1) + ((units >> shift) - kSteps), kBuckets - 1);
  }
  static uint64_t upper_bound(size_t index) {
    if (index < kSteps) return (index + 1) * 1000;
    const size_t shift = index / kSteps - 1;
    return ((kSteps + index % kSteps + 1) << shift) * 1000;
  }
  void fade() {
    for (uint32_t& count : buckets_) count /= 2;
    in_window_ = 0;
  }

  static constexpr size_t kBuckets = kSteps * 24;  // up to about two minutes
  std::array<uint32_t, kBuckets> buckets_{};
  std::array<uint64_t, kDoublings> doublings_{};
  uint64_t total_ = 0;
  int64_t sum_ns_ = 0;
  uint32_t in_window_ = 0;
};

}  // namespace weir::storage
