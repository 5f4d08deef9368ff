// Answers about transactional ids that a client has no right to, and about the right to be an idempotent producer: every API that
// names transactional ids, in every version, with an authorizer.
#include <gmock/gmock.h>

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "broker/handlers/broker_fixture.h"
#include "broker/handlers/rights_fixture.h"
#include "protocol/messages/find_coordinator.h"
#include "protocol/messages/init_producer_id.h"

namespace weir::broker {
namespace {

using namespace protocol;
using protocol::ErrorCode;
using security::AclOperation;
using security::ResourceType;
using ::testing::HasSubstr;

class TransactionalRightsTest : public BrokerTest {
 protected:
  // The error of an answer, and its text where it has one.
  struct Refused {
    ErrorCode error;
    std::string text;
  };
  struct Api {
    ApiKey key;
    AclOperation operation;  // on the transactional id
    bool has_text;           // in its answer
    std::function<Refused(int16_t version, std::string_view id)> ask;
  };

  void SetUp() override {
    BrokerTest::SetUp();
    topic_ = create_topic("t", 1);
    dispatcher_->set_authorizer(&grants_);
    set_log_event_sink([this](LogLevel, std::string_view, const LogEvent& event) { lines_.emplace_back(event.what); });
  }
  void TearDown() override {
    set_log_event_sink({});
    BrokerTest::TearDown();
  }

  static ErrorCode error(int16_t code) { return static_cast<ErrorCode>(code); }
  void allow(AclOperation operation, std::string_view id) { grants_.add(operation, ResourceType::kTransactionalId, id); }

  ProduceRequest produce_request(std::string_view id, int16_t acks = -1) {
    records_ = batch({"x"}, {.producer_id = 1, .producer_epoch = 0, .base_sequence = 0, .transactional = true});
    data_.records.data = records_;
    asked_.name = "t";
    asked_.topic_id = topic_;
    asked_.partition_data = {&data_, 1};
    ProduceRequest request;
    request.transactional_id = id;
    request.acks = acks;
    request.topic_data = {&asked_, 1};
    return request;
  }
  Refused produced(int16_t version, std::string_view id) {
    const auto answer = call<ProduceResponse>(version, produce_request(id));
    const auto& partition = answer->responses[0].partition_responses[0];
    EXPECT_EQ(partition.base_offset, -1);
    return {error(partition.error_code), std::string(partition.error_message.value_or(""))};
  }
  Answer<InitProducerIdResponse> init(int16_t version, std::optional<std::string_view> id) {
    InitProducerIdRequest request;
    request.transactional_id = id;
    return call<InitProducerIdResponse>(version, request);
  }
  Refused initialized(int16_t version, std::string_view id) {
    const auto answer = init(version, id);
    EXPECT_EQ(answer->producer_id, -1);
    EXPECT_EQ(answer->producer_epoch, -1);
    return {error(answer->error_code), {}};
  }
  Refused found(int16_t version, std::string_view id) {
    FindCoordinatorRequest request;
    request.key_type = version == 0 ? 0 : 1;
    if (version < 4) request.key = id;
    else request.coordinator_keys = {&id, 1};
    const auto answer = call<FindCoordinatorResponse>(version, request);
    if (version < 4) return {error(answer->error_code), std::string(answer->error_message.value_or(""))};
    const auto& coordinator = answer->coordinators[0];
    return {error(coordinator.error_code), std::string(coordinator.error_message.value_or(""))};
  }
  std::vector<Api> apis() {
    using enum AclOperation;
    return {
        {ApiKey::kProduce, kWrite, true, [this](int16_t version, std::string_view id) { return produced(version, id); }},
        {ApiKey::kInitProducerId, kWrite, false,
         [this](int16_t version, std::string_view id) { return initialized(version, id); }},
        {ApiKey::kFindCoordinator, kDescribe, true, [this](int16_t version, std::string_view id) { return found(version, id); }}};
  }
  // FindCoordinator 0 knows groups only.
  static int16_t first_version(const ApiRoute& route) {
    return route.key == ApiKey::kFindCoordinator ? int16_t{1} : route.min_version;
  }

  Grants grants_{ResourceType::kTransactionalId, ResourceType::kCluster, ResourceType::kTopic};
  TopicId topic_;
  std::vector<std::string> lines_;
  std::vector<uint8_t> records_;
  ProduceRequest::PartitionProduceData data_;
  ProduceRequest::TopicProduceData asked_;
};

TEST_F(TransactionalRightsTest, EveryApiIsTested) {
  std::set<ApiKey> tested;
  for (const Api& api : apis()) tested.insert(api.key);
  for (const ApiRoute* route : dispatcher_->routes()) {
    EXPECT_EQ(route->needs.transactional_id != AclOperation::kNone, tested.contains(route->key)) << api_name(route->key);
  }
}

// A client without the right is told so and no more: the broker's own reason would mislead it, and the log is not told.
TEST_F(TransactionalRightsTest, AnIdIsDenied) {
  for (const Api& api : apis()) {
    const ApiRoute& route = *dispatcher_->route(static_cast<int16_t>(api.key));
    grants_.clear();
    allow(api.operation, "other");
    for (int16_t version = first_version(route); version <= route.max_version; ++version) {
      SCOPED_TRACE(std::string(api_name(api.key)) + " " + std::to_string(version));
      const Refused refused = api.ask(version, "x");
      EXPECT_EQ(refused.error, ErrorCode::kTransactionalIdAuthorizationFailed);
      EXPECT_THAT(refused.text, Not(HasSubstr("does not serve transactions")));
    }
  }
  EXPECT_TRUE(lines_.empty());
  EXPECT_EQ(broker_->shard(broker_->owner({topic_, 0})).log.find({topic_, 0})->log_end_offset(), 0);
}

// There are no transactions yet: with the right the error is the same, with its reason.
TEST_F(TransactionalRightsTest, TheRightOfItsRowIsEnough) {
  for (const Api& api : apis()) {
    const ApiRoute& route = *dispatcher_->route(static_cast<int16_t>(api.key));
    grants_.clear();
    allow(api.operation, "x");
    const Refused refused = api.ask(route.max_version, "x");
    EXPECT_EQ(refused.error, ErrorCode::kTransactionalIdAuthorizationFailed);
    if (api.has_text) {
      EXPECT_THAT(refused.text, HasSubstr("does not serve transactions"));
    }
  }
  EXPECT_EQ(lines_.size(), 1u) << "one for each client";
}

TEST_F(TransactionalRightsTest, IdsOfOneRequestAreDeniedOneByOne) {
  allow(AclOperation::kDescribe, "mine");
  std::string_view keys[] = {"x", "mine"};
  FindCoordinatorRequest request;
  request.key_type = 1;
  request.coordinator_keys = keys;
  const auto answer = call<FindCoordinatorResponse>(6, request);
  ASSERT_EQ(answer->coordinators.size(), 2u);
  EXPECT_EQ(answer->coordinators[0].error_message, "");
  EXPECT_THAT(std::string(answer->coordinators[1].error_message.value_or("")), HasSubstr("does not serve transactions"));
}

TEST_F(TransactionalRightsTest, ADeniedProduceIsDeniedBeforeAnythingElseOfIt) {
  grants_.add(AclOperation::kWrite, ResourceType::kTopic, "t");
  auto request = produce_request("x", 5);
  EXPECT_EQ(error(call<ProduceResponse>(12, request)->responses[0].partition_responses[0].error_code),
            ErrorCode::kTransactionalIdAuthorizationFailed);
  FakePeer& silent = peer(1);
  send(silent, 12, produce_request("x", 0));
  run_until([&] { return silent.closed; });
  EXPECT_FALSE(has_response(silent));
}

TEST_F(TransactionalRightsTest, AnIdempotentProducerNeedsTheClusterOrAnyTopic) {
  InitProducerIdRequest half;  // an id without its epoch
  half.transactional_id = std::nullopt;
  half.producer_id = 5;
  EXPECT_EQ(error(call<InitProducerIdResponse>(5, half)->error_code), ErrorCode::kClusterAuthorizationFailed);
  for (int16_t version = 0; version <= 5; ++version) {
    grants_.clear();
    const auto denied = init(version, std::nullopt);
    EXPECT_EQ(error(denied->error_code), ErrorCode::kClusterAuthorizationFailed);
    EXPECT_EQ(denied->producer_id, -1);
    grants_.add(AclOperation::kWrite, ResourceType::kTopic, "any");
    EXPECT_EQ(init(version, std::nullopt)->error_code, 0);
    grants_.clear();
    grants_.add(AclOperation::kIdempotentWrite, ResourceType::kCluster, security::kClusterName);
    EXPECT_EQ(init(version, std::nullopt)->error_code, 0);
    // The right to the cluster is none to a transactional id.
    EXPECT_EQ(initialized(version, "x").error, ErrorCode::kTransactionalIdAuthorizationFailed);
  }
  EXPECT_TRUE(lines_.empty());
  EXPECT_EQ(error(call<InitProducerIdResponse>(5, half)->error_code), ErrorCode::kInvalidRequest);
}

TEST_F(TransactionalRightsTest, AnEmptyIdIsToldToAClientThatHasTheRight) {
  EXPECT_EQ(initialized(5, "").error, ErrorCode::kTransactionalIdAuthorizationFailed);
  allow(AclOperation::kWrite, "");
  EXPECT_EQ(initialized(5, "").error, ErrorCode::kInvalidRequest);
}

}  // namespace
}  // namespace weir::broker
