// Groups of the classic protocol and committed offsets: JoinGroup 0-9, Heartbeat 0-4, LeaveGroup 0-5, SyncGroup 0-5,
// DescribeGroups 0-6, ListGroups 0-5, DeleteGroups 0-3, OffsetCommit 2-10, OffsetFetch 1-10, OffsetDelete 0. One .cc each.
// As in Apache Kafka 4.4, with two deviations. Committed offsets of a topic that was deleted and created again count as absent in
// all versions. A group that DescribeGroups names again is answered once, and so is a group or partition of OffsetFetch.
#pragma once

#include <utility>

#include "broker/broker.h"
#include "broker/coordinators/group_coordinators.h"
#include "broker/handlers/coordinator_reply.h"
#include "broker/requests/group_resolver.h"
#include "broker/server/request_context.h"
#include "runtime/homebound.h"

namespace weir::broker {

void handle_join_group(GroupCoordinators& groups, RequestContextPtr context);
void handle_heartbeat(GroupCoordinators& groups, RequestContextPtr context);
void handle_leave_group(GroupCoordinators& groups, RequestContextPtr context);
void handle_sync_group(GroupCoordinators& groups, RequestContextPtr context);
void handle_describe_groups(GroupCoordinators& groups, RequestContextPtr context);
void handle_list_groups(GroupCoordinators& groups, RequestContextPtr context);
void handle_delete_groups(GroupCoordinators& groups, RequestContextPtr context);
void handle_offset_commit(GroupCoordinators& groups, RequestContextPtr context);
void handle_offset_fetch(GroupCoordinators& groups, RequestContextPtr context);
void handle_offset_delete(GroupCoordinators& groups, RequestContextPtr context);

inline std::optional<std::string> owned(const std::optional<std::string_view>& text) {
  if (!text) return std::nullopt;
  return std::string(*text);
}

}  // namespace weir::broker
