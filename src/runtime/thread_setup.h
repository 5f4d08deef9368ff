// What every thread of the runtime does first.
#pragma once

namespace weir::runtime {

// Shown by ps and perf: `name` and a number, at most 15 characters.
void name_thread(const char* name, unsigned number);
// Termination signals are taken by SignalWatch, and a send to a closed socket must not raise SIGPIPE
// (sendfile has no flag against it).
void block_all_signals();
// Lets the kernel delay this thread's timed waits by at most `ns` (its default of 50 us blurs waits of 0.5
// ms).
void set_timer_slack(unsigned long ns);

}  // namespace weir::runtime
