#include "runtime/signals.h"

#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/check.h"

namespace weir::runtime {
namespace {
UniqueFd take_termination_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGINT);
  // Whoever started the process may have wished that it outlives the terminal (nohup).
  for (const int of_terminal : {SIGHUP, SIGQUIT}) {
    struct sigaction action{};
    WEIR_CHECK(::sigaction(of_terminal, nullptr, &action) == 0);
    if (action.sa_handler != SIG_IGN) ::sigaddset(&signals, of_terminal);
  }
  WEIR_CHECK(::pthread_sigmask(SIG_BLOCK, &signals, nullptr) == 0);
  WEIR_CHECK(::signal(SIGPIPE, SIG_IGN) != SIG_ERR);  // the reader of the log may go
  UniqueFd fd(::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
  WEIR_CHECK(fd);
  return fd;
}
}  // namespace

SignalWatch::SignalWatch(EpollLoop& loop, Function<void(int)> on_signal)
    : loop_(loop),
      fd_(take_termination_signals()),
      watch_(loop.watch(fd_.get(), EPOLLIN, *this)),
      on_signal_(std::move(on_signal)) {}

SignalWatch::~SignalWatch() { loop_.unwatch(watch_); }

void SignalWatch::on_events(uint32_t) {
  signalfd_siginfo info{};
  if (::read(fd_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    on_signal_(static_cast<int>(info.ssi_signo));
  }
}

}  // namespace weir::runtime
