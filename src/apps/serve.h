// `weir serve`: the Server on the real machine, with signals, the banner and the ready line.
#pragma once

#include "cli/command_line.h"

namespace weir::apps {

// Runs until SIGTERM or SIGINT. Answers the process's exit code: 0 after a clean end, 1 if it could not start or failed,
// 2 if the arguments are wrong.
int serve(const cli::ServeCommand& command);

}  // namespace weir::apps
