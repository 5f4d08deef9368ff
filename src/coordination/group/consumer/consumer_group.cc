#include "coordination/group/consumer/consumer_group.h"

#include <algorithm>
#include <utility>

namespace weir::coordination {
namespace {

// The memory of maps and strings beside the text itself.
constexpr int64_t kGroupBytes = 900;
constexpr int64_t kMemberBytes = 900;  // with its deadlines
constexpr int64_t kTextBytes = 32;
constexpr int64_t kTopicBytes = 240;  // of a topic that anybody subscribes to
constexpr int64_t kRegexBytes = 160;
constexpr int64_t kProtocolBytes = 64;

int64_t size_of(std::string_view text) { return kTextBytes + static_cast<int64_t>(text.size()); }

int64_t size_of(const std::vector<std::string>& texts) {
  int64_t bytes = 0;
  for (const std::string& text : texts) bytes += size_of(text);
  return bytes;
}

int64_t size_of(const std::optional<Assignment>& target) {
  int64_t bytes = 0;
  if (!target) return bytes;
  for (const TopicPartitions& topic : *target) {
    bytes += static_cast<int64_t>(sizeof(TopicPartitions) + topic.partitions.size() * sizeof(int32_t));
  }
  return bytes;
}

int64_t size_of(const std::vector<OwnedTopicPartitions>& topics) {
  int64_t bytes = 0;
  for (const OwnedTopicPartitions& topic : topics) {
    bytes += static_cast<int64_t>(sizeof(OwnedTopicPartitions) + topic.partitions.size() * 2 * sizeof(int32_t));
  }
  return bytes;
}

int64_t size_of(const std::optional<CurrentAssignment>& current) {
  return current ? size_of(current->assigned) + size_of(current->pending_revocation) : 0;
}

int64_t size_of(const std::optional<ConsumerMemberMetadata>& metadata) {
  return metadata ? ConsumerGroup::bytes_of(*metadata) : 0;
}

int64_t size_of_member(const std::string& id) { return kMemberBytes + 2 * static_cast<int64_t>(id.size()); }
int64_t size_of_topic(const std::string& name) { return kTopicBytes + 2 * static_cast<int64_t>(name.size()); }
int64_t size_of(const std::string& regex, const ConsumerGroup::Regex& of) {
  return kRegexBytes + static_cast<int64_t>(regex.size()) + (of.resolved ? size_of(of.resolved->topics) : 0);
}

}  // namespace

std::string_view state_name(ConsumerGroupState state) {
  switch (state) {
    case ConsumerGroupState::kEmpty:
      return "Empty";
    case ConsumerGroupState::kAssigning:
      return "Assigning";
    case ConsumerGroupState::kReconciling:
      return "Reconciling";
    case ConsumerGroupState::kStable:
      return "Stable";
  }
  return "Unknown";
}

const CurrentAssignment& ConsumerMember::current() const {
  static const CurrentAssignment kNone;
  return stored_current ? *stored_current : kNone;
}

const Assignment& ConsumerMember::target() const {
  static const Assignment kNone;
  return stored_target ? *stored_target : kNone;
}

int64_t ConsumerGroup::bytes_of(const ConsumerMemberMetadata& metadata) {
  int64_t bytes = size_of(metadata.client_id) + size_of(metadata.client_host) + size_of(metadata.subscribed_topics);
  if (metadata.instance_id) bytes += 3 * size_of(*metadata.instance_id);
  if (metadata.rack_id) bytes += size_of(*metadata.rack_id);
  if (metadata.subscribed_regex) bytes += size_of(*metadata.subscribed_regex);
  if (metadata.server_assignor) bytes += size_of(*metadata.server_assignor);
  if (metadata.classic) {
    for (const GroupProtocol& protocol : metadata.classic->protocols) {
      bytes += kProtocolBytes + static_cast<int64_t>(protocol.name.size() + protocol.metadata.size());
    }
  }
  return bytes;
}

ConsumerGroup::ConsumerGroup(std::string group_id, GroupMemory& memory, ConsumerStateCounts* counts, SubscribedGroups* subscribed)
    : id_(std::move(group_id)), memory_(memory), counts_(counts), subscribed_(subscribed) {
  memory_.add(kGroupBytes + static_cast<int64_t>(id_.size()));
  if (counts_) ++(*counts_)[static_cast<size_t>(state_)];
}

ConsumerGroup::~ConsumerGroup() {
  if (counts_) --(*counts_)[static_cast<size_t>(state_)];
  if (subscribed_ == nullptr) return;
  for (const auto& [topic, subscribers] : topics_) subscribed_->remove(topic, this);
}

void ConsumerGroup::set_state(ConsumerGroupState state) {
  if (counts_) {
    --(*counts_)[static_cast<size_t>(state_)];
    ++(*counts_)[static_cast<size_t>(state)];
  }
  state_ = state;
}

void ConsumerGroup::update_state() {
  if (members_.empty()) return set_state(ConsumerGroupState::kEmpty);
  if (epoch_ > target_.epoch) return set_state(ConsumerGroupState::kAssigning);
  const auto at_target = stable_at_.find(target_.epoch);
  const bool all = at_target != stable_at_.end() && at_target->second == members_.size();
  set_state(all ? ConsumerGroupState::kStable : ConsumerGroupState::kReconciling);
}

const ConsumerMember* ConsumerGroup::find(std::string_view member_id) const {
  const auto at = members_.find(member_id);
  return at == members_.end() ? nullptr : at->second.get();
}

const ConsumerMember* ConsumerGroup::static_member(std::string_view instance_id) const {
  const auto at = static_members_.find(instance_id);
  return at == static_members_.end() ? nullptr : find(at->second);
}

bool ConsumerGroup::subscribes(const ConsumerMember& member, std::string_view topic) const {
  if (!member.metadata) return false;
  if (std::ranges::binary_search(member.metadata->subscribed_topics, topic)) return true;
  const std::string* regex = member.regex();
  if (regex == nullptr) return false;
  const auto at = regexes_.find(*regex);
  return at != regexes_.end() && at->second.resolved && std::ranges::binary_search(at->second.resolved->topics, topic);
}

bool ConsumerGroup::equal_subscriptions() const {
  if (names_ != named_topics_ * members_.size()) return false;
  if (subscribed_regexes_ == 0) return true;
  const auto first = std::ranges::find_if(regexes_, [](const auto& regex) { return regex.second.subscribers > 0; });
  return static_cast<size_t>(first->second.subscribers) == members_.size();
}

std::string_view ConsumerGroup::assignor(std::string_view otherwise) const {
  const auto most =
      std::max_element(assignors_.begin(), assignors_.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == assignors_.end() ? otherwise : std::string_view(most->first);
}

// --- the log --------------------------------------------------------------------------------------------------------

ConsumerMember& ConsumerGroup::member(const std::string& id) {
  std::unique_ptr<ConsumerMember>& slot = members_[id];
  if (slot) return *slot;
  slot = std::make_unique<ConsumerMember>();
  slot->id = id;
  if (free_numbers_.empty()) {
    slot->number = next_number_++;
  } else {
    slot->number = free_numbers_.back();
    free_numbers_.pop_back();
  }
  memory_.add(size_of_member(id));
  return *slot;
}

// A member ends with the last of its records.
void ConsumerGroup::forget_if_gone(const std::string& id) {
  const auto at = members_.find(id);
  if (at == members_.end() || at->second->metadata || at->second->stored_current || at->second->stored_target) return;
  memory_.add(-size_of_member(id));
  free_numbers_.push_back(at->second->number);
  members_.erase(at);
}

void ConsumerGroup::apply(ConsumerGroupEpoch epoch) {
  epoch_ = epoch.epoch;
  metadata_hash_ = epoch.metadata_hash;
  update_state();
}

void ConsumerGroup::apply(const TargetAssignmentEntry& entry) {
  target_ = entry.value.value_or(TargetAssignmentEpoch());
  update_state();
}

void ConsumerGroup::apply(ConsumerMemberEntry entry) {
  if (!entry.value && find(entry.member_id) == nullptr) return;
  ConsumerMember& of = member(entry.member_id);
  put_metadata(of, std::move(entry.value));
  forget_if_gone(entry.member_id);
  update_state();
}

void ConsumerGroup::apply(TargetAssignmentMemberEntry entry) {
  if (!entry.value && find(entry.member_id) == nullptr) return;
  ConsumerMember& of = member(entry.member_id);
  memory_.add(size_of(entry.value) - size_of(of.stored_target));
  of.stored_target = std::move(entry.value);
  forget_if_gone(entry.member_id);
  update_state();
}

void ConsumerGroup::apply(CurrentAssignmentEntry entry) {
  if (!entry.value && find(entry.member_id) == nullptr) return;
  ConsumerMember& of = member(entry.member_id);
  put_current(of, std::move(entry.value));
  forget_if_gone(entry.member_id);
  update_state();
}

void ConsumerGroup::apply(ResolvedRegexEntry entry) {
  if (!entry.value && !regexes_.contains(entry.regex)) return;
  change_regex(entry.regex, [&](Regex& regex) {
    if (entry.value) count_resolved(*entry.value, 1);  // first, so that topics which stay are not gone in between
    if (regex.resolved) count_resolved(*regex.resolved, -1);
    regex.resolved = std::move(entry.value);
  });
}

void ConsumerGroup::put_metadata(ConsumerMember& member, std::optional<ConsumerMemberMetadata> metadata) {
  std::optional<ConsumerMemberMetadata> before = std::exchange(member.metadata, std::move(metadata));
  memory_.add(size_of(member.metadata) - size_of(before));
  count_metadata(member, 1);
  if (!before) return;
  ConsumerMember old;
  old.id = member.id;
  old.metadata = std::move(before);
  count_metadata(old, -1);
  if (!old.metadata->instance_id || (member.metadata && member.metadata->instance_id == old.metadata->instance_id)) return;
  const auto at = static_members_.find(*old.metadata->instance_id);
  if (at != static_members_.end() && at->second == member.id) static_members_.erase(at);
}

// New ones before old ones, so that what stays is not gone in between.
void ConsumerGroup::count_metadata(const ConsumerMember& member, int change) {
  if (!member.metadata) return;
  const ConsumerMemberMetadata& metadata = *member.metadata;
  if (change > 0 && metadata.instance_id) static_members_[*metadata.instance_id] = member.id;
  for (const std::string& topic : metadata.subscribed_topics) count_name(topic, change);
  names_ += static_cast<size_t>(change) * metadata.subscribed_topics.size();
  if (const std::string* regex = member.regex()) {
    change_regex(*regex, [&](Regex& of) { of.subscribers += change; });
  }
  classic_members_ += static_cast<size_t>(metadata.classic ? change : 0);
  if (!metadata.server_assignor) return;
  size_t& asking = assignors_[*metadata.server_assignor];
  asking += static_cast<size_t>(change);
  if (asking == 0) assignors_.erase(*metadata.server_assignor);
}

void ConsumerGroup::put_current(ConsumerMember& member, std::optional<CurrentAssignment> current) {
  const auto count_stable = [&](int change) {
    if (!member.stored_current || member.stored_current->state != MemberState::kStable) return;
    size_t& there = stable_at_[member.stored_current->member_epoch];
    there += static_cast<size_t>(change);
    if (there == 0) stable_at_.erase(member.stored_current->member_epoch);
  };
  count_stable(-1);
  if (member.stored_current) {
    owners_.release(member.stored_current->assigned, member.number);
    owners_.release(member.stored_current->pending_revocation, member.number);
  }
  memory_.add(size_of(current) - size_of(member.stored_current));
  member.stored_current = std::move(current);
  if (member.stored_current) {
    owners_.take(member.stored_current->assigned, member.number);
    owners_.take(member.stored_current->pending_revocation, member.number);
  }
  count_stable(1);
  charge_owners();
}

void ConsumerGroup::charge_owners() {
  memory_.add(owners_.memory_bytes() - owners_charged_bytes_);
  owners_charged_bytes_ = owners_.memory_bytes();
}

void ConsumerGroup::count_name(const std::string& topic, int change) {
  const auto at = topics_.find(topic);
  const int32_t before = at == topics_.end() ? 0 : at->second.by_name;
  if (before == 0) ++named_topics_;
  if (before + change == 0) --named_topics_;
  count_topic(topic, &Subscribers::by_name, change);
}

void ConsumerGroup::count_resolved(const ResolvedRegex& resolved, int change) {
  for (const std::string& topic : resolved.topics) count_topic(topic, &Subscribers::by_regex, change);
}

void ConsumerGroup::count_topic(const std::string& topic, int32_t Subscribers::* of, int change) {
  const auto [at, added] = topics_.try_emplace(topic);
  at->second.*of += change;
  if (added) {
    ++topics_version_;
    memory_.add(size_of_topic(topic));
    if (subscribed_) subscribed_->add(topic, this);
  } else if (at->second.by_name == 0 && at->second.by_regex == 0) {
    ++topics_version_;
    memory_.add(-size_of_topic(topic));
    if (subscribed_) subscribed_->remove(topic, this);
    topics_.erase(at);
  }
}

template <typename Change>
void ConsumerGroup::change_regex(const std::string& name, Change change) {
  const auto [at, added] = regexes_.try_emplace(name);
  Regex& regex = at->second;
  if (!added) memory_.add(-size_of(name, regex));
  const auto count = [&](size_t one) {
    if (regex.subscribers > 0) subscribed_regexes_ += one;
    if (regex.subscribers > 0 && !regex.resolved) unresolved_regexes_ += one;
  };
  count(static_cast<size_t>(-1));
  change(regex);
  count(1);
  if (regex.subscribers == 0 && !regex.resolved) regexes_.erase(at);
  else memory_.add(size_of(name, regex));
}

int64_t ConsumerGroup::counted_memory_bytes() const {
  int64_t bytes = kGroupBytes + static_cast<int64_t>(id_.size()) + owners_.counted_memory_bytes();
  for (const auto& [id, member] : members_) {
    bytes += size_of_member(id) + size_of(member->metadata) + size_of(member->stored_current) + size_of(member->stored_target);
  }
  for (const auto& [topic, subscribers] : topics_) bytes += size_of_topic(topic);
  for (const auto& [name, regex] : regexes_) bytes += size_of(name, regex);
  return bytes;
}

}  // namespace weir::coordination
