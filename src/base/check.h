// Assertions for bugs: always on, print where and stop the process (state in memory is no longer to be trusted; what
// was acknowledged is on disk).
#pragma once

namespace weir {
[[noreturn]] void check_failed(const char* expression, const char* file, int line);
}

#define WEIR_CHECK(expression) (static_cast<bool>(expression) ? void(0) : ::weir::check_failed(#expression, __FILE__, __LINE__))
