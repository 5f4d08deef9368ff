#include "protocol/messages/consumer_group_describe.h"

#include <algorithm>
#include <memory>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "broker/handlers/consumer_group_handlers.h"
#include "broker/handlers/group_handlers.h"
#include "broker/requests/topic_resolver.h"

namespace weir::broker {
namespace {

using coordination::ConsumerGroupDescription;
using protocol::ConsumerGroupDescribeResponse;
using protocol::ErrorCode;

class ConsumerGroupDescribe final : public runtime::Homebound {
 public:
  ConsumerGroupDescribe(GroupCoordinators& groups, RequestContextPtr context)
      : Homebound(context->loop()), coordinators_(groups), home_(context->loop().index()), context_(std::move(context)) {}

  void start() {
    protocol::ConsumerGroupDescribeRequest request;
    if (!context_->decode(request)) return;
    if (!context_->reserve(std::min(coordinators_.answer_bytes(), context_->most_answer_bytes()))) return;
    operations_asked_ = request.include_authorized_operations;
    const bool served = coordinators_.serve_consumer_protocol(home_);
    const GroupResolver resolver(*context_);
    // Each group once: its members may be many.
    std::unordered_set<std::string_view> named;
    for (const std::string_view group_id : request.group_ids) {
      if (!named.insert(group_id).second) continue;
      ConsumerGroupDescription& group = groups_.emplace_back();
      group.group_id = group_id;
      group.error = served ? resolver.error_of_named(group_id) : ErrorCode::kUnsupportedVersion;
    }
    pending_ = groups_.size() + 1;
    for (size_t i = 0; i < groups_.size(); ++i) {
      if (groups_[i].error == ErrorCode::kNone) ask(i);
      else arrived();
    }
    arrived();
  }

 private:
  using AnswerGroup = ConsumerGroupDescribeResponse::DescribedGroup;
  using AnswerMember = ConsumerGroupDescribeResponse::Member;
  using AnswerAssignment = ConsumerGroupDescribeResponse::Assignment;

  void ask(size_t index) {
    const std::string group_id = groups_[index].group_id;
    coordinators_.call<ConsumerGroupDescription>(
        home_, group_id,
        reply_on<ConsumerGroupDescription>(coordinators_, home_,
                                           [self = runtime::HomeRef(this), index](ConsumerGroupDescription& group) {
                                             group.group_id = self->groups_[index].group_id;
                                             self->groups_[index] = std::move(group);
                                             self->arrived();
                                           }),
        [group_id](auto& state, auto reply, auto, auto& effects) {
          state.describe_consumer(group_id, std::move(reply), effects);
        });
  }

  void arrived() {
    if (--pending_ > 0) return;
    ConsumerGroupDescribeResponse response;
    response.groups = context_->arena().array<AnswerGroup>(groups_.size());
    for (size_t i = 0; i < groups_.size(); ++i) fill(response.groups[i], groups_[i]);
    context_->respond(response);
  }

  void fill(AnswerGroup& answer, const ConsumerGroupDescription& group) {
    answer.group_id = group.group_id;
    answer.error_code = code(group.error);
    answer.error_message = group.error_message;
    if (group.error != ErrorCode::kNone) return;
    if (!may_describe_topics(group)) {
      answer.error_code = code(ErrorCode::kTopicAuthorizationFailed);
      answer.error_message = "The group has described topic(s) that the client is not authorized to describe.";
      return;
    }
    answer.group_state = group.state;
    answer.group_epoch = group.group_epoch;
    answer.assignment_epoch = group.assignment_epoch;
    answer.assignor_name = group.assignor_name;
    answer.members = context_->arena().array<AnswerMember>(group.members.size());
    for (size_t i = 0; i < group.members.size(); ++i) fill(answer.members[i], group.members[i]);
    if (!operations_asked_) return;
    answer.authorized_operations = context_->authorized_operations({security::ResourceType::kGroup, group.group_id});
  }
  void fill(AnswerMember& answer, const ConsumerGroupDescription::Member& member) {
    answer.member_id = member.member_id;
    answer.instance_id = member.instance_id;
    answer.rack_id = member.rack_id;
    answer.member_epoch = member.member_epoch;
    answer.client_id = member.client_id;
    answer.client_host = member.client_host;
    answer.subscribed_topic_names = context_->arena().array<std::string_view>(member.subscribed_topics.size());
    std::copy(member.subscribed_topics.begin(), member.subscribed_topics.end(), answer.subscribed_topic_names.begin());
    answer.subscribed_topic_regex = member.subscribed_regex;
    fill(answer.assignment, member.assigned);
    fill(answer.target_assignment, member.target);
    answer.member_type = member.type;
  }
  void fill(AnswerAssignment& answer, const std::vector<ConsumerGroupDescription::Partitions>& topics) {
    answer.topic_partitions = context_->arena().array<ConsumerGroupDescribeResponse::TopicPartitions>(topics.size());
    for (size_t i = 0; i < topics.size(); ++i) {
      auto& topic = answer.topic_partitions[i];
      topic.topic_id = topics[i].topic_id;
      topic.topic_name = topics[i].topic;
      topic.partitions = context_->arena().array<int32_t>(topics[i].partitions.size());
      std::copy(topics[i].partitions.begin(), topics[i].partitions.end(), topic.partitions.begin());
    }
  }

  bool may_describe_topics(const ConsumerGroupDescription& group) {
    const auto may_all = [this](const std::vector<ConsumerGroupDescription::Partitions>& topics) {
      return std::all_of(topics.begin(), topics.end(),
                         [this](const auto& topic) { return context_->may({security::ResourceType::kTopic, topic.topic}); });
    };
    return std::all_of(group.members.begin(), group.members.end(),
                       [&](const auto& member) { return may_all(member.assigned) && may_all(member.target); });
  }

  GroupCoordinators& coordinators_;
  const unsigned home_;
  RequestContextPtr context_;
  bool operations_asked_ = false;
  std::vector<ConsumerGroupDescription> groups_;
  size_t pending_ = 0;
};

}  // namespace

void handle_consumer_group_describe(GroupCoordinators& groups, RequestContextPtr context) {
  runtime::make_homebound<ConsumerGroupDescribe>(groups, std::move(context))->start();
}

}  // namespace weir::broker
