// `weir log verify` and `weir log dump`: segment files (*.log), WAL files (*.wal), or folders of them. Reads only.
#pragma once

#include "cli/command_line.h"

namespace weir::apps {

// 0 if everything is intact, 1 if damage was found or a file could not be read, 2 if the arguments are wrong.
int run_log_command(const cli::LogCommand& command);

}  // namespace weir::apps
