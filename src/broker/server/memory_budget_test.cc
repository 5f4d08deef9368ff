#include "broker/server/memory_budget.h"

#include <gtest/gtest.h>

#include <vector>

namespace weir::broker {
namespace {

class Queue : public runtime::Executor {
 public:
  void post(runtime::Task task) override { tasks_.push_back(std::move(task)); }
  void run() {
    std::vector<runtime::Task> tasks = std::move(tasks_);
    tasks_.clear();
    for (auto& task : tasks) task();
  }

 private:
  std::vector<runtime::Task> tasks_;
};

constexpr MemoryShare kShare = MemoryShare::kRequests;

TEST(MemoryBudget, GrantsUpToTheLimitAndTakesBack) {
  MemoryBudget budget({100, 100, 100, 100});
  auto first = budget.try_reserve(kShare, 60);
  ASSERT_TRUE(first);
  EXPECT_FALSE(budget.try_reserve(kShare, 41));
  EXPECT_TRUE(budget.try_reserve(MemoryShare::kResponses, 100)) << "shares are independent";
  auto second = budget.try_reserve(kShare, 40);
  ASSERT_TRUE(second);
  EXPECT_EQ(budget.used(kShare), 100u);
  first->release();
  EXPECT_EQ(budget.used(kShare), 40u);
  *second = Reservation();
  EXPECT_EQ(budget.used(kShare), 0u);
}

TEST(MemoryBudget, ServesWaitersInOrderEvenIfALaterOneWouldFit) {
  MemoryBudget budget({100, 100, 100, 100});
  Queue queue;
  auto held = budget.try_reserve(kShare, 70);
  std::vector<int> order;
  std::vector<Reservation> granted;
  budget.wait(kShare, 80, queue, [&](Reservation r) { order.push_back(1); granted.push_back(std::move(r)); });
  budget.wait(kShare, 10, queue, [&](Reservation r) { order.push_back(2); granted.push_back(std::move(r)); });
  EXPECT_FALSE(budget.try_reserve(kShare, 1)) << "nobody overtakes the queue";
  queue.run();
  EXPECT_TRUE(order.empty());
  held->release();
  queue.run();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
  EXPECT_EQ(budget.used(kShare), 90u);
}

TEST(MemoryBudget, AdmitsAnOversizedRequestAlone) {
  MemoryBudget budget({100, 100, 100, 100});
  Queue queue;
  auto held = budget.try_reserve(kShare, 1);
  Reservation big;
  budget.wait(kShare, 5000, queue, [&](Reservation r) { big = std::move(r); });
  queue.run();
  EXPECT_EQ(big.bytes(), 0u);
  held->release();
  queue.run();
  EXPECT_EQ(big.bytes(), 5000u);
  EXPECT_FALSE(budget.try_reserve(kShare, 1));
  big.release();
  EXPECT_TRUE(budget.try_reserve(kShare, 1));
}

TEST(MemoryBudget, ForcedBytesDelayOthersButNotAnOversizedOne) {
  MemoryBudget budget({100, 100, 100, 100});
  const Reservation forced = budget.reserve_now(kShare, 200);
  EXPECT_FALSE(budget.try_reserve(kShare, 1));
  EXPECT_TRUE(budget.try_reserve(kShare, 101)) << "alone: nothing else was granted";
}

TEST(MemoryBudget, ACancelledWaiterNoLongerHoldsBackTheNext) {
  MemoryBudget budget({100, 100, 100, 100});
  Queue queue;
  auto held = budget.try_reserve(kShare, 50);
  const auto ticket = budget.wait(kShare, 60, queue, [](Reservation) { FAIL(); });
  Reservation next;
  budget.wait(kShare, 50, queue, [&](Reservation r) { next = std::move(r); });
  EXPECT_TRUE(budget.cancel(kShare, ticket));
  EXPECT_FALSE(budget.cancel(kShare, ticket));
  queue.run();
  EXPECT_EQ(next.bytes(), 50u);
}

TEST(MemoryBudget, AGrantNobodyTakesIsReturned) {
  MemoryBudget budget({100, 100, 100, 100});
  {
    Queue queue;
    budget.wait(kShare, 60, queue, [](Reservation) {});
    EXPECT_EQ(budget.used(kShare), 60u);
  }
  EXPECT_EQ(budget.used(kShare), 0u);
}

// A loop that has ended: what is posted to it is destroyed there and then.
class EndedLoop : public runtime::Executor {
 public:
  void post(runtime::Task) override {}
};

TEST(MemoryBudget, GrantsToALoopThatHasEndedComeBackAtOnce) {
  MemoryBudget budget({100, 100, 100, 100});
  EndedLoop ended;
  auto held = budget.try_reserve(kShare, 100);
  for (int i = 0; i < 100'000; ++i) budget.wait(kShare, 100, ended, [](Reservation) {});
  held->release();
  EXPECT_EQ(budget.used(kShare), 0u);
  EXPECT_EQ(budget.waiting(kShare), 0u);
}

TEST(MemoryBudget, DividesTheProcessMemory) {
  const auto limits = MemoryBudget::divide(8ull << 30);
  EXPECT_EQ(limits[0], 256ull << 20);
  EXPECT_EQ(limits[1], 2ull << 30);
  EXPECT_EQ(MemoryBudget::divide(400ull << 20)[0], 100ull << 20);
}

}  // namespace
}  // namespace weir::broker
