#include "coordination/group/consumer/consumer_records.h"

#include <algorithm>
#include <concepts>
#include <span>
#include <string_view>
#include <utility>

#include "coordination/group/consumer/consumer_record_format.h"
#include "coordination/group/record_format.h"
#include "protocol/messages/group_records.h"

namespace weir::coordination {
namespace {

constexpr int16_t kVersion = 0;  // of all values

template <typename Key>
std::string group_key(const std::string& group_id) {
  Key key;
  key.group_id = group_id;
  return encode_framed(Key::kRecordType, key, 0);
}
template <typename Key>
std::string member_key(const std::string& group_id, const std::string& member_id) {
  Key key;
  key.group_id = group_id;
  key.member_id = member_id;
  return encode_framed(Key::kRecordType, key, 0);
}

std::vector<std::string_view> views_of(const std::vector<std::string>& texts) { return {texts.begin(), texts.end()}; }

std::vector<std::string> sorted(std::span<const std::string_view> texts) {
  std::vector<std::string> all(texts.begin(), texts.end());
  std::ranges::sort(all);
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

// Sorts by topic. Nothing: a topic has two lists.
template <typename Partitions>
std::optional<std::vector<Partitions>> by_topic(std::vector<Partitions> lists) {
  std::ranges::sort(lists, {}, &Partitions::topic_id);
  if (std::ranges::adjacent_find(lists, {}, &Partitions::topic_id) != lists.end()) return std::nullopt;
  return lists;
}

std::optional<Assignment> parsed(std::span<const protocol::ConsumerGroupTargetAssignmentMemberValue::TopicPartition> stored) {
  Assignment lists;
  for (const auto& list : stored) {
    std::vector<int32_t> partitions(list.partitions.begin(), list.partitions.end());
    std::ranges::sort(partitions);
    partitions.erase(std::unique(partitions.begin(), partitions.end()), partitions.end());
    if (partitions.empty()) continue;
    if (partitions.front() < 0) return std::nullopt;
    lists.push_back({list.topic_id, std::move(partitions)});
  }
  return by_topic(std::move(lists));
}

// Without epochs, or with too many or too few, each partition has the member's epoch.
std::optional<std::vector<OwnedTopicPartitions>> parsed(
    std::span<const protocol::ConsumerGroupCurrentMemberAssignmentValue::TopicPartitions> stored, int32_t member_epoch) {
  std::vector<OwnedTopicPartitions> lists;
  std::vector<std::pair<int32_t, int32_t>> partitions;  // with epochs
  for (const auto& list : stored) {
    const bool with_epochs = list.assignment_epochs && list.assignment_epochs->size() == list.partitions.size();
    partitions.clear();
    for (size_t i = 0; i < list.partitions.size(); ++i) {
      partitions.emplace_back(list.partitions[i], with_epochs ? (*list.assignment_epochs)[i] : std::max(member_epoch, 0));
    }
    std::ranges::sort(partitions);
    if (partitions.empty()) continue;
    if (partitions.front().first < 0) return std::nullopt;
    OwnedTopicPartitions& added = lists.emplace_back();
    added.topic_id = list.topic_id;
    for (const auto& [partition, epoch] : partitions) {
      if (!added.partitions.empty() && added.partitions.back() == partition) {
        added.assignment_epochs.back() = epoch;
        continue;
      }
      added.partitions.push_back(partition);
      added.assignment_epochs.push_back(epoch);
    }
  }
  return by_topic(std::move(lists));
}

std::vector<protocol::ConsumerGroupCurrentMemberAssignmentValue::TopicPartitions> stored(
    std::vector<OwnedTopicPartitions>& lists) {
  std::vector<protocol::ConsumerGroupCurrentMemberAssignmentValue::TopicPartitions> all;
  all.reserve(lists.size());
  for (OwnedTopicPartitions& list : lists) all.push_back({list.topic_id, list.partitions, list.assignment_epochs});
  return all;
}

using ParsedValue = std::optional<std::string_view>;  // why it is corrupt

ParsedValue fill(ConsumerGroupEpoch& to, const protocol::ConsumerGroupMetadataValue& from) {
  to = {from.epoch, from.metadata_hash};
  return std::nullopt;
}

ParsedValue fill(ConsumerMemberMetadata& to, const protocol::ConsumerGroupMemberMetadataValue& from) {
  to.instance_id = owned(from.instance_id);
  to.rack_id = owned(from.rack_id);
  to.client_id = from.client_id;
  to.client_host = from.client_host;
  to.subscribed_topics = sorted(from.subscribed_topic_names);
  to.subscribed_regex = owned(from.subscribed_topic_regex);
  to.rebalance_timeout_ms = from.rebalance_timeout_ms;
  to.server_assignor = owned(from.server_assignor);
  // Brokers before 3.8 did not write the field. It reads as empty then, but a member of the classic protocol has protocols.
  if (from.classic_member_metadata == nullptr || from.classic_member_metadata->supported_protocols.empty()) return std::nullopt;
  ClassicMemberMetadata& classic = to.classic.emplace();
  classic.session_timeout_ms = from.classic_member_metadata->session_timeout_ms;
  for (const auto& protocol : from.classic_member_metadata->supported_protocols) {
    classic.protocols.push_back({std::string(protocol.name), std::string(as_string(protocol.metadata))});
  }
  return std::nullopt;
}

ParsedValue fill(TargetAssignmentEpoch& to, const protocol::ConsumerGroupTargetAssignmentMetadataValue& from) {
  to = {from.assignment_epoch, from.assignment_timestamp};
  return std::nullopt;
}

constexpr std::string_view kBadPartitions = "a partition below 0, or two lists of a topic's partitions";

ParsedValue fill(Assignment& to, const protocol::ConsumerGroupTargetAssignmentMemberValue& from) {
  auto lists = parsed(from.topic_partitions);
  if (!lists) return kBadPartitions;
  to = std::move(*lists);
  return std::nullopt;
}

ParsedValue fill(CurrentAssignment& to, const protocol::ConsumerGroupCurrentMemberAssignmentValue& from) {
  auto assigned = parsed(from.assigned_partitions, from.member_epoch);
  auto pending = parsed(from.partitions_pending_revocation, from.member_epoch);
  if (!assigned || !pending) return kBadPartitions;
  to.member_epoch = from.member_epoch;
  to.previous_member_epoch = from.previous_member_epoch;
  const bool known = from.state >= 0 && from.state <= static_cast<int8_t>(MemberState::kUnreleasedPartitions);
  to.state = known ? static_cast<MemberState>(from.state) : MemberState::kUnknown;
  to.assigned = std::move(*assigned);
  to.pending_revocation = std::move(*pending);
  return std::nullopt;
}

ParsedValue fill(ResolvedRegex& to, const protocol::ConsumerGroupRegularExpressionValue& from) {
  to = {sorted(from.topics), from.version, from.timestamp};
  return std::nullopt;
}

// Of a record whose key has a group, and perhaps a member or an expression.
template <typename Key, typename Value, typename Entry>
Result<GroupRecord> parse(protocol::Reader& reader, std::optional<Bytes> bytes) {
  Key key;
  if (!key.decode(reader, 0)) return corrupt_group_record("key", reader);
  Entry entry;
  entry.group_id = key.group_id;
  if constexpr (requires { entry.member_id; }) entry.member_id = key.member_id;
  if constexpr (requires { entry.regex; }) entry.regex = key.regular_expression;
  if (!bytes) return entry;
  protocol::Reader in(*bytes, reader.arena());
  Value value;
  if (!decode_framed(in, value)) return corrupt_group_record("value", in);
  if (const auto why = fill(entry.value.emplace(), value)) return corrupt_group_record("value", *why);
  return entry;
}

}  // namespace

CoordinatorRecord encode(const ConsumerGroupEntry& entry) {
  std::string key = group_key<protocol::ConsumerGroupMetadataKey>(entry.group_id);
  if (!entry.value) return {std::move(key), std::nullopt};
  protocol::ConsumerGroupMetadataValue value;
  value.epoch = entry.value->epoch;
  value.metadata_hash = entry.value->metadata_hash;
  return {std::move(key), encode_framed(kVersion, value, kVersion)};
}

CoordinatorRecord encode(const ConsumerPartitionMetadataEntry& entry) {
  return {group_key<protocol::ConsumerGroupPartitionMetadataKey>(entry.group_id), std::nullopt};
}

CoordinatorRecord encode(const ConsumerMemberEntry& entry) {
  std::string key = member_key<protocol::ConsumerGroupMemberMetadataKey>(entry.group_id, entry.member_id);
  if (!entry.value) return {std::move(key), std::nullopt};
  const ConsumerMemberMetadata& member = *entry.value;
  auto topics = views_of(member.subscribed_topics);
  protocol::ConsumerGroupMemberMetadataValue::ClassicMemberMetadata classic;
  std::vector<protocol::ConsumerGroupMemberMetadataValue::ClassicProtocol> protocols;
  protocol::ConsumerGroupMemberMetadataValue value;
  value.instance_id = member.instance_id;
  value.rack_id = member.rack_id;
  value.client_id = member.client_id;
  value.client_host = member.client_host;
  value.subscribed_topic_names = topics;
  value.subscribed_topic_regex = member.subscribed_regex;
  value.rebalance_timeout_ms = member.rebalance_timeout_ms;
  value.server_assignor = member.server_assignor;
  if (member.classic) {
    for (const GroupProtocol& one : member.classic->protocols) protocols.push_back({one.name, as_bytes(one.metadata)});
    classic = {member.classic->session_timeout_ms, protocols};
    value.classic_member_metadata = &classic;
  }
  return {std::move(key), encode_framed(kVersion, value, kVersion)};
}

CoordinatorRecord encode(const TargetAssignmentEntry& entry) {
  std::string key = group_key<protocol::ConsumerGroupTargetAssignmentMetadataKey>(entry.group_id);
  if (!entry.value) return {std::move(key), std::nullopt};
  protocol::ConsumerGroupTargetAssignmentMetadataValue value;
  value.assignment_epoch = entry.value->epoch;
  value.assignment_timestamp = entry.value->timestamp_ms;
  return {std::move(key), encode_framed(kVersion, value, kVersion)};
}

CoordinatorRecord encode(TargetAssignmentMemberEntry entry) {
  std::string key = member_key<protocol::ConsumerGroupTargetAssignmentMemberKey>(entry.group_id, entry.member_id);
  if (!entry.value) return {std::move(key), std::nullopt};
  std::vector<protocol::ConsumerGroupTargetAssignmentMemberValue::TopicPartition> lists;
  lists.reserve(entry.value->size());
  for (TopicPartitions& list : *entry.value) lists.push_back({list.topic_id, list.partitions});
  protocol::ConsumerGroupTargetAssignmentMemberValue value;
  value.topic_partitions = lists;
  return {std::move(key), encode_framed(kVersion, value, kVersion)};
}

CoordinatorRecord encode(CurrentAssignmentEntry entry) {
  std::string key = member_key<protocol::ConsumerGroupCurrentMemberAssignmentKey>(entry.group_id, entry.member_id);
  if (!entry.value) return {std::move(key), std::nullopt};
  auto assigned = stored(entry.value->assigned);
  auto pending = stored(entry.value->pending_revocation);
  protocol::ConsumerGroupCurrentMemberAssignmentValue value;
  value.member_epoch = entry.value->member_epoch;
  value.previous_member_epoch = entry.value->previous_member_epoch;
  value.state = static_cast<int8_t>(entry.value->state);
  value.assigned_partitions = assigned;
  value.partitions_pending_revocation = pending;
  return {std::move(key), encode_framed(kVersion, value, kVersion)};
}

CoordinatorRecord encode(const ResolvedRegexEntry& entry) {
  protocol::ConsumerGroupRegularExpressionKey fields;
  fields.group_id = entry.group_id;
  fields.regular_expression = entry.regex;
  std::string key = encode_framed(protocol::ConsumerGroupRegularExpressionKey::kRecordType, fields, 0);
  if (!entry.value) return {std::move(key), std::nullopt};
  auto topics = views_of(entry.value->topics);
  protocol::ConsumerGroupRegularExpressionValue value;
  value.topics = topics;
  value.version = entry.value->image_version;
  value.timestamp = entry.value->timestamp_ms;
  return {std::move(key), encode_framed(kVersion, value, kVersion)};
}

Result<GroupRecord> parse_consumer_record(int16_t type, protocol::Reader& key, std::optional<Bytes> value) {
  using namespace protocol;
  switch (type) {
    case ConsumerGroupMetadataKey::kRecordType:
      return parse<ConsumerGroupMetadataKey, ConsumerGroupMetadataValue, ConsumerGroupEntry>(key, value);
    case ConsumerGroupPartitionMetadataKey::kRecordType: {
      ConsumerGroupPartitionMetadataKey of;
      if (!of.decode(key, 0)) return corrupt_group_record("key", key);
      return ConsumerPartitionMetadataEntry{std::string(of.group_id), !value};
    }
    case ConsumerGroupMemberMetadataKey::kRecordType:
      return parse<ConsumerGroupMemberMetadataKey, ConsumerGroupMemberMetadataValue, ConsumerMemberEntry>(key, value);
    case ConsumerGroupTargetAssignmentMetadataKey::kRecordType:
      return parse<ConsumerGroupTargetAssignmentMetadataKey, ConsumerGroupTargetAssignmentMetadataValue, TargetAssignmentEntry>(
          key, value);
    case ConsumerGroupTargetAssignmentMemberKey::kRecordType:
      return parse<ConsumerGroupTargetAssignmentMemberKey, ConsumerGroupTargetAssignmentMemberValue, TargetAssignmentMemberEntry>(
          key, value);
    case ConsumerGroupCurrentMemberAssignmentKey::kRecordType:
      return parse<ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentValue, CurrentAssignmentEntry>(
          key, value);
    case ConsumerGroupRegularExpressionKey::kRecordType:
      return parse<ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue, ResolvedRegexEntry>(key, value);
    default:
      return UnknownEntry{type};
  }
}

}  // namespace weir::coordination
