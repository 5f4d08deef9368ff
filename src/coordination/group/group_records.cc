#include "coordination/group/group_records.h"

#include "base/check.h"
#include "coordination/group/consumer/consumer_record_format.h"
#include "coordination/group/record_format.h"
#include "protocol/messages/group_records.h"

namespace weir::coordination {
namespace {

constexpr int16_t kGroupMetadataVersion = 3;
constexpr int16_t kOffsetVersion = 4;
constexpr int16_t kOffsetWithExpiryVersion = 1;  // the only one that has the field

std::string group_key(const std::string& group_id) {
  protocol::GroupMetadataKey key;
  key.group = group_id;
  return encode_framed(protocol::GroupMetadataKey::kRecordType, key, 0);
}

std::string offset_key(const std::string& group_id, const std::string& topic, int32_t partition) {
  protocol::OffsetCommitKey key;
  key.group = group_id;
  key.topic = topic;
  key.partition = partition;
  return encode_framed(protocol::OffsetCommitKey::kRecordType, key, 0);
}

Result<GroupRecord> parse_group(protocol::Reader& reader, std::optional<Bytes> value) {
  protocol::GroupMetadataKey key;
  if (!key.decode(reader, 0)) return corrupt_group_record("key", reader);
  GroupMetadataEntry entry;
  entry.group_id = key.group;
  if (!value) return entry;
  protocol::Reader in(*value, reader.arena());
  protocol::GroupMetadataValue stored;
  if (!decode_framed(in, stored)) return corrupt_group_record("value", in);
  GroupMetadataEntry::Value& to = entry.value.emplace();
  to.protocol_type = stored.protocol_type;
  to.generation = stored.generation;
  to.protocol_name = owned(stored.protocol);
  to.leader = owned(stored.leader);
  to.state_timestamp_ms = stored.current_state_timestamp;
  for (const auto& member : stored.members) {
    auto& added = to.members.emplace_back();
    added.id = member.member_id;
    added.instance_id = owned(member.group_instance_id);
    added.client_id = member.client_id;
    added.client_host = member.client_host;
    added.session_timeout_ms = member.session_timeout;
    added.rebalance_timeout_ms = member.rebalance_timeout == -1 ? member.session_timeout : member.rebalance_timeout;
    added.subscription = as_string(member.subscription);
    added.assignment = as_string(member.assignment);
  }
  return entry;
}

Result<GroupRecord> parse_offset(protocol::Reader& reader, std::optional<Bytes> value) {
  protocol::OffsetCommitKey key;
  if (!key.decode(reader, 0)) return corrupt_group_record("key", reader);
  OffsetEntry entry;
  entry.group_id = key.group;
  entry.topic = key.topic;
  entry.partition = key.partition;
  if (!value) return entry;
  protocol::Reader in(*value, reader.arena());
  protocol::OffsetCommitValue stored;
  if (!decode_framed(in, stored)) return corrupt_group_record("value", in);
  CommittedOffset& to = entry.value.emplace();
  to.offset = stored.offset;
  to.leader_epoch = stored.leader_epoch;
  to.metadata = stored.metadata;
  to.commit_timestamp_ms = stored.commit_timestamp;
  to.expire_timestamp_ms = stored.expire_timestamp;
  to.topic_id = stored.topic_id;
  return entry;
}

CoordinatorRecord encode(const GroupMetadataEntry& entry) {
  if (!entry.value) return {group_key(entry.group_id), std::nullopt};
  const GroupMetadata& group = *entry.value;
  std::vector<protocol::GroupMetadataValue::MemberMetadata> members;
  members.reserve(group.members.size());
  for (const GroupMetadata::Member& member : group.members) {
    auto& stored = members.emplace_back();
    stored.member_id = member.id;
    stored.group_instance_id = member.instance_id;
    stored.client_id = member.client_id;
    stored.client_host = member.client_host;
    stored.rebalance_timeout = member.rebalance_timeout_ms;
    stored.session_timeout = member.session_timeout_ms;
    stored.subscription = as_bytes(member.subscription);
    stored.assignment = as_bytes(member.assignment);
  }
  protocol::GroupMetadataValue value;
  value.protocol_type = group.protocol_type;
  value.generation = group.generation;
  value.protocol = group.protocol_name;
  value.leader = group.leader;
  value.current_state_timestamp = group.state_timestamp_ms;
  value.members = members;
  return {group_key(entry.group_id), encode_framed(kGroupMetadataVersion, value, kGroupMetadataVersion)};
}

CoordinatorRecord encode(const OffsetEntry& entry) {
  std::string key = offset_key(entry.group_id, entry.topic, entry.partition);
  if (!entry.value) return {std::move(key), std::nullopt};
  const CommittedOffset& offset = *entry.value;
  protocol::OffsetCommitValue value;
  value.offset = offset.offset;
  value.leader_epoch = offset.leader_epoch;
  value.metadata = offset.metadata;
  value.commit_timestamp = offset.commit_timestamp_ms;
  value.expire_timestamp = offset.expire_timestamp_ms;
  value.topic_id = offset.topic_id;
  const int16_t version = offset.expire_timestamp_ms == -1 ? kOffsetVersion : kOffsetWithExpiryVersion;
  return {std::move(key), encode_framed(version, value, version)};
}

CoordinatorRecord encode(const UnknownEntry& /*entry*/) {
  check_failed("a record of an unknown type is not encoded", __FILE__, __LINE__);
}

}  // namespace

CoordinatorRecord encode(const GroupRecord& record) {
  return std::visit([](const auto& entry) { return encode(entry); }, record);
}

Result<GroupRecord> parse_group_record(Bytes key, std::optional<Bytes> value) {
  protocol::Arena arena(size_t{256} << 20);
  protocol::Reader reader(key, arena);
  const int16_t type = reader.i16();
  if (!reader.ok()) return corrupt_group_record("key", reader);
  switch (type) {
    case protocol::LegacyOffsetCommitKey::kRecordType:
    case protocol::OffsetCommitKey::kRecordType:
      return parse_offset(reader, value);
    case protocol::GroupMetadataKey::kRecordType:
      return parse_group(reader, value);
    default:
      return parse_consumer_record(type, reader, value);
  }
}

}  // namespace weir::coordination
