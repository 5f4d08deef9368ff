#include "broker/metadata/topic_name_record.h"

#include "broker/metadata/record_codec.h"

namespace weir::broker {
namespace {
constexpr uint8_t kFormat = 1;
}

std::string TopicNameRecord::encode() const {
  RecordEncoder out(kFormat);
  out.fields().uuid(id);
  return out.finish();
}

Result<TopicNameRecord> TopicNameRecord::decode(std::string_view key, std::string_view value) {
  TopicNameRecord record;
  if (!key.starts_with(kPrefix) || key.size() == kPrefix.size()) {
    return fail(ErrorCode::kCorrupt, "metadata key " + std::string(key) + " is not a topic name's");
  }
  record.name = key.substr(kPrefix.size());
  RecordDecoder in(value, kFormat);
  record.id = in.fields().uuid();
  if (auto complete = in.finish(key); !complete) return std::unexpected(complete.error());
  return record;
}

}  // namespace weir::broker
