#include "broker/metadata/broker_epoch_record.h"

#include "broker/metadata/record_codec.h"

namespace weir::broker {
namespace {
constexpr uint8_t kFormat = 1;
}

std::string BrokerEpochRecord::encode() const {
  RecordEncoder out(kFormat);
  out.fields().i32(epoch);
  return out.finish();
}

Result<BrokerEpochRecord> BrokerEpochRecord::decode(std::string_view value) {
  BrokerEpochRecord record;
  RecordDecoder in(value, kFormat);
  record.epoch = in.fields().i32();
  if (auto complete = in.finish(kKey); !complete) return std::unexpected(complete.error());
  return record;
}

}  // namespace weir::broker
