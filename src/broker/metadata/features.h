// The features this program supports, in Kafka's names and levels, and which of them a store that does not say otherwise
// has finalized. A feature that is not served (yet) has no row: clients are told what works, nothing else.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "broker/metadata/features_record.h"

namespace weir::broker {

struct SupportedFeature {
  std::string_view name;
  int16_t min_level = 0;
  int16_t max_level = 0;
  int16_t initial_level = 0;
  int16_t needs_metadata_level = 0;  // of metadata.version, for a level above 0
};

// Whether metadata of `high` may hold what `low` < `high` has no words for, by the levels of Kafka's metadata.version.
bool metadata_changed_between(int16_t low, int16_t high);

std::span<const SupportedFeature> supported_features();
const SupportedFeature* find_supported_feature(std::string_view name);

// Adds the features a record does not mention, at their initial levels; true if there were any. The epoch grows then.
// One that was set to 0 is mentioned and stays so.
bool complete_features(FeaturesRecord& record);

}  // namespace weir::broker
