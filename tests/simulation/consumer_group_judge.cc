#include "simulation/consumer_group_judge.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "protocol/messages/find_coordinator.h"

namespace weir::simulation {

namespace {

constexpr int64_t kRetryNs = 50 * runtime::kMillisecond;

std::set<TopicPartition> partitions_of(const protocol::ConsumerGroupDescribeResponse::Assignment& assignment) {
  std::set<TopicPartition> all;
  for (const auto& topic : assignment.topic_partitions) {
    for (const int32_t index : topic.partitions) all.insert({topic.topic_id, index});
  }
  return all;
}

}  // namespace

void ConsumerGroupJudge::drop() {
  ++round_;
  connection_.drop();
}

void ConsumerGroupJudge::again(Done step) {
  stage_.loop().schedule_after(kRetryNs, [this, step = std::move(step), round = round_] {
    if (round == round_) step();
  });
}

// --- Descriptions

void ConsumerGroupJudge::ask(const std::vector<std::string>& groups, Done done) {
  descriptions_.clear();
  describe(groups, done);
}

void ConsumerGroupJudge::describe(const std::vector<std::string>& groups, const Done& done) {
  std::vector<std::string_view> names(groups.begin(), groups.end());
  protocol::ConsumerGroupDescribeRequest request;
  request.group_ids = names;
  connection_.call<Response>(1, request, [this, groups, done, round = round_](const Response* response) {
    if (round != round_) return;
    if (!response) return again([this, groups, done] { describe(groups, done); });
    described(*response);
    done();
  });
}

void ConsumerGroupJudge::described(const Response& response) {
  for (const auto& group : response.groups) {
    if (group.error_code != 0) continue;  // a coordinator that loads
    const std::string name(group.group_id);
    stage_.oracle().never_back("epoch of group " + name, group.group_epoch);
    stage_.oracle().never_back("target epoch of group " + name, group.assignment_epoch);
    Description& description = descriptions_[name];
    description.state = group.group_state;
    description.epoch = group.group_epoch;
    description.target_epoch = group.assignment_epoch;
    for (const auto& member : group.members) {
      description.members[std::string(member.member_id)] = {member.member_epoch, partitions_of(member.assignment),
                                                            partitions_of(member.target_assignment)};
    }
  }
}

std::string ConsumerGroupJudge::unsettled(const std::vector<std::string>& groups,
                                          const std::vector<const ConsumerMember*>& living) const {
  for (const std::string& group : groups) {
    const auto known = descriptions_.find(group);
    if (known == descriptions_.end()) return fmt::format("{}: the broker does not describe it", group);
    const Description& description = known->second;
    if (description.state != "Stable" || description.epoch != description.target_epoch) {
      return fmt::format("{}: it is {} in epoch {}, its target in {}", group, description.state, description.epoch,
                         description.target_epoch);
    }
    std::vector<const ConsumerMember*> members;
    for (const ConsumerMember* member : living) {
      if (member->role().group == group) members.push_back(member);
    }
    if (members.size() != description.members.size()) {
      return fmt::format("{}: {} members live, and the broker knows {}", group, members.size(), description.members.size());
    }
    for (const ConsumerMember* member : members) {
      const auto told = description.members.find(member->member_id());
      if (told == description.members.end()) return fmt::format("{}: the broker does not know {}", group, member->member_id());
      if (told->second.epoch != member->epoch() || member->epoch() != description.epoch) {
        return fmt::format("{}: {} is in epoch {}, by the broker in {}, and the group in {}", group, member->member_id(),
                           member->epoch(), told->second.epoch, description.epoch);
      }
      if (told->second.assigned != member->owned() || told->second.target != member->owned()) {
        return fmt::format("{}: {} has {} partitions, by the broker {}, and shall have {}", group, member->member_id(),
                           member->owned().size(), told->second.assigned.size(), told->second.target.size());
      }
    }
    if (std::string what = unowned(group, members); !what.empty()) return what;
  }
  return {};
}

std::string ConsumerGroupJudge::unowned(const std::string& group, const std::vector<const ConsumerMember*>& living) const {
  std::map<TopicPartition, std::vector<std::string>> owners;
  for (const ConsumerMember* member : living) {
    for (const TopicPartition& partition : member->owned()) {
      const ConsumedTopic& topic = stage_.topics.at(partition.topic);
      if (!stage_.existing.contains(partition.topic) || !member->subscription().matches(topic.name)) {
        return fmt::format("{}: {} owns {}-{}, which it should not", group, member->member_id(), topic.name, partition.index);
      }
      owners[partition].push_back(member->member_id());
    }
  }
  for (const Uuid& id : stage_.existing) {
    const ConsumedTopic& topic = stage_.topics.at(id);
    const bool wanted = std::any_of(living.begin(), living.end(),
                                    [&](const ConsumerMember* member) { return member->subscription().matches(topic.name); });
    for (int32_t index = 0; wanted && index < topic.partitions; ++index) {
      const auto& found = owners[{id, index}];
      if (found.size() != 1) return fmt::format("{}: {}-{} has {} owners", group, topic.name, index, found.size());
    }
  }
  return {};
}

// --- Committed offsets

void ConsumerGroupJudge::look_at_offsets(const std::vector<std::string>& groups, Done done) {
  stage_.look_up_topics([this, groups, done = std::move(done), round = round_] {
    if (round == round_) look_at(groups, 0, done);
  });
}

void ConsumerGroupJudge::look_at(const std::vector<std::string>& groups, size_t next, const Done& done) {
  if (next == groups.size() || stage_.existing.empty()) return done();
  const std::string& name = groups[next];
  testing::FetchOffsets fetched{stage_.history.name(name), true, {}};
  std::vector<std::vector<int32_t>> indexes;
  indexes.reserve(stage_.existing.size());
  std::vector<protocol::OffsetFetchRequest::OffsetFetchRequestTopics> topics;
  for (const Uuid& id : stage_.existing) {
    indexes.emplace_back();
    for (int32_t index = 0; index < stage_.topics.at(id).partitions; ++index) indexes.back().push_back(index);
    topics.emplace_back();
    topics.back().topic_id = id;
    topics.back().partition_indexes = indexes.back();
  }
  protocol::OffsetFetchRequest::OffsetFetchRequestGroup asked;
  asked.group_id = name;
  asked.topics = topics;
  protocol::OffsetFetchRequest request;
  request.groups = {&asked, 1};
  request.require_stable = true;
  const testing::OperationId id = stage_.history.invoke(stage_.new_client(), fetched);
  connection_.call<protocol::OffsetFetchResponse>(
      10, request, [this, groups, next, done, id, fetched, round = round_](const auto* response) {
        if (round != round_) return;
        if (looked(response, id, fetched)) return look_at(groups, next + 1, done);
        find_coordinator(groups[next], [this, groups, next, done] { look_at(groups, next, done); });
      });
}

void ConsumerGroupJudge::find_coordinator(const std::string& group, Done done) {
  std::string_view wanted = group;
  protocol::FindCoordinatorRequest request;
  request.coordinator_keys = {&wanted, 1};
  connection_.call<protocol::FindCoordinatorResponse>(4, request, [this, done = std::move(done), round = round_](const auto*) {
    if (round == round_) again(done);
  });
}

// False if the coordinator does not answer yet.
bool ConsumerGroupJudge::looked(const protocol::OffsetFetchResponse* response, testing::OperationId id,
                                testing::FetchOffsets fetched) {
  if (!response || response->groups[0].error_code != 0) {
    stage_.history.fail(id);
    return false;
  }
  for (const auto& topic : response->groups[0].topics) {
    for (const auto& partition : topic.partitions) {
      if (partition.error_code != 0 || stage_.gone(topic.topic_id)) continue;
      fetched.offsets.push_back({stage_.name_of({topic.topic_id, partition.partition_index}), partition.committed_offset});
    }
  }
  stage_.oracle().learned(fetched.offsets.size());
  stage_.history.ok(id, std::move(fetched));
  return true;
}

}  // namespace weir::simulation
