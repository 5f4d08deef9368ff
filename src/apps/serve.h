// `weir serve`: the Server on the real machine, with signals, the banner and the ready line.
#pragma once

#include "cli/command_line.h"

namespace weir::apps {

// Runs until SIGTERM, SIGINT, SIGHUP or SIGQUIT. Returns the process's exit code: 0 after a clean end, 2 if arguments,
// settings or topics asked for are wrong (they are, wherever they are tried), 1 if it could not start or failed.
int serve(const cli::ServeCommand& command);

}  // namespace weir::apps
