#include "apps/data_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "testing/manual_loop.h"

namespace weir::apps {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class DataFolderTest : public ::testing::Test {
 protected:
  void write(const std::string& name, std::string_view text) {
    ASSERT_TRUE(world_.files().create_directories("/data"));
    auto file = world_.files().open("/data/" + name, {.write = true, .create = true, .truncate = true});
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->write_at(0, as_bytes(text)));
    ASSERT_TRUE((*file)->sync());
    ASSERT_TRUE(world_.files().sync_directory("/data"));
  }
  std::string refusal(int32_t node_id = 1) {
    const auto opened = DataFolder::open(world_.files(), "/data", node_id);
    return opened ? "" : opened.error().message;
  }
  testing::ManualLoop world_;
};

TEST_F(DataFolderTest, RemembersWhoItBelongsTo) {
  {
    auto folder = DataFolder::open(world_.files(), "/data", 1);
    ASSERT_TRUE(folder) << folder.error().message;
    EXPECT_TRUE((*folder)->first_start());
    ASSERT_TRUE((*folder)->settle("abc"));
  }
  auto folder = DataFolder::open(world_.files(), "/data", 1);
  ASSERT_TRUE(folder);
  EXPECT_FALSE((*folder)->first_start());
  EXPECT_EQ((*folder)->cluster_id(), "abc");
  EXPECT_TRUE((*folder)->settle("abc"));
  EXPECT_FALSE((*folder)->settle("other"));
  folder->reset();
  EXPECT_THAT(refusal(2), HasSubstr("node.id 1"));
}

TEST_F(DataFolderTest, SurvivesAPowerCutAtAnyWriteOfTheFirstStart) {
  for (uint64_t point = 1; point < 20; ++point) {
    testing::SimDisk disk(point);
    disk.cut_at_write(point);
    if (auto folder = DataFolder::open(disk, "/data", 1)) (void)(*folder)->settle("abc");
    disk.cut_power();
    auto again = DataFolder::open(disk, "/data", 1);
    ASSERT_TRUE(again) << "cut at " << point << ": " << again.error().message;
    EXPECT_TRUE((*again)->settle("abc"));
  }
}

TEST_F(DataFolderTest, OneProcessAtATime) {
  auto folder = DataFolder::open(world_.files(), "/data", 1);
  ASSERT_TRUE(folder);
  EXPECT_THAT(refusal(), HasSubstr("in use by another process"));
}

TEST_F(DataFolderTest, RefusesWhatIsNotOursAndLeavesItAlone) {
  write("holiday.jpg", "x");
  EXPECT_THAT(refusal(), HasSubstr("holiday.jpg"));
  EXPECT_FALSE(world_.disk().has("/data/.lock"));
}

TEST_F(DataFolderTest, FindsACopyThatWentIntoTheFolder) {
  write("lost+found", "");
  ASSERT_TRUE(world_.files().create_directories("/data/weir-2026-01-31"));
  write("weir-2026-01-31/meta.properties", "version=1\nweir.format.version=1\nnode.id=1\ncluster.id=abc\n");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("/data/weir-2026-01-31 in it is one"), HasSubstr("nothing was changed")));
  EXPECT_FALSE(world_.disk().has("/data/.lock"));
  write("meta.properties", "version=1\nweir.format.version=1\nnode.id=1\ncluster.id=abc\n");
  std::string logged;
  set_log_sink([&](LogLevel, std::string_view, std::string_view line) { logged += line; });
  EXPECT_EQ(refusal(), "");
  set_log_sink({});
  EXPECT_THAT(logged, HasSubstr("/data/weir-2026-01-31, which is not served"));
}

TEST_F(DataFolderTest, RefusesANewerFormatUntouched) {
  const std::string text = "version=1\nweir.format.version=2\nnode.id=1\ncluster.id=abc\n";
  write("meta.properties", text);
  const auto files = world_.disk().all_files();
  EXPECT_THAT(refusal(), HasSubstr("newer version"));
  EXPECT_EQ(world_.disk().all_files(), files);
}

TEST_F(DataFolderTest, RefusesTheDataOfApacheKafka) {
  write("meta.properties", "version=1\nnode.id=1\ndirectory.id=x\ncluster.id=y\n");
  EXPECT_THAT(refusal(), HasSubstr("Apache Kafka"));
}

TEST_F(DataFolderTest, RefusesGarbage) {
  write("meta.properties", "weir.format.version=banana\n");
  EXPECT_THAT(refusal(), HasSubstr("not a number"));
}

TEST_F(DataFolderTest, TellsADamagedMarkFromTheDataOfApacheKafka) {
  for (const char* text : {"garbage", "", "=", "weir.format.versio"}) {
    write("meta.properties", text);
    EXPECT_THAT(refusal(), AllOf(HasSubstr("meta.properties is damaged"), Not(HasSubstr("Apache Kafka")))) << text;
  }
  // With our data beside it, even Kafka's keys do not make it Kafka's: ours has them, too.
  write("meta.db", "x");
  write("meta.properties", "version=1\nnode.id=1\ncluster.id=y\n");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("meta.properties is damaged"), Not(HasSubstr("Apache Kafka"))));
}

TEST_F(DataFolderTest, NeverPointsAwayFromDataWhoseMarkIsMissing) {
  for (const char* name : {"meta.db", "manifest.db", "wal"}) {
    write(name, "x");
    EXPECT_THAT(refusal(), AllOf(HasSubstr("meta.properties is missing"), HasSubstr(name), Not(HasSubstr("empty")))) << name;
    EXPECT_FALSE(world_.disk().has("/data/.lock"));
    ASSERT_TRUE(world_.files().remove("/data/" + std::string(name)));
  }
}

TEST_F(DataFolderTest, AMarkWrittenAnewAsTheMessageSaysIsEnough) {
  write("meta.db", "x");
  write("meta.properties", "version=1\nweir.format.version=1\nnode.id=1\n");
  auto folder = DataFolder::open(world_.files(), "/data", 1);
  ASSERT_TRUE(folder) << folder.error().message;
  EXPECT_TRUE((*folder)->settle("abc"));
}

}  // namespace
}  // namespace weir::apps
