#include "coordination/group/group_records.h"

#include <fmt/format.h>

#include "base/check.h"
#include "protocol/messages/group_records.h"

namespace weir::coordination {
namespace {

constexpr int16_t kGroupMetadataVersion = 3;
constexpr int16_t kOffsetVersion = 4;
constexpr int16_t kOffsetWithExpiryVersion = 1;  // the only one that has the field

template <typename Message>
std::string encode(int16_t prefix, const Message& message, int16_t version) {
  protocol::Writer writer;
  writer.i16(prefix);
  message.encode(writer, version);
  WEIR_CHECK(writer.ok());
  return std::string(as_string(writer.bytes()));
}

std::string group_key(const std::string& group_id) {
  protocol::GroupMetadataKey key;
  key.group = group_id;
  return encode(protocol::GroupMetadataKey::kRecordType, key, 0);
}

std::string offset_key(const std::string& group_id, const std::string& topic, int32_t partition) {
  protocol::OffsetCommitKey key;
  key.group = group_id;
  key.topic = topic;
  key.partition = partition;
  return encode(protocol::OffsetCommitKey::kRecordType, key, 0);
}

std::optional<std::string> owned(const std::optional<std::string_view>& text) {
  if (!text) return std::nullopt;
  return std::string(*text);
}

std::unexpected<Error> corrupt(const char* what, const protocol::Reader& reader) {
  return fail(weir::ErrorCode::kCorrupt,
              fmt::format("a group record's {} does not decode: {}", what, reader.ok() ? "unknown version" : reader.error()));
}

// Reads the version in front of a value and the value.
template <typename Message>
bool decode_value(protocol::Reader& reader, Message& message) {
  const int16_t version = reader.i16();
  return reader.ok() && version >= Message::kMinVersion && version <= Message::kMaxVersion && message.decode(reader, version);
}

Result<GroupRecord> parse_group(protocol::Reader& reader, std::optional<Bytes> value) {
  protocol::GroupMetadataKey key;
  if (!key.decode(reader, 0)) return corrupt("key", reader);
  GroupMetadataEntry entry;
  entry.group_id = key.group;
  if (!value) return entry;
  protocol::Reader in(*value, reader.arena());
  protocol::GroupMetadataValue stored;
  if (!decode_value(in, stored)) return corrupt("value", in);
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
  if (!key.decode(reader, 0)) return corrupt("key", reader);
  OffsetEntry entry;
  entry.group_id = key.group;
  entry.topic = key.topic;
  entry.partition = key.partition;
  if (!value) return entry;
  protocol::Reader in(*value, reader.arena());
  protocol::OffsetCommitValue stored;
  if (!decode_value(in, stored)) return corrupt("value", in);
  CommittedOffset& to = entry.value.emplace();
  to.offset = stored.offset;
  to.leader_epoch = stored.leader_epoch;
  to.metadata = stored.metadata;
  to.commit_timestamp_ms = stored.commit_timestamp;
  to.expire_timestamp_ms = stored.expire_timestamp;
  to.topic_id = stored.topic_id;
  return entry;
}

CoordinatorRecord encode_group(const GroupMetadataEntry& entry) {
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
  return {group_key(entry.group_id), encode(kGroupMetadataVersion, value, kGroupMetadataVersion)};
}

CoordinatorRecord encode_offset(const OffsetEntry& entry) {
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
  return {std::move(key), encode(version, value, version)};
}

}  // namespace

CoordinatorRecord encode(const GroupRecord& record) {
  if (const auto* group = std::get_if<GroupMetadataEntry>(&record)) return encode_group(*group);
  const auto* offset = std::get_if<OffsetEntry>(&record);
  WEIR_CHECK(offset != nullptr);
  return encode_offset(*offset);
}

Result<GroupRecord> parse_group_record(Bytes key, std::optional<Bytes> value) {
  protocol::Arena arena(size_t{256} << 20);
  protocol::Reader reader(key, arena);
  const int16_t type = reader.i16();
  if (!reader.ok()) return corrupt("key", reader);
  switch (type) {
    case protocol::LegacyOffsetCommitKey::kRecordType:
    case protocol::OffsetCommitKey::kRecordType:
      return parse_offset(reader, value);
    case protocol::GroupMetadataKey::kRecordType:
      return parse_group(reader, value);
    default:
      return UnknownEntry{type};
  }
}

}  // namespace weir::coordination
