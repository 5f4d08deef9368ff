#include "apps/topic_names_file.h"

#include <gtest/gtest.h>

#include "testing/sim_runtime.h"

namespace weir::apps {
namespace {

using testing::SimRuntime;

broker::TopicPtr topic(uint64_t id, std::string name) {
  broker::Topic made;
  made.record.id = Uuid::from_random(id, id);
  made.record.name = std::move(name);
  made.record.partition_count = 1;
  return std::make_shared<const broker::Topic>(std::move(made));
}

class TopicNamesFileTest : public ::testing::Test {
 protected:
  TopicNamesFileTest() {
    EXPECT_TRUE(sim_.disk().create_directories("/a"));
    EXPECT_TRUE(sim_.disk().create_directories("/b"));
  }
  void put(const std::string& text) {
    auto file = sim_.disk().open("/a/names", {.write = true, .create = true, .truncate = true});
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->write_at(0, as_bytes(text)));
  }

  SimRuntime sim_{3};
};

TEST_F(TopicNamesFileTest, FollowsTheTopicsInEveryFolder) {
  TopicNamesFile names(sim_.disk(), *sim_.runtime().pool, sim_.loop(), {"/a", "/b"});
  auto image = std::make_shared<broker::MetadataImage>(1);
  image->put(topic(1, "orders"));
  names.update(image);
  auto later = std::make_shared<broker::MetadataImage>(*image);
  later->put(topic(2, "users"));
  names.update(later);  // before the first one is written
  sim_.run_for(10 * runtime::kSecond);
  for (const char* folder : {"/a", "/b"}) {
    const auto read = read_topic_names(sim_.disk(), folder);
    ASSERT_EQ(read.size(), 2u);
    EXPECT_EQ(read.at(topic(1, "")->id()), "orders");
    EXPECT_EQ(read.at(topic(2, "")->id()), "users");
  }
}

TEST_F(TopicNamesFileTest, TheEndDoesNotWait) {
  TopicNamesFile names(sim_.disk(), *sim_.runtime().pool, sim_.loop(), {"/a"});
  names.update(std::make_shared<broker::MetadataImage>(1));
  auto image = std::make_shared<broker::MetadataImage>(1);
  image->put(topic(1, "orders"));
  names.update(image);
  names.finish();
  EXPECT_EQ(read_topic_names(sim_.disk(), "/a").size(), 1u);
}

TEST_F(TopicNamesFileTest, WhatIsNoNameIsNotTaken) {
  const std::string id = topic(1, "")->id().to_string();
  EXPECT_TRUE(read_topic_names(sim_.disk(), "/a").empty());
  put("# comment\n\n" + id + "\n" + id + " ../../etc\n" + id.substr(1) + " short\n" + id + " a\x1b[2J\n");
  EXPECT_TRUE(read_topic_names(sim_.disk(), "/a").empty());
  put(id + " orders");
  EXPECT_EQ(read_topic_names(sim_.disk(), "/a").size(), 1u);
}

}  // namespace
}  // namespace weir::apps
