// The answers to clients while the metadata cannot be written. Every change is answered in time.
#include <gmock/gmock.h>

#include "broker/handlers/broker_fixture.h"
#include "protocol/errors.h"
#include "protocol/messages/create_partitions.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/find_coordinator.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "protocol/messages/init_producer_id.h"
#include "protocol/messages/metadata.h"
#include "protocol/messages/update_features.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;

class FailingMetadataTest : public BrokerTest {
 protected:
  static constexpr int kAttempts = 400;  // one each 0.2 s

  void fail_for_a_while() { faulty_.plan(std::vector(kAttempts, storage::FaultyMetaStore::Fault::kUnknownNotDone)); }
  void create(FakePeer& by, std::string_view name, int32_t timeout_ms) {
    protocol::CreateTopicsRequest::CreatableTopic topic;
    topic.name = name;
    topic.num_partitions = 1;
    topic.replication_factor = -1;
    protocol::CreateTopicsRequest request;
    request.topics = {&topic, 1};
    request.timeout_ms = timeout_ms;
    send(by, 7, request);
  }
  ErrorCode created(FakePeer& by) {
    run_until([&] { return has_response(by); });
    return static_cast<ErrorCode>(take<protocol::CreateTopicsResponse>(by, 7)->topics[0].error_code);
  }
  static protocol::InitProducerIdRequest idempotent_producer() {
    protocol::InitProducerIdRequest request;
    request.transactional_id = std::nullopt;
    request.producer_id = request.producer_epoch = -1;
    return request;
  }
  bool exists(std::string_view name) { return broker_->shard(0).image->find(name) != nullptr; }
  int64_t now_s() { return sim_.loop(0).clock().monotonic_ns() / runtime::kSecond; }
};

TEST_F(FailingMetadataTest, EveryChangeIsAnsweredInTime) {
  create_topic("t", 1);
  fail_for_a_while();
  const int64_t begin = now_s();
  std::vector<FakePeer*> peers;
  const auto next = [&]() -> FakePeer& { return *peers.emplace_back(&connect(static_cast<unsigned>(peers.size() % kShards))); };
  create(next(), "begun", 5000);
  create(next(), "zero", 0);
  protocol::DeleteTopicsRequest deletion;
  protocol::DeleteTopicsRequest::DeleteTopicState gone;
  gone.name = "t";
  deletion.topics = {&gone, 1};
  deletion.timeout_ms = 5000;
  send(next(), 6, deletion);
  protocol::CreatePartitionsRequest::CreatePartitionsTopic more;
  more.name = "t";
  more.count = 2;
  more.assignments = std::nullopt;
  protocol::CreatePartitionsRequest partitions;
  partitions.topics = {&more, 1};
  partitions.timeout_ms = 5000;
  send(next(), 3, partitions);
  protocol::IncrementalAlterConfigsRequest::AlterableConfig config;
  config.name = "retention.ms";
  config.value = "7";
  protocol::IncrementalAlterConfigsRequest::AlterConfigsResource resource;
  resource.resource_type = static_cast<int8_t>(ConfigResourceType::kTopic);
  resource.resource_name = "t";
  resource.configs = {&config, 1};
  protocol::IncrementalAlterConfigsRequest configs;
  configs.resources = {&resource, 1};
  send(next(), 1, configs);
  protocol::UpdateFeaturesRequest::FeatureUpdateKey update;
  update.feature = "group.version";
  update.max_version_level = 0;
  update.upgrade_type = 2;
  protocol::UpdateFeaturesRequest features;
  features.feature_updates = {&update, 1};
  features.timeout_ms = 5000;
  send(next(), 2, features);
  protocol::MetadataRequest::MetadataRequestTopic missing;
  missing.name = "missing";
  protocol::MetadataRequest metadata;
  metadata.topics = std::span(&missing, 1);
  metadata.allow_auto_topic_creation = true;
  send(next(), 9, metadata);
  const std::string_view group = "g";
  protocol::FindCoordinatorRequest coordinator;
  coordinator.coordinator_keys = std::span(const_cast<std::string_view*>(&group), 1);
  send(next(), 4, coordinator);
  send(next(), 4, idempotent_producer());
  run_until([&] { return std::ranges::all_of(peers, [](FakePeer* peer) { return has_response(*peer); }); });
  EXPECT_LE(now_s() - begin, 25);
  const auto told = [](int16_t code) { return static_cast<ErrorCode>(code); };
  EXPECT_EQ(created(*peers[0]), ErrorCode::kRequestTimedOut);
  EXPECT_EQ(created(*peers[1]), ErrorCode::kRequestTimedOut);
  EXPECT_EQ(told(take<protocol::DeleteTopicsResponse>(*peers[2], 6)->responses[0].error_code), ErrorCode::kRequestTimedOut);
  EXPECT_EQ(told(take<protocol::CreatePartitionsResponse>(*peers[3], 3)->results[0].error_code), ErrorCode::kRequestTimedOut);
  EXPECT_NE(told(take<protocol::IncrementalAlterConfigsResponse>(*peers[4], 1)->responses[0].error_code), ErrorCode::kNone);
  EXPECT_NE(told(take<protocol::UpdateFeaturesResponse>(*peers[5], 2)->error_code), ErrorCode::kNone);
  EXPECT_NE(told(take<protocol::MetadataResponse>(*peers[6], 9)->topics[0].error_code), ErrorCode::kNone);
  EXPECT_NE(told(take<protocol::FindCoordinatorResponse>(*peers[7], 4)->coordinators[0].error_code), ErrorCode::kNone);
  EXPECT_EQ(told(take<protocol::InitProducerIdResponse>(*peers[8], 4)->error_code), ErrorCode::kCoordinatorLoadInProgress);
}

TEST_F(FailingMetadataTest, WhatWasNotBegunInTimeIsNotDoneLater) {
  fail_for_a_while();
  FakePeer& first = connect(0);
  FakePeer& second = connect(1);
  create(first, "begun", 2000);
  sim_.run_for(runtime::kSecond);
  create(second, "late", 2000);
  EXPECT_EQ(created(first), ErrorCode::kRequestTimedOut);
  EXPECT_EQ(created(second), ErrorCode::kRequestTimedOut);
  run_until([&] { return exists("begun"); });
  create_topic("after", 1);
  EXPECT_FALSE(exists("late"));
}

TEST_F(FailingMetadataTest, ProducerIdsComeAgainAfterATimeOut) {
  fail_for_a_while();
  const auto ask = [&] {
    return static_cast<ErrorCode>(call<protocol::InitProducerIdResponse>(4, idempotent_producer())->error_code);
  };
  EXPECT_EQ(ask(), ErrorCode::kCoordinatorLoadInProgress);
  for (int i = 0; i < 10 && ask() != ErrorCode::kNone; ++i) {
  }
  EXPECT_EQ(ask(), ErrorCode::kNone);
}

}  // namespace
}  // namespace weir::broker
