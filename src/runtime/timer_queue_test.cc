#include "runtime/timer_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <utility>
#include <vector>

namespace weir::runtime {
namespace {

struct Rig {
  explicit Rig(int64_t start) : now(start), queue(start) {}
  TimerId add(int64_t delay, Task task) { return queue.add(now, delay, std::move(task)); }
  void run_to(int64_t time) {
    now = time;
    queue.advance(now);
    for (Task task; queue.take_due(task);) task();
  }
  // Jumps from wake-up to wake-up as a loop does; returns how many there were.
  int sleep_until_empty() {
    int wakes = 0;
    while (queue.size() > 0) {
      const int64_t next = queue.next_ns();
      EXPECT_NE(next, TimerQueue::kNever);
      EXPECT_GE(next, now) << "an overslept or endless wake-up";
      run_to(next);
      ++wakes;
    }
    EXPECT_EQ(queue.next_ns(), TimerQueue::kNever);
    return wakes;
  }
  int64_t now;
  TimerQueue queue;
};

TEST(TimerQueue, FineDelayIsExact) {
  Rig rig(123'456'789);
  bool ran = false;
  rig.add(500'000, [&] { ran = true; });
  EXPECT_EQ(rig.queue.next_ns(), rig.now + 500'000);
  rig.run_to(rig.now + 499'999);
  EXPECT_FALSE(ran);
  rig.run_to(rig.now + 1);
  EXPECT_TRUE(ran);
}

TEST(TimerQueue, NoneRunsEarlyAndCoarseOnesAtMostOneTickLate) {
  Rig rig(987'654'321'012);
  std::mt19937_64 random(7);
  int ran = 0;
  for (int i = 0; i < 20'000; ++i) {
    const auto delay = static_cast<int64_t>(random() % (int64_t{1} << (random() % 44)));
    const int64_t deadline = rig.now + delay;
    rig.add(delay, [&rig, &ran, deadline] {
      ++ran;
      EXPECT_GE(rig.now, deadline);
      EXPECT_LE(rig.now, deadline + kMillisecond);
    });
  }
  rig.sleep_until_empty();
  EXPECT_EQ(ran, 20'000);
}

TEST(TimerQueue, AFarTimerCostsFewWakeUps) {
  Rig rig(0);
  rig.add(3600 * kSecond, [] {});
  EXPECT_LE(rig.sleep_until_empty(), 6);
}

TEST(TimerQueue, BeyondTheWheelsReach) {
  Rig rig(5 * kSecond);
  int64_t ran_at = 0;
  const int64_t delay = int64_t{4} * 365 * 86'400 * kSecond;
  rig.add(delay, [&] { ran_at = rig.now; });
  rig.sleep_until_empty();
  EXPECT_EQ(ran_at, 5 * kSecond + delay);
}

TEST(TimerQueue, CancelWorksOnceInEveryState) {
  Rig rig(0);
  int ran = 0;
  const TimerId fine = rig.add(kMillisecond, [&] { ++ran; });
  const TimerId coarse = rig.add(kSecond, [&] { ++ran; });
  EXPECT_TRUE(rig.queue.cancel(fine));
  EXPECT_FALSE(rig.queue.cancel(fine));
  EXPECT_TRUE(rig.queue.cancel(coarse));
  EXPECT_FALSE(rig.queue.cancel(TimerId{}));
  EXPECT_FALSE(rig.queue.cancel(TimerId{~uint64_t{0}}));
  TimerId second;
  rig.add(10 * kMillisecond, [&] { EXPECT_TRUE(rig.queue.cancel(second)); });  // due in the same moment
  second = rig.add(10 * kMillisecond, [&] { ++ran; });
  rig.run_to(kSecond);
  EXPECT_FALSE(rig.queue.cancel(second));
  EXPECT_EQ(ran, 0);
  EXPECT_EQ(rig.queue.size(), 0u);
}

TEST(TimerQueue, AReusedNodeDoesNotAnswerToItsOldId) {
  Rig rig(0);
  const TimerId first = rig.add(kSecond, [] {});
  rig.queue.cancel(first);
  bool ran = false;
  rig.add(kSecond, [&] { ran = true; });
  EXPECT_FALSE(rig.queue.cancel(first));
  rig.sleep_until_empty();
  EXPECT_TRUE(ran);
}

TEST(TimerQueue, CancelMayCallBackFromADestructor) {
  Rig rig(0);
  struct Canceller {
    Rig* rig;
    TimerId other;
    ~Canceller() { rig->queue.cancel(other); }
  };
  const TimerId other = rig.add(kSecond, [] { FAIL(); });
  auto canceller = std::make_unique<Canceller>(&rig, other);
  const TimerId holder = rig.add(kSecond, [owned = std::move(canceller)] { FAIL(); });
  EXPECT_TRUE(rig.queue.cancel(holder));
  EXPECT_EQ(rig.queue.size(), 0u);
}

TEST(TimerQueue, RandomUseAgainstASimpleModel) {
  std::mt19937_64 random(11);
  Rig rig(1'000'000);
  std::vector<std::pair<TimerId, int>> live;  // the model
  int next_name = 0;
  int ran = 0;
  int cancelled = 0;
  for (int step = 0; step < 50'000; ++step) {
    switch (random() % 3) {
      case 0: {
        const int name = next_name++;
        const TimerId id = rig.add(static_cast<int64_t>(random() % (200 * kMillisecond)), [&, name] {
          ++ran;
          std::erase_if(live, [name](const auto& entry) { return entry.second == name; });
        });
        live.emplace_back(id, name);
        break;
      }
      case 1:
        if (!live.empty()) {
          const size_t victim = random() % live.size();
          EXPECT_TRUE(rig.queue.cancel(live[victim].first));
          live.erase(live.begin() + static_cast<ptrdiff_t>(victim));
          ++cancelled;
        }
        break;
      default:
        rig.run_to(rig.now + static_cast<int64_t>(random() % (3 * kMillisecond)));
    }
    ASSERT_EQ(rig.queue.size(), live.size());
  }
  rig.sleep_until_empty();
  EXPECT_EQ(ran + cancelled, next_name);
  EXPECT_GT(ran, 1000);
}

}  // namespace
}  // namespace weir::runtime
