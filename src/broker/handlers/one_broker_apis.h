// The APIs about replicas and nodes, as a Kafka cluster of one broker answers them: ElectLeaders (key 43, versions 0-2),
// AlterPartitionReassignments (key 45, versions 0-1), ListPartitionReassignments (key 46), DescribeQuorum (key 55, versions 0-2),
// UnregisterBroker (key 64).
//
// Deviations: there is no metadata log. DescribeQuorum gives the number of metadata entries read and changed since the start as
// its length, and the broker epoch as the leader's. It names the client's listener as the controller's. The broker itself cannot
// be unregistered.
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_elect_leaders(Broker& broker, RequestContextPtr context);
void handle_alter_partition_reassignments(Broker& broker, RequestContextPtr context);
void handle_list_partition_reassignments(Broker& broker, RequestContextPtr context);
void handle_describe_quorum(Broker& broker, RequestContextPtr context);
void handle_unregister_broker(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
