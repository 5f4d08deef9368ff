#include "base/log_levels.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace weir {
namespace {

class LogLevels : public ::testing::Test {
 protected:
  LogLevels() {
    set_log_sink([this](LogLevel, std::string_view module, std::string_view message) {
      lines_.push_back(std::string(module) + " " + std::string(message));
    });
  }
  ~LogLevels() override {
    for (const std::string_view module : log_modules()) clear_log_threshold(module);
    set_log_level(LogLevel::kInfo);
    set_log_sink({});
  }
  std::vector<std::string> lines_;
};

TEST_F(LogLevels, AModuleMaySayMoreThanTheRest) {
  set_log_threshold("wal", "DEBUG");
  log_debug("wal", "one");
  log_debug("storage", "two");
  log_debug("unheard of", "three");
  log_info("storage", "four");
  EXPECT_EQ(lines_, (std::vector<std::string>{"wal one", "storage four"}));
  clear_log_threshold("wal");
  log_debug("wal", "five");
  EXPECT_EQ(lines_.size(), 2u);
}

TEST_F(LogLevels, AModuleMayBeSilent) {
  set_log_threshold("wal", "FATAL");
  log_error("wal", "one");
  log_error("storage", "two");
  EXPECT_EQ(lines_, (std::vector<std::string>{"storage two"}));
}

TEST_F(LogLevels, TheRootRulesTheOthers) {
  set_log_threshold({}, "ERROR");
  EXPECT_EQ(log_threshold("wal"), "ERROR");
  EXPECT_FALSE(log_enabled(LogLevel::kWarn));
  set_log_threshold("wal", "WARN");
  EXPECT_TRUE(log_enabled(LogLevel::kWarn));
  log_warn("storage", "one");
  log_warn("wal", "two");
  EXPECT_EQ(lines_, (std::vector<std::string>{"wal two"}));
  set_log_threshold("wal", "LOUD");
  EXPECT_EQ(log_threshold("wal"), "WARN");
}

}  // namespace
}  // namespace weir
