#include "coordination/group/consumer/target_assignment.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace weir::coordination {
namespace {

class Computation {
 public:
  Computation(const ConsumerGroup& group, const Image& image) : group_(group) {
    number_topics(image);
    number_members();
    owners_ = present_owners();
  }

  NextTarget run(Assign assign) {
    const Owners next = assign(input_, owners_);
    for (size_t topic = 0; topic < next.size(); ++topic) {
      for (size_t partition = 0; partition < next[topic].size(); ++partition) {
        const int32_t before = owners_[topic][partition];
        const int32_t after = next[topic][partition];
        if (before == after) continue;
        if (before >= 0) differs_[static_cast<size_t>(before)] = true;
        if (after >= 0) differs_[static_cast<size_t>(after)] = true;
      }
    }
    return changed(next);
  }

 private:
  struct Named {
    AssignorTopic topic;
    std::string_view name;
  };

  void number_topics(const Image& image) {
    std::vector<Named> topics;
    for (const auto& [name, subscribers] : group_.topics()) {
      const auto topic = image.topic(name);
      if (topic && topic->partition_count > 0) topics.push_back({{topic->id, topic->partition_count}, name});
    }
    std::sort(topics.begin(), topics.end(), [](const Named& a, const Named& b) { return a.topic.id < b.topic.id; });
    for (const Named& one : topics) {
      const auto number = static_cast<int32_t>(input_.topics.size());
      by_name_[one.name] = number;
      by_id_[one.topic.id] = number;
      input_.topics.push_back(one.topic);
    }
  }

  void number_members() {
    input_.equal_subscriptions = group_.equal_subscriptions();
    for (const auto& [id, member] : group_.members()) {
      AssignorMember& one = input_.members.emplace_back();
      one.id = id;
      if (member->metadata && member->metadata->instance_id) one.instance_id = *member->metadata->instance_id;
      if (!input_.equal_subscriptions) one.topics = subscribed(*member);
      members_.push_back(member.get());
      differs_.push_back(!member->stored_target);
    }
  }

  std::vector<int32_t> subscribed(const ConsumerMember& member) const {
    std::vector<int32_t> numbers;
    const auto add = [&](const std::vector<std::string>& names) {
      for (const std::string& name : names) {
        if (const auto at = by_name_.find(name); at != by_name_.end()) numbers.push_back(at->second);
      }
    };
    if (member.metadata) add(member.metadata->subscribed_topics);
    if (const std::string* regex = member.regex()) {
      const auto at = group_.regexes().find(*regex);
      if (at != group_.regexes().end() && at->second.resolved) add(at->second.resolved->topics);
    }
    std::sort(numbers.begin(), numbers.end());
    numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
    return numbers;
  }

  // A target may have what is not there any more: then it differs in any case.
  Owners present_owners() {
    Owners owners;
    for (const AssignorTopic& topic : input_.topics) owners.emplace_back(static_cast<size_t>(topic.partition_count), -1);
    for (size_t number = 0; number < members_.size(); ++number) {
      for (const TopicPartitions& topic : members_[number]->target()) {
        const auto at = by_id_.find(topic.topic_id);
        if (at == by_id_.end()) {
          differs_[number] = true;
          continue;
        }
        std::vector<int32_t>& of = owners[static_cast<size_t>(at->second)];
        for (const int32_t partition : topic.partitions) {
          const auto index = static_cast<size_t>(partition);
          if (index < of.size() && of[index] < 0) of[index] = static_cast<int32_t>(number);
          else differs_[number] = true;
        }
      }
    }
    return owners;
  }

  NextTarget changed(const Owners& next) const {
    NextTarget result;
    std::vector<Assignment> targets(members_.size());
    for (size_t topic = 0; topic < next.size(); ++topic) {
      result.partitions += next[topic].size();
      for (size_t partition = 0; partition < next[topic].size(); ++partition) {
        const int32_t owner = next[topic][partition];
        if (owner < 0 || !differs_[static_cast<size_t>(owner)]) continue;
        Assignment& target = targets[static_cast<size_t>(owner)];
        if (target.empty() || target.back().topic_id != input_.topics[topic].id) target.push_back({input_.topics[topic].id, {}});
        target.back().partitions.push_back(static_cast<int32_t>(partition));
      }
    }
    for (size_t number = 0; number < members_.size(); ++number) {
      if (differs_[number]) result.changed.push_back({members_[number], std::move(targets[number])});
    }
    return result;
  }

  const ConsumerGroup& group_;
  AssignorInput input_;
  std::vector<const ConsumerMember*> members_;
  std::vector<char> differs_;  // by member: its next target is not its present one
  std::unordered_map<std::string_view, int32_t> by_name_;
  std::unordered_map<Uuid, int32_t> by_id_;
  Owners owners_;
};

}  // namespace

NextTarget next_target(const ConsumerGroup& group, const Image& image, Assign assign) {
  return Computation(group, image).run(assign);
}

}  // namespace weir::coordination
