#include "broker/metadata/config_record.h"

#include <iterator>
#include <utility>

#include "base/check.h"
#include "broker/metadata/record_codec.h"

namespace weir::broker {
namespace {

constexpr uint8_t kFormat = 1;
constexpr std::pair<ConfigResourceType, std::string_view> kKinds[] = {{ConfigResourceType::kBroker, "broker/"},
                                                                      {ConfigResourceType::kClientMetrics, "client-metrics/"},
                                                                      {ConfigResourceType::kGroup, "group/"}};

}  // namespace

std::string ConfigRecord::key_of(ConfigResourceType type, std::string_view name) {
  for (const auto& [known, text] : kKinds) {
    if (known == type) return std::string(kPrefix) + std::string(text) + std::string(name);
  }
  WEIR_CHECK(false);
  return {};
}

std::string ConfigRecord::encode() const {
  RecordEncoder out(kFormat);
  protocol::Writer& w = out.fields();
  w.uvarint(static_cast<uint32_t>(overrides.size()));
  for (const auto& [config, value] : overrides) {
    w.string(config, true);
    w.string(value, true);
  }
  return out.finish();
}

Result<ConfigRecord> ConfigRecord::decode(std::string_view key, std::string_view value) {
  ConfigRecord record;
  std::string_view rest = key.starts_with(kPrefix) ? key.substr(kPrefix.size()) : std::string_view();
  for (const auto& [known, text] : kKinds) {
    if (!rest.starts_with(text)) continue;
    record.type = known;
    record.name = rest.substr(text.size());
  }
  if (record.type == ConfigResourceType{}) {
    return fail(ErrorCode::kCorrupt, "metadata key " + std::string(key) + " is not one of configs");
  }
  RecordDecoder in(value, kFormat);
  protocol::Reader& r = in.fields();
  const uint32_t count = r.uvarint();
  for (uint32_t i = 0; i < count && r.ok(); ++i) {
    std::string config(r.string(true));
    record.overrides.insert_or_assign(std::move(config), std::string(r.string(true)));
  }
  if (auto complete = in.finish(key); !complete) return std::unexpected(complete.error());
  return record;
}

}  // namespace weir::broker
