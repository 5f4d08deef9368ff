// The features that this program supports, with Kafka's names and levels. Each has an initial level: a store without a level of
// the feature has finalized that one. A feature that is not served yet has no row, for clients learn only of what works.
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

// Whether metadata of level `high` may hold something that the lower level `low` cannot express. Both are levels of Kafka's
// metadata.version.
bool metadata_changed_between(int16_t low, int16_t high);

// Its level says which protocol of transactions is offered to clients, and how the coordinator writes its records (KIP-890).
inline constexpr std::string_view kTransactionVersion = "transaction.version";

// Its level says whether consumer groups (KIP-848) are served.
inline constexpr std::string_view kGroupVersion = "group.version";

std::span<const SupportedFeature> supported_features();
const SupportedFeature* find_supported_feature(std::string_view name);

// Adds the features that the record does not mention, at their initial levels. Returns whether there were any; then the epoch
// grows. The record mentions a feature that was set to 0, so that one stays.
bool complete_features(FeaturesRecord& record);

// 0 if the record does not mention it.
int16_t finalized_level(const FeaturesRecord& record, std::string_view feature);

}  // namespace weir::broker
