// Requests about consumer groups (KIP-848) and their results, owned and independent of protocol versions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/function.h"
#include "coordination/group/consumer/topic_partitions.h"
#include "coordination/group/group_messages.h"
#include "protocol/errors.h"

namespace weir::coordination {

// The handler has checked what needs no group: ids, epochs, and which fields come together.
struct ConsumerHeartbeatRequest {
  std::string group_id;
  std::string member_id;  // empty: version 0 lets the coordinator make one
  int32_t member_epoch = 0;
  std::optional<std::string> instance_id;
  std::optional<std::string> rack_id;
  int32_t rebalance_timeout_ms = -1;                          // -1: unchanged
  std::optional<std::vector<std::string>> subscribed_topics;  // nothing: unchanged
  std::optional<std::string> subscribed_regex;                // nothing: unchanged; empty: none
  std::optional<std::string> server_assignor;                 // nothing: unchanged
  std::optional<Assignment> owned;                            // nothing: unchanged
  std::string client_id;
  std::string client_host;
  TopicFilter may_describe;
};
struct ConsumerHeartbeatResult {
  ErrorCode error{};
  std::optional<std::string> error_message;
  std::string member_id;
  int32_t member_epoch = 0;
  int32_t heartbeat_interval_ms = 0;
  std::optional<Assignment> assignment;  // nothing: unchanged
};
using ConsumerHeartbeatReply = Function<void(ConsumerHeartbeatResult)>;

struct ConsumerGroupDescription {
  ErrorCode error{};  // kGroupIdNotFound: no such group, or one of another type
  std::optional<std::string> error_message;
  std::string group_id;
  std::string_view state;
  int32_t group_epoch = 0;
  int32_t assignment_epoch = 0;
  std::string assignor_name;
  // With the name that the image has for the id. Topics that it does not have are left out.
  struct Partitions {
    Uuid topic_id;
    std::string topic;
    std::vector<int32_t> partitions;
  };
  struct Member {
    std::string member_id;
    std::optional<std::string> instance_id;
    std::optional<std::string> rack_id;
    int32_t member_epoch = 0;
    std::string client_id;
    std::string client_host;
    std::vector<std::string> subscribed_topics;
    std::optional<std::string> subscribed_regex;
    std::vector<Partitions> assigned;
    std::vector<Partitions> target;
    int8_t type = -1;  // 0: classic, 1: consumer
  };
  std::vector<Member> members;
};
using ConsumerDescribeReply = Function<void(ConsumerGroupDescription)>;

}  // namespace weir::coordination
