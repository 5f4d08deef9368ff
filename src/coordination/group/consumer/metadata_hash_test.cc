// Hashes of topics against those of Kafka's coordinator (testdata/metadata_hashes.txt).
#include "coordination/group/consumer/metadata_hash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "coordination/group/consumer/image_of_topics.h"

namespace weir::coordination {
namespace {

std::vector<std::string> racks_of(const std::string& word) {
  std::vector<std::string> racks;
  if (word == "-") return racks;
  std::istringstream in(word);
  for (std::string rack; std::getline(in, rack, ',');) racks.push_back(rack);
  std::ranges::sort(racks);
  return racks;
}

TEST(MetadataHash, IsKafkas) {
  ImageOfTopics image;
  std::vector<std::pair<std::string, int64_t>> hashes;
  std::ifstream file(WEIR_GROUP_TESTDATA "/metadata_hashes.txt");
  int groups = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    std::istringstream in(line);
    int64_t hash = 0;
    std::string name, id;
    in >> hash >> name;
    if (in >> id) {
      auto& content = image.topics[name];
      content.id = Uuid::parse(id).value();
      for (std::string word; in >> word;) content.racks.push_back(racks_of(word));
      EXPECT_EQ(topic_hash(image, name), hash) << name;
      hashes.emplace_back(name, hash);
      continue;
    }
    std::vector<std::pair<std::string_view, int64_t>> subscribed;
    if (name == "all") subscribed.assign(hashes.begin(), hashes.end());
    std::ranges::sort(subscribed);
    EXPECT_EQ(group_hash(subscribed), hash) << name;
    ++groups;
  }
  EXPECT_EQ(image.topics.size(), 5u);
  EXPECT_EQ(groups, 2);
}

TEST(MetadataHash, OfNoTopicIsZero) { EXPECT_EQ(topic_hash(ImageOfTopics(), "gone"), 0); }

TEST(MetadataHash, ChangesWithPartitionsRacksAndTheTopicItself) {
  ImageOfTopics image;
  auto& content = image.topics["t"];
  content.racks = {{}, {"east"}};
  const int64_t before = topic_hash(image, "t");
  content.racks = {{"east"}, {}};
  EXPECT_NE(topic_hash(image, "t"), before);
  content.racks = {{}, {"east"}, {}};
  EXPECT_NE(topic_hash(image, "t"), before);
  content.racks = {{}, {"east"}};
  EXPECT_EQ(topic_hash(image, "t"), before);
  content.id.bytes[3] = 1;
  EXPECT_NE(topic_hash(image, "t"), before);
}

}  // namespace
}  // namespace weir::coordination
