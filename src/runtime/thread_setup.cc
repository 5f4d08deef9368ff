#include "runtime/thread_setup.h"

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <cstdio>
#include <initializer_list>
#include <string>
#include <system_error>
#include <utility>

namespace weir::runtime {
namespace {

void block_all_signals() {
  sigset_t all;
  ::sigfillset(&all);
  // Signals raised by the thread's own faults stay deliverable, or a crash would be silent.
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) ::sigdelset(&all, fault);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

std::string process_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NPROC, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return "unlimited";
  return std::to_string(limit.rlim_cur);
}

}  // namespace

Result<std::thread> make_thread(const char* name, unsigned number, Function<void()> body) {
  char text[16];
  std::snprintf(text, sizeof text, "%s-%u", name, number);
  try {
    return std::thread([title = std::string(text), run = std::move(body)]() mutable {
      ::pthread_setname_np(::pthread_self(), title.c_str());
      block_all_signals();
      run();
    });
  } catch (const std::system_error& error) {
    return fail_errno(std::string("cannot start the thread ") + text +
                          " (raise the limit of the user's processes and threads, ulimit -u or LimitNPROC, which is " +
                          process_limit() + ", or that of the container, pids.max or TasksMax, or give it memory)",
                      error.code().value());
  }
}

void set_timer_slack(unsigned long ns) { ::prctl(PR_SET_TIMERSLACK, ns, 0, 0, 0); }

}  // namespace weir::runtime
