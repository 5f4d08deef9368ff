// ConsumerGroups: members of the classic protocol in consumer groups (KIP-848, migration).
//
// A join tells the member's subscription, and the partitions that it has; its answer comes at once. The sync tells what the
// member has from now on. A heartbeat says REBALANCE_IN_PROGRESS when there is something to fetch with another join.
#include <algorithm>
#include <string_view>
#include <utility>

#include "base/printable.h"
#include "coordination/group/consumer/consumer_groups.h"

namespace weir::coordination {
namespace {

void answer_error(JoinReply reply, std::string member_id, ErrorCode error, Effects& effects) {
  JoinResult result;
  result.error = error;
  result.member_id = std::move(member_id);
  effects.answer(std::move(reply), std::move(result));
}

bool names(const std::vector<GroupProtocol>& protocols, std::string_view name) {
  return std::ranges::find(protocols, name, &GroupProtocol::name) != protocols.end();
}

// Whether all members of the classic protocol have one of these.
bool supports(const ConsumerGroup& group, const std::vector<GroupProtocol>& protocols) {
  return std::ranges::any_of(protocols, [&](const GroupProtocol& protocol) {
    return std::ranges::all_of(group.members(), [&](const auto& of) {
      const ConsumerMember& member = *of.second;
      return !member.uses_classic_protocol() || names(member.metadata->classic->protocols, protocol.name);
    });
  });
}

ConsumerMemberMetadata updated(ConsumerMemberMetadata metadata, JoinRequest& request, ClassicSubscription& subscription) {
  if (request.instance_id) metadata.instance_id = request.instance_id;
  if (subscription.rack_id) metadata.rack_id = std::move(subscription.rack_id);
  metadata.rebalance_timeout_ms = request.rebalance_timeout_ms;
  metadata.subscribed_topics = std::move(subscription.topics);
  metadata.subscribed_regex.reset();  // this protocol has none
  metadata.client_id = std::move(request.client_id);
  metadata.client_host = std::move(request.client_host);
  metadata.classic = {request.session_timeout_ms, std::move(request.protocols)};
  return metadata;
}

}  // namespace

// --- join -----------------------------------------------------------------------------------------------------------

std::expected<void, ConsumerGroups::Refusal> ConsumerGroups::check_join(const ConsumerGroup& group,
                                                                        const JoinRequest& request) const {
  if (!classic_.allows_session(request.session_timeout_ms)) return refused(ErrorCode::kInvalidSessionTimeout, {});
  if (config_.migration == GroupConfig::Consumer::Migration::kDisabled) {
    return refused(ErrorCode::kInconsistentGroupProtocol, {});
  }
  if (auto checked = check_size(group, request.member_id, request.instance_id); !checked) return checked;
  if (request.protocol_type != kConsumerProtocolType || !supports(group, request.protocols)) {
    return refused(ErrorCode::kInconsistentGroupProtocol, {});
  }
  return {};
}

// A client without an id takes the place of the static member with its instance id, whatever that member's protocol.
std::expected<ConsumerGroups::Sender, ErrorCode> ConsumerGroups::identify_classic(const ConsumerGroup& group,
                                                                                  const JoinRequest& request) const {
  if (!request.instance_id) return Sender{group.find(request.member_id), false};
  const ConsumerMember* holder = group.static_member(*request.instance_id);
  if (request.member_id.empty()) return Sender{holder, holder != nullptr};
  if (holder == nullptr) return std::unexpected(ErrorCode::kUnknownMemberId);
  if (holder->id != request.member_id) return std::unexpected(ErrorCode::kFencedInstanceId);
  return Sender{holder, false};
}

void ConsumerGroups::join(ConsumerGroup& group, JoinRequest request, JoinReply reply, Instant now, Effects& effects) {
  if (auto checked = check_join(group, request); !checked) {
    return answer_error(std::move(reply), request.member_id, checked.error().error, effects);
  }
  const std::string member_id = request.member_id.empty() ? context_.random.uuid().to_string() : request.member_id;
  if (request.member_id.empty() && !request.instance_id && request.requires_known_member_id) {
    return answer_error(std::move(reply), member_id, ErrorCode::kMemberIdRequired, effects);
  }
  auto sender = identify_classic(group, request);
  if (!sender) return answer_error(std::move(reply), request.member_id, sender.error(), effects);
  auto subscription = parse_classic_subscription(request.protocols.front().metadata, *context_.image);
  if (!subscription) return answer_error(std::move(reply), request.member_id, ErrorCode::kInconsistentGroupProtocol, effects);

  ConsumerHeartbeatRequest asks;
  asks.group_id = request.group_id;
  asks.member_id = member_id;
  asks.subscribed_topics = subscription->topics;
  asks.owned = std::move(subscription->owned);
  asks.may_describe = request.may_describe;
  const std::string protocol = request.protocols.front().name;
  GroupChange change(context_, effects);
  Heartbeat heartbeat{asks, member_id, {}, now, effects, change};
  const ConsumerMember* const member = sender->member;
  const bool new_protocol = member != nullptr && !member->uses_classic_protocol();
  heartbeat.metadata = updated(member != nullptr ? *member->metadata : ConsumerMemberMetadata(), request, *subscription);
  if (member != nullptr && *heartbeat.metadata == *member->metadata) {
    heartbeat.metadata.reset();
  } else {
    auto checked = check_subscription(&group, asks);
    if (checked) checked = check_room(context_.groups.find(group.id()), member, *heartbeat.metadata, now);
    if (!checked) return answer_error(std::move(reply), request.member_id, checked.error().error, effects);
  }
  const bool last_of_consumers = new_protocol && group.classic_members() + 1 == group.size();

  const ConsumerHeartbeatResult joined = carry_out(*sender, heartbeat);
  if (last_of_consumers && downgrades(group, {})) {
    downgrade(group, {}, group.target_epoch() < group.epoch(), now, change, effects);
  } else {
    context_.deadlines.cancel(join_key(group, member_id));
    context_.deadlines.set(sync_key(group, member_id), now.monotonic_ms + std::max(request.rebalance_timeout_ms, 0));
  }
  JoinResult result;
  result.generation = joined.member_epoch;
  result.protocol_type = kConsumerProtocolType;
  result.protocol_name = protocol;
  result.member_id = member_id;
  effects.answer(std::move(reply), std::move(result));
}

// --- sync and heartbeat ---------------------------------------------------------------------------------------------

std::expected<const ConsumerMember*, ErrorCode> ConsumerGroups::validate_classic(const ConsumerGroup& group,
                                                                                 const std::string& member_id,
                                                                                 const std::optional<std::string>& instance_id,
                                                                                 int32_t generation) {
  const ConsumerMember* member = instance_id ? group.static_member(*instance_id) : group.find(member_id);
  if (member == nullptr) return std::unexpected(ErrorCode::kUnknownMemberId);
  if (member->id != member_id) return std::unexpected(ErrorCode::kFencedInstanceId);
  if (!member->uses_classic_protocol()) return std::unexpected(ErrorCode::kUnknownMemberId);
  if (member->epoch() != generation) return std::unexpected(ErrorCode::kIllegalGeneration);
  return member;
}

// It has to join again within its rebalance timeout. Later reasons to do so do not give it more time.
void ConsumerGroups::expect_join(const ConsumerGroup& group, const ConsumerMember& member, Instant now) {
  const DeadlineKey key = join_key(group, member.id);
  if (context_.deadlines.contains(key)) return;
  context_.deadlines.set(key, now.monotonic_ms + std::max(member.metadata->rebalance_timeout_ms, 0));
}

void ConsumerGroups::sync(ConsumerGroup& group, const SyncRequest& request, SyncReply reply, Instant now, Effects& effects) {
  SyncResult result;
  const auto valid = validate_classic(group, request.member_id, request.instance_id, request.generation);
  if (!valid) {
    result.error = valid.error();
    return effects.answer(std::move(reply), std::move(result));
  }
  const ConsumerMember& member = **valid;
  const GroupProtocol& protocol = member.metadata->classic->protocols.front();
  if ((request.protocol_type && *request.protocol_type != kConsumerProtocolType) ||
      (request.protocol_name && *request.protocol_name != protocol.name)) {
    result.error = ErrorCode::kInconsistentGroupProtocol;
  } else if (group.target_epoch() > member.epoch() && member.current().state != MemberState::kUnrevokedPartitions) {
    expect_join(group, member, now);
    result.error = ErrorCode::kRebalanceInProgress;
  } else {
    context_.deadlines.cancel(sync_key(group, member.id));
    expect_heartbeat(group, member, now);
    result.protocol_type = request.protocol_type;
    result.protocol_name = request.protocol_name;
    result.assignment = encode_classic_assignment(without_epochs(member.current().assigned), protocol.metadata, *context_.image);
  }
  effects.answer(std::move(reply), std::move(result));
}

// Whether somebody else still has a partition that it shall have.
bool ConsumerGroups::waits_for_partitions(const ConsumerGroup& group, const ConsumerMember& member) {
  return std::ranges::any_of(member.target(), [&](const TopicPartitions& topic) {
    return std::ranges::any_of(topic.partitions, [&](int32_t partition) {
      const int32_t owner = group.owner(topic.topic_id, partition);
      return owner != PartitionOwners::kNobody && owner != member.number;
    });
  });
}

void ConsumerGroups::classic_heartbeat(ConsumerGroup& group, const HeartbeatRequest& request, HeartbeatReply reply, Instant now,
                                       Effects& effects) {
  HeartbeatResult result;
  const auto valid = validate_classic(group, request.member_id, request.instance_id, request.generation);
  if (!valid) {
    result.error = valid.error();
    return effects.answer(std::move(reply), result);
  }
  const ConsumerMember& member = **valid;
  expect_heartbeat(group, member, now);
  const MemberState state = member.current().state;
  if (member.epoch() < group.target_epoch() || state == MemberState::kUnrevokedPartitions ||
      (state == MemberState::kUnreleasedPartitions && !waits_for_partitions(group, member))) {
    expect_join(group, member, now);
    result.error = ErrorCode::kRebalanceInProgress;
  }
  effects.answer(std::move(reply), result);
}

}  // namespace weir::coordination
