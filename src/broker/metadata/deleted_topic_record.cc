#include "broker/metadata/deleted_topic_record.h"

#include "broker/metadata/record_codec.h"

namespace weir::broker {
namespace {
constexpr uint8_t kFormat = 1;
}

std::string DeletedTopicRecord::encode() const {
  RecordEncoder out(kFormat);
  out.fields().string(name, true);
  return out.finish();
}

Result<DeletedTopicRecord> DeletedTopicRecord::decode(std::string_view key, std::string_view value) {
  DeletedTopicRecord record;
  const auto id = key.starts_with(kPrefix) ? TopicId::parse(key.substr(kPrefix.size())) : std::nullopt;
  if (!id) return fail(ErrorCode::kCorrupt, "metadata key " + std::string(key) + " is not a deleted topic's");
  record.id = *id;
  RecordDecoder in(value, kFormat);
  record.name = in.fields().string(true);
  if (auto complete = in.finish(key); !complete) return std::unexpected(complete.error());
  return record;
}

std::string DeletionsNotedRecord::encode() { return RecordEncoder(kFormat).finish(); }

Result<void> DeletionsNotedRecord::decode(std::string_view value) { return RecordDecoder(value, kFormat).finish(kKey); }

}  // namespace weir::broker
