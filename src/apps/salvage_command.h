// `weir log salvage`: storage/log/log_salvage.h on a data folder, and its report.
#pragma once

#include "cli/command_line.h"

namespace weir::apps {

// The exit code: 0 if nothing is damaged or all was applied, 1 otherwise.
int run_salvage(const cli::LogCommand& command);

}  // namespace weir::apps
