#include "apps/log_sink.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string>

#include "base/json.h"
#include "base/log.h"
#include "base/printable.h"

namespace weir::apps {

namespace {

spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return spdlog::level::debug;
    case LogLevel::kInfo: return spdlog::level::info;
    case LogLevel::kWarn: return spdlog::level::warn;
    case LogLevel::kError: return spdlog::level::err;
  }
  return spdlog::level::info;
}

const char* name_of(LogLevel level) {
  static constexpr const char* kNames[] = {"debug", "info", "warn", "error"};
  return kNames[static_cast<size_t>(level)];
}

std::shared_ptr<spdlog::logger> make_logger(const std::string& pattern) {
  auto logger = std::make_shared<spdlog::logger>("weir", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  logger->set_pattern(pattern);
  logger->set_level(spdlog::level::debug);
  logger->flush_on(spdlog::level::debug);
  return logger;
}

void install_text_sink() {
  auto logger = make_logger("%Y-%m-%dT%H:%M:%S.%e%z %^%-5l%$ %v");
  set_log_event_sink({});
  set_log_sink([logger](LogLevel level, std::string_view module, std::string_view message) {
    // What a client sent may be part of a message.
    logger->log(level_of(level), "[{}] {}", module, one_line(message));
  });
}

void install_json_sink() {
  // The time is written by spdlog's pattern, in front of the rest of the object.
  auto logger = make_logger("{\"time\":\"%Y-%m-%dT%H:%M:%S.%e%z\",%v");
  const auto write = [logger](LogLevel level, std::string_view module, const LogEvent& event) {
    logger->log(level_of(level), "{}", json_log_line({}, level, module, event));
  };
  set_log_event_sink(write);
  set_log_sink([write](LogLevel level, std::string_view module, std::string_view message) {
    write(level, module, {.what = message, .reason = {}, .remedy = {}});
  });
}

}  // namespace

std::string json_log_line(std::string_view time, LogLevel level, std::string_view module, const LogEvent& event) {
  std::string out;
  if (!time.empty()) out += fmt::format("{{\"time\":\"{}\",", time);
  out += fmt::format("\"level\":\"{}\",\"module\":\"{}\",\"message\":", name_of(level), module);
  append_json_string(out, event.what);
  if (!event.reason.empty()) {
    out += ",\"reason\":";
    append_json_string(out, event.reason);
  }
  if (!event.remedy.empty()) {
    out += ",\"remedy\":";
    append_json_string(out, event.remedy);
  }
  out += '}';
  return out;
}

void install_log_sink(bool verbose, LogFormat format) {
  set_log_level(verbose ? LogLevel::kDebug : LogLevel::kInfo);
  if (format == LogFormat::kJson) install_json_sink();
  else install_text_sink();
}

}  // namespace weir::apps
