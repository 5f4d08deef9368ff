// The admin APIs beside topics and configs, as clients see them.
#include <gmock/gmock.h>

#include "broker/handlers/broker_fixture.h"
#include "protocol/errors.h"
#include "protocol/messages/alter_client_quotas.h"
#include "protocol/messages/alter_partition_reassignments.h"
#include "protocol/messages/alter_replica_log_dirs.h"
#include "protocol/messages/alter_user_scram_credentials.h"
#include "protocol/messages/api_versions.h"
#include "protocol/messages/create_acls.h"
#include "protocol/messages/delete_acls.h"
#include "protocol/messages/describe_acls.h"
#include "protocol/messages/describe_client_quotas.h"
#include "protocol/messages/describe_log_dirs.h"
#include "protocol/messages/describe_producers.h"
#include "protocol/messages/describe_quorum.h"
#include "protocol/messages/describe_user_scram_credentials.h"
#include "protocol/messages/elect_leaders.h"
#include "protocol/messages/list_partition_reassignments.h"
#include "protocol/messages/unregister_broker.h"
#include "protocol/messages/update_features.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;

class AdminTest : public BrokerTest {
 protected:
  AdminTest() { set("log.dirs", "/data"); }
  int32_t node() const { return broker_->shard(0).image->self().id; }

  Answer<protocol::ApiVersionsResponse> versions(int16_t version = 5, std::optional<std::string_view> cluster = std::nullopt,
                                                 int32_t node_id = -1) {
    protocol::ApiVersionsRequest request;
    request.client_software_name = request.client_software_version = "x";
    request.cluster_id = cluster;
    request.node_id = node_id;
    return call<protocol::ApiVersionsResponse>(version, request);
  }
  std::pair<ErrorCode, std::string> update_feature(std::string_view feature, int16_t level, int8_t type = 1,
                                                   bool validate_only = false) {
    protocol::UpdateFeaturesRequest::FeatureUpdateKey update;
    update.feature = feature;
    update.max_version_level = level;
    update.upgrade_type = type;
    protocol::UpdateFeaturesRequest request;
    request.feature_updates = {&update, 1};
    request.validate_only = validate_only;
    const auto answer = call<protocol::UpdateFeaturesResponse>(2, request);
    return {static_cast<ErrorCode>(answer->error_code), std::string(answer->error_message.value_or(""))};
  }
};

TEST_F(AdminTest, LogDirsTellRealSizes) {
  create_topic("a", 2);
  create_topic("b", 1);
  const auto described = [&](std::optional<std::span<protocol::DescribeLogDirsRequest::DescribableLogDirTopic>> topics) {
    protocol::DescribeLogDirsRequest request;
    request.topics = topics;
    auto answer = call<protocol::DescribeLogDirsResponse>(5, request);
    std::map<std::string, int64_t> sizes;
    EXPECT_EQ(answer->results.size(), 1u);
    EXPECT_EQ(answer->results[0].log_dir, "/data");
    EXPECT_GT(answer->results[0].usable_bytes, 0);
    EXPECT_GT(answer->results[0].total_bytes, answer->results[0].usable_bytes);
    for (const auto& topic : answer->results[0].topics) {
      for (const auto& p : topic.partitions)
        sizes[std::string(topic.name) + std::to_string(p.partition_index)] = p.partition_size;
    }
    return sizes;
  };
  EXPECT_EQ(described(std::nullopt), (std::map<std::string, int64_t>{{"a0", 0}, {"a1", 0}, {"b0", 0}}));
  const auto records = batch({"one", "two"});
  produce(peer(0), "a", 1, records);
  const auto bytes = static_cast<int64_t>(records.size());
  EXPECT_EQ(described(std::nullopt).at("a1"), bytes);
  bool checkpointed = false;
  for (auto& log : logs_) log->checkpoint_all([&](Result<void>) { checkpointed = true; });
  run_until([&] { return checkpointed; });
  EXPECT_EQ(described(std::nullopt).at("a1"), bytes);
  int32_t indexes[] = {1, 7, 1};
  protocol::DescribeLogDirsRequest::DescribableLogDirTopic asked[2];
  asked[0].topic = "a";
  asked[0].partitions = indexes;
  asked[1].topic = "absent";
  EXPECT_EQ(described(asked), (std::map<std::string, int64_t>{{"a1", bytes}}));
}

TEST_F(AdminTest, ElectionsAreNotNeeded) {
  create_topic("a", 1);
  int32_t indexes[] = {0, 3};
  protocol::ElectLeadersRequest::TopicPartitions asked[2];
  asked[0].topic = "a";
  asked[0].partitions = indexes;
  asked[1].topic = "b";
  asked[1].partitions = {indexes, 1};
  protocol::ElectLeadersRequest request;
  request.topic_partitions = std::span(asked);
  const auto answer = call<protocol::ElectLeadersResponse>(2, request);
  const auto& results = answer->replica_election_results;
  EXPECT_EQ(results[0].partition_result[0].error_code, code(ErrorCode::kElectionNotNeeded));
  EXPECT_EQ(*results[0].partition_result[1].error_message, "No such partition as a-3");
  EXPECT_EQ(*results[1].partition_result[0].error_message, "No such topic as b");
  request.topic_partitions = std::nullopt;
  EXPECT_EQ(call<protocol::ElectLeadersResponse>(2, request)->error_code, 0);
  request.election_type = 4;
  EXPECT_EQ(call<protocol::ElectLeadersResponse>(1, request)->error_code, code(ErrorCode::kInvalidRequest));
  request.topic_partitions = std::span(asked);
  const auto refused = call<protocol::ElectLeadersResponse>(1, request);
  EXPECT_EQ(refused->error_code, code(ErrorCode::kInvalidRequest));
  ASSERT_EQ(refused->replica_election_results.size(), 2u);
  EXPECT_EQ(refused->replica_election_results[0].partition_result[1].error_code, code(ErrorCode::kInvalidRequest));
}

TEST_F(AdminTest, ReassignmentsOfOneBroker) {
  create_topic("a", 1);
  const auto reassign = [&](std::string_view topic, int32_t index, std::optional<std::vector<int32_t>> replicas) {
    protocol::AlterPartitionReassignmentsRequest::ReassignablePartition partition;
    partition.partition_index = index;
    if (replicas) partition.replicas = std::span(*replicas);
    protocol::AlterPartitionReassignmentsRequest::ReassignableTopic topics;
    topics.name = topic;
    topics.partitions = {&partition, 1};
    protocol::AlterPartitionReassignmentsRequest request;
    request.topics = {&topics, 1};
    return static_cast<ErrorCode>(
        call<protocol::AlterPartitionReassignmentsResponse>(1, request)->responses[0].partitions[0].error_code);
  };
  EXPECT_EQ(reassign("a", 0, {{node()}}), ErrorCode::kNone);
  EXPECT_EQ(reassign("a", 0, std::nullopt), ErrorCode::kNoReassignmentInProgress);
  EXPECT_EQ(reassign("a", 0, {{node() + 1}}), ErrorCode::kInvalidReplicaAssignment);
  EXPECT_EQ(reassign("a", 0, {{node(), node()}}), ErrorCode::kInvalidReplicaAssignment);
  EXPECT_EQ(reassign("a", 0, {std::vector<int32_t>{}}), ErrorCode::kInvalidReplicaAssignment);
  EXPECT_EQ(reassign("a", 1, {{node()}}), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(reassign("b", 0, std::nullopt), ErrorCode::kUnknownTopicOrPartition);
  const auto listed = call<protocol::ListPartitionReassignmentsResponse>(0, protocol::ListPartitionReassignmentsRequest());
  EXPECT_EQ(listed->error_code, 0);
  EXPECT_TRUE(listed->topics.empty());
}

TEST_F(AdminTest, ProducersOfAPartition) {
  create_topic("a", 1);
  protocol::BatchOptions options;
  options.producer_id = 4711;
  options.producer_epoch = 2;
  options.base_sequence = 0;
  EXPECT_EQ(produce(peer(0), "a", 0, batch({"x", "y", "z"}, options))->responses[0].partition_responses[0].error_code, 0);
  int32_t indexes[] = {0, 1};
  protocol::DescribeProducersRequest::TopicRequest asked[3];
  asked[0].name = "a";
  asked[0].partition_indexes = indexes;
  asked[1].name = "bad/name";
  asked[2].name = "absent";
  asked[1].partition_indexes = asked[2].partition_indexes = {indexes, 1};
  protocol::DescribeProducersRequest request;
  request.topics = asked;
  const auto answer = call<protocol::DescribeProducersResponse>(0, request);
  const auto& partitions = answer->topics[0].partitions;
  ASSERT_EQ(partitions[0].active_producers.size(), 1u);
  EXPECT_EQ(partitions[0].active_producers[0].producer_id, 4711);
  EXPECT_EQ(partitions[0].active_producers[0].producer_epoch, 2);
  EXPECT_EQ(partitions[0].active_producers[0].last_sequence, 2);
  EXPECT_LE(partitions[0].active_producers[0].last_timestamp, sim_.clock().wall_ms());
  EXPECT_GE(partitions[0].active_producers[0].last_timestamp, sim_.clock().wall_ms() - 1000);
  EXPECT_EQ(partitions[0].active_producers[0].current_txn_start_offset, -1);
  EXPECT_EQ(partitions[1].error_code, code(ErrorCode::kUnknownTopicOrPartition));
  EXPECT_FALSE(partitions[1].error_message.has_value());
  EXPECT_EQ(answer->topics[1].partitions[0].error_code, code(ErrorCode::kInvalidTopicException));
  EXPECT_EQ(answer->topics[2].partitions[0].error_code, code(ErrorCode::kUnknownTopicOrPartition));
  EXPECT_EQ(answer->topics[2].partitions[0].error_message, "This server does not host this topic-partition.");
}

TEST_F(AdminTest, QuorumOfOne) {
  protocol::DescribeQuorumRequest::PartitionData partition;
  protocol::DescribeQuorumRequest::TopicData topics[2];
  topics[0].topic_name = "__cluster_metadata";
  topics[1].topic_name = "a";
  topics[0].partitions = topics[1].partitions = {&partition, 1};
  protocol::DescribeQuorumRequest request;
  request.topics = {topics, 1};
  const auto before = call<protocol::DescribeQuorumResponse>(2, request);
  create_topic("a", 1);
  const auto after = call<protocol::DescribeQuorumResponse>(2, request);
  const auto& of = after->topics[0].partitions[0];
  EXPECT_EQ(of.leader_id, node());
  ASSERT_EQ(of.current_voters.size(), 1u);
  EXPECT_EQ(of.current_voters[0].log_end_offset, of.high_watermark);
  EXPECT_GT(of.high_watermark, before->topics[0].partitions[0].high_watermark);
  EXPECT_EQ(after->nodes[0].listeners[0].host, "broker.example");
  EXPECT_EQ(after->error_message, "") << "empty where Kafka leaves its default";
  EXPECT_EQ(of.error_message, "");
  // If the request names anything else, the answer describes nothing, and has no nodes.
  request.topics = topics;
  const auto mixed = call<protocol::DescribeQuorumResponse>(2, request);
  ASSERT_EQ(mixed->topics.size(), 2u);
  for (const auto& topic : mixed->topics) {
    EXPECT_EQ(topic.partitions[0].error_code, code(ErrorCode::kUnknownTopicOrPartition));
    EXPECT_EQ(topic.partitions[0].error_message, "This server does not host this topic-partition.");
  }
  EXPECT_TRUE(mixed->nodes.empty());
  EXPECT_TRUE(call<protocol::DescribeQuorumResponse>(2, protocol::DescribeQuorumRequest())->nodes.empty());
}

TEST_F(AdminTest, FeaturesAreDurableAndTheirEpochGrows) {
  const auto level = [&] {
    const auto answer = versions();
    EXPECT_EQ(answer->finalized_features.size(), 3u);
    EXPECT_EQ(answer->finalized_features[1].name, "metadata.version");
    return answer->finalized_features[1].max_version_level;
  };
  const int64_t first = versions()->finalized_features_epoch;
  EXPECT_GE(first, 0);
  EXPECT_EQ(level(), 33);
  // Levels between 33 and the lower one have metadata that the lower one cannot express.
  EXPECT_THAT(update_feature("metadata.version", 25).second, ::testing::HasSubstr("without setting the upgrade type"));
  EXPECT_THAT(update_feature("metadata.version", 25, 2).second, ::testing::HasSubstr("it might delete metadata"));
  EXPECT_THAT(update_feature("metadata.version", 32, 3).second,
              ::testing::HasSubstr("Unsafe metadata downgrade is not supported"));
  EXPECT_EQ(update_feature("metadata.version", 32, 3, true).first, ErrorCode::kInvalidUpdateVersion);
  EXPECT_EQ(update_feature("metadata.version", 33).first, ErrorCode::kNone);
  EXPECT_EQ(level(), 33);
  EXPECT_EQ(versions()->finalized_features_epoch, first);
  EXPECT_THAT(update_feature("metadata.version", 34).second, ::testing::HasSubstr("only supports versions 7-33"));
  EXPECT_THAT(update_feature("shoe.version", 1).second, ::testing::HasSubstr("does not support this feature"));
  // An older program left this level.
  bool changed = false;
  sim_.loop(0).post([&] {
    broker_->change_features(
        0,
        [](FeaturesRecord& record) {
          record.levels["metadata.version"] = 29;
          return Controller::Outcome();
        },
        [&](Controller::Outcomes) { changed = true; });
  });
  run_until([&] { return changed; });
  EXPECT_EQ(level(), 29);
  EXPECT_EQ(update_feature("metadata.version", 24, 2, true).first, ErrorCode::kNone);
  EXPECT_EQ(level(), 29);
  EXPECT_EQ(update_feature("metadata.version", 24, 2).first, ErrorCode::kNone)
      << "30 and 23 brought metadata, those between none";
  EXPECT_EQ(level(), 24);
  EXPECT_EQ(versions()->finalized_features_epoch, first + 2);
  EXPECT_EQ(update_feature("metadata.version", 22, 2).first, ErrorCode::kInvalidUpdateVersion);
  EXPECT_EQ(update_feature("metadata.version", 26, 2).first, ErrorCode::kInvalidUpdateVersion);
  EXPECT_EQ(update_feature("metadata.version", 20, 9).first, ErrorCode::kInvalidUpdateVersion);
  restart(true);
  EXPECT_EQ(level(), 24);
  EXPECT_EQ(versions()->finalized_features_epoch, first + 2);
}

TEST_F(AdminTest, EligibleLeaderReplicasAreAFeatureOfLevelZeroAndOne) {
  constexpr const char* kFeature = "eligible.leader.replicas.version";
  const auto level = [&] {
    const auto answer = versions();
    EXPECT_EQ(answer->supported_features[0].name, kFeature);
    EXPECT_EQ(answer->supported_features[0].min_version, 0);
    EXPECT_EQ(answer->supported_features[0].max_version, 1);
    return answer->finalized_features[0].name == kFeature ? answer->finalized_features[0].max_version_level : 0;
  };
  EXPECT_EQ(level(), 0);
  EXPECT_EQ(update_feature(kFeature, 0, 2).first, ErrorCode::kNone);
  EXPECT_EQ(update_feature(kFeature, 1).first, ErrorCode::kNone);
  EXPECT_EQ(level(), 1);
  restart(true);
  EXPECT_EQ(level(), 1);
  EXPECT_THAT(update_feature(kFeature, 2).second, ::testing::HasSubstr("only supports versions 0-1"));
  EXPECT_EQ(update_feature(kFeature, 0).first, ErrorCode::kInvalidUpdateVersion);
  EXPECT_EQ(update_feature(kFeature, 0, 2).first, ErrorCode::kNone);
  EXPECT_EQ(level(), 0);
  bool changed = false;
  sim_.loop(0).post([&] {
    broker_->change_features(
        0,
        [](FeaturesRecord& record) {
          record.levels["metadata.version"] = 22;
          return Controller::Outcome();
        },
        [&](Controller::Outcomes) { changed = true; });
  });
  run_until([&] { return changed; });
  EXPECT_THAT(update_feature(kFeature, 1).second, ::testing::HasSubstr("depends on metadata.version level 23"));
}

TEST_F(AdminTest, TheVersionOfTransactionsIsAFeatureOfThreeLevels) {
  constexpr const char* kFeature = "transaction.version";
  const auto level = [&] {
    const auto answer = versions();
    EXPECT_EQ(answer->supported_features[3].name, kFeature);
    EXPECT_EQ(answer->supported_features[3].min_version, 0);
    EXPECT_EQ(answer->supported_features[3].max_version, 2);
    for (const auto& feature : answer->finalized_features) {
      if (feature.name == kFeature) return feature.max_version_level;
    }
    return int16_t{0};
  };
  EXPECT_EQ(level(), 2) << "that of a new cluster";
  EXPECT_THAT(update_feature(kFeature, 3).second, ::testing::HasSubstr("only supports versions 0-2"));
  EXPECT_EQ(update_feature(kFeature, 0).first, ErrorCode::kInvalidUpdateVersion);
  for (const int16_t lower : {1, 0}) {
    EXPECT_EQ(update_feature(kFeature, lower, 2).first, ErrorCode::kNone);
    EXPECT_EQ(level(), lower);
  }
  restart(true);
  EXPECT_EQ(level(), 0) << "what was chosen stays";
  EXPECT_EQ(update_feature(kFeature, 2).first, ErrorCode::kNone);
  EXPECT_EQ(level(), 2);
}

TEST_F(AdminTest, NamesOfClientSoftwareMayBeLong) {
  protocol::ApiVersionsRequest request;
  const std::string name(200, 'x');
  request.client_software_name = request.client_software_version = name;
  EXPECT_EQ(call<protocol::ApiVersionsResponse>(4, request)->error_code, 0);
  request.client_software_name = "-x";
  EXPECT_EQ(call<protocol::ApiVersionsResponse>(4, request)->error_code, code(ErrorCode::kInvalidRequest));
}

TEST_F(AdminTest, AClientThatBelievesToTalkToAnotherBrokerIsToldSo) {
  EXPECT_EQ(versions()->error_code, 0);
  EXPECT_EQ(versions(5, broker_->cluster_id(), node())->error_code, 0);
  EXPECT_EQ(versions(5, "other", node())->error_code, code(ErrorCode::kRebootstrapRequired));
  EXPECT_EQ(versions(5, broker_->cluster_id(), node() + 1)->error_code, code(ErrorCode::kRebootstrapRequired));
  EXPECT_EQ(versions(5, broker_->cluster_id(), -1)->error_code, code(ErrorCode::kInvalidRequest));
  EXPECT_EQ(versions(5, std::nullopt, node())->error_code, code(ErrorCode::kInvalidRequest));
}

TEST_F(AdminTest, BrokersStayRegistered) {
  protocol::UnregisterBrokerRequest request;
  request.broker_id = node() + 7;
  EXPECT_EQ(*call<protocol::UnregisterBrokerResponse>(0, request)->error_message,
            "Broker ID " + std::to_string(node() + 7) + " is not currently registered");
  request.broker_id = node();
  EXPECT_EQ(call<protocol::UnregisterBrokerResponse>(0, request)->error_code, code(ErrorCode::kInvalidRequest));
}

TEST_F(AdminTest, NoAuthorizerNoCredentialsNoQuotas) {
  EXPECT_EQ(call<protocol::DescribeAclsResponse>(3, protocol::DescribeAclsRequest())->error_code,
            code(ErrorCode::kSecurityDisabled));
  protocol::CreateAclsRequest::AclCreation creation;
  protocol::CreateAclsRequest create;
  create.creations = {&creation, 1};
  EXPECT_EQ(*call<protocol::CreateAclsResponse>(3, create)->results[0].error_message, "No Authorizer is configured.");
  protocol::DeleteAclsRequest::DeleteAclsFilter filter;
  protocol::DeleteAclsRequest remove;
  remove.filters = {&filter, 1};
  EXPECT_EQ(call<protocol::DeleteAclsResponse>(3, remove)->filter_results[0].error_code, code(ErrorCode::kSecurityDisabled));

  EXPECT_TRUE(
      call<protocol::DescribeUserScramCredentialsResponse>(0, protocol::DescribeUserScramCredentialsRequest())->results.empty());
  protocol::DescribeUserScramCredentialsRequest::UserName user;
  user.name = "eve";
  protocol::DescribeUserScramCredentialsRequest users;
  users.users = std::span(&user, 1);
  EXPECT_EQ(*call<protocol::DescribeUserScramCredentialsResponse>(0, users)->results[0].error_message,
            "Attempt to describe a user credential that does not exist: eve");
  EXPECT_EQ(call<protocol::DescribeUserScramCredentialsResponse>(0, users)->error_message, "");
  protocol::DescribeUserScramCredentialsRequest::UserName twice[2];
  twice[0].name = twice[1].name = "eve";
  users.users = twice;
  const auto repeated = call<protocol::DescribeUserScramCredentialsResponse>(0, users);
  ASSERT_EQ(repeated->results.size(), 1u);
  EXPECT_EQ(repeated->results[0].error_code, code(ErrorCode::kDuplicateResource));
  protocol::AlterUserScramCredentialsRequest::ScramCredentialDeletion deletion;
  deletion.name = "eve";
  protocol::AlterUserScramCredentialsRequest alter;
  alter.deletions = {&deletion, 1};
  EXPECT_NE(call<protocol::AlterUserScramCredentialsResponse>(0, alter)->results[0].error_code, 0);

  const auto no_quotas = call<protocol::DescribeClientQuotasResponse>(1, protocol::DescribeClientQuotasRequest());
  EXPECT_TRUE(no_quotas->entries->empty());
  EXPECT_EQ(no_quotas->error_message, "");
  using Component = protocol::DescribeClientQuotasRequest::ComponentData;
  const auto described = [&](std::vector<Component> components) {
    protocol::DescribeClientQuotasRequest request;
    request.components = components;
    const auto answer = call<protocol::DescribeClientQuotasResponse>(1, request);
    EXPECT_EQ(answer->entries.has_value(), answer->error_code == 0);
    return static_cast<ErrorCode>(answer->error_code);
  };
  const Component by_user{"user", 0, "u"}, ip{"ip", 2, std::nullopt}, client{"client-id", 1, std::nullopt};
  EXPECT_EQ(described({by_user, client}), ErrorCode::kNone);
  EXPECT_EQ(described({ip}), ErrorCode::kNone);
  EXPECT_EQ(described({ip, by_user}), ErrorCode::kInvalidRequest);
  EXPECT_EQ(described({by_user, by_user}), ErrorCode::kInvalidRequest);
  EXPECT_EQ(described({{"", 0, "u"}}), ErrorCode::kInvalidRequest);
  EXPECT_EQ(described({{"group", 0, "g"}}), ErrorCode::kUnsupportedVersion);
  EXPECT_EQ(described({{"user", 0, std::nullopt}}), ErrorCode::kInvalidRequest);
  EXPECT_EQ(described({{"user", 1, "u"}}), ErrorCode::kInvalidRequest);
  EXPECT_EQ(described({{"user", 2, "u"}}), ErrorCode::kInvalidRequest);
  EXPECT_EQ(described({{"user", 3, std::nullopt}}), ErrorCode::kInvalidRequest);
  protocol::AlterClientQuotasRequest::EntityData entity;
  entity.entity_type = "user";
  protocol::AlterClientQuotasRequest::EntryData entry;
  entry.entity = {&entity, 1};
  protocol::AlterClientQuotasRequest quotas;
  quotas.entries = {&entry, 1};
  const auto refused = call<protocol::AlterClientQuotasResponse>(1, quotas);
  EXPECT_EQ(refused->entries[0].error_code, code(ErrorCode::kInvalidRequest));
  EXPECT_EQ(refused->entries[0].entity[0].entity_type, "user");
}

}  // namespace
}  // namespace weir::broker
