// Earlier values of a growing total. With them rates, idle shares and quantiles are of the last minutes, not of the whole life of
// the process. Not thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>

#include "runtime/loop.h"

namespace weir::broker {

// The quantiles of times that are exposed, and the span of time that they cover.
inline constexpr std::pair<double, const char*> kQuantiles[] = {{0.5, "0.50"},  {0.75, "0.75"}, {0.95, "0.95"},
                                                                {0.98, "0.98"}, {0.99, "0.99"}, {0.999, "0.999"}};
inline constexpr int64_t kQuantileSpanNs = 300 * runtime::kSecond;

template <typename Total>
class Window {
 public:
  struct Sample {
    int64_t at_ns = 0;
    Total total{};
  };
  // Everything was zero at `start_ns`. Looks back `span_ns`, or to the last look before that.
  Window(int64_t start_ns, int64_t span_ns) : span_ns_(span_ns) { samples_.push_back({start_ns, Total{}}); }

  // The sample to compare `now` with; remembers `now` for later looks, at most a dozen of them.
  Sample look(int64_t now_ns, const Total& now) {
    while (samples_.size() > 1 && samples_[1].at_ns <= now_ns - span_ns_) samples_.pop_front();
    const Sample earlier = samples_.front();
    if (now_ns - samples_.back().at_ns >= span_ns_ / 10) samples_.push_back({now_ns, now});
    return earlier;
  }

 private:
  const int64_t span_ns_;
  std::deque<Sample> samples_;
};

}  // namespace weir::broker
