// Answers about transactional ids that a client has no right to, and about the right to be an idempotent producer: every API that
// names transactional ids, in every version, with an authorizer.
#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "broker/handlers/broker_fixture.h"
#include "broker/handlers/rights_fixture.h"
#include "protocol/messages/add_offsets_to_txn.h"
#include "protocol/messages/add_partitions_to_txn.h"
#include "protocol/messages/describe_transactions.h"
#include "protocol/messages/end_txn.h"
#include "protocol/messages/find_coordinator.h"
#include "protocol/messages/init_producer_id.h"
#include "protocol/messages/list_transactions.h"
#include "protocol/messages/txn_offset_commit.h"
#include "protocol/messages/write_txn_markers.h"

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
    EXPECT_EQ(found(6, "x"), ErrorCode::kNone);
    EXPECT_EQ(initialized(5, "x"), ErrorCode::kNone);
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
    request.transaction_timeout_ms = 1000;
    return call<InitProducerIdResponse>(version, request);
  }
  ErrorCode initialized(int16_t version, std::string_view id) {
    const auto answer = init(version, id);
    if (answer->error_code != 0) {
      EXPECT_EQ(answer->producer_id, -1);
      EXPECT_EQ(answer->producer_epoch, -1);
    }
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
  ErrorCode added(int16_t version, std::string_view id) {
    int32_t partition = 0;
    AddPartitionsToTxnRequest::AddPartitionsToTxnTopic topic;
    topic.name = "t";
    topic.partitions = {&partition, 1};
    AddPartitionsToTxnRequest::AddPartitionsToTxnTransaction transaction;
    transaction.transactional_id = id;
    transaction.topics = {&topic, 1};
    AddPartitionsToTxnRequest request;
    if (version < 4) {
      request.v3_and_below_transactional_id = id;
      request.v3_and_below_topics = {&topic, 1};
    } else {
      request.transactions = {&transaction, 1};
    }
    const auto answer = call<AddPartitionsToTxnResponse>(version, request);
    if (answer->error_code != 0) return error(answer->error_code);
    const auto& topics = version < 4 ? answer->results_by_topic_v3_and_below : answer->results_by_transaction[0].topic_results;
    return error(topics[0].results_by_partition[0].partition_error_code);
  }
  ErrorCode offsets_added(int16_t version, std::string_view id) {
    AddOffsetsToTxnRequest request;
    request.transactional_id = id;
    request.group_id = "g";
    return error(call<AddOffsetsToTxnResponse>(version, request)->error_code);
  }
  ErrorCode ended(int16_t version, std::string_view id) {
    EndTxnRequest request;
    request.transactional_id = id;
    return error(call<EndTxnResponse>(version, request)->error_code);
  }
  ErrorCode committed(int16_t version, std::string_view id) {
    const TwoTopicsCommit commit(id, "g", topic_);
    const auto answer = call<TxnOffsetCommitResponse>(version, commit.request);
    return TwoTopicsCommit::error_in(answer.message, ErrorCode::kTransactionalIdAuthorizationFailed);
  }
  ErrorCode described(int16_t version, std::string_view id) {
    DescribeTransactionsRequest request;
    request.transactional_ids = {&id, 1};
    const auto answer = call<DescribeTransactionsResponse>(version, request);
    EXPECT_EQ(answer->transaction_states[0].transactional_id, id);
    return error(answer->transaction_states[0].error_code);
  }
  // A denied transaction is left out of the list.
  ErrorCode listed(int16_t version, std::string_view id) {
    const auto answer = call<ListTransactionsResponse>(version, ListTransactionsRequest());
    EXPECT_EQ(answer->error_code, 0);
    const bool there = std::ranges::any_of(answer->transaction_states, [&](const auto& of) { return of.transactional_id == id; });
    return there ? ErrorCode::kNone : ErrorCode::kTransactionalIdAuthorizationFailed;
  }
  std::vector<Api> apis() {
    using enum AclOperation;
    const auto api = [this](ApiKey key, AclOperation operation, auto ask) {
      return Api{key, operation, [this, ask](int16_t version, std::string_view id) { return (this->*ask)(version, id); }};
    };
    using Self = TransactionalRightsTest;
    return {api(ApiKey::kProduce, kWrite, &Self::produced),
            api(ApiKey::kInitProducerId, kWrite, &Self::initialized),
            api(ApiKey::kFindCoordinator, kDescribe, &Self::found),
            api(ApiKey::kAddPartitionsToTxn, kWrite, &Self::added),
            api(ApiKey::kAddOffsetsToTxn, kWrite, &Self::offsets_added),
            api(ApiKey::kEndTxn, kWrite, &Self::ended),
            api(ApiKey::kTxnOffsetCommit, kWrite, &Self::committed),
            api(ApiKey::kDescribeTransactions, kDescribe, &Self::described),
            api(ApiKey::kListTransactions, kDescribe, &Self::listed)};
  }
  // FindCoordinator 0 knows groups only. Versions of AddPartitionsToTxn above 3 are of brokers.
  static int16_t first_version(const ApiRoute& route) {
    return route.key == ApiKey::kFindCoordinator ? int16_t{1} : route.min_version;
  }
  static int16_t last_version(const ApiRoute& route) {
    return route.key == ApiKey::kAddPartitionsToTxn ? int16_t{3} : route.max_version;
  }

  Grants grants_{ResourceType::kTransactionalId, ResourceType::kCluster, ResourceType::kTopic, ResourceType::kGroup};
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

TEST_F(TransactionalRightsTest, AnIdIsDenied) {
  for (const Api& api : apis()) {
    const ApiRoute& route = *dispatcher_->route(static_cast<int16_t>(api.key));
    grants_.clear();
    allow(api.operation, "other");
    for (int16_t version = first_version(route); version <= last_version(route); ++version) {
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
    allow(api.operation, "x");
    SCOPED_TRACE(api_name(api.key));
    EXPECT_NE(api.ask(last_version(route), "x"), ErrorCode::kTransactionalIdAuthorizationFailed);
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
  EXPECT_EQ(answer->coordinators[0].node_id, -1);
  EXPECT_EQ(answer->coordinators[1].error_code, 0);
  DescribeTransactionsRequest describe;
  describe.transactional_ids = keys;
  const auto described = call<DescribeTransactionsResponse>(0, describe);
  EXPECT_EQ(error(described->transaction_states[0].error_code), ErrorCode::kTransactionalIdAuthorizationFailed);
  EXPECT_EQ(error(described->transaction_states[1].error_code), ErrorCode::kTransactionalIdNotFound);
}

// The right to the id is none to its partitions.
TEST_F(TransactionalRightsTest, TopicsAndGroupsOfATransactionNeedTheirOwnRights) {
  using enum AclOperation;
  allow(kWrite, "y");
  allow(kDescribe, "y");
  EXPECT_EQ(added(3, "y"), ErrorCode::kTopicAuthorizationFailed);
  EXPECT_EQ(offsets_added(4, "y"), ErrorCode::kGroupAuthorizationFailed);
  EXPECT_EQ(committed(5, "y"), ErrorCode::kGroupAuthorizationFailed);
  grants_.add(kRead, ResourceType::kGroup, "g");
  EXPECT_EQ(committed(5, "y"), ErrorCode::kTopicAuthorizationFailed);
  EXPECT_EQ(offsets_added(4, "y"), ErrorCode::kInvalidProducerIdMapping);

  grants_.add(kWrite, ResourceType::kTopic, "t");
  const auto producer = init(5, "y");
  int32_t partition = 0;
  AddPartitionsToTxnRequest::AddPartitionsToTxnTopic topic;
  topic.name = "t";
  topic.partitions = {&partition, 1};
  AddPartitionsToTxnRequest request;
  request.v3_and_below_transactional_id = "y";
  request.v3_and_below_producer_id = producer->producer_id;
  request.v3_and_below_producer_epoch = producer->producer_epoch;
  request.v3_and_below_topics = {&topic, 1};
  EXPECT_EQ(
      call<AddPartitionsToTxnResponse>(3, request)->results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code,
      0);
  const auto topics = [this] {
    std::string_view id = "y";
    DescribeTransactionsRequest describe;
    describe.transactional_ids = {&id, 1};
    return call<DescribeTransactionsResponse>(0, describe)->transaction_states[0].topics.size();
  };
  EXPECT_EQ(topics(), 0u);
  grants_.add(kDescribe, ResourceType::kTopic, "t");
  EXPECT_EQ(topics(), 1u);
}

TEST_F(TransactionalRightsTest, WhatBrokersAskNeedsTheCluster) {
  using enum AclOperation;
  allow(kWrite, "y");
  grants_.add(kWrite, ResourceType::kTopic, "t");
  for (const int16_t version : {4, 5}) EXPECT_EQ(added(version, "y"), ErrorCode::kClusterAuthorizationFailed);
  const auto marked = [this](int16_t version) {
    int32_t partition = 0;
    WriteTxnMarkersRequest::WritableTxnMarkerTopic topic;
    topic.name = "t";
    topic.partition_indexes = {&partition, 1};
    WriteTxnMarkersRequest::WritableTxnMarker marker;
    marker.producer_id = 1;
    marker.topics = {&topic, 1};
    WriteTxnMarkersRequest request;
    request.markers = {&marker, 1};
    return error(call<WriteTxnMarkersResponse>(version, request)->markers[0].topics[0].partitions[0].error_code);
  };
  for (const int16_t version : {1, 2}) EXPECT_EQ(marked(version), ErrorCode::kClusterAuthorizationFailed);
  for (const AclOperation operation : {kClusterAction, kAlter}) {
    grants_.clear();
    grants_.add(operation, ResourceType::kCluster, security::kClusterName);
    for (const int16_t version : {1, 2}) EXPECT_EQ(marked(version), ErrorCode::kNone);
    for (const int16_t version : {4, 5}) {
      EXPECT_EQ(added(version, "y"),
                operation == kClusterAction ? ErrorCode::kInvalidProducerIdMapping : ErrorCode::kClusterAuthorizationFailed);
    }
  }
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
