#include "broker/metadata/topic_record.h"

#include "broker/metadata/record_codec.h"

namespace weir::broker {
namespace {
constexpr uint8_t kFormat = 1;
}

std::string TopicRecord::encode() const {
  RecordEncoder out(kFormat);
  protocol::Writer& w = out.fields();
  w.string(name, true);
  w.i32(partition_count);
  w.i32(creation_epoch);
  w.uvarint(configs.size());
  for (const auto& [config, value] : configs) {
    w.string(config, true);
    w.string(value, true);
  }
  return out.finish();
}

Result<TopicRecord> TopicRecord::decode(std::string_view key, std::string_view value) {
  TopicRecord record;
  const auto id = key.starts_with(kPrefix) ? TopicId::parse(key.substr(kPrefix.size())) : std::nullopt;
  if (!id) return fail(ErrorCode::kCorrupt, "metadata key " + std::string(key) + " is not a topic's");
  record.id = *id;
  RecordDecoder in(value, kFormat);
  protocol::Reader& r = in.fields();
  record.name = r.string(true);
  record.partition_count = r.i32();
  record.creation_epoch = r.i32();
  const uint32_t count = r.uvarint();
  for (uint32_t i = 0; i < count && r.ok(); ++i) {
    std::string config(r.string(true));
    record.configs.insert_or_assign(std::move(config), std::string(r.string(true)));
  }
  if (r.ok() && (record.partition_count <= 0 || record.name.empty())) r.fail("a topic without name or partitions");
  if (auto complete = in.finish(key); !complete) return std::unexpected(complete.error());
  return record;
}

}  // namespace weir::broker
