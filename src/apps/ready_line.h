// The line of JSON that tells whoever started the broker where it is.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/loop.h"

namespace weir::apps {

class Server;

// Where a process on this machine finds what is bound there.
runtime::Endpoint reachable(runtime::Endpoint bound);

// One object: `listeners`, each with `name`, `host` and `port` (where clients are told to connect to), `bound` (where it
// listens, with the real port) and `advertised` (null: clients are told the address they connected to); `http` unless it
// is off; `data_dir`; `pid`.
std::string ready_line(const Server& server, int64_t pid);
// Writes it to the descriptor and closes that.
void write_ready_line(int descriptor, const Server& server);

}  // namespace weir::apps
