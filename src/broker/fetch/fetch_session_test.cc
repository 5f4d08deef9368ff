#include "broker/fetch/fetch_session.h"

#include <gtest/gtest.h>

#include "testing/sim_runtime.h"

namespace weir::broker {
namespace {

TEST(FetchSessionCache, IsBoundedByMemory) {
  testing::SimRuntime sim(1);
  FetchSessionCache cache(0, 1, 100, 10 * FetchSession::kPartitionBytes);
  const auto create = [&](size_t size) {
    return cache.create(0, true, size, size * FetchSession::kPartitionBytes, sim.random());
  };
  const auto session = create(8);
  ASSERT_TRUE(session);
  for (int32_t i = 0; i < 8; ++i) session->add({.topic = {}, .topic_id = {}, .index = i});
  cache.touch(*session, 0);
  EXPECT_EQ(create(3), nullptr);
  EXPECT_TRUE(create(2));
  EXPECT_FALSE(cache.has_room(3 * FetchSession::kPartitionBytes));
  cache.remove(session->id());
  EXPECT_TRUE(cache.has_room(10 * FetchSession::kPartitionBytes));
}

TEST(FetchSessionCache, IsBoundedAndKeepsWhatIsWorthMore) {
  testing::SimRuntime sim(1);
  FetchSessionCache cache(1, 4, 2, 1 << 20);
  const auto create = [&](int64_t now_ms, size_t size) { return cache.create(now_ms, true, size, 0, sim.random()); };
  const auto first = create(0, 10), second = create(0, 20);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(static_cast<uint32_t>(first->id()) % 4, 1u);
  EXPECT_EQ(create(1000, 50), nullptr);  // full of young sessions
  const auto fill = [](FetchSession& session, int32_t partitions) {
    for (int32_t i = 0; i < partitions; ++i) {
      SessionPartition partition;
      partition.index = i;
      session.add(partition);
    }
  };
  fill(*first, 10);
  fill(*second, 20);
  cache.touch(*first, 130'000);
  cache.touch(*second, 130'000);
  EXPECT_EQ(create(130'001, 5), nullptr);  // smaller than any
  const auto third = create(130'001, 15);  // in the place of the smallest
  ASSERT_TRUE(third);
  EXPECT_EQ(cache.find(first->id()), nullptr);
  EXPECT_NE(cache.find(second->id()), nullptr);
  ASSERT_TRUE(create(260'000, 1));  // in the place of one not used for two minutes
  EXPECT_EQ(cache.size(), 2u);
  EXPECT_EQ(cache.evictions(), 2u);
}

}  // namespace
}  // namespace weir::broker
