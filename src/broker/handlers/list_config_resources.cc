#include "broker/handlers/list_config_resources.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "protocol/messages/list_config_resources.h"

namespace weir::broker {

void handle_list_config_resources(Broker& broker, RequestContextPtr context) {
  using enum ConfigResourceType;
  protocol::ListConfigResourcesRequest request;
  if (!context->decode(request)) return;
  protocol::ListConfigResourcesResponse response;
  std::vector<ConfigResourceType> supported{kClientMetrics};
  if (context->version() >= 1) supported = {kGroup, kClientMetrics, kBrokerLogger, kBroker, kTopic};
  const auto wanted = [&](ConfigResourceType type) {
    if (std::find(supported.begin(), supported.end(), type) == supported.end()) return false;
    if (request.resource_types.empty()) return true;
    return std::find(request.resource_types.begin(), request.resource_types.end(), static_cast<int8_t>(type)) !=
           request.resource_types.end();
  };
  for (const int8_t type : request.resource_types) {
    if (std::find(supported.begin(), supported.end(), static_cast<ConfigResourceType>(type)) != supported.end()) continue;
    response.error_code = code(protocol::ErrorCode::kUnsupportedVersion);
    return context->respond(response);
  }
  const MetadataImagePtr image = broker.shard(context->loop().index()).image;  // names in the response are its
  constexpr uint64_t kTopicBytes = 512;
  if (!context->reserve(std::min(kTopicBytes * image->topic_count(), context->most_answer_bytes()))) return;
  std::vector<std::pair<std::string_view, ConfigResourceType>> found;
  std::vector<std::shared_ptr<const ConfigRecord>> records;
  for (const ConfigResourceType type : {kGroup, kClientMetrics}) {
    if (!wanted(type)) continue;
    for (auto& record : image->configs_of(type)) {
      found.emplace_back(record->name, type);
      records.push_back(std::move(record));
    }
  }
  std::vector<std::string> nodes;
  for (const BrokerPtr& node : image->brokers()) nodes.push_back(std::to_string(node->id));
  for (const ConfigResourceType type : {kBrokerLogger, kBroker}) {
    if (!wanted(type)) continue;
    for (const std::string& node : nodes) found.emplace_back(node, type);
  }
  if (wanted(kTopic)) image->for_each([&](const TopicPtr& topic) { found.emplace_back(topic->name(), kTopic); });
  response.config_resources = context->arena().array<protocol::ListConfigResourcesResponse::ConfigResource>(found.size());
  for (size_t i = 0; i < found.size(); ++i) {
    response.config_resources[i].resource_name = found[i].first;
    response.config_resources[i].resource_type = static_cast<int8_t>(found[i].second);
  }
  context->respond(response);
}

}  // namespace weir::broker
