#include "coordination/group/group.h"

namespace weir::coordination {

const std::string& id_of(const Group& group) {
  return std::visit([](const auto& of) -> const std::string& { return of.id(); }, group);
}

std::string_view type_name(const Group& group) {
  return std::visit([](const auto& of) { return of.type_name(); }, group);
}

std::string_view state_name(const Group& group) {
  return std::visit([](const auto& of) { return state_name(of.state()); }, group);
}

std::string_view protocol_type(const Group& group) {
  return std::visit([](const auto& of) { return of.protocol_type() ? std::string_view(*of.protocol_type()) : ""; }, group);
}

bool is_empty(const Group& group) {
  return std::visit([](const auto& of) { return of.is_empty(); }, group);
}

bool is_awaited(const Group& group) {
  return std::visit([](const auto& of) { return of.is_awaited(); }, group);
}

bool subscribed_to(const Group& group, std::string_view topic) {
  return std::visit([&](const auto& of) { return of.subscribed_to(topic); }, group);
}

ErrorCode may_delete_offsets(const Group& group) {
  return std::visit([](const auto& of) { return of.may_delete_offsets(); }, group);
}

std::optional<int64_t> unused_since_ms(const Group& group, int64_t committed_ms) {
  return std::visit([&](const auto& of) { return of.unused_since_ms(committed_ms); }, group);
}

GroupDescription describe(const Group& group) {
  return std::visit([](const auto& of) { return of.describe(); }, group);
}

std::vector<GroupRecord> stored_records(const Group& group) {
  return std::visit([](const auto& of) { return of.stored_records(); }, group);
}

std::vector<GroupRecord> tombstones(const Group& group) {
  return std::visit([](const auto& of) { return of.tombstones(); }, group);
}

int64_t memory_bytes(const Group& group) {
  return std::visit([](const auto& of) { return of.memory_bytes(); }, group);
}

int64_t counted_memory_bytes(const Group& group) {
  return std::visit([](const auto& of) { return of.counted_memory_bytes(); }, group);
}

Group* Groups::find(std::string_view id) {
  const auto at = groups_.find(id);
  return at == groups_.end() ? nullptr : &at->second;
}

const Group* Groups::find(std::string_view id) const {
  const auto at = groups_.find(id);
  return at == groups_.end() ? nullptr : &at->second;
}

ClassicGroup* Groups::find_classic(std::string_view id) {
  Group* group = find(id);
  return group == nullptr ? nullptr : std::get_if<ClassicGroup>(group);
}

ConsumerGroup* Groups::find_consumer(std::string_view id) {
  Group* group = find(id);
  return group == nullptr ? nullptr : std::get_if<ConsumerGroup>(group);
}

ClassicGroup& Groups::find_or_make_classic(const std::string& id) {
  Group& group = groups_.try_emplace(id, std::in_place_type<ClassicGroup>, id, memory_, &classic_counts_).first->second;
  if (auto* classic = std::get_if<ClassicGroup>(&group)) return *classic;
  return group.emplace<ClassicGroup>(id, memory_, &classic_counts_);
}

ConsumerGroup& Groups::find_or_make_consumer(const std::string& id) {
  const auto make_in = std::in_place_type<ConsumerGroup>;
  Group& group = groups_.try_emplace(id, make_in, id, memory_, &consumer_counts_, &subscribed_).first->second;
  if (auto* consumer = std::get_if<ConsumerGroup>(&group)) return *consumer;
  return group.emplace<ConsumerGroup>(id, memory_, &consumer_counts_, &subscribed_);
}

void Groups::erase(std::string_view id) {
  if (const auto at = groups_.find(id); at != groups_.end()) groups_.erase(at);
}

}  // namespace weir::coordination
