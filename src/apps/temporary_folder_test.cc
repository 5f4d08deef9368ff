#include "apps/temporary_folder.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <climits>
#include <filesystem>
#include <fstream>
#include <optional>

namespace weir::apps {
namespace {

namespace fs = std::filesystem;

class TemporaryFolderTest : public ::testing::Test {
 protected:
  TemporaryFolderTest() {
    if (const char* before = ::getenv("TMPDIR")) before_ = before;
    std::string pattern = (fs::temp_directory_path() / "sweep-XXXXXX").string();
    place_ = ::mkdtemp(pattern.data());
    ::setenv("TMPDIR", place_.c_str(), 1);
  }
  ~TemporaryFolderTest() override {
    if (before_) ::setenv("TMPDIR", before_->c_str(), 1);
    else ::unsetenv("TMPDIR");
    fs::remove_all(place_);
  }
  void make(const std::string& name, bool marked) {
    fs::create_directories(place_ / name / "data");
    if (marked) std::ofstream(place_ / name / ".weir-temporary") << "";
    std::ofstream(place_ / name / "data" / "x.log") << "x";
  }

  static size_t sweep(int files = INT_MAX) {
    return TemporaryFolder::sweep([files]() mutable { return files-- == 0; });
  }

  fs::path place_;
  std::optional<std::string> before_;
};

TEST_F(TemporaryFolderTest, GoesWithItsObject) {
  std::string path;
  {
    auto folder = TemporaryFolder::create();
    ASSERT_TRUE(folder) << folder.error().message;
    path = folder->path();
    EXPECT_TRUE(fs::exists(path));
  }
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(TemporaryFolderTest, ASweepTakesWhatTheDeadLeftAndNothingElse) {
  auto alive = TemporaryFolder::create();
  ASSERT_TRUE(alive);
  make("weir-killed", true);      // 11 characters, a marker that nobody holds
  make("weir-nobody", false);     // no marker: somebody else's
  make("weir-other-tool", true);  // not a name that we give
  fs::create_directory_symlink(place_ / "weir-other-tool", place_ / "weir-linked");
  EXPECT_EQ(sweep(), 1u);
  EXPECT_FALSE(fs::exists(place_ / "weir-killed"));
  for (const char* name : {"weir-nobody", "weir-other-tool", "weir-linked"}) EXPECT_TRUE(fs::exists(place_ / name)) << name;
  EXPECT_TRUE(fs::exists(alive->path()));
  EXPECT_EQ(sweep(), 0u);
}

TEST_F(TemporaryFolderTest, ASweepThatEndsEarlyLeavesTheRestToTheNext) {
  make("weir-killed", true);
  for (int i = 0; i < 5; ++i) std::ofstream(place_ / "weir-killed" / "data" / std::to_string(i)) << "x";
  EXPECT_EQ(sweep(3), 0u);
  EXPECT_TRUE(fs::exists(place_ / "weir-killed" / ".weir-temporary"));
  EXPECT_EQ(sweep(), 1u);
  EXPECT_FALSE(fs::exists(place_ / "weir-killed"));
}

TEST_F(TemporaryFolderTest, WhatSomebodyServesFromIsKept) {
  make("weir-killed", true);
  TemporaryFolder::keep((place_ / "weir-killed" / "data").string() + "/");
  EXPECT_EQ(sweep(), 0u);
  EXPECT_TRUE(fs::exists(place_ / "weir-killed" / "data" / "x.log"));
  auto alive = TemporaryFolder::create();
  ASSERT_TRUE(alive);
  fs::create_directories(alive->path() + "/data");
  TemporaryFolder::keep(alive->path() + "/data");
  EXPECT_TRUE(fs::exists(alive->path() + "/.weir-temporary")) << "its owner lives";
}

}  // namespace
}  // namespace weir::apps
