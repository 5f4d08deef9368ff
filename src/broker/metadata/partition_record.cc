#include "broker/metadata/partition_record.h"

#include <charconv>
#include <optional>

#include "broker/metadata/record_codec.h"

namespace weir::broker {
namespace {
constexpr uint8_t kFormat = 1;

std::optional<storage::PartitionId> parse_key(std::string_view key) {
  if (!key.starts_with(PartitionRecord::kPrefix)) return std::nullopt;
  key.remove_prefix(PartitionRecord::kPrefix.size());
  const size_t slash = key.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto topic = TopicId::parse(key.substr(0, slash));
  key.remove_prefix(slash + 1);
  storage::PartitionId id;
  const auto [at, error] = std::from_chars(key.data(), key.data() + key.size(), id.index);
  if (!topic || key.empty() || error != std::errc() || at != key.data() + key.size() || id.index < 0) return std::nullopt;
  id.topic = *topic;
  return id;
}
}  // namespace

std::string PartitionRecord::encode() const {
  RecordEncoder out(kFormat);
  protocol::Writer& w = out.fields();
  w.i32(leader);
  w.i32(leader_epoch);
  w.i32(broker_epoch);
  w.uvarint(static_cast<uint32_t>(replicas.size()));
  for (const int32_t replica : replicas) w.i32(replica);
  return out.finish();
}

Result<PartitionRecord> PartitionRecord::decode(std::string_view key, std::string_view value) {
  PartitionRecord record;
  const auto id = parse_key(key);
  if (!id) return fail(ErrorCode::kCorrupt, "metadata key " + std::string(key) + " is not a partition's");
  record.id = *id;
  RecordDecoder in(value, kFormat);
  protocol::Reader& r = in.fields();
  record.leader = r.i32();
  record.leader_epoch = r.i32();
  record.broker_epoch = r.i32();
  const uint32_t count = r.uvarint();
  for (uint32_t i = 0; i < count && r.ok(); ++i) record.replicas.push_back(r.i32());
  if (r.ok() && (record.leader_epoch < 0 || record.broker_epoch < 0)) r.fail("a negative epoch");
  if (auto complete = in.finish(key); !complete) return std::unexpected(complete.error());
  return record;
}

}  // namespace weir::broker
