// The line of JSON that tells the process that started the broker where it listens.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/loop.h"

namespace weir::apps {

class Server;

// The address at which a process on this machine reaches the bound one.
runtime::Endpoint reachable(runtime::Endpoint bound);

// One object: `listeners`, each with `name`, `host` and `port` (where clients are told to connect to), `bound` (where it
// listens, with the real port) and `advertised` (null: clients are told the address they connected to); `http` unless it
// is off; `data_dir`; `pid`.
std::string ready_line(const Server& server, int64_t pid);
// Writes it to the descriptor and closes that.
void write_ready_line(int descriptor, const Server& server);

}  // namespace weir::apps
