#include "broker/handlers/update_features.h"

#include <fmt/core.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "broker/metadata/features.h"
#include "protocol/errors.h"
#include "protocol/messages/update_features.h"
#include "runtime/homebound.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;

enum UpgradeType : int8_t { kUpgrade = 1, kSafeDowngrade = 2, kUnsafeDowngrade = 3 };

struct Update {
  std::string feature;
  int16_t level = 0;
  int8_t type = kUpgrade;
};

Controller::Outcome refusal(const Update& update, const std::string& why) {
  return {ErrorCode::kInvalidUpdateVersion,
          fmt::format("Invalid update version {} for feature {}. {}", update.level, update.feature, why), nullptr};
}

Controller::Outcome apply_one(const Update& update, FeaturesRecord& record, int32_t node_id) {
  if (update.type < kUpgrade || update.type > kUnsafeDowngrade) {
    return refusal(update, "The controller does not support the given upgrade type.");
  }
  if (update.level < 0) return refusal(update, "A feature version cannot be less than 0.");
  const SupportedFeature* supported = find_supported_feature(update.feature);
  if (supported == nullptr) return refusal(update, fmt::format("Local controller {} does not support this feature.", node_id));
  if (update.level < supported->min_level || update.level > supported->max_level) {
    return refusal(update, fmt::format("Local controller {} only supports versions {}-{}", node_id, supported->min_level,
                                       supported->max_level));
  }
  const auto present = record.levels.find(update.feature);
  const int16_t level = present == record.levels.end() ? int16_t{0} : present->second;
  if (update.level < level && update.type == kUpgrade) {
    return refusal(
        update,
        "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.");
  }
  if (update.level > level && update.type != kUpgrade) return refusal(update, "Can't downgrade to a newer version.");
  if (update.feature == "metadata.version" && update.level < level && metadata_changed_between(update.level, level)) {
    return {ErrorCode::kInvalidUpdateVersion,
            fmt::format("Unsupported metadata.version downgrade from {} to {}. {}", level, update.level,
                        update.type == kUnsafeDowngrade
                            ? "Unsafe metadata downgrade is not supported in this version."
                            : "Refusing to perform the requested downgrade because it might delete metadata information."),
            nullptr};
  }
  record.levels.insert_or_assign(update.feature, update.level);
  return {};
}

// The level of metadata.version that a feature needs is compared with the one that the whole request leaves.
Controller::Outcome check_needs(const Update& update, const FeaturesRecord& record) {
  const int16_t needed = update.level > 0 ? find_supported_feature(update.feature)->needs_metadata_level : int16_t{0};
  if (record.levels.at("metadata.version") >= needed) return {};
  return refusal(update, fmt::format("{} could not be set to {} because it depends on metadata.version level {}", update.feature,
                                     update.level, needed));
}

Controller::Outcome apply(const std::vector<Update>& updates, FeaturesRecord& record, int32_t node_id) {
  for (const Update& update : updates) {
    if (auto outcome = apply_one(update, record, node_id); outcome.error != ErrorCode::kNone) return outcome;
  }
  for (const Update& update : updates) {
    if (auto outcome = check_needs(update, record); outcome.error != ErrorCode::kNone) return outcome;
  }
  return {};
}

class UpdateFeaturesOperation : public runtime::Homebound {
 public:
  UpdateFeaturesOperation(Broker& broker, RequestContextPtr context)
      : Homebound(context->loop()),
        broker_(broker),
        shard_(broker.shard(context->loop().index())),
        context_(std::move(context)) {}

  void start() {
    if (!context_->decode(request_)) return;
    std::vector<Update> updates;
    for (const auto& asked : request_.feature_updates) {
      int8_t type = asked.upgrade_type;
      if (context_->version() == 0) type = asked.allow_downgrade ? kSafeDowngrade : kUpgrade;
      updates.push_back({std::string(asked.feature), asked.max_version_level, type});
    }
    const int32_t node_id = shard_.image->controller_id();
    if (request_.validate_only) {
      FeaturesRecord record = *shard_.image->features();
      return respond(apply(updates, record, node_id));
    }
    broker_.change_features(
        Caller(*context_),
        [updates = std::move(updates), node_id](FeaturesRecord& record) { return apply(updates, record, node_id); },
        {[self = runtime::HomeRef(this)](Controller::Outcomes outcomes) { self->respond(outcomes[0]); }, request_.timeout_ms});
  }

 private:
  void respond(const Controller::Outcome& outcome) {
    protocol::UpdateFeaturesResponse response;
    response.error_code = code(outcome.error);
    response.error_message = std::nullopt;
    protocol::Arena& arena = context_->arena();
    if (outcome.error != ErrorCode::kNone) {
      response.error_message =
          arena.copy("The update failed for all features since the following feature had an error: " + outcome.message);
    } else if (context_->version() <= 1) {
      response.results = arena.array<protocol::UpdateFeaturesResponse::UpdatableFeatureResult>(request_.feature_updates.size());
      for (size_t i = 0; i < response.results.size(); ++i) {
        response.results[i].feature = request_.feature_updates[i].feature;
        response.results[i].error_message = protocol::error_name(ErrorCode::kNone);  // as in Kafka
      }
    }
    context_->respond(response);
  }

  Broker& broker_;
  BrokerShard& shard_;
  RequestContextPtr context_;
  protocol::UpdateFeaturesRequest request_;
};

}  // namespace

void handle_update_features(Broker& broker, RequestContextPtr context) {
  runtime::make_homebound<UpdateFeaturesOperation>(broker, std::move(context))->start();
}

}  // namespace weir::broker
