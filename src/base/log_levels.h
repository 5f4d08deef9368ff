// Levels of the process log by module, changed while the process runs. Kafka's names: TRACE is as much as DEBUG, FATAL
// lets nothing through. A module without a level of its own follows the root's. Thread-safe.
#pragma once

#include <span>
#include <string_view>

#include "base/log.h"

namespace weir {

// The modules that have a level; lines of others follow the root's.
std::span<const std::string_view> log_modules();
bool is_log_module(std::string_view name);

// The level in force; an empty name is the root.
std::string_view log_threshold(std::string_view module);
// `level` is one of TRACE, DEBUG, INFO, WARN, ERROR, FATAL and `module` is known or empty; otherwise nothing happens.
void set_log_threshold(std::string_view module, std::string_view level);
void clear_log_threshold(std::string_view module);

// Whether a line is let through.
bool log_allowed(LogLevel level, std::string_view module);

}  // namespace weir
