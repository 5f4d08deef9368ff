#include "broker/handlers/registration.h"

#include <utility>

#include "broker/handlers/alter_configs.h"
#include "broker/handlers/alter_replica_log_dirs.h"
#include "broker/handlers/api_versions.h"
#include "broker/handlers/create_partitions.h"
#include "broker/handlers/create_topics.h"
#include "broker/handlers/delete_records.h"
#include "broker/handlers/delete_topics.h"
#include "broker/handlers/describe_cluster.h"
#include "broker/handlers/describe_configs.h"
#include "broker/handlers/describe_log_dirs.h"
#include "broker/handlers/describe_producers.h"
#include "broker/handlers/describe_topic_partitions.h"
#include "broker/handlers/fetch.h"
#include "broker/handlers/find_coordinator.h"
#include "broker/handlers/group_handlers.h"
#include "broker/handlers/init_producer_id.h"
#include "broker/handlers/list_config_resources.h"
#include "broker/handlers/list_offsets.h"
#include "broker/handlers/metadata.h"
#include "broker/handlers/offset_for_leader_epoch.h"
#include "broker/handlers/one_broker_apis.h"
#include "broker/handlers/produce.h"
#include "broker/handlers/security_apis.h"
#include "broker/handlers/telemetry.h"
#include "broker/handlers/update_features.h"

namespace weir::broker {
namespace {

using protocol::ApiKey;

struct Entry {
  ApiKey key;
  int16_t min_version;
  int16_t max_version;
  void (*handle)(Broker&, RequestContextPtr);
  RequestKind kind = RequestKind::kReads;
};

constexpr Entry kEntries[] = {
    {ApiKey::kProduce, 3, 13, handle_produce, RequestKind::kProduces},
    {ApiKey::kFetch, 4, 18, handle_fetch},
    {ApiKey::kListOffsets, 1, 11, handle_list_offsets},
    {ApiKey::kMetadata, 0, 13, handle_metadata},
    {ApiKey::kOffsetCommit, 2, 10, handle_offset_commit, RequestKind::kChanges},
    {ApiKey::kOffsetFetch, 1, 10, handle_offset_fetch},
    {ApiKey::kFindCoordinator, 0, 6, handle_find_coordinator},
    {ApiKey::kJoinGroup, 0, 9, handle_join_group, RequestKind::kWaitsForOthers},
    {ApiKey::kHeartbeat, 0, 4, handle_heartbeat, RequestKind::kChanges},
    {ApiKey::kLeaveGroup, 0, 5, handle_leave_group, RequestKind::kChanges},
    {ApiKey::kSyncGroup, 0, 5, handle_sync_group, RequestKind::kWaitsForOthers},
    {ApiKey::kDescribeGroups, 0, 6, handle_describe_groups},
    {ApiKey::kListGroups, 0, 5, handle_list_groups},
    {ApiKey::kCreateTopics, 2, 7, handle_create_topics, RequestKind::kChanges},
    {ApiKey::kDeleteTopics, 1, 6, handle_delete_topics, RequestKind::kChanges},
    {ApiKey::kDeleteRecords, 0, 2, handle_delete_records, RequestKind::kChanges},
    {ApiKey::kInitProducerId, 0, 5, handle_init_producer_id, RequestKind::kChanges},
    {ApiKey::kOffsetForLeaderEpoch, 2, 4, handle_offset_for_leader_epoch},
    {ApiKey::kDescribeConfigs, 1, 4, handle_describe_configs},
    {ApiKey::kAlterConfigs, 0, 2, handle_alter_configs, RequestKind::kChanges},
    {ApiKey::kCreatePartitions, 0, 3, handle_create_partitions, RequestKind::kChanges},
    {ApiKey::kDeleteGroups, 0, 3, handle_delete_groups, RequestKind::kChanges},
    {ApiKey::kOffsetDelete, 0, 0, handle_offset_delete, RequestKind::kChanges},
    {ApiKey::kIncrementalAlterConfigs, 0, 1, handle_incremental_alter_configs, RequestKind::kChanges},
    {ApiKey::kDescribeCluster, 0, 2, handle_describe_cluster},
    {ApiKey::kListConfigResources, 0, 1, handle_list_config_resources},
    {ApiKey::kDescribeAcls, 1, 3, handle_describe_acls},
    {ApiKey::kCreateAcls, 1, 3, handle_create_acls, RequestKind::kChanges},
    {ApiKey::kDeleteAcls, 1, 3, handle_delete_acls, RequestKind::kChanges},
    {ApiKey::kAlterReplicaLogDirs, 1, 2, handle_alter_replica_log_dirs, RequestKind::kChanges},
    {ApiKey::kDescribeLogDirs, 1, 5, handle_describe_log_dirs},
    {ApiKey::kElectLeaders, 0, 2, handle_elect_leaders, RequestKind::kChanges},
    {ApiKey::kAlterPartitionReassignments, 0, 1, handle_alter_partition_reassignments, RequestKind::kChanges},
    {ApiKey::kListPartitionReassignments, 0, 0, handle_list_partition_reassignments},
    {ApiKey::kDescribeClientQuotas, 0, 1, handle_describe_client_quotas},
    {ApiKey::kAlterClientQuotas, 0, 1, handle_alter_client_quotas, RequestKind::kChanges},
    {ApiKey::kDescribeUserScramCredentials, 0, 0, handle_describe_user_scram_credentials},
    {ApiKey::kAlterUserScramCredentials, 0, 0, handle_alter_user_scram_credentials, RequestKind::kChanges},
    {ApiKey::kDescribeQuorum, 0, 2, handle_describe_quorum},
    {ApiKey::kUpdateFeatures, 0, 2, handle_update_features, RequestKind::kChanges},
    {ApiKey::kDescribeProducers, 0, 0, handle_describe_producers},
    {ApiKey::kUnregisterBroker, 0, 0, handle_unregister_broker, RequestKind::kChanges},
    {ApiKey::kGetTelemetrySubscriptions, 0, 0, handle_get_telemetry_subscriptions},
    {ApiKey::kPushTelemetry, 0, 0, handle_push_telemetry, RequestKind::kChanges},
    {ApiKey::kDescribeTopicPartitions, 0, 0, handle_describe_topic_partitions},
};

}  // namespace

void register_handlers(Dispatcher& dispatcher, Broker& broker) {
  for (const Entry& entry : kEntries) {
    dispatcher.add(
        entry.key, entry.min_version, entry.max_version,
        [&broker, handle = entry.handle](RequestContextPtr context) { handle(broker, std::move(context)); }, entry.kind);
  }
  dispatcher.add(ApiKey::kApiVersions, 0, 5, [&broker, &dispatcher](RequestContextPtr context) {
    handle_api_versions(broker, dispatcher, std::move(context));
  });
  // librdkafka takes a broker that does not know Produce 0 for one that cannot do compression.
  dispatcher.advertise_from(ApiKey::kProduce, 0);
}

}  // namespace weir::broker
