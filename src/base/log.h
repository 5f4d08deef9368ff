// Process log. A line says what happened, why, and what to do. The sink is set once by the application; tests and
// simulation set their own. Thread-safe.
#pragma once

#include <fmt/core.h>

#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace weir {

enum class LogLevel { kDebug, kInfo, kWarn, kError };

using LogSink = std::function<void(LogLevel, std::string_view module, std::string_view message)>;
void set_log_sink(LogSink sink);  // before threads start; the default writes to stderr
// A line whose parts are known. As text: "<what>: <reason>. <remedy>".
struct LogEvent {
  std::string_view what;
  std::string_view reason;
  std::string_view remedy;
};
using LogEventSink = std::function<void(LogLevel, std::string_view module, const LogEvent& event)>;
void set_log_event_sink(LogEventSink sink);  // likewise; without one, events reach the sink of lines as text
void set_log_level(LogLevel lowest);         // default kInfo
bool log_enabled(LogLevel level);
void log_line(LogLevel level, std::string_view module, std::string_view message);
void log_event(LogLevel level, std::string_view module, const LogEvent& event);

template <typename... Args>
void log_debug(std::string_view module, fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(LogLevel::kDebug)) log_line(LogLevel::kDebug, module, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_info(std::string_view module, fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(LogLevel::kInfo)) log_line(LogLevel::kInfo, module, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_warn(std::string_view module, fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(LogLevel::kWarn)) log_line(LogLevel::kWarn, module, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_error(std::string_view module, fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(LogLevel::kError)) log_line(LogLevel::kError, module, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace weir
