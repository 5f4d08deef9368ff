// For tests: an image of topics, without brokers and configs.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "coordination/runtime/image.h"

namespace weir::coordination {

class ImageOfTopics final : public Image {
 public:
  struct Content {
    Uuid id;
    std::vector<std::vector<std::string>> racks;  // of each partition
  };
  std::map<std::string, Content, std::less<>> topics;

  bool has_topic(std::string_view name) const override { return topics.contains(name); }
  bool has_topic(const Uuid& id) const override { return topic_name(id).has_value(); }
  std::optional<storage::PartitionId> partition(std::string_view, int32_t) const override { return std::nullopt; }
  std::optional<Topic> topic(std::string_view name) const override {
    const auto found = topics.find(name);
    if (found == topics.end()) return std::nullopt;
    return Topic{found->second.id, static_cast<int32_t>(found->second.racks.size())};
  }
  std::optional<std::string> topic_name(const Uuid& id) const override {
    for (const auto& [name, content] : topics) {
      if (content.id == id) return name;
    }
    return std::nullopt;
  }
  std::vector<std::string> racks(std::string_view topic, int32_t index) const override {
    return topics.find(topic)->second.racks[static_cast<size_t>(index)];
  }
  void for_each_topic(const std::function<void(std::string_view name)>& visit) const override {
    for (const auto& [name, content] : topics) visit(name);
  }
  int64_t version() const override { return 1; }
  std::optional<std::string> group_config(std::string_view, std::string_view) const override { return std::nullopt; }
};

}  // namespace weir::coordination
