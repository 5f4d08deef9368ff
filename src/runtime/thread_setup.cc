#include "runtime/thread_setup.h"

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

#include <cstdio>
#include <initializer_list>

namespace weir::runtime {

void name_thread(const char* name, unsigned number) {
  char text[16];
  std::snprintf(text, sizeof text, "%s-%u", name, number);
  ::pthread_setname_np(::pthread_self(), text);
}

void block_all_signals() {
  sigset_t all;
  ::sigfillset(&all);
  // Signals raised by the thread's own faults stay deliverable, or a crash would be silent.
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) ::sigdelset(&all, fault);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

void set_timer_slack(unsigned long ns) {
  ::prctl(PR_SET_TIMERSLACK, ns, 0, 0, 0);
}

}  // namespace weir::runtime
