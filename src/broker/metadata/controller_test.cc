// Changes that conflict with another writer, and changes with an unknown outcome.
#include "broker/metadata/controller.h"

#include "broker/metadata/follower_fixture.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ControllerTest : public FollowerTest {
 protected:
  ControllerTest() : controller_(store_, world_.loop(), *follower_) {}

  Controller::Done take(Controller::Outcomes& into) {
    return [&into](Controller::Outcomes outcomes) { into = std::move(outcomes); };
  }
  Controller::Outcomes finish(Controller::Outcomes& outcomes) {
    EXPECT_TRUE(world_.run_until([&] { return !outcomes.empty(); }, 30 * runtime::kSecond));
    return outcomes;
  }
  Controller::Outcomes create(std::vector<std::string> names) {
    std::vector<Controller::NewTopic> topics;
    for (std::string& name : names) topics.push_back({std::move(name), 2, {}});
    Controller::Outcomes outcomes;
    controller_.create_topics("a test", std::move(topics), take(outcomes));
    return finish(outcomes);
  }
  Controller::Outcomes set(std::string topic, std::string key, std::string value) {
    std::vector<Controller::ConfigChange> changes;
    changes.push_back(
        {ConfigResourceType::kTopic, std::move(topic), [key, value](ConfigOverrides& overrides, const BrokerConfig&) {
           overrides.insert_or_assign(key, value);
           return Controller::Outcome();
         }});
    Controller::Outcomes outcomes;
    controller_.change_configs("a test", std::move(changes), take(outcomes));
    return finish(outcomes);
  }
  // Changes the store as another writer. The watch tells of it when `late` is over.
  void unnoticed(const std::function<void()>& change) {
    store_.plan_watches({WatchFault::kLost});
    change();
    settle();
  }

  Controller controller_;
};

TEST_F(ControllerTest, ATopicIsThereWhenItsCreationIsAnswered) {
  std::vector<Controller::NewTopic> topics;
  for (const char* name : {"a", "b"}) topics.push_back({name, 2, {}});
  Controller::Outcomes outcomes;
  controller_.create_topics("a test", std::move(topics), [&](Controller::Outcomes done) {
    EXPECT_EQ(served_, 1u) << "answered before the shards have the image";
    outcomes = std::move(done);
  });
  for (const auto& outcome : finish(outcomes)) EXPECT_EQ(outcome.error, ErrorCode::kNone);
  EXPECT_NE(image().find("b"), nullptr);
  EXPECT_EQ(changes_.size(), 1u);
  expect_image_of_the_store();
}

TEST_F(ControllerTest, AChangeIsMadeOverWhatSomebodyElseChanged) {
  unnoticed([&] {
    write({put(TopicRecord::key_of(id_of(1)), TopicRecord{id_of(1), "orders", 4, 0, {{"segment.ms", "5"}}}.encode())});
  });
  EXPECT_EQ(image().find("orders")->partition_count(), 3);
  const auto outcomes = set("orders", "retention.ms", "9");
  ASSERT_THAT(outcomes, ::testing::SizeIs(1));
  EXPECT_EQ(outcomes[0].error, ErrorCode::kNone) << outcomes[0].message;
  const Topic& topic = *image().find("orders");
  EXPECT_EQ(topic.partition_count(), 4);
  EXPECT_EQ(topic.record.configs, (ConfigOverrides{{"retention.ms", "9"}, {"segment.ms", "5"}}));
  expect_image_of_the_store();
}

TEST_F(ControllerTest, ATopicThatSomebodyElseCreatedIsThereAlready) {
  unnoticed([&] { add_topic(5, "b", 1); });
  const auto outcomes = create({"a", "b", "c"});
  EXPECT_EQ(outcomes[0].error, ErrorCode::kNone);
  EXPECT_EQ(outcomes[1].error, ErrorCode::kTopicAlreadyExists);
  EXPECT_EQ(outcomes[1].message, "Topic 'b' already exists.");
  EXPECT_EQ(outcomes[2].error, ErrorCode::kNone);
  EXPECT_EQ(image().find("b")->id(), id_of(5));
  expect_image_of_the_store();
}

TEST_F(ControllerTest, ATopicThatSomebodyElseDeletedIsGone) {
  unnoticed([&] { remove_topic(1, "orders"); });
  const auto outcomes = set("orders", "retention.ms", "9");
  EXPECT_EQ(outcomes[0].error, ErrorCode::kUnknownTopicOrPartition);
  Controller::Outcomes deleted;
  controller_.delete_topics("a test", {id_of(1)}, take(deleted));
  EXPECT_EQ(finish(deleted)[0].error, ErrorCode::kUnknownTopicId);
}

// The name is taken and leads nowhere, so no image will ever show the reason.
TEST_F(ControllerTest, AConflictThatDoesNotEndIsAnswered) {
  const TopicNameRecord nowhere{"b", id_of(9)};
  write({put(nowhere.key(), nowhere.encode())});
  const auto outcomes = create({"a", "b", "c"});
  EXPECT_EQ(outcomes[0].error, ErrorCode::kNone);
  EXPECT_EQ(outcomes[1].error, ErrorCode::kTopicAlreadyExists);
  EXPECT_EQ(outcomes[2].error, ErrorCode::kNone);
  EXPECT_NE(image().find("c"), nullptr);
}

TEST_F(ControllerTest, UnknownOutcomesAreFoundOut) {
  for (const Fault fault : {Fault::kUnknownDone, Fault::kUnknownNotDone}) {
    store_.plan({fault});
    const std::string name = fault == Fault::kUnknownDone ? "done" : "not-done";
    EXPECT_EQ(create({name})[0].error, ErrorCode::kNone);
    EXPECT_NE(image().find(name), nullptr);
  }
  store_.plan({Fault::kFailed});
  EXPECT_EQ(create({"failed"})[0].error, ErrorCode::kKafkaStorageError);
  EXPECT_EQ(image().find("failed"), nullptr);
  expect_image_of_the_store();
}

// The attempt was done after the look for it. The second attempt fails, and the entries that it found show why.
TEST_F(ControllerTest, AnAttemptThatWasDoneLateIsNoConflict) {
  store_.plan({Fault::kUnknownNotDone});
  const TopicRecord late{id_of(1), "orders", 3, 0, {{"retention.ms", "9"}}};
  world_.loop().schedule_after(50 * runtime::kMillisecond, [&] { write({put(late.key(), late.encode())}); });
  const auto outcomes = set("orders", "retention.ms", "9");
  EXPECT_EQ(outcomes[0].error, ErrorCode::kNone) << outcomes[0].message;
  EXPECT_EQ(store_.transactions(), 2u);
  EXPECT_EQ(image().find("orders")->record, late);
}

TEST_F(ControllerTest, NamesOfOneCallThatCollideAreRefused) {
  const auto outcomes = create({"a.b", "a_b", "a.b"});
  EXPECT_EQ(outcomes[0].error, ErrorCode::kNone);
  EXPECT_EQ(outcomes[1].error, ErrorCode::kInvalidTopicException);
  EXPECT_EQ(outcomes[2].error, ErrorCode::kInvalidTopicException);
  EXPECT_EQ(create({"a_b"})[0].error, ErrorCode::kInvalidTopicException);
  Controller::Outcomes deleted;
  controller_.delete_topics("a test", {outcomes[0].topic->id()}, take(deleted));
  EXPECT_EQ(finish(deleted)[0].error, ErrorCode::kNone);
  EXPECT_EQ(create({"a_b"})[0].error, ErrorCode::kNone);
}

TEST_F(ControllerTest, ManyTopicsOfOneCallAreManyTransactions) {
  std::vector<std::string> names;
  for (int i = 0; i < 100; ++i) names.push_back("t" + std::to_string(i));
  for (const auto& outcome : create(names)) EXPECT_EQ(outcome.error, ErrorCode::kNone);
  EXPECT_EQ(store_.transactions(), 4u);
  expect_image_of_the_store();
}

TEST_F(ControllerTest, RandomFaultsLoseNoChange) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    store_.random_faults(seed, 4);
    const std::string name = "t" + std::to_string(seed);
    const auto created = create({name, name + "-2"});
    for (const auto& outcome : created) {
      const bool there = image().find(outcome.topic ? outcome.topic->name() : name) != nullptr;
      if (outcome.error == ErrorCode::kNone) EXPECT_TRUE(there) << "seed " << seed;
      else EXPECT_EQ(outcome.error, ErrorCode::kKafkaStorageError) << "seed " << seed;
    }
    store_.random_faults(seed, 0);
    EXPECT_TRUE(served(memory_.range_blocking("")->revision));
    expect_image_of_the_store();
  }
}

}  // namespace
}  // namespace weir::broker
