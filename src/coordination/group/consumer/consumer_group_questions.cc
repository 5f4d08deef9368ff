// ConsumerGroup: the questions that are asked of groups of all types, and its records.
#include <utility>

#include "coordination/group/consumer/consumer_group.h"

namespace weir::coordination {
namespace {

template <typename Topic>
std::vector<ConsumerGroupDescription::Partitions> with_names(const std::vector<Topic>& topics, const Image& image) {
  std::vector<ConsumerGroupDescription::Partitions> named;
  for (const Topic& topic : topics) {
    if (auto name = image.topic_name(topic.topic_id)) named.push_back({topic.topic_id, std::move(*name), topic.partitions});
  }
  return named;
}

}  // namespace

const std::optional<std::string>& ConsumerGroup::protocol_type() {
  static const std::optional<std::string> kType = "consumer";
  return kType;
}

GroupDescription ConsumerGroup::describe() const {
  GroupDescription result;
  result.group_id = id_;
  result.error = ErrorCode::kGroupIdNotFound;
  return result;
}

ConsumerGroupDescription ConsumerGroup::describe_consumer(std::string_view default_assignor, const Image& image) const {
  ConsumerGroupDescription result;
  result.group_id = id_;
  result.state = state_name(state_);
  result.group_epoch = epoch_;
  result.assignment_epoch = target_.epoch;
  result.assignor_name = assignor(default_assignor);
  for (const auto& [id, member] : members_) {
    auto& shown = result.members.emplace_back();
    shown.member_id = id;
    shown.member_epoch = member->epoch();
    shown.assigned = with_names(member->current().assigned, image);
    shown.target = with_names(member->target(), image);
    if (!member->metadata) continue;
    const ConsumerMemberMetadata& metadata = *member->metadata;
    shown.instance_id = metadata.instance_id;
    shown.rack_id = metadata.rack_id;
    shown.client_id = metadata.client_id;
    shown.client_host = metadata.client_host;
    shown.subscribed_topics = metadata.subscribed_topics;
    shown.subscribed_regex = metadata.subscribed_regex;
    shown.type = metadata.classic ? 0 : 1;
  }
  return result;
}

std::vector<GroupRecord> ConsumerGroup::stored_records() const {
  std::vector<GroupRecord> records;
  records.push_back(ConsumerGroupEntry{id_, ConsumerGroupEpoch{epoch_, metadata_hash_}});
  for (const auto& [id, member] : members_) {
    if (member->metadata) records.push_back(ConsumerMemberEntry{id_, id, member->metadata});
    if (member->stored_target) records.push_back(TargetAssignmentMemberEntry{id_, id, member->stored_target});
    if (member->stored_current) records.push_back(CurrentAssignmentEntry{id_, id, member->stored_current});
  }
  records.push_back(TargetAssignmentEntry{id_, target_});
  for (const auto& [name, regex] : regexes_) {
    if (regex.resolved) records.push_back(ResolvedRegexEntry{id_, name, regex.resolved});
  }
  return records;
}

// The group's own record last: it ends the group.
std::vector<GroupRecord> ConsumerGroup::tombstones() const {
  std::vector<GroupRecord> records;
  for (const auto& [id, member] : members_) records.push_back(CurrentAssignmentEntry{id_, id, std::nullopt});
  for (const auto& [id, member] : members_) records.push_back(TargetAssignmentMemberEntry{id_, id, std::nullopt});
  records.push_back(TargetAssignmentEntry{id_, std::nullopt});
  for (const auto& [id, member] : members_) records.push_back(ConsumerMemberEntry{id_, id, std::nullopt});
  for (const auto& [name, regex] : regexes_) {
    if (regex.resolved) records.push_back(ResolvedRegexEntry{id_, name, std::nullopt});
  }
  if (has_partition_metadata_) records.push_back(ConsumerPartitionMetadataEntry{id_, true});
  records.push_back(ConsumerGroupEntry{id_, std::nullopt});
  return records;
}

}  // namespace weir::coordination
