// One group of the classic protocol: its members, their protocols, and the state of its rebalance. It has the data, and the rules
// that need nothing else. ClassicGroups has time, records and answers.
//
//   Empty -> PreparingRebalance -> CompletingRebalance -> Stable
//     ^------------'  ^------------------'----------------'      any state -> Dead (deleted)
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "coordination/group/group_memory.h"
#include "coordination/group/group_messages.h"
#include "coordination/group/group_records.h"

namespace weir::coordination {

enum class ClassicGroupState : uint8_t { kEmpty, kPreparingRebalance, kCompletingRebalance, kStable };
std::string_view state_name(ClassicGroupState state);  // as Kafka's tools show it

inline constexpr std::string_view kConsumerProtocolType = "consumer";

struct ClassicMember {
  std::string id;
  std::optional<std::string> instance_id;
  std::string client_id;
  std::string client_host;
  int32_t rebalance_timeout_ms = 0;
  int32_t session_timeout_ms = 0;
  // In a group these two are changed by its set_protocols and set_assignment, which count.
  std::vector<GroupProtocol> protocols;
  std::string assignment;
  bool is_new = false;   // joined, and no rebalance ended since
  JoinReply join_reply;  // waiting for the rebalance; changed by the group's await_join and take_join, which count
  SyncReply sync_reply;  // waiting for the leader's assignment

  bool awaiting_join() const { return static_cast<bool>(join_reply); }
  bool awaiting_sync() const { return static_cast<bool>(sync_reply); }
  bool is_static() const { return instance_id.has_value(); }
  // A member that waits for the group needs no heartbeats; a new one may go away even then.
  bool heartbeat_satisfied() const { return !is_new && (awaiting_join() || awaiting_sync()); }
  std::string_view metadata(std::string_view protocol) const;
};

// Groups by their state. Dead groups are gone here.
using GroupStateCounts = std::array<size_t, 4>;

class ClassicGroup {
 public:
  using Members = std::map<std::string, std::unique_ptr<ClassicMember>, std::less<>>;

  // `counts`, if given, outlives the group.
  ClassicGroup(std::string group_id, GroupMemory& memory, GroupStateCounts* counts = nullptr);
  ~ClassicGroup();
  ClassicGroup(const ClassicGroup&) = delete;
  ClassicGroup& operator=(const ClassicGroup&) = delete;

  const std::string& id() const { return id_; }
  ClassicGroupState state() const { return state_; }
  bool in(ClassicGroupState state) const { return state_ == state; }
  ClassicGroupState previous_state() const { return previous_state_; }
  int32_t generation() const { return generation_; }
  const std::optional<std::string>& protocol_type() const { return protocol_type_; }
  const std::optional<std::string>& protocol_name() const { return protocol_name_; }
  const std::optional<std::string>& leader() const { return leader_; }
  int64_t state_timestamp_ms() const { return state_timestamp_ms_; }  // wall time; -1 unknown
  const Members& members() const { return members_; }

  ClassicMember* find(std::string_view member_id);
  bool is_leader(std::string_view member_id) const { return leader_ && *leader_ == member_id; }
  const std::string* static_member(const std::string& instance_id) const;
  bool is_pending(const std::string& member_id) const { return pending_members_.contains(member_id); }
  const std::set<std::string>& pending_members() const { return pending_members_; }
  std::set<std::string>& pending_syncs() { return pending_syncs_; }

  void transition(ClassicGroupState state, int64_t wall_ms);
  bool can_rebalance() const { return state_ != ClassicGroupState::kPreparingRebalance; }
  bool all_members_joined() const { return pending_members_.empty() && awaiting_join_ == members_.size(); }
  size_t awaiting_join_count() const { return awaiting_join_; }
  void await_join(ClassicMember& member, JoinReply reply);  // takes the place of a reply that waits already
  JoinReply take_join(ClassicMember& member);               // may be none
  void set_protocols(ClassicMember& member, std::vector<GroupProtocol> protocols);
  void set_assignment(ClassicMember& member, std::string assignment);
  int64_t memory_bytes() const { return memory_.bytes(); }  // estimated
  static int64_t bytes_of(const std::vector<GroupProtocol>& protocols);
  int64_t record_bytes() const;          // of the group as a record, without assignments; walks over all members
  int64_t counted_memory_bytes() const;  // the same by walking over all members, to check it
  int32_t rebalance_timeout_ms() const;  // the longest of its members

  // Whether a member with these protocols can be in the group.
  bool supports(std::string_view protocol_type, const std::vector<GroupProtocol>& protocols) const;
  // kNone, kUnknownMemberId or kFencedInstanceId.
  ErrorCode validate_member(const std::string& member_id, const std::optional<std::string>& instance_id) const;

  ClassicMember& add(std::unique_ptr<ClassicMember> member, const std::string& protocol_type);
  void add_pending(const std::string& member_id);
  // A member, or a pending one. Its replies must be taken before.
  void remove(const std::string& member_id);
  // Gives a static member another id. Its replies must be taken before.
  ClassicMember& replace_static(const std::string& instance_id, const std::string& new_id);

  // The protocol that all members support and most prefer. The group is not empty.
  std::string select_protocol() const;
  // Returns false if nobody joined. A leader that did not rejoin loses its role.
  bool elect_joined_leader();
  void begin_next_generation(int64_t wall_ms);
  std::vector<JoinedMember> joined_members() const;

  // Whether committed offsets of the topic are in use by the members. Unknown subscriptions count as such.
  bool subscribed_to(std::string_view topic) const;
  bool uses_consumer_protocol() const { return protocol_type_ && *protocol_type_ == kConsumerProtocolType; }

  // Returns the group's record, or takes its state. A known member keeps the state that no record has: its waiting answers and
  // the protocols that were not chosen. Members that go must not wait for anything.
  GroupMetadata metadata() const;
  void apply(GroupMetadata metadata);

  // The questions asked of groups of all types (group.h).
  static std::string_view type_name() { return "classic"; }
  bool is_empty() const { return in(ClassicGroupState::kEmpty); }
  bool is_awaited() const { return !pending_members_.empty(); }
  ErrorCode may_delete_offsets() const;
  ErrorCode may_commit_in_transaction(const OffsetCommitRequest& request) const;
  std::optional<int64_t> unused_since_ms(int64_t committed_ms) const;
  GroupDescription describe() const;
  std::vector<GroupRecord> stored_records() const;
  std::vector<GroupRecord> tombstones() const { return {GroupMetadataEntry{id_, std::nullopt}}; }

  // The first rebalance of an empty group waits for more members.
  struct InitialWait {
    int32_t delay_ms = 0;
    int32_t remaining_ms = 0;
  };
  std::optional<InitialWait> initial_wait;
  bool new_member_added = false;  // during that wait

 private:
  void set_state(ClassicGroupState state);
  void compute_subscriptions();
  bool apply(GroupMetadata::Member& member, const std::optional<std::string>& protocol, const std::string& protocol_type);
  void remove_pending(const std::string& member_id);
  bool all_support(std::string_view protocol) const;
  void count_protocols(const ClassicMember& member, int change);

  std::string id_;
  MemoryCharge memory_;
  GroupStateCounts* const counts_;
  ClassicGroupState state_ = ClassicGroupState::kEmpty;
  ClassicGroupState previous_state_ = ClassicGroupState::kEmpty;
  int64_t state_timestamp_ms_ = -1;
  int32_t generation_ = 0;
  std::optional<std::string> protocol_type_;
  std::optional<std::string> protocol_name_;
  std::optional<std::string> leader_;
  Members members_;
  // Kept with each change, so that a join costs the same in a large group as in a small one.
  size_t awaiting_join_ = 0;
  std::map<std::string, size_t, std::less<>> supporters_;  // protocol -> members that name it
  std::map<std::string, std::string> static_members_;      // instance id -> member id
  std::set<std::string> pending_members_;                  // were given an id and have not joined with it yet
  std::set<std::string> pending_syncs_;                    // joined the generation and have not synced yet
  std::optional<std::set<std::string, std::less<>>> subscribed_topics_;
};

}  // namespace weir::coordination
