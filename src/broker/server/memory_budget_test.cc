#include "broker/server/memory_budget.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
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
  MemoryBudget budget({100, 100, 100, 100, 100});
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
  MemoryBudget budget({100, 100, 100, 100, 100});
  Queue queue;
  auto held = budget.try_reserve(kShare, 70);
  std::vector<int> order;
  std::vector<Reservation> granted;
  budget.wait(kShare, 80, queue, [&](Reservation r) {
    order.push_back(1);
    granted.push_back(std::move(r));
  });
  budget.wait(kShare, 10, queue, [&](Reservation r) {
    order.push_back(2);
    granted.push_back(std::move(r));
  });
  EXPECT_FALSE(budget.try_reserve(kShare, 1)) << "nobody overtakes the queue";
  queue.run();
  EXPECT_TRUE(order.empty());
  held->release();
  queue.run();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
  EXPECT_EQ(budget.used(kShare), 90u);
}

TEST(MemoryBudget, AdmitsAnOversizedRequestAlone) {
  MemoryBudget budget({100, 100, 100, 100, 100});
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

TEST(MemoryBudget, ForcedBytesDelayOthersButNotForEver) {
  MemoryBudget budget({100, 100, 100, 100, 100});
  const Reservation forced = budget.reserve_now(kShare, 200);
  auto first = budget.try_reserve(kShare, 75);
  ASSERT_TRUE(first);
  EXPECT_FALSE(budget.try_reserve(kShare, 1));
  first->release();
  EXPECT_TRUE(budget.try_reserve(kShare, 100)) << "alone";
}

TEST(MemoryBudget, ACancelledWaiterNoLongerHoldsBackTheNext) {
  MemoryBudget budget({100, 100, 100, 100, 100});
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
  MemoryBudget budget({100, 100, 100, 100, 100});
  {
    Queue queue;
    budget.wait(kShare, 60, queue, [](Reservation) {});
    EXPECT_EQ(budget.used(kShare), 60u);
  }
  EXPECT_EQ(budget.used(kShare), 0u);
}

// A loop that has ended. It destroys posted tasks at once.
class EndedLoop : public runtime::Executor {
 public:
  void post(runtime::Task) override {}
};

TEST(MemoryBudget, GrantsToALoopThatHasEndedComeBackAtOnce) {
  MemoryBudget budget({100, 100, 100, 100, 100});
  EndedLoop ended;
  auto held = budget.try_reserve(kShare, 100);
  for (int i = 0; i < 100'000; ++i) budget.wait(kShare, 100, ended, [](Reservation) {});
  held->release();
  EXPECT_EQ(budget.used(kShare), 0u);
  EXPECT_EQ(budget.waiting(kShare), 0u);
}

TEST(MemoryBudget, APartThatCouldKeepOthersFromTheirEndWaits) {
  MemoryBudget budget({100, 100, 100, 100, 100});
  Queue queue;
  auto first = budget.try_reserve(kShare, 40, 90);
  ASSERT_TRUE(first);
  EXPECT_FALSE(budget.try_reserve(kShare, 20, 80)) << "neither could become whole";
  auto second = budget.try_reserve(kShare, 10, 80);
  ASSERT_TRUE(second) << "the first can, and then this one";
  EXPECT_FALSE(budget.try_grow(*second, 10));
  bool grown = false;
  budget.wait_to_grow(*second, 10, queue, [&](Reservation more) {
    grown = true;
    second->absorb(std::move(more));
  });
  bool begun = false;
  budget.wait(kShare, 5, queue, [&](Reservation) { begun = true; });
  queue.run();
  EXPECT_FALSE(grown || begun) << "who begins comes after who grows";
  first->release();
  queue.run();
  EXPECT_TRUE(grown && begun);
  EXPECT_EQ(second->bytes(), 20u);
  second->release();
  EXPECT_EQ(budget.used(kShare), 0u);
}

TEST(MemoryBudget, APartThatGoesAwayFreesThoseWhoWaitToGrow) {
  MemoryBudget budget({100, 100, 100, 100, 100});
  Queue queue;
  auto stalled = budget.try_reserve(kShare, 50, 60);
  auto other = budget.try_reserve(kShare, 40, 90);
  ASSERT_TRUE(stalled && other);
  const auto ticket = budget.wait_to_grow(*other, 10, queue, [&](Reservation more) { other->absorb(std::move(more)); });
  queue.run();
  EXPECT_EQ(other->bytes(), 40u);
  stalled.reset();
  EXPECT_FALSE(budget.cancel(kShare, ticket)) << "on its way";
  queue.run();
  EXPECT_EQ(other->bytes(), 50u);
  EXPECT_TRUE(budget.try_grow(*other, 40));
}

// Parts of any size that come in any order all become whole, in turn. The budget never grants more than the share.
TEST(MemoryBudget, PartsNeverFillTheShareForEver) {
  constexpr uint64_t kLimit = 1000;
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; ++round) {
    MemoryBudget budget({kLimit, kLimit, kLimit, kLimit, kLimit});
    Queue queue;
    struct Request {
      uint64_t whole = 0;
      Reservation held;
      bool waits = false;
    };
    std::vector<Request> requests(round % 4 == 0 ? 100 : 20);  // more than are tried at a time
    size_t ended = 0;
    for (Request& each : requests) each.whole = 1 + random() % kLimit;
    for (int step = 0; ended < requests.size() && step < 100'000; ++step) {
      Request& one = requests[random() % requests.size()];
      queue.run();
      ASSERT_LE(budget.used(kShare), kLimit);
      if (one.whole == 0 || one.waits) continue;
      const uint64_t have = one.held.bytes();
      if (have == one.whole) {
        one = {};
        ++ended;
        continue;
      }
      const uint64_t next = std::min(one.whole - have, std::max<uint64_t>(have, 1 + random() % 50));
      auto granted = [&one](Reservation more) {
        one.waits = false;
        if (one.held.bytes() == 0) one.held = std::move(more);
        else one.held.absorb(std::move(more));
      };
      if (have == 0) {
        auto begun = budget.try_reserve(kShare, next, one.whole);
        if (begun) one.held = std::move(*begun);
        else budget.wait(kShare, next, queue, granted, one.whole), one.waits = true;
      } else if (!budget.try_grow(one.held, next)) {
        budget.wait_to_grow(one.held, next, queue, granted);
        one.waits = true;
      }
    }
    ASSERT_EQ(ended, requests.size()) << "round " << round;
    EXPECT_EQ(budget.used(kShare), 0u);
  }
}

TEST(MemoryBudget, DividesTheProcessMemory) {
  const auto limits = MemoryBudget::divide(8ull << 30);
  EXPECT_EQ(limits[0], 256ull << 20);
  EXPECT_EQ(limits[1], 2ull << 30);
  EXPECT_EQ(MemoryBudget::divide(400ull << 20)[0], 100ull << 20);
}

}  // namespace
}  // namespace weir::broker
