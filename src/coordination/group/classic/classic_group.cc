#include "coordination/group/classic/classic_group.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "protocol/arena.h"
#include "protocol/messages/consumer_protocol.h"
#include "protocol/wire.h"

namespace weir::coordination {

std::string_view state_name(ClassicGroupState state) {
  switch (state) {
    case ClassicGroupState::kEmpty:
      return "Empty";
    case ClassicGroupState::kPreparingRebalance:
      return "PreparingRebalance";
    case ClassicGroupState::kCompletingRebalance:
      return "CompletingRebalance";
    case ClassicGroupState::kStable:
      return "Stable";
  }
  return "Unknown";
}

std::string_view ClassicMember::metadata(std::string_view protocol) const {
  for (const GroupProtocol& one : protocols) {
    if (one.name == protocol) return one.metadata;
  }
  return {};
}

namespace {

// The memory of maps and strings beside the text itself.
constexpr int64_t kGroupBytes = 640;
constexpr int64_t kMemberBytes = 720;
constexpr int64_t kPendingMemberBytes = 160;
constexpr int64_t kProtocolBytes = 64;

int64_t size_of(const std::vector<GroupProtocol>& protocols) {
  size_t bytes = 0;
  for (const GroupProtocol& protocol : protocols) bytes += kProtocolBytes + protocol.name.size() + protocol.metadata.size();
  return static_cast<int64_t>(bytes);
}

int64_t size_of(const ClassicMember& member) {
  const size_t text = member.id.size() * 2 + member.client_id.size() + member.client_host.size() + member.assignment.size();
  return kMemberBytes + static_cast<int64_t>(text) + size_of(member.protocols);
}

int64_t pending_size_of(const std::string& member_id) { return kPendingMemberBytes + static_cast<int64_t>(member_id.size()); }

}  // namespace

int64_t ClassicGroup::record_bytes() const {
  constexpr size_t kFixed = 64;  // lengths and numbers, of the group or of a member
  size_t bytes = kFixed + id_.size();
  for (const auto& [id, member] : members_) {
    size_t metadata = 0;
    for (const GroupProtocol& protocol : member->protocols) {
      if (!protocol_name_ || protocol.name == *protocol_name_) metadata = std::max(metadata, protocol.metadata.size());
    }
    bytes += kFixed + member->id.size() + member->client_id.size() + member->client_host.size() + metadata;
    if (member->instance_id) bytes += member->instance_id->size();
  }
  return static_cast<int64_t>(bytes);
}

int64_t ClassicGroup::bytes_of(const std::vector<GroupProtocol>& protocols) { return size_of(protocols); }

ClassicGroup::ClassicGroup(std::string group_id, GroupMemory& memory, GroupStateCounts* counts)
    : id_(std::move(group_id)), memory_(memory), counts_(counts) {
  memory_.add(kGroupBytes + static_cast<int64_t>(id_.size()));
  if (counts_) ++(*counts_)[static_cast<size_t>(state_)];
}

ClassicGroup::~ClassicGroup() {
  if (counts_) --(*counts_)[static_cast<size_t>(state_)];
}

void ClassicGroup::set_state(ClassicGroupState state) {
  if (counts_) {
    --(*counts_)[static_cast<size_t>(state_)];
    ++(*counts_)[static_cast<size_t>(state)];
  }
  state_ = state;
}

int64_t ClassicGroup::counted_memory_bytes() const {
  int64_t bytes = kGroupBytes + static_cast<int64_t>(id_.size());
  for (const auto& [id, member] : members_) bytes += size_of(*member);
  for (const std::string& id : pending_members_) bytes += pending_size_of(id);
  return bytes;
}

ClassicMember* ClassicGroup::find(std::string_view member_id) {
  const auto at = members_.find(member_id);
  return at == members_.end() ? nullptr : at->second.get();
}

const std::string* ClassicGroup::static_member(const std::string& instance_id) const {
  const auto at = static_members_.find(instance_id);
  return at == static_members_.end() ? nullptr : &at->second;
}

void ClassicGroup::transition(ClassicGroupState state, int64_t wall_ms) {
  using enum ClassicGroupState;
  switch (state) {
    case kEmpty:
    case kCompletingRebalance:
      WEIR_CHECK(state_ == kPreparingRebalance);
      break;
    case kPreparingRebalance:
      WEIR_CHECK(state_ != kPreparingRebalance);
      break;
    case kStable:
      WEIR_CHECK(state_ == kCompletingRebalance);
      break;
  }
  previous_state_ = state_;
  set_state(state);
  state_timestamp_ms_ = wall_ms;
}

void ClassicGroup::await_join(ClassicMember& member, JoinReply reply) {
  if (!member.awaiting_join()) ++awaiting_join_;
  member.join_reply = std::move(reply);
}

JoinReply ClassicGroup::take_join(ClassicMember& member) {
  if (member.awaiting_join()) --awaiting_join_;
  return std::exchange(member.join_reply, nullptr);
}

void ClassicGroup::set_protocols(ClassicMember& member, std::vector<GroupProtocol> protocols) {
  count_protocols(member, -1);
  memory_.add(size_of(protocols) - size_of(member.protocols));
  member.protocols = std::move(protocols);
  count_protocols(member, 1);
}

void ClassicGroup::set_assignment(ClassicMember& member, std::string assignment) {
  memory_.add(static_cast<int64_t>(assignment.size()) - static_cast<int64_t>(member.assignment.size()));
  member.assignment = std::move(assignment);
}

void ClassicGroup::add_pending(const std::string& member_id) {
  if (pending_members_.insert(member_id).second) memory_.add(pending_size_of(member_id));
}

void ClassicGroup::remove_pending(const std::string& member_id) {
  if (pending_members_.erase(member_id) > 0) memory_.add(-pending_size_of(member_id));
}

// A member counts once for a protocol, even if it names it twice.
void ClassicGroup::count_protocols(const ClassicMember& member, int change) {
  std::set<std::string_view> names;
  for (const GroupProtocol& protocol : member.protocols) names.insert(protocol.name);
  for (const std::string_view name : names) {
    if (change > 0) {
      ++supporters_[std::string(name)];
    } else if (const auto at = supporters_.find(name); --at->second == 0) {
      supporters_.erase(at);
    }
  }
}

bool ClassicGroup::all_support(std::string_view protocol) const {
  const auto at = supporters_.find(protocol);
  // Without members any protocol is supported: members may be gone before their rebalance is over, and the next may join.
  return (at != supporters_.end() ? at->second : 0) == members_.size();
}

int32_t ClassicGroup::rebalance_timeout_ms() const {
  int32_t longest = 0;
  for (const auto& [id, member] : members_) longest = std::max(longest, member->rebalance_timeout_ms);
  return longest;
}

bool ClassicGroup::supports(std::string_view protocol_type, const std::vector<GroupProtocol>& protocols) const {
  if (in(ClassicGroupState::kEmpty)) return !protocol_type.empty() && !protocols.empty();
  if (!protocol_type_ || *protocol_type_ != protocol_type) return false;
  return std::any_of(protocols.begin(), protocols.end(), [&](const GroupProtocol& one) { return all_support(one.name); });
}

ErrorCode ClassicGroup::validate_member(const std::string& member_id, const std::optional<std::string>& instance_id) const {
  if (instance_id) {
    const std::string* existing = static_member(*instance_id);
    if (existing == nullptr) return ErrorCode::kUnknownMemberId;
    if (*existing != member_id) return ErrorCode::kFencedInstanceId;
  }
  return members_.contains(member_id) ? ErrorCode::kNone : ErrorCode::kUnknownMemberId;
}

ClassicMember& ClassicGroup::add(std::unique_ptr<ClassicMember> member, const std::string& protocol_type) {
  if (members_.empty()) protocol_type_ = protocol_type;
  if (member->instance_id) static_members_[*member->instance_id] = member->id;
  if (!leader_) leader_ = member->id;
  remove_pending(member->id);
  auto& slot = members_[member->id];
  WEIR_CHECK(!slot);
  slot = std::move(member);
  count_protocols(*slot, 1);
  memory_.add(size_of(*slot));
  if (slot->awaiting_join()) ++awaiting_join_;
  return *slot;
}

void ClassicGroup::remove(const std::string& member_id) {
  if (const auto at = members_.find(member_id); at != members_.end()) {
    WEIR_CHECK(!at->second->awaiting_join() && !at->second->awaiting_sync());
    if (at->second->instance_id) static_members_.erase(*at->second->instance_id);
    count_protocols(*at->second, -1);
    memory_.add(-size_of(*at->second));
    members_.erase(at);
  }
  remove_pending(member_id);
  pending_syncs_.erase(member_id);
  if (is_leader(member_id)) {
    leader_.reset();
    if (!members_.empty()) leader_ = members_.begin()->first;
  }
}

ClassicMember& ClassicGroup::replace_static(const std::string& instance_id, const std::string& new_id) {
  std::string& current = static_members_.at(instance_id);
  auto node = members_.extract(current);
  WEIR_CHECK(node && !node.mapped()->awaiting_join() && !node.mapped()->awaiting_sync());
  if (is_leader(current)) leader_ = new_id;
  pending_syncs_.erase(current);
  current = new_id;
  node.key() = new_id;
  memory_.add(-size_of(*node.mapped()));
  node.mapped()->id = new_id;
  memory_.add(size_of(*node.mapped()));
  node.mapped()->is_new = false;
  return *members_.insert(std::move(node)).position->second;
}

std::string ClassicGroup::select_protocol() const {
  std::map<std::string_view, size_t> votes;
  for (const auto& [id, member] : members_) {
    for (const GroupProtocol& protocol : member->protocols) {
      if (!all_support(protocol.name)) continue;
      ++votes[protocol.name];
      break;
    }
  }
  const auto best =
      std::max_element(votes.begin(), votes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return best == votes.end() ? std::string() : std::string(best->first);
}

bool ClassicGroup::elect_joined_leader() {
  if (!leader_) return false;
  if (find(*leader_)->awaiting_join()) return true;
  for (const auto& [id, member] : members_) {
    if (!member->awaiting_join()) continue;
    leader_ = id;
    return true;
  }
  return false;
}

void ClassicGroup::begin_next_generation(int64_t wall_ms) {
  // Generations are never negative, but a stored record may have any number.
  generation_ = generation_ == INT32_MAX ? 1 : generation_ + 1;
  pending_syncs_.clear();
  if (members_.empty()) {
    protocol_name_.reset();
    transition(ClassicGroupState::kEmpty, wall_ms);
  } else {
    protocol_name_ = select_protocol();
    transition(ClassicGroupState::kCompletingRebalance, wall_ms);
  }
  compute_subscriptions();
}

std::vector<JoinedMember> ClassicGroup::joined_members() const {
  std::vector<JoinedMember> all;
  all.reserve(members_.size());
  for (const auto& [id, member] : members_) {
    all.push_back({id, member->instance_id, std::string(member->metadata(protocol_name_.value_or("")))});
  }
  return all;
}

bool ClassicGroup::subscribed_to(std::string_view topic) const {
  return subscribed_topics_ ? subscribed_topics_->contains(topic) : uses_consumer_protocol();
}

void ClassicGroup::compute_subscriptions() {
  subscribed_topics_.reset();
  if (!uses_consumer_protocol()) return;
  std::set<std::string, std::less<>> topics;
  for (const auto& [id, member] : members_) {
    if (!protocol_name_) return;
    // Later versions add fields behind those of version 0, which can read them all.
    protocol::Arena arena(size_t{1} << 20);
    protocol::Reader reader(as_bytes(member->metadata(*protocol_name_)), arena);
    protocol::ConsumerProtocolSubscription subscription;
    const int16_t version = reader.i16();
    if (version < 0 || !subscription.decode(reader, 0)) return;
    for (const std::string_view topic : subscription.topics) topics.emplace(topic);
  }
  subscribed_topics_ = std::move(topics);
}

GroupMetadata ClassicGroup::metadata() const {
  GroupMetadata metadata;
  metadata.protocol_type = protocol_type_.value_or("");
  metadata.generation = generation_;
  metadata.protocol_name = protocol_name_;
  metadata.leader = leader_;
  metadata.state_timestamp_ms = state_timestamp_ms_;
  metadata.members.reserve(members_.size());
  for (const auto& [id, member] : members_) {
    metadata.members.push_back({member->id, member->instance_id, member->client_id, member->client_host,
                                member->rebalance_timeout_ms, member->session_timeout_ms,
                                std::string(member->metadata(protocol_name_.value_or(""))), member->assignment});
  }
  return metadata;
}

void ClassicGroup::apply(GroupMetadata metadata) {
  std::set<std::string_view> stay;
  for (const auto& member : metadata.members) stay.insert(member.id);
  std::vector<std::string> gone;
  for (const auto& [id, member] : members_) {
    if (!stay.contains(id)) gone.push_back(id);
  }
  for (const std::string& id : gone) remove(id);
  bool changed =
      !gone.empty() || metadata.protocol_name != protocol_name_ || metadata.protocol_type != protocol_type_.value_or("");
  for (auto& member : metadata.members) {
    if (apply(member, metadata.protocol_name, metadata.protocol_type)) changed = true;
  }
  protocol_type_.reset();
  if (!metadata.protocol_type.empty()) protocol_type_ = std::move(metadata.protocol_type);
  protocol_name_ = std::move(metadata.protocol_name);
  leader_ = std::move(metadata.leader);
  if (leader_ && !members_.contains(*leader_)) leader_.reset();
  if (!leader_ && !members_.empty()) leader_ = members_.begin()->first;
  generation_ = metadata.generation;
  state_timestamp_ms_ = metadata.state_timestamp_ms;
  previous_state_ = members_.empty() ? ClassicGroupState::kEmpty : ClassicGroupState::kStable;
  set_state(previous_state_);
  if (changed) compute_subscriptions();
}

// Whether a new member came, or one with another subscription.
bool ClassicGroup::apply(GroupMetadata::Member& stored, const std::optional<std::string>& protocol,
                         const std::string& protocol_type) {
  ClassicMember* member = find(stored.id);
  if (member == nullptr) {
    if (stored.instance_id && static_member(*stored.instance_id)) return false;
    auto added = std::make_unique<ClassicMember>();
    added->id = stored.id;
    added->instance_id = std::move(stored.instance_id);
    added->client_id = std::move(stored.client_id);
    added->client_host = std::move(stored.client_host);
    added->rebalance_timeout_ms = stored.rebalance_timeout_ms;
    added->session_timeout_ms = stored.session_timeout_ms;
    if (protocol) added->protocols = {{*protocol, std::move(stored.subscription)}};
    added->assignment = std::move(stored.assignment);
    add(std::move(added), protocol_type);
    return true;
  }
  member->rebalance_timeout_ms = stored.rebalance_timeout_ms;
  member->session_timeout_ms = stored.session_timeout_ms;
  set_assignment(*member, std::move(stored.assignment));
  const auto chosen = [&](const GroupProtocol& one) { return one.name == protocol && one.metadata == stored.subscription; };
  if (!protocol || std::ranges::any_of(member->protocols, chosen)) return false;
  set_protocols(*member, {{*protocol, std::move(stored.subscription)}});
  return true;
}

// --- questions asked of groups of all types -------------------------------------------------------------------------

ErrorCode ClassicGroup::may_delete_offsets() const {
  return is_empty() || uses_consumer_protocol() ? ErrorCode::kNone : ErrorCode::kNonEmptyGroup;
}

// Versions that name no member are not checked, and a rebalance does not matter: as in Kafka, the transaction's own fencing has
// to do.
ErrorCode ClassicGroup::may_commit_in_transaction(const OffsetCommitRequest& request) const {
  const bool names_member = !request.member_id.empty() || request.instance_id || request.generation >= 0;
  if (!names_member || (request.generation < 0 && is_empty())) return ErrorCode::kNone;
  const ErrorCode error = validate_member(request.member_id, request.instance_id);
  if (error != ErrorCode::kNone) return error;
  return request.generation == generation_ ? ErrorCode::kNone : ErrorCode::kIllegalGeneration;
}

// Retention of a group with a protocol counts from the loss of its last member. Retention of offsets that no member subscribes
// to, or of a group that never had members, counts from their commit.
std::optional<int64_t> ClassicGroup::unused_since_ms(int64_t committed_ms) const {
  if (!protocol_type_) return committed_ms;
  if (is_empty()) return state_timestamp_ms_ >= 0 ? state_timestamp_ms_ : committed_ms;
  const bool knows = uses_consumer_protocol() && subscribed_topics_ && in(ClassicGroupState::kStable);
  return knows ? std::optional(committed_ms) : std::nullopt;
}

GroupDescription ClassicGroup::describe() const {
  GroupDescription result;
  result.group_id = id_;
  result.state = state_name(state_);
  result.protocol_type = protocol_type_.value_or("");
  const bool stable = in(ClassicGroupState::kStable);
  if (stable) result.protocol_name = protocol_name_.value_or("");
  for (const auto& [id, member] : members_) {
    auto& shown = result.members.emplace_back();
    shown.member_id = id;
    shown.instance_id = member->instance_id;
    shown.client_id = member->client_id;
    shown.client_host = member->client_host;
    if (stable) shown.metadata = member->metadata(result.protocol_name);
    shown.assignment = member->assignment;  // in a rebalance the one before it, which its members work by
  }
  return result;
}

std::vector<GroupRecord> ClassicGroup::stored_records() const {
  if (!in(ClassicGroupState::kEmpty) && !in(ClassicGroupState::kStable)) return {};
  return {GroupMetadataEntry{id_, metadata()}};
}

}  // namespace weir::coordination
