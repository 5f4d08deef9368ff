#include "broker/metadata/cluster_id_record.h"

#include "broker/metadata/record_codec.h"

namespace weir::broker {
namespace {
constexpr uint8_t kFormat = 1;
}

std::string ClusterIdRecord::encode() const {
  RecordEncoder out(kFormat);
  out.fields().string(id, true);
  return out.finish();
}

Result<ClusterIdRecord> ClusterIdRecord::decode(std::string_view value) {
  ClusterIdRecord record;
  RecordDecoder in(value, kFormat);
  record.id = in.fields().string(true);
  if (auto complete = in.finish(kKey); !complete) return std::unexpected(complete.error());
  return record;
}

}  // namespace weir::broker
