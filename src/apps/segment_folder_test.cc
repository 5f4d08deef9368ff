#include "apps/segment_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/data_folder.h"
#include "testing/manual_loop.h"

namespace weir::apps {
namespace {

using ::testing::HasSubstr;

class SegmentFolderTest : public ::testing::Test {
 protected:
  Result<std::unique_ptr<SegmentFolder>> open(int32_t node_id = 1, const std::string& cluster = "abc") {
    auto folder = SegmentFolder::look(world_.files(), "/more", node_id, cluster, Uuid::from_random(5, ++fresh_));
    if (!folder) return folder;
    if (auto taken = (*folder)->take(); !taken) return std::unexpected(taken.error());
    return folder;
  }
  std::string refusal(int32_t node_id = 1, const std::string& cluster = "abc") {
    const auto opened = open(node_id, cluster);
    return opened ? "" : opened.error().message;
  }
  uint64_t fresh_ = 0;
  testing::ManualLoop world_;
};

TEST_F(SegmentFolderTest, HasItsIdOnceItIsMarked) {
  Uuid id;
  for (int i = 0; i < 2; ++i) {
    auto folder = open();
    ASSERT_TRUE(folder) << folder.error().message;
    EXPECT_TRUE((*folder)->fresh()) << "was only looked at";
    id = (*folder)->id();
    if (i == 1) {
      ASSERT_TRUE((*folder)->mark());
    }
  }
  auto folder = open();
  ASSERT_TRUE(folder) << folder.error().message;
  EXPECT_FALSE((*folder)->fresh());
  EXPECT_EQ((*folder)->id(), id);
  EXPECT_THAT(refusal(), HasSubstr("in use"));
  folder->reset();
  EXPECT_THAT(refusal(2), HasSubstr("/more belongs to node.id 1 of cluster abc"));
  EXPECT_THAT(refusal(1, "other"), HasSubstr("this broker is node.id 1 of cluster other"));
  const auto as_home = DataFolder::open(world_.files(), "/more", 1);
  ASSERT_FALSE(as_home);
  EXPECT_THAT(as_home.error().message, HasSubstr("first in log.dirs"));
}

TEST_F(SegmentFolderTest, ALookLeavesNothingBehind) {
  auto folder = SegmentFolder::look(world_.files(), "/more", 1, "abc", Uuid::from_random(5, 1));
  ASSERT_TRUE(folder) << folder.error().message;
  EXPECT_TRUE((*folder)->fresh());
  EXPECT_FALSE(world_.files().exists("/more").value());
}

TEST_F(SegmentFolderTest, IsTakenOnlyAsItWasFound) {
  auto folder = SegmentFolder::look(world_.files(), "/more", 1, "abc", Uuid::from_random(5, 1));
  ASSERT_TRUE(folder);
  {
    auto mounted = open();
    ASSERT_TRUE(mounted);
    ASSERT_TRUE((*mounted)->mark());
  }
  const auto taken = (*folder)->take();
  ASSERT_FALSE(taken);
  EXPECT_THAT(taken.error().message, HasSubstr("became another one"));
}

TEST_F(SegmentFolderTest, RefusesWhatIsOfOthers) {
  ASSERT_TRUE(world_.files().create_directories("/more/photos"));
  EXPECT_THAT(refusal(), HasSubstr("it has 'photos'"));
  ASSERT_TRUE(world_.files().remove_all("/more"));
  {
    auto home = DataFolder::open(world_.files(), "/more", 1);
    ASSERT_TRUE(home);
    ASSERT_TRUE((*home)->settle("abc"));
  }
  EXPECT_THAT(refusal(), HasSubstr("/more is the first log directory of a broker"));
}

}  // namespace
}  // namespace weir::apps
