#include "broker/handlers/alter_configs.h"

#include <fmt/core.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "broker/admin/broker_loggers.h"
#include "broker/admin/config_changes.h"
#include "broker/admin/config_rights.h"
#include "broker/admin/controller_answers.h"
#include "broker/config/resource_config.h"
#include "broker/metadata/change_log.h"
#include "broker/requests/topic_resolver.h"
#include "protocol/messages/alter_configs.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "runtime/homebound.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;
using AlterableConfig = protocol::IncrementalAlterConfigsRequest::AlterableConfig;

int8_t operation_of(const AlterableConfig& config) { return config.config_operation; }
template <typename Config>
int8_t operation_of(const Config&) {
  return static_cast<int8_t>(ConfigOperation::kSet);
}

// Of one change: what is kept and changes nothing.
struct WithoutEffect {
  size_t outcome = 0;  // of which one
  size_t count = 0;
  std::string first;
};

WithoutEffect without_effect(const ResourceChange& change) {
  WithoutEffect found;
  const auto type = static_cast<ConfigResourceType>(change.type);
  const auto note = [&](const ConfigChange& one, std::string_view why) {
    if (found.count++ > 0) return;
    if (why.ends_with('.')) why.remove_suffix(1);
    found.first = fmt::format("{} of {} ({})", one.name, resource_text(type, change.name), why);
  };
  for (const ConfigChange& one : change.changes) {
    if (one.operation == static_cast<int8_t>(ConfigOperation::kDelete)) continue;
    if (type == ConfigResourceType::kGroup) {
      const ResourceConfigKey* key = find_resource_key(group_resource_keys(), one.name);
      if (key && key->key.support == ConfigSupport::kNoEffect) note(one, "such groups are not served");
    }
    if (type != ConfigResourceType::kBroker) continue;
    const ConfigKey* key = find_broker_config_key(one.name);
    if (key && key->support == ConfigSupport::kNoEffect) note(one, key->doc);
  }
  return found;
}

// Request and Response: of one of the two APIs.
template <typename Request, typename Response>
class AlterConfigsOperation : public runtime::Homebound {
 public:
  AlterConfigsOperation(Broker& broker, RequestContextPtr context)
      : Homebound(context->loop()),
        broker_(broker),
        shard_(broker.shard(context->loop().index())),
        context_(std::move(context)),
        answers_(context_->arena()) {}

  void start() {
    if (!context_->decode(request_)) return;
    response_.responses = context_->arena().template array<ResourceResponse>(request_.resources.size());
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
        answers_.tell(response, {ErrorCode::kInvalidRequest, "Each resource must appear at most once.", nullptr});
      } else {
        take(change_of(resource), response, changes);
      }
    }
    broker_.change_configs(Caller(*context_), std::move(changes), [self = runtime::HomeRef(this)](Controller::Outcomes outcomes) {
      self->answers_.tell_all(outcomes);
      self->tell_of_no_effect(outcomes);
      self->context_->respond(self->response_);
    });
  }

 private:
  using ResourceResponse = typename decltype(Response::responses)::value_type;
  static constexpr bool kIncremental = std::is_same_v<Request, protocol::IncrementalAlterConfigsRequest>;

  template <typename Resource>
  static ResourceChange change_of(const Resource& resource) {
    ResourceChange change;
    change.type = resource.resource_type;
    change.name = resource.resource_name;
    change.replaces_all = !kIncremental;
    for (const auto& config : resource.configs) {
      ConfigChange& one = change.changes.emplace_back();
      one.name = config.name;
      one.operation = operation_of(config);
      if (config.value) one.value = std::string(*config.value);
    }
    return change;
  }

  void take(ResourceChange change, ResourceResponse& response, std::vector<Controller::ConfigChange>& changes) {
    const auto type = static_cast<ConfigResourceType>(change.type);
    Controller::Outcome outcome;
    outcome.error = config_denial(*context_, change.type, change.name);
    if (outcome.error != ErrorCode::kNone) return answers_.tell(response, outcome);
    if (!kIncremental && type == ConfigResourceType::kBrokerLogger) {
      outcome = {ErrorCode::kInvalidRequest, fmt::format("Unknown resource type {}", change.type), nullptr};
    } else {
      outcome = check_change(change, shard_.image->self().id);
    }
    if (outcome.error == ErrorCode::kNone && type == ConfigResourceType::kTopic) {
      const ResolvedTopic topic = TopicResolver(*context_, *shard_.image).find(change.name);
      if (!topic) outcome = {topic.error, fmt::format("The topic '{}' does not exist.", change.name), nullptr};
    }
    if (outcome.error != ErrorCode::kNone) return answers_.tell(response, outcome);
    if (type == ConfigResourceType::kBrokerLogger) return alter_loggers(change, response);
    if (request_.validate_only) return answers_.tell(response, validate(change));
    if (WithoutEffect found = without_effect(change); found.count > 0) {
      found.outcome = changes.size();
      if (without_effect_.size() >= kWithoutEffectTold) found.first.clear();
      without_effect_.push_back(std::move(found));
    }
    std::string name = change.name;
    changes.push_back(
        {type, std::move(name), [change = std::move(change)](ConfigOverrides& overrides, const BrokerConfig& config) {
           return apply_change(change, overrides, config);
         }});
    answers_.expect(response);
  }

  // A client that sets a session timeout or a number of threads should learn from the log why nothing changes. One line a
  // request.
  void tell_of_no_effect(const Controller::Outcomes& outcomes) {
    std::string told;
    size_t left = 0;
    for (const WithoutEffect& one : without_effect_) {
      if (outcomes[one.outcome].error != ErrorCode::kNone) continue;
      left += one.count;
      if (one.first.empty()) continue;
      --left;
      told += (told.empty() ? "" : ", ") + one.first;
    }
    if (told.empty() && left == 0) return;
    if (left > 0) told += fmt::format("{}{} more", told.empty() ? "" : " and ", left);
    tell_change(shard_, *context_, fmt::format("Kept, but without effect here: {};", told));
  }

  void alter_loggers(const ResourceChange& change, ResourceResponse& response) {
    const auto before = broker_loggers();
    const Controller::Outcome outcome = change_loggers(change.changes, request_.validate_only);
    for (const auto& [module, level] : broker_loggers()) {
      if (before.at(module) == level) continue;
      tell_change(shard_, *context_, fmt::format("Level of logger {} changed from {} to {}", module, before.at(module), level));
    }
    answers_.tell(response, outcome);
  }

  Controller::Outcome validate(const ResourceChange& change) const {
    const auto type = static_cast<ConfigResourceType>(change.type);
    ConfigOverrides overrides;
    if (type == ConfigResourceType::kTopic) overrides = shard_.image->find(change.name)->record.configs;
    else if (const auto present = shard_.image->find_configs(type, change.name)) overrides = present->overrides;
    return apply_change(change, overrides, *shard_.image->config());
  }

  Broker& broker_;
  BrokerShard& shard_;
  RequestContextPtr context_;
  Request request_;
  Response response_;
  ControllerAnswers<ResourceResponse> answers_;
  static constexpr size_t kWithoutEffectTold = 3;
  std::vector<WithoutEffect> without_effect_;
};

}  // namespace

void handle_alter_configs(Broker& broker, RequestContextPtr context) {
  using Operation = AlterConfigsOperation<protocol::AlterConfigsRequest, protocol::AlterConfigsResponse>;
  runtime::make_homebound<Operation>(broker, std::move(context))->start();
}

void handle_incremental_alter_configs(Broker& broker, RequestContextPtr context) {
  using Operation = AlterConfigsOperation<protocol::IncrementalAlterConfigsRequest, protocol::IncrementalAlterConfigsResponse>;
  runtime::make_homebound<Operation>(broker, std::move(context))->start();
}

}  // namespace weir::broker
