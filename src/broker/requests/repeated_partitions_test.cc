#include "broker/requests/repeated_partitions.h"

#include <gtest/gtest.h>

#include <string>

#include "testing/seeded_random.h"

namespace weir::broker {
namespace {

// Few repetitions are compared without memory, many with it.
TEST(RepeatedPartitions, TheLastOfEachCounts) {
  testing::SeededRandom random(5);
  const std::string names[] = {"a", "b", ""};
  const Uuid ids[] = {Uuid(), Uuid::from_random(1, 1)};
  for (int round = 0; round < 500; ++round) {
    const size_t count = random.below(40);
    std::vector<std::tuple<Uuid, std::string, int32_t>> asked;
    RepeatedPartitions repeated(count);
    for (size_t i = 0; i < count; ++i) {
      const Uuid& id = ids[random.below(2)];
      const std::string& name = names[random.below(3)];
      asked.emplace_back(id, name, static_cast<int32_t>(random.below(6)));
      repeated.mention(id, name, std::get<2>(asked.back()));
    }
    repeated.all_mentioned();
    for (size_t i = 0; i < count; ++i) {
      const bool later = std::find(asked.begin() + static_cast<ptrdiff_t>(i) + 1, asked.end(), asked[i]) != asked.end();
      ASSERT_EQ(repeated.superseded(i), later) << i << " of " << count;
    }
  }
}

}  // namespace
}  // namespace weir::broker
