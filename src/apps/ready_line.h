// The line of JSON that tells whoever started the broker where it is.
#pragma once

#include <string>

namespace weir::apps {

class Server;

std::string ready_line(const Server& server, int64_t pid);
// Writes it to the descriptor and closes that.
void write_ready_line(int descriptor, const Server& server);

}  // namespace weir::apps
