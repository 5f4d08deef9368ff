#include "broker/handlers/registration.h"

#include <utility>
#include <variant>

#include "broker/handlers/alter_configs.h"
#include "broker/handlers/alter_replica_log_dirs.h"
#include "broker/handlers/api_versions.h"
#include "broker/handlers/consumer_group_handlers.h"
#include "broker/handlers/create_partitions.h"
#include "broker/handlers/create_topics.h"
#include "broker/handlers/delete_records.h"
#include "broker/handlers/delete_topics.h"
#include "broker/handlers/denials.h"
#include "broker/handlers/describe_cluster.h"
#include "broker/handlers/describe_configs.h"
#include "broker/handlers/describe_log_dirs.h"
#include "broker/handlers/describe_producers.h"
#include "broker/handlers/describe_topic_partitions.h"
#include "broker/handlers/fetch.h"
#include "broker/handlers/find_coordinator.h"
#include "broker/handlers/group_handlers.h"
#include "broker/handlers/list_config_resources.h"
#include "broker/handlers/list_offsets.h"
#include "broker/handlers/metadata.h"
#include "broker/handlers/offset_for_leader_epoch.h"
#include "broker/handlers/one_broker_apis.h"
#include "broker/handlers/produce.h"
#include "broker/handlers/security_apis.h"
#include "broker/handlers/telemetry.h"
#include "broker/handlers/transaction_handlers.h"
#include "broker/handlers/transactional_offsets.h"
#include "broker/handlers/update_features.h"

namespace weir::broker {
namespace {

using protocol::ApiKey;

using security::AclOperation;
using enum security::AclOperation;
using enum RequestKind;
using enum ThrottleClass;

// A handler works with the broker, or with the coordinators that it asks: of one kind, or of several.
template <typename Part>
using Handle = void (*)(Part&, RequestContextPtr);

struct Entry {
  ApiRow row;
  std::variant<Handle<Broker>, Handle<GroupCoordinators>, Handle<TransactionCoordinators>, Handle<Coordinators>> handle;
};

template <typename Part>
RequestHandler handler_of(Handle<Part> handle, Part& part) {
  return [handle, &part](RequestContextPtr context) { handle(part, std::move(context)); };
}
RequestHandler handler_of(Handle<Broker> handle, Coordinators& all) { return handler_of(handle, all.broker); }
RequestHandler handler_of(Handle<GroupCoordinators> handle, Coordinators& all) { return handler_of(handle, all.groups); }
RequestHandler handler_of(Handle<TransactionCoordinators> handle, Coordinators& all) {
  return handler_of(handle, all.transactions);
}

// For APIs about the cluster as a whole.
constexpr ApiNeeds cluster(AclOperation operation) { return {.cluster = operation, .cluster_right = ClusterRight::kRequired}; }
constexpr ApiNeeds topic(AclOperation operation) { return {.topic = operation}; }
constexpr ApiNeeds group(AclOperation operation) { return {.group = operation}; }
constexpr ApiNeeds group_and_topic(AclOperation of_group, AclOperation of_topic) {
  return {.topic = of_topic, .group = of_group};
}
// The right to all of them, or to each.
constexpr ApiNeeds cluster_or_topic(AclOperation of_cluster, AclOperation of_topic) {
  return {.topic = of_topic, .cluster = of_cluster, .cluster_right = ClusterRight::kSuffices};
}
constexpr ApiNeeds cluster_or_group(AclOperation of_cluster, AclOperation of_group) {
  return {.group = of_group, .cluster = of_cluster, .cluster_right = ClusterRight::kSuffices};
}
// For resources that have configs.
constexpr ApiNeeds configs(AclOperation operation) {
  return {.topic = operation, .group = operation, .cluster = operation, .cluster_right = ClusterRight::kIfNamed};
}

// A request that does more needs more, as in Kafka. Metadata that creates a topic needs the right of CreateTopics. CreateTopics
// tells a topic's configs with kDescribeConfigs only. An InitProducerId without a transactional id needs kWrite on any topic at
// all. Versions 4 and 5 of AddPartitionsToTxn need the right to the cluster instead of the others. WriteTxnMarkers needs kAlter
// or kClusterAction.
constexpr Entry kEntries[] = {
    // librdkafka believes that a broker without Produce 0 does not know compression.
    {{.key = ApiKey::kProduce,
      .min_version = 3,
      .max_version = 13,
      .kind = kProduces,
      .needs = {.topic = kWrite, .transactional_id = kWrite},
      .throttle = kProduce,
      .carries_records = true,
      .advertised_min_version = 0},
     handle_produce},
    {{.key = ApiKey::kFetch, .min_version = 4, .max_version = 18, .needs = topic(kRead), .throttle = kFetch}, handle_fetch},
    {{.key = ApiKey::kListOffsets, .min_version = 1, .max_version = 11, .needs = topic(kDescribe)}, handle_list_offsets},
    {{.key = ApiKey::kMetadata, .min_version = 0, .max_version = 13, .needs = topic(kDescribe)}, handle_metadata},
    {{.key = ApiKey::kOffsetCommit,
      .min_version = 2,
      .max_version = 10,
      .kind = kChanges,
      .needs = group_and_topic(kRead, kRead)},
     handle_offset_commit},
    {{.key = ApiKey::kOffsetFetch, .min_version = 1, .max_version = 10, .needs = group_and_topic(kDescribe, kDescribe)},
     handle_offset_fetch},
    {{.key = ApiKey::kFindCoordinator,
      .min_version = 0,
      .max_version = 6,
      .needs = {.group = kDescribe,
                .transactional_id = kDescribe,
                .cluster = kClusterAction,  // of a share coordinator
                .cluster_right = ClusterRight::kIfNamed}},
     handle_find_coordinator},
    {{.key = ApiKey::kJoinGroup, .min_version = 0, .max_version = 9, .kind = kWaitsForOthers, .needs = group(kRead)},
     handle_join_group},
    {{.key = ApiKey::kHeartbeat, .min_version = 0, .max_version = 4, .kind = kChanges, .needs = group(kRead)}, handle_heartbeat},
    {{.key = ApiKey::kLeaveGroup, .min_version = 0, .max_version = 5, .kind = kChanges, .needs = group(kRead)},
     handle_leave_group},
    {{.key = ApiKey::kSyncGroup, .min_version = 0, .max_version = 5, .kind = kWaitsForOthers, .needs = group(kRead)},
     handle_sync_group},
    {{.key = ApiKey::kDescribeGroups, .min_version = 0, .max_version = 6, .needs = group(kDescribe)}, handle_describe_groups},
    {{.key = ApiKey::kListGroups, .min_version = 0, .max_version = 5, .needs = cluster_or_group(kDescribe, kDescribe)},
     handle_list_groups},
    {{.key = ApiKey::kCreateTopics,
      .min_version = 2,
      .max_version = 7,
      .kind = kChanges,
      .needs = cluster_or_topic(kCreate, kCreate),
      .throttle = kControllerMutation},
     handle_create_topics},
    {{.key = ApiKey::kDeleteTopics,
      .min_version = 1,
      .max_version = 6,
      .kind = kChanges,
      .needs = cluster_or_topic(kDelete, kDelete),
      .throttle = kControllerMutation},
     handle_delete_topics},
    {{.key = ApiKey::kDeleteRecords, .min_version = 0, .max_version = 2, .kind = kChanges, .needs = topic(kDelete)},
     handle_delete_records},
    {{.key = ApiKey::kInitProducerId,
      .min_version = 0,
      .max_version = 5,
      .kind = kChanges,
      .needs =
          {.topic = kWrite, .transactional_id = kWrite, .cluster = kIdempotentWrite, .cluster_right = ClusterRight::kSuffices}},
     handle_init_producer_id},
    {{.key = ApiKey::kAddPartitionsToTxn,
      .min_version = 0,
      .max_version = 5,
      .kind = kChanges,
      .needs = {.topic = kWrite, .transactional_id = kWrite, .cluster = kClusterAction, .cluster_right = ClusterRight::kIfNamed}},
     handle_add_partitions_to_txn},
    {{.key = ApiKey::kAddOffsetsToTxn,
      .min_version = 0,
      .max_version = 4,
      .kind = kChanges,
      .needs = {.group = kRead, .transactional_id = kWrite}},
     handle_add_offsets_to_txn},
    {{.key = ApiKey::kEndTxn, .min_version = 0, .max_version = 5, .kind = kChanges, .needs = {.transactional_id = kWrite}},
     handle_end_txn},
    {{.key = ApiKey::kWriteTxnMarkers,
      .min_version = 1,
      .max_version = 2,
      .kind = kChanges,
      .needs = {.cluster = kAlter, .cluster_right = ClusterRight::kIfNamed},
      .throttle = kExempt},
     handle_write_txn_markers},
    {{.key = ApiKey::kTxnOffsetCommit,
      .min_version = 0,
      .max_version = 6,
      .kind = kChanges,
      .needs = {.topic = kRead, .group = kRead, .transactional_id = kWrite}},
     handle_txn_offset_commit},
    {{.key = ApiKey::kOffsetForLeaderEpoch,
      .min_version = 2,
      .max_version = 4,
      .needs = cluster_or_topic(kClusterAction, kDescribe)},
     handle_offset_for_leader_epoch},
    {{.key = ApiKey::kDescribeConfigs, .min_version = 1, .max_version = 4, .needs = configs(kDescribeConfigs)},
     handle_describe_configs},
    {{.key = ApiKey::kAlterConfigs, .min_version = 0, .max_version = 2, .kind = kChanges, .needs = configs(kAlterConfigs)},
     handle_alter_configs},
    {{.key = ApiKey::kCreatePartitions,
      .min_version = 0,
      .max_version = 3,
      .kind = kChanges,
      .needs = topic(kAlter),
      .throttle = kControllerMutation},
     handle_create_partitions},
    {{.key = ApiKey::kDeleteGroups, .min_version = 0, .max_version = 3, .kind = kChanges, .needs = group(kDelete)},
     handle_delete_groups},
    {{.key = ApiKey::kOffsetDelete,
      .min_version = 0,
      .max_version = 0,
      .kind = kChanges,
      .needs = group_and_topic(kDelete, kRead)},
     handle_offset_delete},
    {{.key = ApiKey::kIncrementalAlterConfigs,
      .min_version = 0,
      .max_version = 1,
      .kind = kChanges,
      .needs = configs(kAlterConfigs)},
     handle_incremental_alter_configs},
    {{.key = ApiKey::kDescribeCluster, .min_version = 0, .max_version = 2}, handle_describe_cluster},
    {{.key = ApiKey::kListConfigResources,
      .min_version = 0,
      .max_version = 1,
      .needs = cluster(kDescribeConfigs),
      .deny = deny_list_config_resources},
     handle_list_config_resources},
    {{.key = ApiKey::kDescribeAcls, .min_version = 1, .max_version = 3, .needs = cluster(kDescribe), .deny = deny_describe_acls},
     handle_describe_acls},
    {{.key = ApiKey::kCreateAcls,
      .min_version = 1,
      .max_version = 3,
      .kind = kChanges,
      .needs = cluster(kAlter),
      .deny = deny_create_acls},
     handle_create_acls},
    {{.key = ApiKey::kDeleteAcls,
      .min_version = 1,
      .max_version = 3,
      .kind = kChanges,
      .needs = cluster(kAlter),
      .deny = deny_delete_acls},
     handle_delete_acls},
    {{.key = ApiKey::kAlterReplicaLogDirs,
      .min_version = 1,
      .max_version = 2,
      .kind = kChanges,
      .needs = cluster(kAlter),
      .deny = deny_alter_replica_log_dirs},
     handle_alter_replica_log_dirs},
    {{.key = ApiKey::kDescribeLogDirs,
      .min_version = 1,
      .max_version = 5,
      .needs = cluster(kDescribe),
      .deny = deny_describe_log_dirs},
     handle_describe_log_dirs},
    {{.key = ApiKey::kElectLeaders,
      .min_version = 0,
      .max_version = 2,
      .kind = kChanges,
      .needs = cluster(kAlter),
      .deny = deny_elect_leaders},
     handle_elect_leaders},
    {{.key = ApiKey::kAlterPartitionReassignments,
      .min_version = 0,
      .max_version = 1,
      .kind = kChanges,
      .needs = cluster(kAlter),
      .deny = deny_alter_partition_reassignments},
     handle_alter_partition_reassignments},
    {{.key = ApiKey::kListPartitionReassignments,
      .min_version = 0,
      .max_version = 0,
      .needs = cluster(kDescribe),
      .deny = deny_list_partition_reassignments},
     handle_list_partition_reassignments},
    {{.key = ApiKey::kDescribeClientQuotas,
      .min_version = 0,
      .max_version = 1,
      .needs = cluster(kDescribeConfigs),
      .deny = deny_describe_client_quotas},
     handle_describe_client_quotas},
    {{.key = ApiKey::kAlterClientQuotas,
      .min_version = 0,
      .max_version = 1,
      .kind = kChanges,
      .needs = cluster(kAlterConfigs),
      .deny = deny_alter_client_quotas},
     handle_alter_client_quotas},
    {{.key = ApiKey::kDescribeUserScramCredentials,
      .min_version = 0,
      .max_version = 0,
      .needs = cluster(kDescribe),
      .deny = deny_describe_user_scram_credentials},
     handle_describe_user_scram_credentials},
    {{.key = ApiKey::kAlterUserScramCredentials,
      .min_version = 0,
      .max_version = 0,
      .kind = kChanges,
      .needs = cluster(kAlter),
      .deny = deny_alter_user_scram_credentials},
     handle_alter_user_scram_credentials},
    {{.key = ApiKey::kDescribeQuorum,
      .min_version = 0,
      .max_version = 2,
      .needs = cluster(kDescribe),
      .deny = deny_describe_quorum},
     handle_describe_quorum},
    {{.key = ApiKey::kUpdateFeatures,
      .min_version = 0,
      .max_version = 2,
      .kind = kChanges,
      .needs = cluster(kAlter),
      .deny = deny_update_features},
     handle_update_features},
    {{.key = ApiKey::kDescribeProducers, .min_version = 0, .max_version = 0, .needs = topic(kRead)}, handle_describe_producers},
    {{.key = ApiKey::kUnregisterBroker,
      .min_version = 0,
      .max_version = 0,
      .kind = kChanges,
      .needs = cluster(kAlter),
      .deny = deny_unregister_broker},
     handle_unregister_broker},
    {{.key = ApiKey::kConsumerGroupHeartbeat,
      .min_version = 0,
      .max_version = 1,
      .kind = kChanges,
      .needs = group_and_topic(kRead, kDescribe)},
     handle_consumer_group_heartbeat},
    {{.key = ApiKey::kConsumerGroupDescribe, .min_version = 0, .max_version = 1, .needs = group_and_topic(kDescribe, kDescribe)},
     handle_consumer_group_describe},
    {{.key = ApiKey::kGetTelemetrySubscriptions, .min_version = 0, .max_version = 0}, handle_get_telemetry_subscriptions},
    {{.key = ApiKey::kPushTelemetry, .min_version = 0, .max_version = 0, .kind = kChanges}, handle_push_telemetry},
    {{.key = ApiKey::kDescribeTransactions,
      .min_version = 0,
      .max_version = 0,
      .needs = {.topic = kDescribe, .transactional_id = kDescribe}},
     handle_describe_transactions},
    {{.key = ApiKey::kListTransactions, .min_version = 0, .max_version = 2, .needs = {.transactional_id = kDescribe}},
     handle_list_transactions},
    {{.key = ApiKey::kDescribeTopicPartitions, .min_version = 0, .max_version = 0, .needs = topic(kDescribe)},
     handle_describe_topic_partitions},
};

constexpr ApiRow kApiVersions = {
    .key = ApiKey::kApiVersions, .min_version = 0, .max_version = 5, .before_authentication = true, .any_version = true};

}  // namespace

void register_handlers(Dispatcher& dispatcher, Coordinators& coordinators) {
  for (const Entry& entry : kEntries) {
    dispatcher.add(entry.row, std::visit([&](auto handle) { return handler_of(handle, coordinators); }, entry.handle));
  }
  dispatcher.add(kApiVersions, [&broker = coordinators.broker, &dispatcher](RequestContextPtr context) {
    handle_api_versions(broker, dispatcher, std::move(context));
  });
}

}  // namespace weir::broker
