#include "broker/metadata/features.h"

#include <string>

namespace weir::broker {
namespace {

// metadata.version: from 3.3-IV3 to 4.3-IV0, what Kafka 4.4 begins with.
constexpr SupportedFeature kFeatures[] = {
    {"metadata.version", 7, 30, 30},
};

}  // namespace

std::span<const SupportedFeature> supported_features() { return kFeatures; }

const SupportedFeature* find_supported_feature(std::string_view name) {
  for (const SupportedFeature& feature : kFeatures) {
    if (feature.name == name) return &feature;
  }
  return nullptr;
}

bool complete_features(FeaturesRecord& record) {
  bool added = false;
  for (const SupportedFeature& feature : kFeatures) {
    added |= record.levels.try_emplace(std::string(feature.name), feature.initial_level).second;
  }
  if (added) ++record.epoch;
  return added;
}

}  // namespace weir::broker
