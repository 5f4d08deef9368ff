// The groups of a coordinator that subscribe to a topic, by its name. The groups keep it themselves.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>

namespace weir::coordination {

class ConsumerGroup;

class SubscribedGroups {
 public:
  using OfTopic = std::set<ConsumerGroup*>;

  void add(const std::string& topic, ConsumerGroup* group) { topics_[topic].insert(group); }
  void remove(std::string_view topic, ConsumerGroup* group) {
    const auto at = topics_.find(topic);
    if (at == topics_.end()) return;
    at->second.erase(group);
    if (at->second.empty()) topics_.erase(at);
  }
  const OfTopic* find(std::string_view topic) const {  // nullptr: nobody
    const auto at = topics_.find(topic);
    return at == topics_.end() ? nullptr : &at->second;
  }

 private:
  std::map<std::string, OfTopic, std::less<>> topics_;
};

}  // namespace weir::coordination
