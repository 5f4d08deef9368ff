#include "broker/metadata/producer_ids_record.h"

#include "broker/metadata/record_codec.h"

namespace weir::broker {
namespace {
constexpr uint8_t kFormat = 1;
}

std::string ProducerIdsRecord::encode() const {
  RecordEncoder out(kFormat);
  out.fields().i64(next);
  return out.finish();
}

Result<ProducerIdsRecord> ProducerIdsRecord::decode(std::string_view value) {
  ProducerIdsRecord record;
  RecordDecoder in(value, kFormat);
  record.next = in.fields().i64();
  if (auto complete = in.finish(kKey); !complete) return std::unexpected(complete.error());
  return record;
}

}  // namespace weir::broker
