#include "broker/handlers/incremental_alter_configs.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "broker/config/topic_config.h"
#include "protocol/messages/incremental_alter_configs.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;
using protocol::IncrementalAlterConfigsRequest;
using protocol::IncrementalAlterConfigsResponse;
using ResourceResponse = IncrementalAlterConfigsResponse::AlterConfigsResourceResponse;

constexpr int8_t kTopicResource = 2;
enum Operation : int8_t { kSet = 0, kDelete = 1, kAppend = 2, kSubtract = 3 };

struct Change {
  std::string name;
  int8_t operation = kSet;
  std::optional<std::string> value;
};

std::vector<std::string> split(std::string_view list) {
  std::vector<std::string> elements;
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (comma > 0) elements.emplace_back(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return elements;
}

std::string join(const std::vector<std::string>& elements) {
  std::string list;
  for (const std::string& element : elements) list += (list.empty() ? "" : ",") + element;
  return list;
}

Controller::Outcome refusal(ErrorCode error, std::string message) { return {error, std::move(message), nullptr}; }

// Adds the elements of `value` to the list in force, or takes them out of it.
Controller::Outcome change_list(const Change& change, ConfigOverrides& overrides, const BrokerConfig& broker) {
  const TopicConfigKey* key = find_topic_config_key(change.name);
  if (key == nullptr) return refusal(ErrorCode::kInvalidConfig, "Unknown topic config name: " + change.name);
  if (key->key.type != ConfigType::kList) {
    return refusal(ErrorCode::kInvalidConfig,
                   fmt::format("Can't {} to key {} because its type is not LIST.",
                               change.operation == kAppend ? "APPEND" : "SUBTRACT", change.name));
  }
  std::vector<std::string> elements = split(effective_topic_config(*key, overrides, broker).value);
  for (const std::string& element : split(*change.value)) {
    const auto present = std::find(elements.begin(), elements.end(), element);
    if (change.operation == kAppend && present == elements.end()) elements.push_back(element);
    if (change.operation == kSubtract && present != elements.end()) elements.erase(present);
  }
  overrides.insert_or_assign(change.name, join(elements));
  return {};
}

// The overrides as they are to be, or why they cannot be so.
Controller::Outcome apply(const std::vector<Change>& changes, ConfigOverrides& overrides, const BrokerConfig& broker) {
  std::set<std::string_view> names;
  for (const Change& change : changes) {
    if (!names.insert(change.name).second) return refusal(ErrorCode::kInvalidRequest, "Error due to duplicate config keys");
    if (change.operation < kSet || change.operation > kSubtract) {
      return refusal(ErrorCode::kInvalidRequest, fmt::format("Unknown operation {}", change.operation));
    }
    if (change.operation != kDelete && !change.value) {
      return refusal(ErrorCode::kInvalidRequest, "Null value not supported for : " + change.name);
    }
    if (change.operation == kSet) {
      overrides.insert_or_assign(change.name, *change.value);
    } else if (change.operation == kDelete) {
      if (find_topic_config_key(change.name) == nullptr) {
        return refusal(ErrorCode::kInvalidConfig, "Unknown topic config name: " + change.name);
      }
      overrides.erase(change.name);
    } else if (auto outcome = change_list(change, overrides, broker); outcome.error != ErrorCode::kNone) {
      return outcome;
    }
  }
  if (auto valid = check_topic_configs(overrides, broker); !valid) {
    return refusal(ErrorCode::kInvalidConfig, valid.error().message);
  }
  return {};
}

class IncrementalAlterConfigsOperation : public std::enable_shared_from_this<IncrementalAlterConfigsOperation> {
 public:
  IncrementalAlterConfigsOperation(Broker& broker, RequestContextPtr context)
      : broker_(broker), shard_(broker.shard(context->loop().index())), context_(std::move(context)) {}

  void start() {
    if (!context_->decode(request_)) return;
    response_.responses = context_->arena().array<ResourceResponse>(request_.resources.size());
    std::map<std::pair<int8_t, std::string_view>, int> times;
    for (const auto& resource : request_.resources) ++times[{resource.resource_type, resource.resource_name}];
    std::vector<Controller::ConfigChange> changes;
    for (size_t i = 0; i < request_.resources.size(); ++i) {
      const auto& resource = request_.resources[i];
      ResourceResponse& response = response_.responses[i];
      response.resource_type = resource.resource_type;
      response.resource_name = resource.resource_name;
      response.error_message = std::nullopt;
      if (times[{resource.resource_type, resource.resource_name}] > 1) {
        tell(response, refusal(ErrorCode::kInvalidRequest, "Each resource must appear at most once."));
      } else if (resource.resource_type != kTopicResource) {
        tell(response, refusal(ErrorCode::kInvalidRequest, "Only topic configs can be altered"));
      } else if (shard_.image->find(resource.resource_name) == nullptr) {
        tell(response, refusal(ErrorCode::kUnknownTopicOrPartition, fmt::format("The topic '{}' does not exist.", resource.resource_name)));
      } else {
        take(resource, response, changes);
      }
    }
    broker_.change_configs(shard_.index(), std::move(changes),
                           [self = shared_from_this()](Controller::Outcomes outcomes) { self->changed(std::move(outcomes)); });
  }

 private:
  void take(const IncrementalAlterConfigsRequest::AlterConfigsResource& resource, ResourceResponse& response,
            std::vector<Controller::ConfigChange>& changes) {
    std::vector<Change> wanted;
    for (const auto& config : resource.configs) {
      Change& change = wanted.emplace_back();
      change.name = config.name;
      change.operation = config.config_operation;
      if (config.value) change.value = std::string(*config.value);
    }
    if (request_.validate_only) {
      ConfigOverrides overrides = shard_.image->find(resource.resource_name)->record.configs;
      return tell(response, apply(wanted, overrides, broker_.config()));
    }
    changes.push_back({std::string(resource.resource_name), [wanted = std::move(wanted), &broker = broker_](ConfigOverrides& overrides) {
                         return apply(wanted, overrides, broker.config());
                       }});
    asked_.push_back(&response);
  }
  void tell(ResourceResponse& response, const Controller::Outcome& outcome) {
    response.error_code = code(outcome.error);
    if (!outcome.message.empty()) response.error_message = context_->arena().copy(outcome.message);
  }
  void changed(Controller::Outcomes outcomes) {
    for (size_t i = 0; i < outcomes.size(); ++i) tell(*asked_[i], outcomes[i]);
    context_->respond(response_);
  }

  Broker& broker_;
  BrokerShard& shard_;
  RequestContextPtr context_;
  IncrementalAlterConfigsRequest request_;
  IncrementalAlterConfigsResponse response_;
  std::vector<ResourceResponse*> asked_;
};

}  // namespace

void handle_incremental_alter_configs(Broker& broker, RequestContextPtr context) {
  std::make_shared<IncrementalAlterConfigsOperation>(broker, std::move(context))->start();
}

}  // namespace weir::broker
