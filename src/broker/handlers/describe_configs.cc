#include "broker/handlers/describe_configs.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/config/topic_config.h"
#include "broker/metadata/topic_name.h"
#include "protocol/messages/describe_configs.h"

namespace weir::broker {
namespace {

using protocol::DescribeConfigsRequest;
using protocol::DescribeConfigsResponse;
using protocol::ErrorCode;
using ConfigResult = DescribeConfigsResponse::DescribeConfigsResourceResult;
using Synonym = DescribeConfigsResponse::DescribeConfigsSynonym;

// Kinds of resources, as on the wire.
constexpr int8_t kTopicResource = 2;
constexpr int8_t kBrokerResource = 4;

int8_t wire_type(ConfigType type) {
  switch (type) {
    case ConfigType::kBoolean:
      return 1;
    case ConfigType::kString:
      return 2;
    case ConfigType::kInt:
      return 3;
    case ConfigType::kShort:
      return 4;
    case ConfigType::kLong:
      return 5;
    case ConfigType::kDouble:
      return 6;
    case ConfigType::kList:
      return 7;
    case ConfigType::kClass:
      return 8;
    case ConfigType::kPassword:
      return 9;
  }
  return 0;
}

class ConfigDescriber {
 public:
  ConfigDescriber(Broker& broker, RequestContext& context, const DescribeConfigsRequest& request)
      : broker_(broker), config_(broker.config()), context_(context), arena_(context.arena()), request_(request) {}

  void describe(const DescribeConfigsRequest::DescribeConfigsResource& asked, DescribeConfigsResponse::DescribeConfigsResult& result) {
    result.resource_type = asked.resource_type;
    result.resource_name = asked.resource_name;
    configs_.clear();
    if (asked.resource_type == kTopicResource) describe_topic(asked, result);
    else if (asked.resource_type == kBrokerResource) describe_broker(asked, result);
    else refuse(result, ErrorCode::kInvalidRequest, fmt::format("Unsupported resource type: {}", asked.resource_type));
    result.configs = arena_.array<ConfigResult>(configs_.size());
    std::copy(configs_.begin(), configs_.end(), result.configs.begin());
  }

 private:
  using Asked = DescribeConfigsRequest::DescribeConfigsResource;
  using Result = DescribeConfigsResponse::DescribeConfigsResult;

  static bool wanted(const Asked& asked, std::string_view name) {
    if (!asked.configuration_keys) return true;
    return std::find(asked.configuration_keys->begin(), asked.configuration_keys->end(), name) != asked.configuration_keys->end();
  }
  void refuse(Result& result, ErrorCode error, std::string_view message) {
    result.error_code = code(error);
    result.error_message = arena_.copy(message);
  }

  void describe_topic(const Asked& asked, Result& result) {
    if (auto fault = topic_name_fault(asked.resource_name)) return refuse(result, ErrorCode::kInvalidTopicException, *fault);
    const Topic* topic = broker_.shard(context_.loop().index()).image->find(asked.resource_name);
    if (topic == nullptr) return refuse(result, ErrorCode::kUnknownTopicOrPartition, {});
    const ConfigOverrides& overrides = topic->record.configs;
    for (const TopicConfigKey& key : topic_config_keys()) {
      if (!wanted(asked, key.key.name)) continue;
      const EffectiveConfig effective = effective_topic_config(key, overrides, config_);
      ConfigResult& config = configs_.emplace_back();
      config.name = key.key.name;
      config.value = arena_.copy(effective.value);
      config.config_source = static_cast<int8_t>(effective.source);
      config.config_type = wire_type(key.key.type);
      if (request_.include_documentation) config.documentation = key.key.doc;
      else config.documentation = std::nullopt;
      if (request_.include_synonyms) config.synonyms = topic_synonyms(key, overrides);
    }
  }

  // Where the value is looked for: the topic, then the broker keys that are set, then their default.
  std::span<Synonym> topic_synonyms(const TopicConfigKey& key, const ConfigOverrides& overrides) {
    std::vector<Synonym> found;
    if (const auto own = overrides.find(key.key.name); own != overrides.end()) {
      found.push_back({key.key.name, arena_.copy(own->second), static_cast<int8_t>(ConfigSource::kTopic)});
    }
    const auto add_broker_keys = [&](ConfigSource source) {
      for (const ConfigSynonym& synonym : key.synonyms) {
        if (synonym.broker_key == nullptr) continue;
        const ConfigKey* broker_key = find_broker_config_key(synonym.broker_key);
        if (broker_key == nullptr) continue;
        if (source == ConfigSource::kStaticBroker && config_.is_set(synonym.broker_key)) {
          found.push_back({synonym.broker_key, arena_.copy(config_.text(synonym.broker_key)), static_cast<int8_t>(source)});
        }
        if (source == ConfigSource::kDefault && broker_key->default_value != nullptr) {
          found.push_back({synonym.broker_key, broker_key->default_value, static_cast<int8_t>(source)});
        }
      }
    };
    add_broker_keys(ConfigSource::kStaticBroker);
    add_broker_keys(ConfigSource::kDefault);
    return in_arena(found);
  }

  void describe_broker(const Asked& asked, Result& result) {
    // The empty name asks for what was set dynamically for all brokers: nothing, so far.
    if (asked.resource_name.empty()) return;
    const std::string own = std::to_string(broker_.settings().node_id);
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    if (!std::all_of(asked.resource_name.begin(), asked.resource_name.end(), digit)) {
      return refuse(result, ErrorCode::kInvalidRequest,
                    fmt::format("Broker id must be an integer, but it is: {}", asked.resource_name));
    }
    if (asked.resource_name != own) {
      return refuse(result, ErrorCode::kInvalidRequest,
                    fmt::format("Unexpected broker id, expected {} or empty string, but received {}", own, asked.resource_name));
    }
    for (const ConfigKey& key : broker_config_keys()) {
      if (!wanted(asked, key.name)) continue;
      const bool set = config_.is_set(key.name);
      const auto source = static_cast<int8_t>(set ? ConfigSource::kStaticBroker : ConfigSource::kDefault);
      ConfigResult& config = configs_.emplace_back();
      config.name = key.name;
      config.is_sensitive = key.type == ConfigType::kPassword;
      config.value = std::nullopt;
      if (!config.is_sensitive && !config_.is_null(key.name)) config.value = arena_.copy(config_.text(key.name));
      config.read_only = !key.dynamic;
      config.config_source = source;
      config.config_type = wire_type(key.type);
      if (request_.include_documentation) config.documentation = key.doc;
      else config.documentation = std::nullopt;
      if (!request_.include_synonyms) continue;
      std::vector<Synonym> found;
      if (set) found.push_back({key.name, config.value, static_cast<int8_t>(ConfigSource::kStaticBroker)});
      if (key.default_value != nullptr) {
        found.push_back({key.name, config.is_sensitive ? std::nullopt : std::optional<std::string_view>(key.default_value),
                         static_cast<int8_t>(ConfigSource::kDefault)});
      }
      config.synonyms = in_arena(found);
    }
  }

  std::span<Synonym> in_arena(const std::vector<Synonym>& synonyms) {
    auto copy = arena_.array<Synonym>(synonyms.size());
    std::copy(synonyms.begin(), synonyms.end(), copy.begin());
    return copy;
  }

  Broker& broker_;
  const BrokerConfig& config_;
  RequestContext& context_;
  protocol::Arena& arena_;
  const DescribeConfigsRequest& request_;
  std::vector<ConfigResult> configs_;
};

}  // namespace

void handle_describe_configs(Broker& broker, RequestContextPtr context) {
  DescribeConfigsRequest request;
  if (!context->decode(request)) return;
  DescribeConfigsResponse response;
  response.results = context->arena().array<DescribeConfigsResponse::DescribeConfigsResult>(request.resources.size());
  ConfigDescriber describer(broker, *context, request);
  for (size_t i = 0; i < request.resources.size(); ++i) describer.describe(request.resources[i], response.results[i]);
  context->respond(response);
}

}  // namespace weir::broker
