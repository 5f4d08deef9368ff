// Requests to a group coordinator and their results, owned and independent of protocol versions. Lists of partitions are flat.
// The handler puts them into the shape of its version.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/function.h"
#include "base/uuid.h"
#include "protocol/errors.h"

namespace weir::coordination {

using protocol::ErrorCode;

// Whether the client may know of a topic (Describe). Any thread. Null: it may know of all.
using TopicFilter = std::shared_ptr<const std::function<bool(std::string_view topic)>>;

struct GroupProtocol {
  std::string name;
  std::string metadata;
  bool operator==(const GroupProtocol&) const = default;
};

struct JoinRequest {
  std::string group_id;
  std::string member_id;  // empty: a new member
  std::optional<std::string> instance_id;
  std::string client_id;
  std::string client_host;
  std::string protocol_type;
  std::vector<GroupProtocol> protocols;  // in the order of preference
  int32_t session_timeout_ms = 0;
  int32_t rebalance_timeout_ms = 0;
  bool requires_known_member_id = true;  // since version 4
  bool can_skip_assignment = true;       // since version 9
  TopicFilter may_describe;              // in a consumer group a join may have its expressions looked at
};
struct JoinedMember {
  std::string member_id;
  std::optional<std::string> instance_id;
  std::string metadata;
};
struct JoinResult {
  ErrorCode error{};
  int32_t generation = -1;
  std::optional<std::string> protocol_type;
  std::optional<std::string> protocol_name;
  std::string leader;
  std::string member_id;
  bool skip_assignment = false;
  std::vector<JoinedMember> members;  // for the leader
};
using JoinReply = Function<void(JoinResult)>;

struct SyncRequest {
  std::string group_id;
  int32_t generation = -1;
  std::string member_id;
  std::optional<std::string> instance_id;
  std::optional<std::string> protocol_type;
  std::optional<std::string> protocol_name;
  struct Assignment {
    std::string member_id;
    std::string assignment;
  };
  std::vector<Assignment> assignments;
};
struct SyncResult {
  ErrorCode error{};
  std::optional<std::string> protocol_type;
  std::optional<std::string> protocol_name;
  std::string assignment;
};
using SyncReply = Function<void(SyncResult)>;

// Of a step of a move between partitions.
struct MoveResult {
  ErrorCode error{};
};

struct HeartbeatRequest {
  std::string group_id;
  int32_t generation = -1;
  std::string member_id;
  std::optional<std::string> instance_id;
};
struct HeartbeatResult {
  ErrorCode error{};
};
using HeartbeatReply = Function<void(HeartbeatResult)>;

struct LeaveRequest {
  std::string group_id;
  struct Member {
    std::string member_id;
    std::optional<std::string> instance_id;
  };
  std::vector<Member> members;
  std::string from = "a client";  // the client, for the log
};
struct LeaveResult {
  ErrorCode error{};
  std::vector<ErrorCode> members;  // as asked
};
using LeaveReply = Function<void(LeaveResult)>;

struct OffsetCommitRequest {
  std::string group_id;
  int32_t generation = -1;  // negative: no member
  std::string member_id;
  std::optional<std::string> instance_id;
  int64_t retention_ms = -1;          // versions up to 4
  bool group_not_found_known = true;  // since version 9
  struct Item {
    std::string topic;
    Uuid topic_id;
    int32_t partition = 0;
    int64_t offset = -1;
    int32_t leader_epoch = -1;
    std::string metadata;
  };
  std::vector<Item> items;
};
struct OffsetCommitResult {
  ErrorCode error{};             // of all items, if not kNone
  std::vector<ErrorCode> items;  // as asked
};
using OffsetCommitReply = Function<void(OffsetCommitResult)>;

// In a transaction: the offsets count when its marker says so. Versions below 3 name no member; groups that are not found are
// known since version 6.
struct TxnOffsetCommitRequest : OffsetCommitRequest {
  std::string transactional_id;
  int64_t producer_id = -1;
  int16_t producer_epoch = -1;
};

// Of the marker that ends a transaction.
struct MarkerResult {
  ErrorCode error{};
};
using MarkerReply = Function<void(MarkerResult)>;

struct OffsetFetchRequest {
  std::string group_id;
  bool all = false;  // everything the group has instead of `items`
  struct Item {
    std::string topic;
    Uuid topic_id;  // zero: any
    int32_t partition = 0;
  };
  std::vector<Item> items;
  bool require_stable = false;                // no offset that an open transaction may replace
  std::optional<std::string> member_id = {};  // since version 9: of a member of a consumer group
  int32_t member_epoch = -1;
};
struct FetchedOffset {
  ErrorCode error{};  // kUnstableOffsetCommit: an open transaction has committed one
  std::string topic;
  Uuid topic_id;  // as committed
  int32_t partition = 0;
  int64_t offset = -1;  // -1: none
  int32_t leader_epoch = -1;
  std::string metadata;
};
struct OffsetFetchResult {
  ErrorCode error{};
  std::vector<FetchedOffset> items;  // as asked, or ascending by topic and partition
};
using OffsetFetchReply = Function<void(OffsetFetchResult)>;

struct OffsetDeleteRequest {
  std::string group_id;
  std::string from;  // the client, for the log
  struct Item {
    std::string topic;
    int32_t partition = 0;
  };
  std::vector<Item> items;
};
struct OffsetDeleteResult {
  ErrorCode error{};
  std::vector<ErrorCode> items;  // as asked
};
using OffsetDeleteReply = Function<void(OffsetDeleteResult)>;

struct GroupDescription {
  ErrorCode error{};  // kGroupIdNotFound: no such group, or one of another type
  std::optional<std::string> error_message = {};
  std::string group_id;
  std::string_view state = "Dead";
  std::string protocol_type;
  std::string protocol_name;
  struct Member {
    std::string member_id;
    std::optional<std::string> instance_id;
    std::string client_id;
    std::string client_host;
    std::string metadata;
    std::string assignment;
  };
  std::vector<Member> members;
};
using DescribeReply = Function<void(GroupDescription)>;

struct ListedGroup {
  std::string group_id;
  std::string protocol_type;
  std::string_view state;
  std::string_view type;
};
struct ListResult {
  ErrorCode error{};
  std::vector<ListedGroup> groups;
};
using ListReply = Function<void(ListResult)>;

struct DeleteGroupResult {
  ErrorCode error{};
};
using DeleteGroupReply = Function<void(DeleteGroupResult)>;

}  // namespace weir::coordination
