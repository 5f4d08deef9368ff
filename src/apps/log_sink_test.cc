#include "apps/log_sink.h"

#include <gtest/gtest.h>

namespace weir::apps {
namespace {

TEST(LogSink, JsonKeepsThePartsApartAndEscapes) {
  EXPECT_EQ(json_log_line("2026-01-02T03:04:05.678+0000", LogLevel::kWarn, "requests",
                          {.what = "slow \"x\"\n", .reason = "because\\", .remedy = "wait"}),
            "{\"time\":\"2026-01-02T03:04:05.678+0000\",\"level\":\"warn\",\"module\":\"requests\","
            "\"message\":\"slow \\\"x\\\"\\u000a\",\"reason\":\"because\\\\\",\"remedy\":\"wait\"}");
  EXPECT_EQ(json_log_line({}, LogLevel::kInfo, "server", {.what = "up", .reason = {}, .remedy = {}}),
            "\"level\":\"info\",\"module\":\"server\",\"message\":\"up\"}");
}

// A client id may be any bytes: one that is no text must not break the line for whoever reads it.
TEST(LogSink, BytesThatAreNoTextStayValidJson) {
  EXPECT_EQ(json_log_line({}, LogLevel::kInfo, "server", {.what = "client '\xff\xfe'", .reason = {}, .remedy = {}}),
            "\"level\":\"info\",\"module\":\"server\",\"message\":\"client '\xef\xbf\xbd\xef\xbf\xbd'\"}");
}

}  // namespace
}  // namespace weir::apps
