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
  for (const char* text : {"", ":3", "a:0", "a:x", "a:-1", "a:3000000000", "a,b", "a:1,no.such.key=1", "a,segment.bytes=x",
                           "bad name", "..", "a/b:2"}) {
    const auto parsed = parse_topic_argument(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_THAT(parsed.error().message, ::testing::HasSubstr("--topic"));
  }
}

TEST(TopicArgument, EachTopicOnce) {
  const auto refusal = [](const std::vector<const char*>& texts) -> std::string {
    std::vector<TopicArgument> topics;
    for (const char* text : texts) topics.push_back(*parse_topic_argument(text));
    const auto checked = check_topic_arguments(topics, broker::BrokerConfig());
    return checked ? "" : checked.error().message;
  };
  EXPECT_EQ(refusal({"a:2", "b:3"}), "");
  EXPECT_THAT(refusal({"a:2", "b", "a:3"}), ::testing::HasSubstr("--topic a is given twice"));
  EXPECT_THAT(refusal({"a.b", "a_b"}), ::testing::HasSubstr("metrics"));
  EXPECT_THAT(refusal({"a,min.compaction.lag.ms=5,max.compaction.lag.ms=2"}), ::testing::HasSubstr("--topic a: "));
}

}  // namespace
}  // namespace weir::apps
