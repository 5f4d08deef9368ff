#include "runtime/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

#include "runtime/runtime_fixture.h"

namespace weir::runtime {
namespace {

class ThreadPoolTest : public RuntimeTest {
 protected:
  ThreadPoolTest() : RuntimeTest({.loops = 2, .pool_threads = 4}) {}
};

TEST_F(ThreadPoolTest, WorksElsewhereAndAnswersOnTheLoop) {
  std::promise<bool> answer;
  bool worked_on_loop = true;
  pool().submit([&] { worked_on_loop = loop(0).in_loop() || loop(1).in_loop(); }, loop(1),
                [&] { answer.set_value(loop(1).in_loop()); }, 0);
  EXPECT_TRUE(answer.get_future().get());
  EXPECT_FALSE(worked_on_loop);
}

TEST_F(ThreadPoolTest, TasksOfAKeyRunOneByOneInOrder) {
  constexpr int kKeys = 5;
  constexpr int kTasks = 400;
  std::vector<std::vector<int>> work_order(kKeys);  // unsynchronised on purpose: a key's tasks never overlap
  std::vector<std::vector<int>> done_order(kKeys);
  std::promise<void> finished;
  int left = kKeys * kTasks;
  for (int i = 0; i < kTasks; ++i) {
    for (size_t key = 0; key < kKeys; ++key) {
      pool().submit([&, key, i] { work_order[key].push_back(i); }, loop(),
                    [&, key, i] {
                      done_order[key].push_back(i);
                      if (--left == 0) finished.set_value();
                    },
                    key + 1);
    }
  }
  finished.get_future().wait();
  for (const auto& orders : {work_order, done_order}) {
    for (const auto& order : orders) {
      EXPECT_EQ(order.size(), static_cast<size_t>(kTasks));
      EXPECT_TRUE(std::ranges::is_sorted(order));
    }
  }
}

TEST_F(ThreadPoolTest, UnorderedTasksOverlap) {
  // Each waits for the other: only possible on two threads.
  std::promise<void> first, second;
  std::atomic<int> done = 0;
  std::promise<void> both;
  const auto finish = [&] {
    if (++done == 2) both.set_value();
  };
  pool().submit(
      [&] {
        first.set_value();
        second.get_future().wait();
      },
      loop(), finish, 0);
  pool().submit(
      [&] {
        second.set_value();
        first.get_future().wait();
      },
      loop(), finish, 0);
  EXPECT_EQ(both.get_future().wait_for(std::chrono::seconds(30)), std::future_status::ready);
}

TEST(ThreadPoolShutdown, QueuedWorkIsDestroyedUnrun) {
  const auto token = std::make_shared<int>(1);
  RealRuntime runtime({.loops = 1, .pool_threads = 1});
  // Never started: everything stays queued.
  for (int i = 0; i < 10; ++i) {
    runtime.runtime().pool->submit([token] { FAIL(); }, runtime.loop(0), [token] { FAIL(); }, i % 2 == 0 ? 7 : 0);
  }
  runtime.stop();
  EXPECT_EQ(token.use_count(), 1);
  runtime.runtime().pool->submit([token] { FAIL(); }, runtime.loop(0), {}, 0);
  EXPECT_EQ(token.use_count(), 1);
}

}  // namespace
}  // namespace weir::runtime
