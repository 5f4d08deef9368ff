// The process log on stderr: a line says when, how bad, which part, and what. Colours on a terminal only.
#pragma once

namespace weir::apps {

void install_log_sink(bool verbose);

}  // namespace weir::apps
