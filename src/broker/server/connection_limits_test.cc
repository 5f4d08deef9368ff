// The limits of connections: their number, and their time.
#include "broker/server/connection_fixture.h"

namespace weir::broker {
namespace {

TEST_P(EitherSocketTest, IdleConnectionsAreClosedButNotThoseThatWaitForUs) {
  answer_at_once_ = false;
  FakePeer& idle = connect();
  FakePeer& waiting = connect();
  FakePeer& active = connect();
  waiting.send(list_groups(1));
  for (int minute = 0; minute < 11; ++minute) {
    world_.advance(60 * runtime::kSecond);
    active.send(list_groups(minute));
    answer(std::move(held_.back()));
    held_.pop_back();
  }
  EXPECT_TRUE(idle.closed);
  EXPECT_FALSE(waiting.closed);
  EXPECT_FALSE(active.closed);
  EXPECT_EQ(limits_.connections(), 2);
}

TEST(ConnectionLimits, KeepsDescriptorsBackForTheBrokersOwnFiles) {
  EXPECT_EQ(ConnectionLimits::descriptors_for_connections(100), 50);
  EXPECT_EQ(ConnectionLimits::descriptors_for_connections(1024), 512);
  EXPECT_EQ(ConnectionLimits::descriptors_for_connections(4096), 3072);
  EXPECT_EQ(ConnectionLimits::descriptors_for_connections(1 << 20), (1 << 20) - 2048);
  ConnectionLimits limits(1'000'000, 1'000'000, 4);
  EXPECT_EQ(limits.admit("a"), nullptr);
  EXPECT_EQ(limits.admit("a"), nullptr);
  ASSERT_NE(limits.admit("a"), nullptr);
  EXPECT_NE(std::string(limits.admit("a")).find("ulimit -n"), std::string::npos);
  limits.leave("a");
  EXPECT_EQ(limits.admit("a"), nullptr);
}

TEST_P(EitherSocketTest, EnforcesTheLimitsOfConnections) {
  for (int i = 0; i < 3; ++i) connect("10.0.0.1");
  EXPECT_TRUE(connect("10.0.0.1").closed);
  FakePeer& other = connect("10.0.0.2");
  EXPECT_FALSE(other.closed);
  peers_[0].finish();
  turn();
  EXPECT_FALSE(connect("10.0.0.1").closed);
  limits_.set_limits(4, 10);
  EXPECT_TRUE(connect("10.0.0.3").closed);
  EXPECT_EQ(metrics_.refused.total(), 2);
  EXPECT_EQ(metrics_.connections(), 4);
}

}  // namespace
}  // namespace weir::broker
