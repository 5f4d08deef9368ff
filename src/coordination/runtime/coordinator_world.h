// For tests: the services of a broker for coordinators.
#pragma once

#include <any>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "coordination/runtime/coordinator_services.h"
#include "coordination/runtime/image.h"
#include "runtime/loop.h"

namespace weir::coordination {

// An answer that may come later.
template <typename Result>
struct Pending {
  std::shared_ptr<std::optional<Result>> slot = std::make_shared<std::optional<Result>>();
  bool answered() const { return slot->has_value(); }
  const Result& operator*() const { return slot->value(); }
  const Result* operator->() const { return &slot->value(); }
  Function<void(Result)> reply() const {
    return [to = slot](Result result) { *to = std::move(result); };
  }
};

// Has all topics but those that are gone. Fill it before others see it.
class TestImage final : public Image {
 public:
  struct Listed {
    int32_t partition_count = 1;
    std::vector<std::string> racks = {};  // of every partition
  };
  std::map<std::string, Listed, std::less<>> listed;  // the only ones that for_each_topic() and topic_name() find
  std::map<std::pair<std::string, std::string>, std::string> group_configs;  // by group and name
  int64_t image_version = 0;

  explicit TestImage(std::set<std::string, std::less<>> gone = {}, std::set<Uuid> gone_ids = {})
      : gone_(std::move(gone)), gone_ids_(std::move(gone_ids)) {}
  bool has_topic(std::string_view name) const override { return !gone_.contains(name); }
  bool has_topic(const Uuid& id) const override { return !gone_ids_.contains(id); }
  std::optional<storage::PartitionId> partition(std::string_view topic, int32_t index) const override {
    if (!has_topic(topic)) return std::nullopt;
    return storage::PartitionId{id_of(topic), index};
  }
  std::optional<Topic> topic(std::string_view name) const override {
    if (!has_topic(name)) return std::nullopt;
    const auto found = listed.find(name);
    return Topic{id_of(name), found == listed.end() ? 1 : found->second.partition_count};
  }
  std::optional<std::string> topic_name(const Uuid& id) const override {
    for (const auto& [name, topic] : listed) {
      if (id_of(name) == id && has_topic(name)) return name;
    }
    return std::nullopt;
  }
  std::vector<std::string> racks(std::string_view topic, int32_t /*index*/) const override {
    const auto found = listed.find(topic);
    return found == listed.end() ? std::vector<std::string>() : found->second.racks;
  }
  void for_each_topic(const std::function<void(std::string_view name)>& visit) const override {
    for (const auto& [name, topic] : listed) {
      if (has_topic(name)) visit(name);
    }
  }
  int64_t version() const override { return image_version; }
  std::optional<std::string> group_config(std::string_view group_id, std::string_view name) const override {
    const auto found = group_configs.find({std::string(group_id), std::string(name)});
    return found == group_configs.end() ? std::nullopt : std::optional<std::string>(found->second);
  }
  static Uuid id_of(std::string_view topic) {
    Uuid id;
    for (size_t i = 0; i < topic.size(); ++i) id.bytes[i % id.bytes.size()] += static_cast<uint8_t>(topic[i]);
    return id;
  }

 private:
  const std::set<std::string, std::less<>> gone_;
  const std::set<Uuid> gone_ids_;
};

// Keeps calls and posts until the test answers them, each in a turn of its own.
class TestServices final : public CoordinatorServices {
 public:
  explicit TestServices(runtime::Loop& loop) : loop_(loop) {}
  void call(ControllerRequest request, Function<void(ControllerResult)> done) override {
    requests.push_back(request);
    calls_.push_back(std::move(done));
  }
  void post(const storage::PartitionId& to, std::any message, Function<void(std::any)> done) override {
    posted.emplace_back(to, std::move(message));
    posts_.push_back(std::move(done));
  }
  void answer_call(ControllerResult result) {
    loop_.post([done = take(calls_), result]() mutable { done(result); });
  }
  void answer_post(std::any result) {
    loop_.post([done = take(posts_), result = std::move(result)]() mutable { done(std::move(result)); });
  }
  // `result` has what comes back for the next post.
  template <typename Result>
  void answer_all(Result result) {
    while (!calls_.empty()) answer_call({{}, ++next_id_});
    while (!posts_.empty()) answer_post(result());
  }

  std::vector<ControllerRequest> requests;
  std::vector<std::pair<storage::PartitionId, std::any>> posted;

 private:
  template <typename Done>
  static Done take(std::vector<Done>& from) {
    Done done = std::move(from.front());
    from.erase(from.begin());
    return done;
  }
  runtime::Loop& loop_;
  std::vector<Function<void(ControllerResult)>> calls_;
  std::vector<Function<void(std::any)>> posts_;
  int64_t next_id_ = 0;
};

}  // namespace weir::coordination
