// A group of any type, and the questions that are asked of all types.
//
// Each type is a class of its own in a folder of its own. A new type is an alternative here, whose class has the members that
// group.cc visits. Where types differ in their actions, it is also a case at each `std::visit` of group_coordinator_state.cc.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "coordination/group/classic/classic_group.h"
#include "coordination/group/consumer/consumer_group.h"
#include "coordination/group/group_messages.h"
#include "coordination/group/group_records.h"

namespace weir::coordination {

using Group = std::variant<ClassicGroup, ConsumerGroup>;

const std::string& id_of(const Group& group);
std::string_view type_name(const Group& group);  // as Kafka's tools show both
std::string_view state_name(const Group& group);
std::string_view protocol_type(const Group& group);
bool is_empty(const Group& group);    // has no members
bool is_awaited(const Group& group);  // somebody was given a member id and has not joined yet
// Whether members use committed offsets of the topic, as far as the group knows.
bool subscribed_to(const Group& group, std::string_view topic);
// kNone, or the error of a deletion of committed offsets.
ErrorCode may_delete_offsets(const Group& group);
// The time from which an offset committed at `committed_ms` is of no use to members. Nothing: it is of use. Wall time.
std::optional<int64_t> unused_since_ms(const Group& group, int64_t committed_ms);
GroupDescription describe(const Group& group);
// The group's records in the log when all is durable. Not in the middle of a rebalance.
std::vector<GroupRecord> stored_records(const Group& group);
std::vector<GroupRecord> tombstones(const Group& group);
// Estimated, and the same by a walk over everything to check it.
int64_t memory_bytes(const Group& group);
int64_t counted_memory_bytes(const Group& group);

// All groups of a coordinator, by id.
class Groups {
 public:
  using Map = std::map<std::string, Group, std::less<>>;

  explicit Groups(GroupMemory& memory) : memory_(memory) {}
  Groups(const Groups&) = delete;
  Groups& operator=(const Groups&) = delete;

  Map& all() { return groups_; }
  const Map& all() const { return groups_; }
  size_t size() const { return groups_.size(); }
  Group* find(std::string_view id);
  const Group* find(std::string_view id) const;
  ClassicGroup* find_classic(std::string_view id);  // nullptr: there is none, or it is of another type
  ConsumerGroup* find_consumer(std::string_view id);
  // They take the place of a group of another type. A group that only has offsets is a classic one.
  ClassicGroup& find_or_make_classic(const std::string& id);
  ConsumerGroup& find_or_make_consumer(const std::string& id);
  void erase(std::string_view id);
  const GroupStateCounts& classic_counts() const { return classic_counts_; }
  const ConsumerStateCounts& consumer_counts() const { return consumer_counts_; }
  const SubscribedGroups& subscribed() const { return subscribed_; }

 private:
  GroupMemory& memory_;
  GroupStateCounts classic_counts_{};  // kept by the groups, as the next two
  ConsumerStateCounts consumer_counts_{};
  SubscribedGroups subscribed_;
  Map groups_;
};

}  // namespace weir::coordination
