// One consumer group (KIP-848): members with their subscriptions, the target assignment, and what each member has of it. It has
// the data and the rules that need nothing else. ConsumerGroups has time, requests and answers.
//
// Its state changes by apply() of records only. Records may come in any order, as they do from a compacted log: any record makes
// its member. What is derived of them (state, topics, owners) is kept with each change, so that no question walks over members.
//
//   Empty -> Assigning (the group's epoch is ahead of the target's) -> Reconciling (a member is not at the target) -> Stable
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "coordination/group/consumer/consumer_messages.h"
#include "coordination/group/consumer/consumer_records.h"
#include "coordination/group/consumer/partition_owners.h"
#include "coordination/group/consumer/subscribed_groups.h"
#include "coordination/group/group_memory.h"
#include "coordination/group/group_messages.h"
#include "coordination/group/group_records.h"
#include "coordination/runtime/image.h"

namespace weir::coordination {

enum class ConsumerGroupState : uint8_t { kEmpty, kAssigning, kReconciling, kStable };
std::string_view state_name(ConsumerGroupState state);  // as Kafka's tools show it

// Groups by their state.
using ConsumerStateCounts = std::array<size_t, 4>;

struct ConsumerMember {
  // The epoch of a static member that left and may return.
  static constexpr int32_t kAwayEpoch = -2;

  std::string id;
  int32_t number = 0;  // of no other member of the group
  // Each as its record says. The first is there in a group that is whole.
  std::optional<ConsumerMemberMetadata> metadata;
  std::optional<CurrentAssignment> stored_current;
  std::optional<Assignment> stored_target;

  const CurrentAssignment& current() const;
  const Assignment& target() const;
  int32_t epoch() const { return current().member_epoch; }
  bool is_away() const { return epoch() == kAwayEpoch; }
  bool uses_classic_protocol() const { return metadata && metadata->classic; }
  const std::optional<std::string>& instance_id() const { return metadata->instance_id; }
  // Nothing: it subscribes to no expression.
  const std::string* regex() const {
    return metadata && metadata->subscribed_regex && !metadata->subscribed_regex->empty() ? &*metadata->subscribed_regex
                                                                                          : nullptr;
  }
};

// The group's own configs where it has some, else the broker's.
struct ConsumerGroupSettings {
  int32_t session_timeout_ms = 0;
  int32_t heartbeat_interval_ms = 0;
  int32_t assignment_interval_ms = 0;
  uint64_t defaults = 0;  // which state of the broker's configuration they are of
};

class ConsumerGroup {
 public:
  using Members = std::map<std::string, std::unique_ptr<ConsumerMember>, std::less<>>;
  struct Subscribers {
    int32_t by_name = 0;   // members that name the topic
    int32_t by_regex = 0;  // expressions that matched it
  };
  struct Regex {
    int32_t subscribers = 0;
    std::optional<ResolvedRegex> resolved;
  };

  // `counts` and `subscribed`, if given, outlive the group.
  ConsumerGroup(std::string group_id, GroupMemory& memory, ConsumerStateCounts* counts = nullptr,
                SubscribedGroups* subscribed = nullptr);
  ~ConsumerGroup();
  ConsumerGroup(const ConsumerGroup&) = delete;
  ConsumerGroup& operator=(const ConsumerGroup&) = delete;

  const std::string& id() const { return id_; }
  ConsumerGroupState state() const { return state_; }
  int32_t epoch() const { return epoch_; }
  int64_t metadata_hash() const { return metadata_hash_; }
  int32_t target_epoch() const { return target_.epoch; }
  int64_t target_timestamp_ms() const { return target_.timestamp_ms; }     // wall time; 0: unknown
  bool has_partition_metadata() const { return has_partition_metadata_; }  // a record of an older broker

  const Members& members() const { return members_; }
  size_t size() const { return members_.size(); }
  const ConsumerMember* find(std::string_view member_id) const;
  const ConsumerMember* static_member(std::string_view instance_id) const;  // nullptr: nobody has it

  // Topics that anybody subscribes to, whether they exist or not.
  const std::map<std::string, Subscribers, std::less<>>& topics() const { return topics_; }
  uint64_t topics_version() const { return topics_version_; }  // another one after each change of their set
  bool subscribes(const ConsumerMember& member, std::string_view topic) const;
  bool equal_subscriptions() const;  // all members subscribe to the same topics
  // With a subscriber, or resolved.
  const std::map<std::string, Regex, std::less<>>& regexes() const { return regexes_; }
  size_t subscribed_regexes() const { return subscribed_regexes_; }
  size_t unresolved_regexes() const { return unresolved_regexes_; }
  // The assignor that most members ask for.
  std::string_view assignor(std::string_view otherwise) const;
  int32_t owner(const Uuid& topic_id, int32_t partition) const { return owners_.owner(topic_id, partition); }
  size_t classic_members() const { return classic_members_; }

  // The log. A tombstone of the group's own record ends the group, which its owner does.
  void apply(ConsumerGroupEpoch epoch);
  void apply(const ConsumerPartitionMetadataEntry& entry) { has_partition_metadata_ = !entry.tombstone; }
  void apply(ConsumerMemberEntry entry);
  void apply(const TargetAssignmentEntry& entry);
  void apply(TargetAssignmentMemberEntry entry);
  void apply(CurrentAssignmentEntry entry);
  void apply(ResolvedRegexEntry entry);

  // The questions asked of groups of all types (group.h).
  static std::string_view type_name() { return "consumer"; }
  static const std::optional<std::string>& protocol_type();
  bool is_empty() const { return members_.empty(); }
  static bool is_awaited() { return false; }
  bool subscribed_to(std::string_view topic) const { return topics_.contains(topic); }
  static ErrorCode may_delete_offsets() { return ErrorCode::kNone; }
  static std::optional<int64_t> unused_since_ms(int64_t committed_ms) { return committed_ms; }
  GroupDescription describe() const;  // the classic one: there is no such group
  ConsumerGroupDescription describe_consumer(std::string_view default_assignor, const Image& image) const;
  std::vector<GroupRecord> stored_records() const;
  std::vector<GroupRecord> tombstones() const;
  int64_t memory_bytes() const { return memory_.bytes(); }  // estimated
  int64_t counted_memory_bytes() const;                     // the same by walking over everything, to check it
  static int64_t bytes_of(const ConsumerMemberMetadata& metadata);

  // The soft state: no record has it, and apply() leaves it alone.
  struct Soft {
    bool topics_changed = true;  // since the hash of their metadata was computed
    uint64_t hashed_version = 0;
    int64_t hash = 0;
    int64_t resolved_image = -1;                    // in which expressions were looked for last; -1: not since the start
    int64_t resolve_again_ms = 0;                   // not before; monotonic
    std::optional<ConsumerGroupSettings> settings;  // the group's own; nothing: to be read
  } soft;

 private:
  ConsumerMember& member(const std::string& id);
  void forget_if_gone(const std::string& id);
  void put_metadata(ConsumerMember& member, std::optional<ConsumerMemberMetadata> metadata);
  void put_current(ConsumerMember& member, std::optional<CurrentAssignment> current);
  void count_metadata(const ConsumerMember& member, int change);
  void count_name(const std::string& topic, int change);
  void count_topic(const std::string& topic, int32_t Subscribers::* of, int change);
  void count_regex(const std::string& regex, int change);
  void count_resolved(const ResolvedRegex& resolved, int change);
  template <typename Change>
  void change_regex(const std::string& regex, Change change);
  void update_state();
  void set_state(ConsumerGroupState state);
  void charge_owners();

  const std::string id_;
  MemoryCharge memory_;
  ConsumerStateCounts* const counts_;
  SubscribedGroups* const subscribed_;

  // Of records.
  int32_t epoch_ = 0;
  int64_t metadata_hash_ = 0;
  TargetAssignmentEpoch target_;
  bool has_partition_metadata_ = false;
  Members members_;
  std::map<std::string, Regex, std::less<>> regexes_;

  // Derived.
  ConsumerGroupState state_ = ConsumerGroupState::kEmpty;
  std::map<int32_t, size_t> stable_at_;                             // epoch -> members in state kStable
  std::map<std::string, std::string, std::less<>> static_members_;  // instance id -> member id
  std::map<std::string, Subscribers, std::less<>> topics_;
  uint64_t topics_version_ = 1;
  size_t named_topics_ = 0;  // that a member names
  size_t names_ = 0;         // of all members together
  size_t subscribed_regexes_ = 0;
  size_t unresolved_regexes_ = 0;                         // with a subscriber
  std::map<std::string, size_t, std::less<>> assignors_;  // name -> members that ask for it
  size_t classic_members_ = 0;                            // of the classic protocol
  PartitionOwners owners_;
  int64_t owners_charged_bytes_ = 0;
  std::vector<int32_t> free_numbers_;
  int32_t next_number_ = 0;
};

}  // namespace weir::coordination
