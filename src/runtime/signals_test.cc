#include "runtime/signals.h"

#include <signal.h>
#include <unistd.h>

#include <vector>

#include "runtime/runtime_fixture.h"

namespace weir::runtime {
namespace {

class SignalWatchTest : public ::testing::TestWithParam<int> {};

TEST_P(SignalWatchTest, TurnsSignalsIntoTasks) {
  RealRuntime runtime({.loops = 1, .pool_threads = 1});
  std::vector<int> seen;
  SignalWatch watch(runtime.loop(0), [&](int signal_number) {
    seen.push_back(signal_number);
    EXPECT_TRUE(runtime.loop(0).in_loop());
    runtime.request_stop();
  });
  runtime.run();
  ASSERT_EQ(::kill(::getpid(), GetParam()), 0);
  runtime.wait();
  runtime.stop();
  EXPECT_EQ(seen, std::vector<int>{GetParam()});
}

INSTANTIATE_TEST_SUITE_P(Termination, SignalWatchTest, ::testing::Values(SIGTERM, SIGINT, SIGHUP, SIGQUIT));

TEST(SignalWatch, LeavesAnIgnoredHangUpIgnored) {
  const auto before = ::signal(SIGHUP, SIG_IGN);
  sigset_t blocked;
  ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, nullptr, &blocked), 0);
  sigset_t none;
  ::sigemptyset(&none);
  ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, &none, nullptr), 0);
  {
    RealRuntime runtime({.loops = 1, .pool_threads = 1});
    std::vector<int> seen;
    SignalWatch watch(runtime.loop(0), [&](int signal_number) {
      seen.push_back(signal_number);
      runtime.request_stop();
    });
    runtime.run();
    ASSERT_EQ(::kill(::getpid(), SIGHUP), 0);
    ASSERT_EQ(::kill(::getpid(), SIGTERM), 0);
    runtime.wait();
    runtime.stop();
    EXPECT_EQ(seen, std::vector<int>{SIGTERM});
  }
  ::signal(SIGHUP, before);
  ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, &blocked, nullptr), 0);
}

}  // namespace
}  // namespace weir::runtime
