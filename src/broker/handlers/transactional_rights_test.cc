// Answers about transactional ids that a client has no right to, and about the right to be an idempotent producer: every API that
// names transactional ids, in every version, with an authorizer.
#include <gmock/gmock.h>

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "broker/handlers/broker_fixture.h"
#include "broker/handlers/rights_fixture.h"
#include "protocol/messages/add_offsets_to_txn.h"
#include "protocol/messages/find_coordinator.h"
#include "protocol/messages/init_producer_id.h"
#include "protocol/messages/txn_offset_commit.h"

namespace weir::broker {
namespace {

using namespace protocol;
using protocol::ErrorCode;
using security::AclOperation;
using security::ResourceType;
class TransactionalRightsTest : public BrokerTest {
 protected:
  struct Api {
    ApiKey key;
    AclOperation operation;  // on the transactional id
    std::function<ErrorCode(int16_t version, std::string_view id)> ask;
  };

  void SetUp() override {
    BrokerTest::SetUp();
    topic_ = create_topic("t", 1);
    dispatcher_->set_authorizer(&grants_);
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
  ErrorCode produced(int16_t version, std::string_view id) {
    const auto answer = call<ProduceResponse>(version, produce_request(id));
    const auto& partition = answer->responses[0].partition_responses[0];
    EXPECT_EQ(partition.base_offset, -1);
    return error(partition.error_code);
  }
  Answer<InitProducerIdResponse> init(int16_t version, std::optional<std::string_view> id) {
    InitProducerIdRequest request;
    request.transactional_id = id;
    return call<InitProducerIdResponse>(version, request);
  }
  ErrorCode initialized(int16_t version, std::string_view id) {
    const auto answer = init(version, id);
    EXPECT_EQ(answer->producer_id, -1);
    EXPECT_EQ(answer->producer_epoch, -1);
    return error(answer->error_code);
  }
  ErrorCode found(int16_t version, std::string_view id) {
    FindCoordinatorRequest request;
    request.key_type = version == 0 ? 0 : 1;
    if (version < 4) request.key = id;
    else request.coordinator_keys = {&id, 1};
    const auto answer = call<FindCoordinatorResponse>(version, request);
    return error(version < 4 ? answer->error_code : answer->coordinators[0].error_code);
  }
  ErrorCode offsets_added(int16_t version, std::string_view id) {
    AddOffsetsToTxnRequest request;
    request.transactional_id = id;
    request.group_id = "g";
    return error(call<AddOffsetsToTxnResponse>(version, request)->error_code);
  }
  ErrorCode offsets_committed(int16_t version, std::string_view id) {
    TxnOffsetCommitRequest::TxnOffsetCommitRequestPartition partition;
    TxnOffsetCommitRequest::TxnOffsetCommitRequestTopic asked[2];
    asked[0].name = "t";
    asked[0].topic_id = topic_;
    asked[1].name = "absent";
    asked[1].topic_id = Uuid::from_random(9, 9);
    for (auto& topic : asked) topic.partitions = {&partition, 1};
    TxnOffsetCommitRequest request;
    request.transactional_id = id;
    request.group_id = "g";
    request.topics = asked;
    const auto answer = call<TxnOffsetCommitResponse>(version, request);
    const ErrorCode told = error(answer->topics[0].partitions[0].error_code);
    if (told == ErrorCode::kTransactionalIdAuthorizationFailed) {
      EXPECT_EQ(error(answer->topics[1].partitions[0].error_code), told) << "not that it is absent";
    }
    return told;
  }
  std::vector<Api> apis() {
    using enum AclOperation;
    const auto of = [this](ErrorCode (TransactionalRightsTest::*ask)(int16_t, std::string_view)) {
      return [this, ask](int16_t version, std::string_view id) { return (this->*ask)(version, id); };
    };
    return {{ApiKey::kProduce, kWrite, of(&TransactionalRightsTest::produced)},
            {ApiKey::kInitProducerId, kWrite, of(&TransactionalRightsTest::initialized)},
            {ApiKey::kFindCoordinator, kDescribe, of(&TransactionalRightsTest::found)},
            {ApiKey::kAddOffsetsToTxn, kWrite, of(&TransactionalRightsTest::offsets_added)},
            {ApiKey::kTxnOffsetCommit, kWrite, of(&TransactionalRightsTest::offsets_committed)}};
  }
  // FindCoordinator 0 knows groups only.
  static int16_t first_version(const ApiRoute& route) {
    return route.key == ApiKey::kFindCoordinator ? int16_t{1} : route.min_version;
  }

  Grants grants_{ResourceType::kTransactionalId, ResourceType::kCluster, ResourceType::kTopic};
  TopicId topic_;
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

// A client without the right is told so and no more, whether there is such an id or not.
TEST_F(TransactionalRightsTest, AnIdIsDenied) {
  for (const Api& api : apis()) {
    const ApiRoute& route = *dispatcher_->route(static_cast<int16_t>(api.key));
    grants_.clear();
    allow(api.operation, "other");
    for (int16_t version = first_version(route); version <= route.max_version; ++version) {
      SCOPED_TRACE(std::string(api_name(api.key)) + " " + std::to_string(version));
      EXPECT_EQ(api.ask(version, "x"), ErrorCode::kTransactionalIdAuthorizationFailed);
    }
  }
  EXPECT_EQ(broker_->shard(broker_->owner({topic_, 0})).log.find({topic_, 0})->log_end_offset(), 0);
}

TEST_F(TransactionalRightsTest, TheRightOfItsRowIsEnough) {
  for (const Api& api : apis()) {
    const ApiRoute& route = *dispatcher_->route(static_cast<int16_t>(api.key));
    grants_.clear();
    grants_.add(AclOperation::kRead, ResourceType::kTopic, "t");
    grants_.add(AclOperation::kWrite, ResourceType::kTopic, "t");
    allow(api.operation, "x");
    EXPECT_NE(api.ask(route.max_version, "x"), ErrorCode::kTransactionalIdAuthorizationFailed) << api_name(api.key);
    EXPECT_EQ(api.ask(route.max_version, "y"), ErrorCode::kTransactionalIdAuthorizationFailed) << api_name(api.key);
  }
}

TEST_F(TransactionalRightsTest, IdsOfOneRequestAreDeniedOneByOne) {
  allow(AclOperation::kDescribe, "mine");
  std::string_view keys[] = {"x", "mine"};
  FindCoordinatorRequest request;
  request.key_type = 1;
  request.coordinator_keys = keys;
  const auto answer = call<FindCoordinatorResponse>(6, request);
  ASSERT_EQ(answer->coordinators.size(), 2u);
  EXPECT_EQ(error(answer->coordinators[0].error_code), ErrorCode::kTransactionalIdAuthorizationFailed);
  EXPECT_EQ(error(answer->coordinators[1].error_code), ErrorCode::kNone);
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
    EXPECT_EQ(initialized(version, "x"), ErrorCode::kTransactionalIdAuthorizationFailed);
  }
  EXPECT_EQ(error(call<InitProducerIdResponse>(5, half)->error_code), ErrorCode::kInvalidRequest);
}

TEST_F(TransactionalRightsTest, AnEmptyIdIsToldToAClientThatHasTheRight) {
  EXPECT_EQ(initialized(5, ""), ErrorCode::kTransactionalIdAuthorizationFailed);
  allow(AclOperation::kWrite, "");
  EXPECT_EQ(initialized(5, ""), ErrorCode::kInvalidRequest);
}

}  // namespace
}  // namespace weir::broker
