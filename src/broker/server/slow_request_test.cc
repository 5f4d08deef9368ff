#include "broker/server/slow_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir::broker {
namespace {

using runtime::kMillisecond;
using ::testing::HasSubstr;
using ::testing::Not;

SlowRequest produce() {
  SlowRequest request;
  request.api = "Produce";
  request.version = 11;
  request.client_id = "loader\n7";
  request.peer = {"10.0.0.9", 4711};
  request.threshold_ms = 1000;
  request.moments = {.received = 0,
                     .dispatched = 2 * kMillisecond,
                     .handled = 5 * kMillisecond,
                     .answered = 1505 * kMillisecond,
                     .turn = 1505 * kMillisecond,
                     .sent = 1506 * kMillisecond};
  return request;
}

TEST(SlowRequest, SaysWhoseWhereTheTimeWentAndWhatHelps) {
  const SlowRequestText text = describe(produce());
  EXPECT_EQ(text.what,
            "Slow request: Produce version 11 of client 'loader?7' at 10.0.0.9:4711 took 1506 ms "
            "(weir.slow.request.ms=1000)");
  EXPECT_EQ(text.reason,
            "most of it went into the log and other shards: waiting for its turn 2 ms, handler 3 ms, log "
            "and other shards 1500 ms, sending 1 ms");
  EXPECT_THAT(std::string(text.remedy), HasSubstr("weir_wal_flush_seconds"));
}

TEST(SlowRequest, WaitingThatWasAskedForIsNotSlow) {
  SlowRequest fetch = produce();
  fetch.api = "Fetch";
  fetch.allowed_wait_ms = 1400;
  fetch.moments.sent = 3505 * kMillisecond;
  const SlowRequestText text = describe(fetch);
  EXPECT_THAT(text.what, HasSubstr("took 2105 ms"));
  EXPECT_THAT(text.reason, HasSubstr("sending the answer"));
  EXPECT_THAT(text.reason, HasSubstr("1400 ms that the client asked to wait"));
}

TEST(RequestMoments, AnAnswerInsideTheHandlerHasNoRemoteTime) {
  const RequestMoments moments{.received = 10, .dispatched = 20, .handled = 90, .answered = 60, .turn = 60, .sent = 100};
  EXPECT_EQ(moments.queue(), 10);
  EXPECT_EQ(moments.local(), 40);
  EXPECT_EQ(moments.remote(), 0);
  EXPECT_EQ(moments.send(), 40);
  EXPECT_EQ(moments.queue() + moments.local() + moments.remote() + moments.send(), moments.total());
}

}  // namespace
}  // namespace weir::broker
