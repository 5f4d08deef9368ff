#include "broker/metadata/features_record.h"

#include "broker/metadata/record_codec.h"

namespace weir::broker {
namespace {
constexpr uint8_t kFormat = 1;
}

std::string FeaturesRecord::encode() const {
  RecordEncoder out(kFormat);
  protocol::Writer& w = out.fields();
  w.i64(epoch);
  w.uvarint(levels.size());
  for (const auto& [feature, level] : levels) {
    w.string(feature, true);
    w.i16(level);
  }
  return out.finish();
}

Result<FeaturesRecord> FeaturesRecord::decode(std::string_view value) {
  FeaturesRecord record;
  RecordDecoder in(value, kFormat);
  protocol::Reader& r = in.fields();
  record.epoch = r.i64();
  const uint32_t count = r.uvarint();
  for (uint32_t i = 0; i < count && r.ok(); ++i) {
    std::string feature(r.string(true));
    record.levels.insert_or_assign(std::move(feature), r.i16());
  }
  if (auto complete = in.finish(kKey); !complete) return std::unexpected(complete.error());
  return record;
}

}  // namespace weir::broker
