#include "runtime/signals.h"

#include <signal.h>
#include <unistd.h>

#include <vector>

#include "runtime/runtime_fixture.h"

namespace weir::runtime {
namespace {

TEST(SignalWatch, TurnsSignalsIntoTasks) {
  RealRuntime runtime({.loops = 1, .pool_threads = 1});
  std::vector<int> seen;
  SignalWatch watch(runtime.loop(0), [&](int signal_number) {
    seen.push_back(signal_number);
    EXPECT_TRUE(runtime.loop(0).in_loop());
    runtime.request_stop();
  });
  runtime.run();
  ASSERT_EQ(::kill(::getpid(), SIGTERM), 0);
  runtime.wait();
  runtime.stop();
  EXPECT_EQ(seen, std::vector<int>{SIGTERM});
}

}  // namespace
}  // namespace weir::runtime
