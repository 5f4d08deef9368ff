// Kafka's rules for topic names.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace weir::broker {

// Returns why `name` cannot be a topic's name, in Kafka's words. Nothing if it can.
std::optional<std::string> topic_name_fault(std::string_view name);

// Metric names do not tell '.' from '_'. Two names that are equal after this cannot both exist.
bool has_collision_characters(std::string_view name);
std::string unify_collision_characters(std::string_view name);

}  // namespace weir::broker
