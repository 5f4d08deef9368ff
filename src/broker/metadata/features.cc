#include "broker/metadata/features.h"

#include <algorithm>
#include <iterator>
#include <string>

namespace weir::broker {
namespace {

// metadata.version: from 3.3-IV3 to 4.4-IV2, with which Kafka 4.4 begins.
// eligible.leader.replicas.version (KIP-966): with one copy of each partition there are no eligible replicas beside the
// leader. The broker keeps and announces level 1, which changes nothing here.
// group.version (KIP-848): 1, consumer groups are served.
// transaction.version (KIP-890): 1, records of transactions have flexible fields; 2, each transaction has an epoch of its own.
constexpr SupportedFeature kFeatures[] = {
    {.name = "eligible.leader.replicas.version", .max_level = 1, .needs_metadata_level = 23},
    {.name = kGroupVersion, .max_level = 1, .initial_level = 1},
    {.name = "metadata.version", .min_level = 7, .max_level = 33, .initial_level = 33},
    {.name = kTransactionVersion, .max_level = 2, .initial_level = 2},
};

// Levels of metadata.version that brought new metadata, not just new behaviour.
constexpr int16_t kMetadataLevels[] = {7, 8, 11, 13, 14, 15, 17, 23, 30, 32, 33};

}  // namespace

std::span<const SupportedFeature> supported_features() { return kFeatures; }

const SupportedFeature* find_supported_feature(std::string_view name) {
  for (const SupportedFeature& feature : kFeatures) {
    if (feature.name == name) return &feature;
  }
  return nullptr;
}

bool metadata_changed_between(int16_t low, int16_t high) {
  return std::any_of(std::begin(kMetadataLevels), std::end(kMetadataLevels),
                     [&](int16_t level) { return level > low && level <= high; });
}

bool complete_features(FeaturesRecord& record) {
  bool added = false;
  for (const SupportedFeature& feature : kFeatures) {
    added |= record.levels.try_emplace(std::string(feature.name), feature.initial_level).second;
  }
  if (added) ++record.epoch;
  return added;
}

int16_t finalized_level(const FeaturesRecord& record, std::string_view feature) {
  const auto level = record.levels.find(feature);
  return level == record.levels.end() ? int16_t{0} : level->second;
}

}  // namespace weir::broker
