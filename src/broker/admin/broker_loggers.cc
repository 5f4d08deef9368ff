#include "broker/admin/broker_loggers.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <optional>

#include "base/log_levels.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;

constexpr std::string_view kRoot = "root";
// In the order in which Kafka lists them.
constexpr std::string_view kLevels[] = {"DEBUG", "ERROR", "FATAL", "INFO", "TRACE", "WARN"};

Controller::Outcome refusal(ErrorCode error, std::string message) { return {error, std::move(message), nullptr}; }

Controller::Outcome check(const ConfigChange& change) {
  const auto operation = static_cast<ConfigOperation>(change.operation);
  if (operation == ConfigOperation::kAppend || operation == ConfigOperation::kSubtract) {
    return refusal(ErrorCode::kInvalidRequest, fmt::format("{} operation is not allowed for the BROKER_LOGGER resource",
                                                           operation == ConfigOperation::kAppend ? "APPEND" : "SUBTRACT"));
  }
  if (change.name != kRoot && !is_log_module(change.name)) {
    return refusal(ErrorCode::kInvalidConfig,
                   fmt::format("Logger {} does not exist! There are {}, {}", change.name, kRoot, fmt::join(log_modules(), ", ")));
  }
  if (operation == ConfigOperation::kDelete) {
    if (change.name != kRoot) return {};
    return refusal(ErrorCode::kInvalidRequest, "Removing the log level of the root logger is not allowed");
  }
  if (std::find(std::begin(kLevels), std::end(kLevels), *change.value) == std::end(kLevels)) {
    return refusal(ErrorCode::kInvalidConfig,
                   fmt::format("Cannot set the log level of {} to {} as it is not a supported log level. Valid log levels are {}",
                               change.name, *change.value, "DEBUG, ERROR, FATAL, INFO, TRACE, WARN"));
  }
  return {};
}

}  // namespace

std::map<std::string, std::string> broker_loggers() {
  std::map<std::string, std::string> loggers;
  loggers.emplace(kRoot, log_threshold({}));
  for (const std::string_view module : log_modules()) loggers.emplace(module, log_threshold(module));
  return loggers;
}

Controller::Outcome change_loggers(const std::vector<ConfigChange>& changes, bool validate_only) {
  for (const ConfigChange& change : changes) {
    if (auto outcome = check(change); outcome.error != ErrorCode::kNone) return outcome;
  }
  if (validate_only) return {};
  for (const ConfigChange& change : changes) {
    const std::string_view module = change.name == kRoot ? std::string_view() : std::string_view(change.name);
    if (static_cast<ConfigOperation>(change.operation) == ConfigOperation::kDelete) clear_log_threshold(module);
    else set_log_threshold(module, *change.value);
  }
  return {};
}

}  // namespace weir::broker
