#include "broker/metadata/group_placement_record.h"

#include "broker/metadata/record_codec.h"

namespace weir::broker {
namespace {
constexpr uint8_t kFormat = 1;
}

std::string GroupPlacementRecord::encode() const {
  RecordEncoder out(kFormat);
  out.fields().uuid(topic);
  return out.finish();
}

Result<GroupPlacementRecord> GroupPlacementRecord::decode(std::string_view value) {
  GroupPlacementRecord record;
  RecordDecoder in(value, kFormat);
  record.topic = in.fields().uuid();
  if (auto complete = in.finish(kKey); !complete) return std::unexpected(complete.error());
  return record;
}

}  // namespace weir::broker
