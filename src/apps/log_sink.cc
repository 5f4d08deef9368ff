#include "apps/log_sink.h"

#include <fmt/format.h>
#include <poll.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <memory>
#include <mutex>
#include <string>

#include "base/json.h"
#include "base/log.h"
#include "base/printable.h"

namespace weir::apps {

namespace {

spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

const char* name_of(LogLevel level) {
  static constexpr const char* kNames[] = {"debug", "info", "warn", "error"};
  return kNames[static_cast<size_t>(level)];
}

// Standard error, as long as it takes lines: a pipe or a terminal that nobody reads must not stop the threads that serve clients.
// Lines that do not fit are left out, and counted.
class StderrSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  using LineOf = std::string (*)(std::string_view message);  // a warning of the log itself
  explicit StderrSink(LineOf line_of) : line_of_(line_of) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    if (!takes(message.payload.size())) {
      ++left_out_;
      return;
    }
    if (left_out_ > 0) {
      const std::string text = line_of_(fmt::format("{} lines are missing here, for nobody read the log", left_out_));
      spdlog::details::log_msg note = message;
      note.level = spdlog::level::warn;
      note.payload = text;
      left_out_ = 0;
      colored_.log(note);
    }
    colored_.log(message);
  }
  void flush_() override { colored_.flush(); }
  void set_formatter_(std::unique_ptr<spdlog::formatter> formatter) override { colored_.set_formatter(std::move(formatter)); }

  // A pipe that is ready has room for a page.
  static bool takes(size_t bytes) {
    constexpr size_t kPage = 4096, kFrame = 256;
    pollfd descriptor{STDERR_FILENO, POLLOUT, 0};
    if (::poll(&descriptor, 1, 0) == 1 && (descriptor.revents & (POLLERR | POLLNVAL)) != 0) return true;  // fails at once
    if ((descriptor.revents & POLLOUT) == 0) return false;
    int waiting = 0;
    return bytes + kFrame <= kPage || ::ioctl(STDERR_FILENO, FIONREAD, &waiting) != 0 || waiting == 0;
  }

  const LineOf line_of_;
  spdlog::sinks::stderr_color_sink_st colored_;
  uint64_t left_out_ = 0;
};

std::shared_ptr<spdlog::logger> make_logger(const std::string& pattern, StderrSink::LineOf line_of) {
  auto logger = std::make_shared<spdlog::logger>("weir", std::make_shared<StderrSink>(line_of));
  logger->set_pattern(pattern);
  logger->set_level(spdlog::level::debug);
  logger->flush_on(spdlog::level::debug);
  return logger;
}

void install_text_sink() {
  auto logger = make_logger("%Y-%m-%dT%H:%M:%S.%e%z %^%-5l%$ %v",
                            [](std::string_view message) { return fmt::format("[log] {}", message); });
  set_log_event_sink({});
  set_log_sink([logger](LogLevel level, std::string_view module, std::string_view message) {
    // What a client sent may be part of a message.
    logger->log(level_of(level), "[{}] {}", module, one_line(message));
  });
}

void install_json_sink() {
  // The time is written by spdlog's pattern, in front of the rest of the object.
  auto logger = make_logger("{\"time\":\"%Y-%m-%dT%H:%M:%S.%e%z\",%v", [](std::string_view message) {
    return json_log_line({}, LogLevel::kWarn, "log", {.what = message, .reason = {}, .remedy = {}});
  });
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
