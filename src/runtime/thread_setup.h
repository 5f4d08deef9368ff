// How every thread of the runtime is made.
#pragma once

#include <thread>

#include "base/function.h"
#include "base/result.h"

namespace weir::runtime {

// Runs `body` on a thread that ps and perf show as "name-number" (at most 15 characters). It takes no signals: those of
// termination are SignalWatch's, and a send to a closed socket must not raise SIGPIPE (sendfile has no flag against it).
// The error names the limits that refuse threads.
Result<std::thread> make_thread(const char* name, unsigned number, Function<void()> body);
// Lets the kernel delay this thread's timed waits by at most `ns` (its default of 50 us blurs waits of 0.5
// ms).
void set_timer_slack(unsigned long ns);

}  // namespace weir::runtime
