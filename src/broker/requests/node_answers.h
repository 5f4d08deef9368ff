// Brokers, and the partitions that they lead, in the form of answers. All of it comes from one metadata image.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "broker/broker.h"
#include "broker/server/request_context.h"
#include "protocol/arena.h"
#include "protocol/errors.h"

namespace weir::broker {

struct NodeAddress {
  int32_t id = -1;
  std::string_view host;
  int32_t port = -1;
  std::string_view rack;  // empty: none
};

// The address of a broker for clients of a connection: its listener of the same name, or the connection's own address for this
// broker. Nothing if it has no such listener. Valid as long as the image and the connection.
inline std::optional<NodeAddress> address_of(const MetadataImage& image, const BrokerRecord& node,
                                             const ConnectionInfo& connection) {
  if (node.id == image.self().id) {
    return NodeAddress{node.id, connection.advertised().host, connection.advertised().port, node.rack};
  }
  const BrokerRecord::Listener* listener = node.find_listener(connection.listener->name);
  if (listener == nullptr) return std::nullopt;
  return NodeAddress{node.id, listener->address.host, listener->address.port, node.rack};
}

inline std::vector<NodeAddress> addresses(const MetadataImage& image, const ConnectionInfo& connection) {
  std::vector<NodeAddress> found;
  for (const BrokerPtr& node : image.brokers()) {
    if (const auto address = address_of(image, *node, connection)) found.push_back(*address);
  }
  return found;
}

// The brokers of an answer, in memory of the arena.
template <typename Node>
std::span<Node> nodes_of(const MetadataImage& image, const ConnectionInfo& connection, protocol::Arena& arena) {
  const std::vector<NodeAddress> found = addresses(image, connection);
  const std::span<Node> nodes = arena.array<Node>(found.size());
  for (size_t i = 0; i < found.size(); ++i) {
    if constexpr (requires { nodes[i].broker_id; }) nodes[i].broker_id = found[i].id;
    else nodes[i].node_id = found[i].id;
    nodes[i].host = found[i].host;
    nodes[i].port = found[i].port;
    if (!found[i].rack.empty()) nodes[i].rack = found[i].rack;
  }
  return nodes;
}

// Fills in leader and replicas of partitions. Partitions in a row with the same replicas share their memory in the arena.
class LeadershipAnswers {
 public:
  LeadershipAnswers(const MetadataImage& image, const OfflinePartitions& offline, protocol::Arena& arena)
      : image_(image), offline_(offline), arena_(arena) {}

  template <typename Answer>
  void fill(Answer& answer, const Topic& topic, int32_t index) {
    const PartitionOwner owner = image_.owner(topic, index);
    answer.partition_index = index;
    answer.leader_id = owner.broker;
    answer.leader_epoch = owner.leader_epoch;
    copy(image_.replicas(topic, index));
    answer.replica_nodes = replicas_;
    answer.isr_nodes = in_sync_;
    answer.offline_replicas = gone_;
    const bool offline = offline_.contains(topic.partition(index));
    if (!offline && owner.where != PartitionOwner::Where::kUnknown) return;
    answer.error_code = code(protocol::ErrorCode::kLeaderNotAvailable);
    answer.leader_id = PartitionRecord::kNoLeader;
    if (offline) answer.offline_replicas = replicas_;
  }

 private:
  void copy(std::span<const int32_t> replicas) {
    if (replicas.data() == copied_.data() && replicas.size() == copied_.size()) return;
    copied_ = replicas;
    replicas_ = arena_.array<int32_t>(replicas.size());
    in_sync_ = arena_.array<int32_t>(replicas.size());
    gone_ = arena_.array<int32_t>(replicas.size());
    size_t alive = 0, gone = 0;
    for (size_t i = 0; i < replicas.size(); ++i) {
      replicas_[i] = replicas[i];
      if (image_.find_broker(replicas[i])) in_sync_[alive++] = replicas[i];
      else gone_[gone++] = replicas[i];
    }
    in_sync_ = in_sync_.first(alive);
    gone_ = gone_.first(gone);
  }

  const MetadataImage& image_;
  const OfflinePartitions& offline_;
  protocol::Arena& arena_;
  std::span<const int32_t> copied_;  // the others are made of these
  std::span<int32_t> replicas_, in_sync_, gone_;
};

}  // namespace weir::broker
