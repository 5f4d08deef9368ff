#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "coordination/group/consumer/consumer_client.h"

namespace weir::coordination {
namespace {

using enum ErrorCode;

class ConsumerRegexesTest : public ::testing::Test {
 protected:
  static GroupConfig at_once() {
    GroupConfig config;
    config.consumer.assignment_interval_ms.value = 0;
    return config;
  }
  ConsumerRegexesTest() : world(at_once()) {
    world.image = with({{"t1", {2}}, {"t2", {2}}, {"u", {2}}});
    world.restart();
    a = client("a", "t.");
    b = client("b", "t.");
  }
  // No other topic is there.
  static std::shared_ptr<TestImage> with(std::map<std::string, TestImage::Listed, std::less<>> topics) {
    std::set<std::string, std::less<>> gone;
    for (const char* name : {"t1", "t2", "t3", "u"}) {
      if (!topics.contains(name)) gone.insert(name);
    }
    return image_with(std::move(topics), std::move(gone));
  }
  static ConsumerClient client(std::string id, std::string regex) {
    ConsumerClient made;
    made.id = std::move(id);
    made.topics.clear();
    made.regex = std::move(regex);
    return made;
  }
  void settle(std::vector<ConsumerClient*> clients) {
    for (int round = 0; round < 6; ++round) {
      for (ConsumerClient* one : clients) EXPECT_EQ(one->heartbeat(world), kNone) << one->last.error_message.value_or("");
    }
  }
  int32_t group_epoch() { return world.describe_consumer().group_epoch; }
  size_t regex_records() {
    size_t count = 0;
    for (const LogEntry& entry : world.log)
      count += std::get<CoordinatorRecord>(entry.what).key.starts_with(std::string("\0\x10", 2));
    return count;
  }

  GroupWorld world;
  ConsumerClient a, b;
};

TEST_F(ConsumerRegexesTest, AnExpressionMatchesWholeNames) {
  EXPECT_EQ(a.join(world), kNone);
  EXPECT_EQ(a.epoch, 1);
  EXPECT_EQ(a.count(), 0u) << "not resolved yet: no topics";
  ASSERT_EQ(world.jobs.size(), 1u);
  EXPECT_EQ(a.heartbeat(world), kNone);
  EXPECT_EQ(world.jobs.size(), 1u) << "one at a time";
  world.do_jobs();
  EXPECT_EQ(a.heartbeat(world), kNone);
  EXPECT_EQ(a.epoch, 2);
  EXPECT_EQ(a.count(), 4u) << "t1 and t2";
  EXPECT_EQ(a.heartbeat(world), kNone);
  EXPECT_TRUE(world.jobs.empty());
}

TEST_F(ConsumerRegexesTest, AnExpressionThatDoesNotParseIsRefused) {
  a.regex = "t(";
  EXPECT_EQ(a.join(world), kInvalidRegularExpression);
  EXPECT_TRUE(world.list().empty());
}

TEST_F(ConsumerRegexesTest, OnlyTopicsThatTheMemberMaySee) {
  const auto filter = [](std::string_view topic) { return topic != "t2"; };
  a.may_describe = std::make_shared<const std::function<bool(std::string_view)>>(filter);
  a.join(world);
  world.do_jobs();
  settle({&a});
  EXPECT_EQ(a.assigned, partitions_of("t1", {0, 1}));
}

TEST_F(ConsumerRegexesTest, AResolvedExpressionSurvivesARestart) {
  a.join(world);
  world.do_jobs();
  settle({&a});
  const int32_t epoch = group_epoch();
  world.restart();
  settle({&a});
  EXPECT_EQ(a.count(), 4u);
  EXPECT_EQ(group_epoch(), epoch);
  EXPECT_TRUE(world.jobs.empty()) << "it was resolved less than 10 s ago";
}

TEST_F(ConsumerRegexesTest, ASecondMemberWithTheExpressionUsesItsTopics) {
  a.join(world);
  world.do_jobs();
  settle({&a});
  const int32_t epoch = group_epoch();
  b.join(world);
  EXPECT_EQ(group_epoch(), epoch + 1);
  settle({&a, &b});
  EXPECT_EQ(b.count(), 2u);
  EXPECT_TRUE(world.jobs.empty());
}

TEST_F(ConsumerRegexesTest, TopicsThatComeLaterAreFound) {
  a.join(world);
  world.do_jobs();
  settle({&a});
  world.change_image(with({{"t1", {2}}, {"t2", {2}}, {"t3", {2}}, {"u", {2}}}), {"t3"});
  world.advance(10'000);
  settle({&a});
  EXPECT_TRUE(world.jobs.empty()) << "not within 10 s";
  world.advance(1);
  EXPECT_EQ(a.heartbeat(world), kNone);
  world.do_jobs();
  settle({&a});
  EXPECT_EQ(a.count(), 6u);
  const int32_t epoch = group_epoch();
  world.advance(20'000);
  settle({&a});
  EXPECT_TRUE(world.jobs.empty()) << "nothing is new";
  EXPECT_EQ(group_epoch(), epoch);
}

TEST_F(ConsumerRegexesTest, TheyAreLookedForAgainAfterTheRefreshInterval) {
  a.join(world);
  world.do_jobs();
  settle({&a});
  const int32_t epoch = group_epoch();
  const size_t records = regex_records();
  for (int i = 0; i < 20; ++i) {
    world.advance(30'000);
    EXPECT_EQ(a.heartbeat(world), kNone);
  }
  EXPECT_TRUE(world.jobs.empty()) << "600 s";
  world.advance(1);
  EXPECT_EQ(a.heartbeat(world), kNone);
  ASSERT_EQ(world.jobs.size(), 1u);
  world.do_jobs();
  EXPECT_EQ(regex_records(), records + 1);
  EXPECT_EQ(group_epoch(), epoch) << "the same topics";
}

TEST_F(ConsumerRegexesTest, AnotherExpressionCountsOnceItIsResolved) {
  a.join(world);
  world.do_jobs();
  settle({&a});
  const int32_t epoch = group_epoch();
  a.slow = true;
  a.subscribe({}, "u");
  EXPECT_EQ(a.heartbeat(world), kNone);
  EXPECT_EQ(group_epoch(), epoch);
  EXPECT_TRUE(a.assigned.empty()) << "it subscribes to none of them any more";
  a.revoke();
  a.slow = false;
  world.do_jobs();
  EXPECT_EQ(group_epoch(), epoch + 1);
  settle({&a});
  EXPECT_EQ(a.assigned, partitions_of("u", {0, 1}));
}

// Otherwise nobody would get what the member gave up of a topic that another one names.
TEST_F(ConsumerRegexesTest, AnotherExpressionMayMatchNothing) {
  b.topics = {"t1", "t2"};
  b.regex.reset();
  a.join(world);
  b.join(world);
  world.do_jobs();
  settle({&a, &b});
  EXPECT_EQ(b.count(), 2u);
  a.subscribe({}, "nothing.*");
  settle({&a});
  world.do_jobs();
  settle({&a, &b});
  EXPECT_EQ(a.count(), 0u);
  EXPECT_EQ(b.count(), 4u);
}

TEST_F(ConsumerRegexesTest, AResultForAnExpressionThatIsGoneIsIgnored) {
  a.join(world);
  a.subscribe({}, "u");
  EXPECT_EQ(a.heartbeat(world), kNone);
  EXPECT_EQ(world.jobs.size(), 1u);
  world.do_jobs();
  EXPECT_EQ(regex_records(), 0u);
  settle({&a});
  world.do_jobs();
  settle({&a});
  EXPECT_EQ(a.assigned, partitions_of("u", {0, 1}));
}

TEST_F(ConsumerRegexesTest, TheLastSubscriberTakesTheRecordWithIt) {
  a.join(world);
  b.join(world);
  world.do_jobs();
  settle({&a, &b});
  const size_t records = regex_records();
  a.leave(world);
  EXPECT_EQ(regex_records(), records);
  const int32_t epoch = group_epoch();
  b.subscribe({"u"});
  EXPECT_EQ(b.heartbeat(world), kNone);
  EXPECT_EQ(regex_records(), records + 1);
  EXPECT_EQ(group_epoch(), epoch + 1);
  settle({&b});
  EXPECT_EQ(b.assigned, partitions_of("u", {0, 1}));
}

TEST_F(ConsumerRegexesTest, NamesAndExpressionsTogether) {
  a.topics = {"u"};
  a.join(world);
  EXPECT_EQ(a.count(), 2u) << "u";
  world.do_jobs();
  settle({&a});
  EXPECT_EQ(a.count(), 6u);
  b.join(world);
  settle({&a, &b});
  EXPECT_EQ(a.count() + b.count(), 6u);
  EXPECT_TRUE(std::ranges::none_of(b.assigned, [](const auto& topic) { return topic.topic_id == TestImage::id_of("u"); }));
}

TEST_F(ConsumerRegexesTest, AGroupHasABoundOfExpressions) {
  for (size_t i = 0; i < ConsumerGroups::kRegexesMax; ++i) {
    ConsumerClient one = client("m" + std::to_string(i), "x" + std::to_string(i));
    ASSERT_EQ(one.join(world), kNone);
  }
  EXPECT_EQ(a.join(world), kInvalidRequest);
  a.regex = "x1";
  EXPECT_EQ(a.join(world), kNone) << "the group has this one";
}

TEST_F(ConsumerRegexesTest, TooManyTopicsForTheMemoryAreNotKept) {
  a.join(world);
  world.memory.add(world.memory.limit_bytes());
  world.do_jobs();
  EXPECT_EQ(regex_records(), 0u);
  EXPECT_EQ(a.heartbeat(world), kNone);
  EXPECT_TRUE(world.jobs.empty()) << "it tries again later";
  world.memory.add(-world.memory.limit_bytes());
  world.advance(10'000);
  EXPECT_EQ(a.heartbeat(world), kNone);
  world.do_jobs();
  settle({&a});
  EXPECT_EQ(a.count(), 4u);
}

}  // namespace
}  // namespace weir::coordination
