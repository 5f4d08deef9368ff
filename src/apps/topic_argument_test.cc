#include "apps/topic_argument.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir::apps {
namespace {

TEST(TopicArgument, NamePartitionsAndConfigs) {
  const auto plain = parse_topic_argument("orders");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->name, "orders");
  EXPECT_EQ(plain->partitions, -1);
  const auto full = parse_topic_argument("orders:6,cleanup.policy=compact,delete,retention.ms=1000");
  ASSERT_TRUE(full) << full.error().message;
  EXPECT_EQ(full->partitions, 6);
  EXPECT_EQ(full->configs.at("cleanup.policy"), "compact,delete");
  EXPECT_EQ(full->configs.at("retention.ms"), "1000");
}

TEST(TopicArgument, ExplainsMistakes) {
  for (const char* text : {"", ":3", "a:0", "a:x", "a:-1", "a:3000000000", "a,b", "a:1,no.such.key=1", "a,segment.bytes=x"}) {
    const auto parsed = parse_topic_argument(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_THAT(parsed.error().message, ::testing::HasSubstr("--topic"));
  }
}

}  // namespace
}  // namespace weir::apps
