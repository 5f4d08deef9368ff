#include "apps/overlay_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "runtime/posix_file_system.h"
#include "testing/temp_dir.h"

namespace weir::apps {
namespace {

using ::testing::ElementsAre;

class OverlayFilesTest : public ::testing::Test {
 protected:
  OverlayFilesTest() {
    put(below_, "a/one", "first");
    put(below_, "a/two", "second");
    EXPECT_TRUE(below_.create_directories(path("b/empty")));
    auto created = OverlayFiles::create(below_);
    EXPECT_TRUE(created);
    overlay_ = std::move(*created);
    before_ = below_contents();
  }
  // Whatever was done, what is below is as it was.
  ~OverlayFilesTest() override { EXPECT_EQ(below_contents(), before_); }

  std::string path(const std::string& name) const { return dir_.path() + "/" + name; }
  void put(runtime::FileSystem& files, const std::string& name, const std::string& text) {
    EXPECT_TRUE(files.create_directories(path(name.substr(0, name.rfind('/')))));
    auto file = files.open(path(name), {.write = true, .create = true, .truncate = true});
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->write_at(0, as_bytes(text)));
  }
  std::string get(const std::string& name) {
    auto file = overlay_->open(path(name), {});
    if (!file) return "-";
    std::string text(100, '\0');
    auto got = (*file)->read_at(0, {reinterpret_cast<uint8_t*>(text.data()), text.size()});
    EXPECT_TRUE(got);
    text.resize(got.value_or(0));
    return text;
  }
  std::vector<std::string> names(const std::string& folder) {
    std::vector<std::string> found;
    auto entries = overlay_->list(path(folder));
    if (!entries) return {"-"};
    for (const auto& entry : *entries)
      found.push_back(entry.name + (entry.is_directory ? "/" : ":" + std::to_string(entry.size)));
    return found;
  }
  std::map<std::string, std::uintmax_t> below_contents() const {
    std::map<std::string, std::uintmax_t> found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(dir_.path())) {
      found[entry.path().string()] = entry.is_regular_file() ? entry.file_size() : 0;
    }
    return found;
  }

  testing::TempDir dir_;
  runtime::PosixFileSystem below_{runtime::FlushEngineKind::kAuto};
  std::unique_ptr<OverlayFiles> overlay_;
  std::map<std::string, std::uintmax_t> before_;
};

TEST_F(OverlayFilesTest, WhatIsWrittenIsSeenHereOnly) {
  EXPECT_EQ(get("a/one"), "first");
  auto file = overlay_->open(path("a/one"), {.write = true});
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->write_at(5, as_bytes(" and more")));
  EXPECT_EQ(get("a/one"), "first and more");
  put(*overlay_, "a/new", "3rd");
  put(*overlay_, "a/two", "2");
}

TEST_F(OverlayFilesTest, NamesComeAndGo) {
  ASSERT_TRUE(overlay_->remove(path("a/one")));
  EXPECT_EQ(get("a/one"), "-");
  EXPECT_FALSE(overlay_->exists(path("a/one")).value_or(true));
  EXPECT_FALSE(overlay_->remove(path("a/one")));
  EXPECT_FALSE(overlay_->open(path("a/one"), {.write = true}));
  ASSERT_TRUE(overlay_->rename(path("a/two"), path("a/one")));
  EXPECT_EQ(get("a/one"), "second");
  // A file that was renamed is still that of below.
  put(*overlay_, "a/one", "x");
  EXPECT_EQ(get("a/one"), "x");
  EXPECT_FALSE(overlay_->open(path("a/one"), {.write = true, .create = true, .exclusive = true}));
}

TEST_F(OverlayFilesTest, AFolderThatWasRemovedComesBackEmpty) {
  ASSERT_TRUE(overlay_->rename(path("a"), path("c")));
  ASSERT_TRUE(overlay_->create_directories(path("a")));
  EXPECT_EQ(get("a/one"), "-");
  ASSERT_TRUE(overlay_->remove_all(path("c")));
}

TEST_F(OverlayFilesTest, ALockIsTheRealOneIfThereIsOne) {
  EXPECT_TRUE(overlay_->lock(path("a/.lock"))) << "nobody can hold it";
  auto held = below_.lock(path("a/one"));
  ASSERT_TRUE(held);
  EXPECT_EQ(overlay_->lock(path("a/one")).error().code, ErrorCode::kExists);
}

}  // namespace
}  // namespace weir::apps
