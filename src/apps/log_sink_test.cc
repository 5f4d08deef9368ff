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

}  // namespace
}  // namespace weir::apps
