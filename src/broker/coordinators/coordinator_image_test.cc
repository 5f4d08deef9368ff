#include "broker/coordinators/coordinator_image.h"

#include <gtest/gtest.h>

#include <memory>

namespace weir::broker {
namespace {

TEST(CoordinatorImageTest, NamesThePartitionsThatThereAre) {
  auto all = std::make_shared<MetadataImage>(0, BrokerConfig());
  TopicRecord record;
  record.name = "orders";
  record.id = Uuid{{7}};
  record.partition_count = 2;
  all->put(make_topic(record, BrokerConfig()));
  const CoordinatorImage image(all);
  EXPECT_EQ(image.partition("orders", 1), (storage::PartitionId{Uuid{{7}}, 1}));
  EXPECT_EQ(image.partition("orders", 2), std::nullopt);
  EXPECT_EQ(image.partition("orders", -1), std::nullopt);
  EXPECT_EQ(image.partition("order", 0), std::nullopt);
}

}  // namespace
}  // namespace weir::broker
