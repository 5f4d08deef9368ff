// ConsumerGroups: online migration between classic and consumer groups (KIP-848). The members stay, and keep their partitions.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "base/counted.h"
#include "coordination/group/consumer/consumer_groups.h"

namespace weir::coordination {
namespace {

using enum GroupConfig::Consumer::Migration;

std::vector<OwnedTopicPartitions> since(const Assignment& assignment, int32_t epoch) {
  std::vector<OwnedTopicPartitions> owned;
  for (const TopicPartitions& topic : assignment) {
    owned.push_back({topic.topic_id, topic.partitions, std::vector<int32_t>(topic.partitions.size(), epoch)});
  }
  return owned;
}

}  // namespace

// --- classic to consumer --------------------------------------------------------------------------------------------

std::expected<std::vector<GroupRecord>, ConsumerGroups::Refusal> ConsumerGroups::upgrade_of(ClassicGroup& group) const {
  const auto cannot = [](std::string_view why) {
    return refused(ErrorCode::kGroupIdNotFound,
                   fmt::format("The group is a classic group, and cannot become a consumer group: {}.", why));
  };
  if (config_.migration != kUpgrade && config_.migration != kBidirectional) {
    return cannot("group.consumer.migration.policy does not allow it");
  }
  if (!group.uses_consumer_protocol()) return cannot("its members are not consumers");
  if (group.members().size() > static_cast<size_t>(config_.max_size)) {
    return cannot(fmt::format("it has {} (group.consumer.max.size)", counted(group.members().size(), "member")));
  }
  const std::string protocol = group.protocol_name() ? *group.protocol_name() : group.select_protocol();
  const int32_t epoch = group.generation();
  std::vector<GroupRecord> members, targets, current;
  for (const auto& [id, member] : group.members()) {
    auto subscription = parse_classic_subscription(member->metadata(protocol), *context_.image);
    auto assignment = parse_classic_assignment(member->assignment, *context_.image);
    if (!subscription || !assignment) return cannot("a member's subscription or assignment cannot be read");
    if (assignment->has_user_data) return cannot("its assignor keeps data of its own in assignments, which would be lost");
    ConsumerMemberMetadata metadata;
    metadata.instance_id = member->instance_id;
    metadata.rack_id = std::move(subscription->rack_id);
    metadata.client_id = member->client_id;
    metadata.client_host = member->client_host;
    metadata.subscribed_topics = std::move(subscription->topics);
    metadata.rebalance_timeout_ms = member->rebalance_timeout_ms;
    metadata.classic = {member->session_timeout_ms, member->protocols};
    members.push_back(ConsumerMemberEntry{group.id(), id, std::move(metadata)});
    CurrentAssignment is{epoch, epoch, MemberState::kStable, since(assignment->partitions, epoch), {}};
    current.push_back(CurrentAssignmentEntry{group.id(), id, std::move(is)});
    targets.push_back(TargetAssignmentMemberEntry{group.id(), id, std::move(assignment->partitions)});
  }
  std::vector<GroupRecord> records = std::move(members);
  records.push_back(
      ConsumerGroupEntry{group.id(), ConsumerGroupEpoch{epoch, 0}});  // the member that comes raises it, with a hash
  std::ranges::move(targets, std::back_inserter(records));
  records.push_back(TargetAssignmentEntry{group.id(), TargetAssignmentEpoch{epoch, 0}});
  std::ranges::move(current, std::back_inserter(records));
  return records;
}

// Members that wait for the rebalance join again, now the consumer group.
void ConsumerGroups::upgrade(ClassicGroup& group, std::vector<GroupRecord> records, Instant now, GroupChange& change,
                             Effects& effects) {
  const std::string id = group.id();
  context_.lines.tell(
      id,
      fmt::format("(generation {}, {}) becomes a consumer group", group.generation(), counted(group.members().size(), "member")),
      now);
  classic_.end(group, ErrorCode::kRebalanceInProgress, effects);
  for (GroupRecord& tombstone : group.tombstones()) change.emit(std::move(tombstone));
  for (GroupRecord& record : records) change.emit(std::move(record));
  ConsumerGroup& upgraded = *context_.groups.find_consumer(id);
  for (const auto& [member_id, member] : upgraded.members()) expect_heartbeat(upgraded, *member, now);
}

// --- consumer to classic --------------------------------------------------------------------------------------------

bool ConsumerGroups::downgrades(const ConsumerGroup& group, std::span<const ConsumerMember* const> leaving) const {
  if (config_.migration != kDowngrade && config_.migration != kBidirectional) return false;
  const size_t stay = group.size() - leaving.size();
  const auto classic =
      static_cast<size_t>(std::ranges::count_if(leaving, [](const auto* member) { return member->uses_classic_protocol(); }));
  return stay > 0 && group.classic_members() - classic == stay && stay <= static_cast<size_t>(context_.config.max_size);
}

GroupMetadata ConsumerGroups::classic_metadata(const ConsumerGroup& group, std::span<const ConsumerMember* const> leaving,
                                               Instant now) const {
  GroupMemory no_bound;
  ClassicGroup draft(group.id(), no_bound);
  for (const auto& [id, member] : group.members()) {
    if (std::ranges::find(leaving, member.get()) != leaving.end()) continue;
    const ConsumerMemberMetadata& metadata = *member->metadata;
    auto as = std::make_unique<ClassicMember>();
    as->id = id;
    as->instance_id = metadata.instance_id;
    as->client_id = metadata.client_id;
    as->client_host = metadata.client_host;
    as->rebalance_timeout_ms = metadata.rebalance_timeout_ms;
    as->session_timeout_ms = metadata.classic->session_timeout_ms;
    as->protocols = metadata.classic->protocols;
    draft.add(std::move(as), std::string(kConsumerProtocolType));
  }
  GroupMetadata classic = draft.metadata();
  classic.generation = group.epoch();
  classic.protocol_name = draft.select_protocol();
  classic.state_timestamp_ms = now.wall_ms;
  for (GroupMetadata::Member& member : classic.members) {
    member.subscription = draft.find(member.id)->metadata(*classic.protocol_name);
    member.assignment = encode_classic_assignment(group.find(member.id)->target(), member.subscription, *context_.image);
  }
  return classic;
}

void ConsumerGroups::downgrade(ConsumerGroup& group, std::span<const ConsumerMember* const> leaving, bool rebalance, Instant now,
                               GroupChange& change, Effects& effects) {
  const std::string id = group.id();
  GroupMetadata metadata = classic_metadata(group, leaving, now);
  std::vector<std::pair<std::string, std::vector<GroupProtocol>>> protocols;
  for (const auto& [member_id, member] : group.members()) {
    cancel_deadlines(group, member_id);
    if (member->uses_classic_protocol()) protocols.emplace_back(member_id, member->metadata->classic->protocols);
  }
  context_.lines.tell(
      id, fmt::format("(epoch {}, {}) becomes a classic group", group.epoch(), counted(metadata.members.size(), "member")), now);
  for (GroupRecord& tombstone : group.tombstones()) change.emit(std::move(tombstone));
  change.emit(GroupMetadataEntry{id, std::move(metadata)});
  ClassicGroup& classic = *context_.groups.find_classic(id);
  for (auto& [member_id, all] : protocols) {
    if (ClassicMember* member = classic.find(member_id)) classic.set_protocols(*member, std::move(all));
  }
  classic_.expect_heartbeats(classic, now);
  if (rebalance) classic_.prepare_rebalance(classic, "its last member of the consumer protocol is gone", now, effects);
}

}  // namespace weir::coordination
