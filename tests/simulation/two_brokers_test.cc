// Two brokers that know nothing of each other, on two machines of one world. The fate of one does not touch the other.
#include <gtest/gtest.h>

#include "base/log.h"
#include "simulation/small_broker.h"

namespace weir::simulation {
namespace {

using protocol::ErrorCode;
using testing::Death;
using testing::SimRuntime;

struct TwoBrokers : ::testing::TestWithParam<uint64_t> {
  TwoBrokers() { set_log_level(LogLevel::kError); }
  SimRuntime sim{GetParam(), {.machines = 2, .loops = 2}};
  SmallBroker first{sim, 0, 9092}, second{sim, 1, 9093};
};

TEST_P(TwoBrokers, OneServesWhileTheOtherDiesAndComesBack) {
  sim.disk(0).cut_at_write(1 + GetParam() * 5);
  // The world stands still at the first death.
  for (int i = 0; i < 1000 && !sim.disk(0).dead(); ++i) {
    (void)first.produce();
    if (!sim.disk(0).dead()) (void)second.produce();
  }
  ASSERT_TRUE(sim.disk(0).dead());
  first.kill(Death::kPowerCut);
  for (int i = 0; i < 10; ++i) ASSERT_EQ(second.produce(), ErrorCode::kNone);
  first.start();
  EXPECT_EQ(first.missing(), "");
  EXPECT_EQ(first.produce(), ErrorCode::kNone);
  EXPECT_EQ(second.missing(), "");
}

TEST_P(TwoBrokers, ClockDiskAndLinksAreOfTheirOwn) {
  sim.shift_wall_clock(-3'600'000, 0);
  sim.network().block(SimRuntime::kClientHost, SimRuntime::host_of(0), true);
  for (int i = 0; i < 5; ++i) ASSERT_EQ(second.produce(), ErrorCode::kNone);
  sim.network().heal();
  for (int i = 0; i < 5; ++i) ASSERT_EQ(first.produce(), ErrorCode::kNone);
  EXPECT_EQ(first.missing(), "");
  EXPECT_EQ(second.missing(), "");
}

INSTANTIATE_TEST_SUITE_P(Seeds, TwoBrokers, ::testing::Range<uint64_t>(1, 9));

}  // namespace
}  // namespace weir::simulation
