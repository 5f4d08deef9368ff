#include "base/log.h"

#include <cstdio>

#include "base/log_levels.h"

namespace weir {
namespace {
LogSink& sink() {
  static auto* instance = new LogSink();
  return *instance;
}
LogEventSink& event_sink() {
  static auto* instance = new LogEventSink();
  return *instance;
}
}  // namespace

void set_log_event_sink(LogEventSink s) { event_sink() = std::move(s); }
void set_log_sink(LogSink s) { sink() = std::move(s); }

void log_line(LogLevel level, std::string_view module, std::string_view message) {
  if (!log_allowed(level, module)) return;
  if (sink()) {
    sink()(level, module, message);
    return;
  }
  static constexpr const char* kNames[] = {"DEBUG", "INFO", "WARN", "ERROR"};
  fmt::print(stderr, "{} [{}] {}\n", kNames[static_cast<int>(level)], module, message);
}

void log_event(LogLevel level, std::string_view module, const LogEvent& event) {
  if (!log_allowed(level, module)) return;
  if (event_sink()) {
    event_sink()(level, module, event);
    return;
  }
  log_line(level, module, fmt::format("{}: {}. {}", event.what, event.reason, event.remedy));
}

}  // namespace weir
