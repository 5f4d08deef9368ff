// The process log on stderr: a line says when, how bad, which part, and what. As text (colours on a terminal only), or as
// one JSON object a line with the keys time, level, module, message and, where they are known apart, reason and remedy.
#pragma once

#include <string>
#include <string_view>

#include "base/log.h"

namespace weir::apps {

enum class LogFormat { kText, kJson };
void install_log_sink(bool verbose, LogFormat format);

// One line of the JSON format, without the line's end.
std::string json_log_line(std::string_view time, LogLevel level, std::string_view module, const LogEvent& event);

}  // namespace weir::apps
