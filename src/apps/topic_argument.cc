#include "apps/topic_argument.h"

#include <fmt/format.h>

#include <charconv>
#include <map>

#include "broker/config/topic_config.h"
#include "broker/metadata/topic_name.h"

namespace weir::apps {

namespace {

constexpr int32_t kPartitionsMax = 100'000;

}  // namespace

Result<TopicArgument> parse_topic_argument(std::string_view text) {
  const std::string_view all = text;
  TopicArgument topic;
  const std::string_view head = text.substr(0, text.find(','));
  const size_t colon = head.find(':');
  topic.name = head.substr(0, colon);
  if (topic.name.empty()) return fail(ErrorCode::kInvalid, fmt::format("--topic {}: the name is missing", all));
  if (const auto fault = broker::topic_name_fault(topic.name)) {
    return fail(ErrorCode::kInvalid, fmt::format("--topic {}: {}", all, *fault));
  }
  if (colon != std::string_view::npos) {
    const std::string_view number = head.substr(colon + 1);
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), topic.partitions);
    if (error != std::errc() || end != number.data() + number.size() || topic.partitions < 1 ||
        topic.partitions > kPartitionsMax) {
      return fail(ErrorCode::kInvalid,
                  fmt::format("--topic {}: '{}' is not a number of partitions (1 to {})", all, number, kPartitionsMax));
    }
  }
  std::string* last_value = nullptr;
  while (text.find(',') != std::string_view::npos) {
    text.remove_prefix(text.find(',') + 1);
    const std::string_view part = text.substr(0, text.find(','));
    const size_t equals = part.find('=');
    if (equals == std::string_view::npos) {
      if (!last_value) return fail(ErrorCode::kInvalid, fmt::format("--topic {}: '{}' is not key=value", all, part));
      *last_value += "," + std::string(part);
      continue;
    }
    last_value = &topic.configs[std::string(part.substr(0, equals))];
    *last_value = part.substr(equals + 1);
  }
  for (const auto& [name, value] : topic.configs) {
    if (auto ok = broker::check_topic_config(name, value); !ok) {
      return fail(ok.error().code, fmt::format("--topic {}: {}", all, ok.error().message));
    }
  }
  return topic;
}

Result<void> check_topic_arguments(const std::vector<TopicArgument>& topics, const broker::BrokerConfig& config) {
  std::map<std::string, std::string> names;  // as metrics show them -> as given
  for (const TopicArgument& topic : topics) {
    const auto [other, fresh] = names.emplace(broker::unify_collision_characters(topic.name), topic.name);
    if (!fresh && other->second == topic.name) {
      return fail(ErrorCode::kInvalid, fmt::format("--topic {} is given twice; give each topic once", topic.name));
    }
    if (!fresh) {
      return fail(ErrorCode::kInvalid, fmt::format("--topic {} and --topic {} differ in '.' and '_' only, which metrics "
                                                   "cannot tell apart; rename one",
                                                   other->second, topic.name));
    }
    if (auto ok = broker::check_topic_configs(topic.configs, config); !ok) {
      return fail(ok.error().code, fmt::format("--topic {}: {}", topic.name, ok.error().message));
    }
  }
  return {};
}

}  // namespace weir::apps
