// Incremental fetch sessions (KIP-227) as consumers see them.
#include <gmock/gmock.h>

#include "broker/handlers/fetch_fixture.h"
#include "protocol/messages/create_partitions.h"
#include "protocol/messages/delete_topics.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;
using protocol::FetchRequest;
using protocol::FetchResponse;

class FetchSessionsTest : public FetchTest {
 protected:
  void expect_overtaken(std::vector<int32_t> forget);
};

// A request on another connection forgets partitions while an earlier request still waits for them.
void FetchSessionsTest::expect_overtaken(std::vector<int32_t> forget) {
  auto& full = request({{"t", 0}, {"t", 1}});
  full.session_epoch = 0;
  const auto begun = call<FetchResponse>(peer(0), 13, full);
  auto& waiting = request({}, 10'000);
  waiting.session_id = begun->session_id;
  waiting.session_epoch = 1;
  send(peer(0), 13, waiting);
  FetchRequest::ForgottenTopic forgotten;
  forgotten.topic_id = requests_.front().topics[0].topic_id;
  forgotten.partitions = forget;
  auto& overtaking = request({});
  overtaking.session_id = begun->session_id;
  overtaking.session_epoch = 2;
  overtaking.forgotten_topics_data = {&forgotten, 1};
  sim_.run_for(runtime::kSecond);
  FakePeer& second = connect(0);
  EXPECT_EQ(call<FetchResponse>(second, 13, overtaking)->error_code, 0);
  produce(connect(1), "t", 1, batch({"x"}));
  run_until([&] { return has_response(peer(0)); }, 20 * runtime::kSecond);
  EXPECT_EQ(take<FetchResponse>(peer(0), 13)->error_code, code(ErrorCode::kInvalidFetchSessionEpoch));
}

TEST_F(FetchSessionsTest, SessionNamesOnlyWhatChanged) {
  create_topic("t", 4);
  auto& full = request({{"t", 0}, {"t", 1}, {"t", 2}, {"t", 3}});
  full.session_epoch = 0;
  const auto begun = call<FetchResponse>(peer(0), 13, full);
  ASSERT_NE(begun->session_id, 0);
  EXPECT_EQ(begun->responses[0].partitions.size(), 4u);

  auto& next = request({});
  next.session_id = begun->session_id;
  next.session_epoch = 1;
  EXPECT_EQ(call<FetchResponse>(peer(0), 13, next)->responses.size(), 0u);
  produce("t", 2, {"x"});
  next.session_epoch = 2;
  const auto changed = call<FetchResponse>(peer(0), 13, next);
  ASSERT_EQ(changed->responses.size(), 1u);
  EXPECT_EQ(partition(changed).partition_index, 2);

  // The client gets the same data until it moves on. Then the partition is forgotten.
  next.session_epoch = 3;
  EXPECT_EQ(call<FetchResponse>(peer(0), 13, next)->responses.size(), 1u);
  auto& moved = request({{"t", 2, 1}});
  moved.session_id = begun->session_id;
  moved.session_epoch = 4;
  EXPECT_EQ(call<FetchResponse>(peer(0), 13, moved)->responses.size(), 0u);
  int32_t index = 2;
  FetchRequest::ForgottenTopic forgotten;
  forgotten.topic_id = requests_.front().topics[0].topic_id;
  forgotten.partitions = {&index, 1};
  next.forgotten_topics_data = {&forgotten, 1};
  next.session_epoch = 5;
  call<FetchResponse>(peer(0), 13, next);
  next.forgotten_topics_data = {};
  produce("t", 2, {"y"});
  next.session_epoch = 6;
  EXPECT_EQ(call<FetchResponse>(peer(0), 13, next)->responses.size(), 0u);
}

TEST_F(FetchSessionsTest, SessionTakesTurns) {
  create_topic("t", 2);
  const std::string big(5000, 'x');
  for (int i = 0; i < 3; ++i) {
    produce("t", 0, {big});
    produce("t", 1, {big});
  }
  auto& full = request({{"t", 0}, {"t", 1}});
  full.session_epoch = 0;
  full.max_bytes = 100;
  const auto first = call<FetchResponse>(peer(0), 12, full);
  auto& next = request({});
  next.max_bytes = 100;
  next.session_id = first->session_id;
  std::vector<int32_t> order;
  for (int32_t epoch = 1; epoch <= 4; ++epoch) {
    next.session_epoch = epoch;
    const auto answer = call<FetchResponse>(peer(0), 12, next);
    for (const auto& topic : answer->responses) {
      for (const auto& data : topic.partitions)
        if (!data.records.data.empty()) order.push_back(data.partition_index);
    }
  }
  EXPECT_EQ(order, (std::vector<int32_t>{0, 1, 0, 1}));
}

TEST_F(FetchSessionsTest, SessionErrors) {
  create_topic("t", 1);
  const auto top_error = [&](FetchRequest& asked, int16_t version = 13, unsigned shard = 0) {
    return static_cast<ErrorCode>(call<FetchResponse>(peer(shard), version, asked)->error_code);
  };
  auto& full = request({{"t", 0}});
  full.session_epoch = 0;
  const auto begun = call<FetchResponse>(peer(0), 13, full);
  auto& next = request({});
  next.session_id = begun->session_id;
  next.session_epoch = 2;
  EXPECT_EQ(top_error(next), ErrorCode::kInvalidFetchSessionEpoch);
  next.session_epoch = 1;
  EXPECT_EQ(top_error(next, 12), ErrorCode::kFetchSessionTopicIdError);
  EXPECT_EQ(top_error(next, 13, 1), ErrorCode::kFetchSessionIdNotFound);  // another shard's connection
  EXPECT_EQ(top_error(next), ErrorCode::kNone);
  next.session_epoch = -1;  // closes it
  EXPECT_EQ(top_error(next, 13, 2), ErrorCode::kNone);
  next.session_epoch = 2;
  EXPECT_EQ(top_error(next), ErrorCode::kFetchSessionIdNotFound);
  EXPECT_EQ(broker_->shard(0).fetch_sessions.size(), 0u);
}

// As in Kafka, a session knows the former name of its topic.
TEST_F(FetchSessionsTest, SessionsTellWhatBecameOfTheirTopic) {
  create_topic("t", 1);
  auto& full = request({{"t", 0}, {"absent", 0}});
  full.session_epoch = 0;
  requests_.back().topics[1].topic_id = Uuid::from_random(3, 3);
  const auto begun = call<FetchResponse>(peer(0), 13, full);
  EXPECT_GT(begun->session_id, 0);
  auto& next = request({});
  next.session_id = begun->session_id;
  const auto errors = [&] {
    ++next.session_epoch;
    std::vector<ErrorCode> found;
    const auto answer = call<FetchResponse>(peer(0), 13, next);
    for (const auto& topic : answer->responses) found.push_back(static_cast<ErrorCode>(topic.partitions[0].error_code));
    std::ranges::sort(found);
    return found;
  };
  next.session_epoch = 0;
  EXPECT_EQ(errors(), std::vector{ErrorCode::kUnknownTopicId});
  std::string_view name = "t";
  protocol::DeleteTopicsRequest remove;
  remove.topic_names = {&name, 1};
  call<protocol::DeleteTopicsResponse>(5, remove);
  EXPECT_EQ(errors(), (std::vector{ErrorCode::kUnknownTopicOrPartition, ErrorCode::kUnknownTopicId}));
  create_topic("t", 1);
  EXPECT_EQ(errors(), (std::vector{ErrorCode::kUnknownTopicId, ErrorCode::kInconsistentTopicId}));
}

TEST_F(FetchSessionsTest, SessionRequestThatOvertakesALongPoll) {
  create_topic("t", 2);
  expect_overtaken({1});
}

// Such a request ends the session.
TEST_F(FetchSessionsTest, SessionRequestThatForgetsAllUnderALongPoll) {
  create_topic("t", 2);
  expect_overtaken({0, 1});
}

TEST_F(FetchSessionsTest, ASessionThatGrowsAboveTheMemoryIsForgotten) {
  create_topic("t", 10);
  FetchRequest& first = request({{"t", 0, 0}});
  first.session_epoch = 0;
  const int32_t id = call<FetchResponse>(peer(0), 12, first)->session_id;
  ASSERT_NE(id, 0);
  // The names are long, and the partitions need not exist.
  const std::string name(20'000, 'n');
  std::vector<FetchRequest::FetchPartition> partitions(50'000);
  for (size_t i = 0; i < partitions.size(); ++i) partitions[i].partition = static_cast<int32_t>(i);
  FetchRequest::FetchTopic topic;
  topic.topic = name;
  topic.partitions = partitions;
  FetchRequest grow;
  grow.session_id = id;
  grow.session_epoch = 1;
  grow.topics = {&topic, 1};
  EXPECT_EQ(call<FetchResponse>(peer(0), 12, grow)->error_code, code(ErrorCode::kFetchSessionIdNotFound));
}

}  // namespace
}  // namespace weir::broker
