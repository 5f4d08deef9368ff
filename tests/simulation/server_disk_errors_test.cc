// A whole broker on a disk that fails. It refuses produce requests with an error that clients retry, goes on serving reads, and
// finds every acknowledged record after a restart.
#include <gtest/gtest.h>

#include "base/log.h"
#include "simulation/small_broker.h"

namespace weir::simulation {
namespace {

using protocol::ErrorCode;
using testing::DiskOperation;
using testing::SimRuntime;

TEST(ServerOnABadDisk, AFailedFlushRefusesUntilTheRestart) {
  set_log_level(LogLevel::kError);
  SimRuntime sim(7, SimRuntime::Options{.loops = 2});
  SmallBroker broker(sim, 0, 9092);
  for (int i = 0; i < 50; ++i) ASSERT_EQ(broker.produce(), ErrorCode::kNone);
  sim.disk().inject({.operation = DiskOperation::kDurableWriteEnd});
  EXPECT_EQ(broker.produce(), ErrorCode::kKafkaStorageError);
  EXPECT_EQ(broker.produce(), ErrorCode::kKafkaStorageError) << "the flush that failed was the only one that could";
  EXPECT_EQ(broker.missing(), "");
  broker.restart(testing::Death::kPowerCut);
  EXPECT_EQ(broker.missing(), "");
  EXPECT_EQ(broker.produce(), ErrorCode::kNone);
}

}  // namespace
}  // namespace weir::simulation
