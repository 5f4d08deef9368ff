#include "broker/handlers/describe_configs.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "broker/admin/broker_loggers.h"
#include "broker/admin/config_rights.h"
#include "broker/config/resource_config.h"
#include "broker/config/topic_config.h"
#include "broker/metadata/topic_name.h"
#include "broker/requests/topic_resolver.h"
#include "protocol/messages/describe_configs.h"
#include "runtime/homebound.h"

namespace weir::broker {
namespace {

using protocol::DescribeConfigsRequest;
using protocol::DescribeConfigsResponse;
using protocol::ErrorCode;
using ConfigResult = DescribeConfigsResponse::DescribeConfigsResourceResult;
using Synonym = DescribeConfigsResponse::DescribeConfigsSynonym;

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
  ConfigDescriber(RequestContext& context, const MetadataImage& image, const DescribeConfigsRequest& request)
      : node_id_(image.self().id),
        context_(context),
        image_(image),
        topics_(context, image, {.invalid_names = InvalidNames::kTold}),
        config_(*image_.config()),
        arena_(context.arena()),
        request_(request) {}

  void describe(const DescribeConfigsRequest::DescribeConfigsResource& asked,
                DescribeConfigsResponse::DescribeConfigsResult& result) {
    result.resource_type = asked.resource_type;
    result.resource_name = asked.resource_name;
    configs_.clear();
    names_.clear();
    const ErrorCode denial = config_denial(context_, asked.resource_type, asked.resource_name);
    if (denial != ErrorCode::kNone) {
      return refuse(result, denial, denial_text(denial));
    }
    if (asked.configuration_keys) names_.insert(asked.configuration_keys->begin(), asked.configuration_keys->end());
    switch (static_cast<ConfigResourceType>(asked.resource_type)) {
      case ConfigResourceType::kTopic:
        describe_topic(asked, result);
        break;
      case ConfigResourceType::kBroker:
        describe_broker(asked, result);
        break;
      case ConfigResourceType::kBrokerLogger:
        describe_loggers(asked, result);
        break;
      case ConfigResourceType::kClientMetrics:
        describe_client_metrics(asked, result);
        break;
      case ConfigResourceType::kGroup:
        describe_group(asked, result);
        break;
      default:
        refuse(result, ErrorCode::kInvalidRequest,
               fmt::format("Unexpected resource type {} for resource {}", asked.resource_type, asked.resource_name));
    }
    result.configs = arena_.array<ConfigResult>(configs_.size());
    std::copy(configs_.begin(), configs_.end(), result.configs.begin());
  }

 private:
  using Asked = DescribeConfigsRequest::DescribeConfigsResource;
  using Result = DescribeConfigsResponse::DescribeConfigsResult;

  bool wanted(std::string_view name) const { return names_.empty() || names_.contains(name); }
  void refuse(Result& result, ErrorCode error, std::string_view message) {
    result.error_code = code(error);
    result.error_message = arena_.copy(message);
  }

  // Fills in one config. The first of `synonyms` is the source of its value.
  ConfigResult& add(const ConfigKey& key, std::optional<std::string_view> value, const std::vector<Synonym>& synonyms) {
    ConfigResult& config = configs_.emplace_back();
    config.name = key.name;
    config.is_sensitive = key.type == ConfigType::kPassword;
    config.value = std::nullopt;
    if (value && !config.is_sensitive) config.value = arena_.copy(described_config_value(key, *value));
    config.config_source = synonyms.empty() ? static_cast<int8_t>(ConfigSource::kDefault) : synonyms.front().source;
    config.config_type = wire_type(key.type);
    config.documentation = std::nullopt;
    if (request_.include_documentation) config.documentation = key.doc;
    if (!request_.include_synonyms) return config;
    config.synonyms = arena_.array<Synonym>(synonyms.size());
    std::copy(synonyms.begin(), synonyms.end(), config.synonyms.begin());
    return config;
  }
  std::vector<Synonym> broker_synonyms(const char* broker_key) {
    std::vector<Synonym> found;
    for (const ConfigSynonymValue& synonym : config_.synonyms(broker_key)) {
      Synonym& one = found.emplace_back();
      one.value = std::nullopt;
      if (request_.include_synonyms) {
        one.name = arena_.copy(synonym.name);
        if (synonym.value) one.value = arena_.copy(*synonym.value);
      }
      one.source = static_cast<int8_t>(synonym.source);
    }
    return found;
  }
  Synonym synonym(std::string_view name, std::string_view value, ConfigSource source) {
    if (!request_.include_synonyms) return {{}, {}, static_cast<int8_t>(source)};
    return {arena_.copy(name), arena_.copy(value), static_cast<int8_t>(source)};
  }

  // A resource's own value is told parsed here as well, as by Kafka; those of the broker are not.
  Synonym own_synonym(const ConfigKey& key, std::string_view value, ConfigSource source) {
    return synonym(key.name, request_.include_synonyms ? described_config_value(key, value) : std::string(), source);
  }

  // Of a resource with overrides above broker keys.
  void add_resource(std::span<const ResourceConfigKey> keys, const ConfigOverrides& overrides, ConfigSource own,
                    bool with_defaults) {
    for (const ResourceConfigKey& key : keys) {
      if (!wanted(key.key.name)) continue;
      const EffectiveConfig effective = effective_resource_config(key, overrides, config_, own);
      std::vector<Synonym> synonyms;
      if (overrides.contains(key.key.name)) synonyms.push_back(own_synonym(key.key, effective.value, own));
      if (const char* broker_key = key.synonyms[0].broker_key) {
        const std::vector<Synonym> below = broker_synonyms(broker_key);
        synonyms.insert(synonyms.end(), below.begin(), below.end());
      } else if (with_defaults) {
        synonyms.push_back(synonym(key.key.name, key.key.default_value, ConfigSource::kDefault));
      }
      add(key.key, effective.value, synonyms);
    }
  }

  void describe_topic(const Asked& asked, Result& result) {
    const ResolvedTopic topic = topics_.find(asked.resource_name);
    if (topic.error == ErrorCode::kInvalidTopicException) {
      return refuse(result, topic.error, topic_name_fault(asked.resource_name).value_or(""));
    }
    if (!topic) {
      result.error_code = code(topic.error);
      return;
    }
    add_resource(topic_config_keys(), topic->record.configs, ConfigSource::kTopic, false);
  }

  ConfigOverrides overrides_of(ConfigResourceType type, std::string_view name) const {
    const auto record = image_.find_configs(type, name);
    return record ? record->overrides : ConfigOverrides();
  }
  void describe_group(const Asked& asked, Result& result) {
    if (asked.resource_name.empty()) return refuse(result, ErrorCode::kInvalidRequest, "Group name must not be empty");
    add_resource(group_resource_keys(), overrides_of(ConfigResourceType::kGroup, asked.resource_name), ConfigSource::kGroup,
                 true);
  }
  void describe_client_metrics(const Asked& asked, Result& result) {
    if (asked.resource_name.empty()) {
      return refuse(result, ErrorCode::kInvalidRequest, "Client metrics subscription name must not be empty");
    }
    add_resource(client_metrics_keys(), overrides_of(ConfigResourceType::kClientMetrics, asked.resource_name),
                 ConfigSource::kClientMetrics, false);
  }

  // Whether the name is this broker's id.
  bool own_broker(const Asked& asked, Result& result, std::string_view expected) {
    int32_t id = 0;
    const char* end = asked.resource_name.data() + asked.resource_name.size();
    const auto [at, error] = std::from_chars(asked.resource_name.data(), end, id);
    if (error != std::errc() || at != end) {
      refuse(result, ErrorCode::kInvalidRequest, fmt::format("Broker id must be an integer, but it is: {}", asked.resource_name));
      return false;
    }
    if (id != node_id_) {
      refuse(result, ErrorCode::kInvalidRequest,
             fmt::format("Unexpected broker id, expected {}{} but received {}", node_id_, expected, asked.resource_name));
      return false;
    }
    return true;
  }

  void describe_broker(const Asked& asked, Result& result) {
    if (asked.resource_name.empty()) return describe_all_brokers();
    if (!own_broker(asked, result, " or empty string,")) return;
    for (const ConfigKey& key : broker_config_keys()) {
      if ((key.internal && !config_.is_set(key.name)) || !wanted(key.name)) continue;
      add(key, config_.described(key), broker_synonyms(key.name)).read_only = !key.dynamic;
    }
  }
  // The overrides of all brokers.
  void describe_all_brokers() {
    for (const auto& [name, value] : config_.dynamic_of_all_brokers()) {
      if (!wanted(name)) continue;
      add(*find_broker_config_key(name), value, {synonym(name, value, ConfigSource::kDynamicDefaultBroker)});
    }
  }

  void describe_loggers(const Asked& asked, Result& result) {
    if (asked.resource_name.empty()) return refuse(result, ErrorCode::kInvalidRequest, "Broker id must not be empty");
    if (!own_broker(asked, result, "")) return;
    for (const auto& [name, level] : broker_loggers()) {
      if (!wanted(name)) continue;
      ConfigResult& config = configs_.emplace_back();
      config.name = arena_.copy(name);
      config.value = arena_.copy(level);
      config.config_source = static_cast<int8_t>(ConfigSource::kBrokerLogger);
    }
  }

  const int32_t node_id_;
  const RequestContext& context_;
  const MetadataImage& image_;
  const TopicResolver topics_;
  const BrokerConfig& config_;
  protocol::Arena& arena_;
  const DescribeConfigsRequest& request_;
  std::vector<ConfigResult> configs_;
  std::unordered_set<std::string_view> names_;  // of the keys asked for; empty: all
};

// Thousands of resources make an answer of a hundred megabytes, and seconds of work. So the work is done in slices. A resource
// that is named again is not answered again.
class DescribeConfigs final : public runtime::Homebound {
 public:
  DescribeConfigs(Broker& broker, RequestContextPtr context)
      : Homebound(context->loop()), broker_(broker), context_(std::move(context)) {}

  void start() {
    if (!context_->decode(request_)) return;
    image_ = broker_.shard(context_->loop().index()).image;
    resources_.clear();
    std::set<std::pair<int8_t, std::string_view>> named;
    uint64_t bytes = 0;
    for (const Resource& asked : request_.resources) {
      if (!named.emplace(asked.resource_type, asked.resource_name).second) continue;
      resources_.push_back(&asked);
      bytes += answer_bytes(asked);
    }
    response_.results = context_->arena().array<DescribeConfigsResponse::DescribeConfigsResult>(resources_.size());
    if (bytes > context_->most_answer_bytes()) return refuse_all();
    if (!context_->reserve(bytes)) return;
    describer_.emplace(*context_, *image_, request_);
    describe_slice();
  }

 private:
  using Resource = DescribeConfigsRequest::DescribeConfigsResource;
  static constexpr size_t kSliceKeys = 1000;  // about a millisecond

  static size_t keys_of(const Resource& asked) {
    switch (static_cast<ConfigResourceType>(asked.resource_type)) {
      case ConfigResourceType::kTopic:
        return topic_config_keys().size();
      case ConfigResourceType::kBroker:
        return broker_config_keys().size();
      case ConfigResourceType::kBrokerLogger:
        return broker_loggers().size();
      case ConfigResourceType::kClientMetrics:
        return client_metrics_keys().size();
      case ConfigResourceType::kGroup:
        return group_resource_keys().size();
    }
    return 1;
  }
  // At most, decoded and encoded. Long texts of overrides count on top.
  uint64_t answer_bytes(const Resource& asked) const {
    const uint64_t of_key = 250 + (request_.include_synonyms ? 400u : 0u) + (request_.include_documentation ? 350u : 0u);
    return keys_of(asked) * of_key + text_bytes(asked) * (request_.include_synonyms ? 4 : 2);
  }
  uint64_t text_bytes(const Resource& asked) const {
    const auto type = static_cast<ConfigResourceType>(asked.resource_type);
    const auto of = [&](std::string_view name) -> uint64_t {
      const auto record = image_->find_configs(type, name);
      return record ? bytes_of(record->overrides) : 0;
    };
    switch (type) {
      case ConfigResourceType::kTopic: {
        const ResolvedTopic topic = TopicResolver(*context_, *image_).find(asked.resource_name);
        return !topic ? 0 : bytes_of(topic->record.configs);
      }
      case ConfigResourceType::kBroker:  // its own, and those for all
        return of(asked.resource_name) + of("");
      case ConfigResourceType::kGroup:
      case ConfigResourceType::kClientMetrics:
        return of(asked.resource_name);
      case ConfigResourceType::kBrokerLogger:
        return 0;
    }
    return 0;  // no type that there is
  }
  static uint64_t bytes_of(const ConfigOverrides& overrides) {
    uint64_t bytes = 0;
    for (const auto& [name, value] : overrides) bytes += value.size();
    return bytes;
  }

  void refuse_all() {
    for (size_t i = 0; i < resources_.size(); ++i) {
      response_.results[i].resource_type = resources_[i]->resource_type;
      response_.results[i].resource_name = resources_[i]->resource_name;
      response_.results[i].error_code = code(ErrorCode::kInvalidRequest);
      response_.results[i].error_message =
          "The answer would take more memory than there is for one; describe fewer resources at once.";
    }
    context_->respond(response_);
  }

  void describe_slice() {
    if (context_->connection_closed()) return;
    for (size_t keys = 0; done_ < resources_.size() && keys < kSliceKeys; ++done_) {
      describer_->describe(*resources_[done_], response_.results[done_]);
      keys += keys_of(*resources_[done_]);
    }
    if (done_ == resources_.size()) return context_->respond(response_);
    context_->loop().post([self = runtime::HomeRef(this), this] { describe_slice(); });
  }

  Broker& broker_;
  RequestContextPtr context_;
  DescribeConfigsRequest request_;
  DescribeConfigsResponse response_;
  MetadataImagePtr image_;
  std::vector<const Resource*> resources_;
  std::optional<ConfigDescriber> describer_;
  size_t done_ = 0;
};

}  // namespace

void handle_describe_configs(Broker& broker, RequestContextPtr context) {
  runtime::make_homebound<DescribeConfigs>(broker, std::move(context))->start();
}

}  // namespace weir::broker
