// Answers to requests that are denied as a whole, in Kafka's form. Each function has the form that its API has for an error. The
// rows of the table of APIs with ClusterRight::kRequired name them.
#pragma once

#include "broker/server/request_context.h"
#include "protocol/errors.h"

namespace weir::broker {

void deny_create_acls(RequestContextPtr context, protocol::ErrorCode error);
void deny_delete_acls(RequestContextPtr context, protocol::ErrorCode error);
void deny_alter_client_quotas(RequestContextPtr context, protocol::ErrorCode error);
void deny_alter_user_scram_credentials(RequestContextPtr context, protocol::ErrorCode error);
void deny_describe_user_scram_credentials(RequestContextPtr context, protocol::ErrorCode error);
void deny_elect_leaders(RequestContextPtr context, protocol::ErrorCode error);
void deny_alter_partition_reassignments(RequestContextPtr context, protocol::ErrorCode error);
void deny_list_partition_reassignments(RequestContextPtr context, protocol::ErrorCode error);
void deny_alter_replica_log_dirs(RequestContextPtr context, protocol::ErrorCode error);
void deny_describe_acls(RequestContextPtr context, protocol::ErrorCode error);
void deny_describe_client_quotas(RequestContextPtr context, protocol::ErrorCode error);
void deny_describe_log_dirs(RequestContextPtr context, protocol::ErrorCode error);
void deny_describe_quorum(RequestContextPtr context, protocol::ErrorCode error);
void deny_list_config_resources(RequestContextPtr context, protocol::ErrorCode error);
void deny_unregister_broker(RequestContextPtr context, protocol::ErrorCode error);
void deny_update_features(RequestContextPtr context, protocol::ErrorCode error);

}  // namespace weir::broker
