// ConsumerGroups: heartbeats of members that join or stay.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/counted.h"
#include "base/printable.h"
#include "coordination/group/consumer/consumer_groups.h"
#include "coordination/group/consumer/reconciliation.h"
#include "coordination/group/consumer/regular_expressions.h"
#include "coordination/group/consumer/target_assignment.h"

namespace weir::coordination {
namespace {

constexpr size_t kTargetBytes = 64;  // of a target's record beside its topics
constexpr size_t kTargetBatchBytes = size_t{256} << 10;

bool within(const Assignment& part, const std::vector<OwnedTopicPartitions>& whole) {
  return std::ranges::all_of(part, [&](const TopicPartitions& topic) {
    const auto at = std::ranges::lower_bound(whole, topic.topic_id, {}, &OwnedTopicPartitions::topic_id);
    return at != whole.end() && at->topic_id == topic.topic_id && std::ranges::includes(at->partitions, topic.partitions);
  });
}

template <typename Value>
bool is_other(const std::optional<Value>& told, const std::optional<Value>& known) {
  return told && told != known;
}

bool changes(const ConsumerMemberMetadata& known, const ConsumerHeartbeatRequest& request) {
  return is_other(request.instance_id, known.instance_id) || is_other(request.rack_id, known.rack_id) ||
         (request.rebalance_timeout_ms >= 0 && request.rebalance_timeout_ms != known.rebalance_timeout_ms) ||
         (request.subscribed_topics && *request.subscribed_topics != known.subscribed_topics) ||
         is_other(request.subscribed_regex, known.subscribed_regex) || is_other(request.server_assignor, known.server_assignor) ||
         request.client_id != known.client_id || request.client_host != known.client_host || known.classic;
}

ConsumerMemberMetadata updated(ConsumerMemberMetadata metadata, const ConsumerHeartbeatRequest& request) {
  if (request.instance_id) metadata.instance_id = request.instance_id;
  if (request.rack_id) metadata.rack_id = request.rack_id;
  if (request.rebalance_timeout_ms >= 0) metadata.rebalance_timeout_ms = request.rebalance_timeout_ms;
  if (request.subscribed_topics) metadata.subscribed_topics = *request.subscribed_topics;
  if (request.subscribed_regex) metadata.subscribed_regex = request.subscribed_regex;
  if (request.server_assignor) metadata.server_assignor = request.server_assignor;
  metadata.client_id = request.client_id;
  metadata.client_host = request.client_host;
  metadata.classic.reset();
  return metadata;
}

bool is_full_request(const ConsumerHeartbeatRequest& request) {
  return request.rebalance_timeout_ms >= 0 && (request.subscribed_topics || request.subscribed_regex) && request.owned;
}

}  // namespace

void ConsumerGroups::heartbeat(ConsumerHeartbeatRequest request, ConsumerHeartbeatReply reply, Instant now, Effects& effects) {
  GroupChange change(context_, effects);
  auto answered = answer(request, now, effects, change);
  if (answered) return effects.answer(std::move(reply), std::move(*answered));
  ConsumerHeartbeatResult result;
  result.error = answered.error().error;
  result.error_message = std::move(answered.error().message);
  effects.answer(std::move(reply), std::move(result));
}

std::expected<ConsumerHeartbeatResult, ConsumerGroups::Refusal> ConsumerGroups::answer(ConsumerHeartbeatRequest& request,
                                                                                       Instant now, Effects& effects,
                                                                                       GroupChange& change) {
  if (request.member_epoch < 0) return leave(request, now, effects);
  if (request.server_assignor && !std::ranges::count(config_.assignors, *request.server_assignor)) {
    return refused(ErrorCode::kUnsupportedAssignor,
                   fmt::format("The broker has no assignor {}. It has: {}.", quoted(*request.server_assignor),
                               fmt::join(config_.assignors, ", ")));
  }
  if (request.subscribed_topics) {
    std::vector<std::string>& topics = *request.subscribed_topics;
    std::sort(topics.begin(), topics.end());
    topics.erase(std::unique(topics.begin(), topics.end()), topics.end());
  }
  const auto there = find(request);
  if (!there) return Refused(there.error());
  if (ClassicGroup* classic = context_.groups.find_classic(request.group_id); classic != nullptr && !classic->is_empty()) {
    auto records = upgrade_of(*classic);
    if (!records) return Refused(records.error());
    upgrade(*classic, std::move(*records), now, change, effects);
    return answer(request, now, effects, change);
  }
  const auto* group = *there != nullptr ? std::get_if<ConsumerGroup>(*there) : nullptr;
  if (group != nullptr) {
    if (auto checked = check_size(*group, request.member_id, request.instance_id); !checked) return Refused(checked.error());
  }
  const auto sender = identify(group, request);
  if (!sender) return Refused(sender.error());
  const ConsumerMember* member = sender->member;
  Heartbeat heartbeat{request, request.member_id, {}, now, effects, change};
  if (member == nullptr || changes(*member->metadata, request)) {
    if (auto checked = check_subscription(group, request); !checked) return Refused(checked.error());
    heartbeat.metadata = updated(member != nullptr ? *member->metadata : ConsumerMemberMetadata(), request);
    if (auto checked = check_room(*there, member, *heartbeat.metadata, now); !checked) return Refused(checked.error());
  }
  if (heartbeat.member_id.empty()) heartbeat.member_id = context_.random.uuid().to_string();
  if (*there != nullptr && group == nullptr) {
    context_.replace(request.group_id, "becomes a consumer group", now, heartbeat.change);
  }
  return carry_out(*sender, heartbeat);
}

// --- checks ---------------------------------------------------------------------------------------------------------

// The group; nullptr if it is to be made; or a classic one, whose place it takes.
std::expected<const Group*, ConsumerGroups::Refusal> ConsumerGroups::find(const ConsumerHeartbeatRequest& request) const {
  const Group* group = context_.groups.find(request.group_id);
  if (group == nullptr) {
    if (request.member_epoch == 0) return group;
    return refused(ErrorCode::kGroupIdNotFound, "There is no such group.");
  }
  if (std::holds_alternative<ConsumerGroup>(*group)) return group;
  if (request.member_epoch == 0 && std::holds_alternative<ClassicGroup>(*group)) return group;
  return refused(ErrorCode::kGroupIdNotFound, "The group is not a consumer group.");
}

std::expected<void, ConsumerGroups::Refusal> ConsumerGroups::check_size(const ConsumerGroup& group, const std::string& member_id,
                                                                        const std::optional<std::string>& instance_id) const {
  if (group.size() < static_cast<size_t>(config_.max_size) || group.find(member_id) != nullptr) return {};
  if (instance_id && group.static_member(*instance_id) != nullptr) return {};
  return refused(ErrorCode::kGroupMaxSizeReached,
                 fmt::format("The group has {} already (group.consumer.max.size).", counted(group.size(), "member")));
}

std::expected<ConsumerGroups::Sender, ConsumerGroups::Refusal> ConsumerGroups::identify(
    const ConsumerGroup* group, const ConsumerHeartbeatRequest& request) const {
  if (request.instance_id) return identify_static(group, request);
  const ConsumerMember* member = group != nullptr ? group->find(request.member_id) : nullptr;
  if (member != nullptr) return check_epoch(*member, request);
  if (request.member_epoch == 0) return Sender();
  return refused(ErrorCode::kUnknownMemberId, "The group has no such member.");
}

std::expected<ConsumerGroups::Sender, ConsumerGroups::Refusal> ConsumerGroups::identify_static(
    const ConsumerGroup* group, const ConsumerHeartbeatRequest& request) const {
  const ConsumerMember* holder = group != nullptr ? group->static_member(*request.instance_id) : nullptr;
  if (request.member_epoch == 0) {
    if (holder == nullptr) return Sender{group != nullptr ? group->find(request.member_id) : nullptr, false};
    if (holder->id == request.member_id && !holder->is_away()) return Sender{holder, false};
    if (holder->is_away() || holder->uses_classic_protocol()) return Sender{holder, true};
    return refused(ErrorCode::kUnreleasedInstanceId,
                   fmt::format("The instance id belongs to member {}, which has not left.", quoted(holder->id, 128)));
  }
  if (holder == nullptr) return refused(ErrorCode::kUnknownMemberId, "The group has no member with this instance id.");
  if (holder->id == request.member_id) return check_epoch(*holder, request);
  return refused(ErrorCode::kFencedInstanceId, fmt::format("The instance id belongs to member {}.", quoted(holder->id, 128)));
}

// The answer with its present epoch may have been lost: then it still has the one before it, and nothing that it got since.
std::expected<ConsumerGroups::Sender, ConsumerGroups::Refusal> ConsumerGroups::check_epoch(
    const ConsumerMember& member, const ConsumerHeartbeatRequest& request) {
  constexpr std::string_view kRemedy = "The member has to give up its partitions and join again";
  const CurrentAssignment& current = member.current();
  const int32_t epoch = request.member_epoch;
  if (current.state == MemberState::kUnknown && (!request.owned || !request.owned->empty())) {
    return refused(ErrorCode::kFencedMemberEpoch, fmt::format("The member's state is unknown. {}.", kRemedy));
  }
  if (epoch == 0 || epoch == current.member_epoch) return Sender{&member, false};
  const bool lost = epoch == current.previous_member_epoch && request.owned && within(*request.owned, current.assigned);
  if (epoch < current.member_epoch && lost) return Sender{&member, false};
  return refused(ErrorCode::kFencedMemberEpoch,
                 fmt::format("The member's epoch is {}, not {}. {}.", current.member_epoch, epoch, kRemedy));
}

std::expected<void, ConsumerGroups::Refusal> ConsumerGroups::check_subscription(const ConsumerGroup* group,
                                                                                const ConsumerHeartbeatRequest& request) const {
  if (request.subscribed_topics) {
    size_t topics = request.subscribed_topics->size();
    if (group != nullptr && topics + group->topics().size() > kTopicsMax) {
      const auto known = [&](const std::string& topic) { return group->topics().contains(topic); };
      topics += group->topics().size() - static_cast<size_t>(std::ranges::count_if(*request.subscribed_topics, known));
    }
    if (topics > kTopicsMax) {
      return refused(ErrorCode::kInvalidRequest, fmt::format("A group may subscribe to {} topics at most.", kTopicsMax));
    }
  }
  const std::string& regex = request.subscribed_regex ? *request.subscribed_regex : std::string();
  if (regex.empty() || (group != nullptr && group->regexes().contains(regex))) return {};
  if (group != nullptr && group->regexes().size() >= kRegexesMax) {
    return refused(ErrorCode::kInvalidRequest, fmt::format("A group may have {} regular expressions at most.", kRegexesMax));
  }
  if (const auto valid = validate_expression(regex); !valid) {
    return refused(ErrorCode::kInvalidRegularExpression, valid.error().message);
  }
  return {};
}

// Members that are known, and do not ask for more, go on while memory is short.
std::expected<void, ConsumerGroups::Refusal> ConsumerGroups::check_room(const Group* there, const ConsumerMember* member,
                                                                        const ConsumerMemberMetadata& metadata, Instant now) {
  const int64_t bytes = ConsumerGroup::bytes_of(metadata);
  if (member != nullptr && bytes <= ConsumerGroup::bytes_of(*member->metadata)) return {};
  if (bytes > context_.record_bytes_max / 2) {
    return refused(ErrorCode::kInvalidRequest, fmt::format("The member's subscription has {} bytes.", bytes));
  }
  if (!context_.memory.full(there != nullptr ? GroupMemory::For::kMember : GroupMemory::For::kGroup)) return {};
  context_.warn_of_memory(now);
  return refused(ErrorCode::kCoordinatorNotAvailable, "The broker is short of memory for groups.");  // clients try again
}

// --- work -----------------------------------------------------------------------------------------------------------

ConsumerHeartbeatResult ConsumerGroups::carry_out(const Sender& sender, Heartbeat& heartbeat) {
  const ConsumerHeartbeatRequest& request = heartbeat.request;
  if (sender.takes_over) take_over(*context_.groups.find_consumer(request.group_id), *sender.member, heartbeat);
  const ConsumerMember* known =
      sender.takes_over ? context_.groups.find_consumer(request.group_id)->find(heartbeat.member_id) : sender.member;
  const bool subscription_changed = update_subscription(known, heartbeat);
  ConsumerGroup& group = *context_.groups.find_consumer(request.group_id);
  const ConsumerMember& member = *group.find(heartbeat.member_id);
  if (known == nullptr) tell(group, member, "joins", heartbeat.now);
  resolve_regexes(group, request.may_describe, heartbeat.now, heartbeat.effects);
  compute_target(group, heartbeat.now, heartbeat.change);
  const bool assignment_changed = reconcile_member(group, member, subscription_changed, heartbeat);
  expect_heartbeat(group, member, heartbeat.now);

  ConsumerHeartbeatResult result;
  result.member_id = member.id;
  result.member_epoch = member.epoch();
  result.heartbeat_interval_ms = settings(group).heartbeat_interval_ms;
  if (request.member_epoch == 0 || is_full_request(request) || assignment_changed) {
    result.assignment = without_epochs(member.current().assigned);
  }
  return result;
}

// Copies the static member under the id that it has now. Its partitions stay its own.
void ConsumerGroups::take_over(const ConsumerGroup& group, const ConsumerMember& from, Heartbeat& heartbeat) {
  const std::string old_id = from.id;
  ConsumerMemberEntry metadata{group.id(), heartbeat.member_id, from.metadata};
  TargetAssignmentMemberEntry target{group.id(), heartbeat.member_id, from.target()};
  CurrentAssignmentEntry current{group.id(), heartbeat.member_id, from.current()};
  current.value->member_epoch = 0;
  current.value->previous_member_epoch = 0;
  current.value->state = MemberState::kStable;
  current.value->pending_revocation.clear();
  cancel_deadlines(group, old_id);
  remove_member(group, old_id, heartbeat.change);
  const std::string member_id = heartbeat.member_id;
  heartbeat.change.emit(std::move(metadata));
  heartbeat.change.emit(std::move(target));
  heartbeat.change.emit(std::move(current));
  tell(group, *group.find(member_id), "takes the place of the static member " + quoted(old_id, 128), heartbeat.now);
}

bool ConsumerGroups::update_subscription(const ConsumerMember* member, Heartbeat& heartbeat) {
  const std::string& group_id = heartbeat.request.group_id;
  ConsumerGroup* group = context_.groups.find_consumer(group_id);
  if (!heartbeat.metadata) {
    if (group->soft.topics_changed) refresh_epoch(*group, false, "its topics changed", heartbeat.now, heartbeat.change);
    return false;
  }
  const bool joins = member == nullptr;
  const ConsumerMemberMetadata before = joins ? ConsumerMemberMetadata() : *member->metadata;
  const std::string old_regex = before.subscribed_regex.value_or("");
  const std::string new_regex = heartbeat.metadata->subscribed_regex.value_or("");
  const bool names_changed = before.subscribed_topics != heartbeat.metadata->subscribed_topics;
  const std::string old_assignor(group != nullptr ? group->assignor(default_assignor()) : default_assignor());
  heartbeat.change.emit(ConsumerMemberEntry{group_id, heartbeat.member_id, std::move(heartbeat.metadata)});

  group = context_.groups.find_consumer(group_id);
  if (old_regex != new_regex && !old_regex.empty()) forget_regex(*group, old_regex, heartbeat.change);
  // An expression that is not resolved yet counts once it is.
  const auto regex = group->regexes().find(new_regex);
  const bool known_topics = new_regex.empty() || (regex != group->regexes().end() && regex->second.resolved);
  const bool assignor_changed = group->assignor(default_assignor()) != old_assignor;
  const bool first = joins && group->epoch() == 0;  // no member has epoch 0
  const bool raise = names_changed || (old_regex != new_regex && known_topics) || assignor_changed || first;
  if (raise || group->soft.topics_changed) {
    refresh_epoch(*group, raise, joins ? "a member joined" : "a member changed its subscription", heartbeat.now,
                  heartbeat.change);
  }
  return names_changed || old_regex != new_regex;
}

const Assignor& ConsumerGroups::assignor_of(const ConsumerGroup& group) const {
  const std::string_view name = group.assignor(default_assignor());
  const bool offered = std::ranges::count(config_.assignors, name) > 0;  // a record may have any
  const Assignor* assignor = find_consumer_assignor(offered ? name : default_assignor());
  WEIR_CHECK(assignor != nullptr);
  return *assignor;
}

void ConsumerGroups::compute_target(ConsumerGroup& group, Instant now, GroupChange& change) {
  if (group.target_epoch() >= group.epoch()) return;
  // A clock that was set back delays nothing.
  const int64_t age_ms = now.wall_ms - group.target_timestamp_ms();
  if (group.target_timestamp_ms() != 0 && age_ms >= 0 && age_ms < settings(group).assignment_interval_ms) return;
  const Assignor& assignor = assignor_of(group);
  NextTarget next = next_target(group, *context_.image, assignor.assign);
  const size_t changed = next.changed.size();
  // Half of the targets do no harm: only the epoch behind them makes them count.
  size_t bytes = 0;
  for (auto& [member, target] : next.changed) {
    bytes += kTargetBytes + member->id.size();
    for (const TopicPartitions& topic : target) bytes += sizeof(Uuid) + topic.partitions.size() * sizeof(int32_t);
    change.emit(TargetAssignmentMemberEntry{group.id(), member->id, std::move(target)});
    if (bytes < kTargetBatchBytes) continue;
    change.part();
    bytes = 0;
  }
  // Without partitions the next one need not wait.
  change.emit(TargetAssignmentEntry{group.id(), {{group.epoch(), next.partitions == 0 ? 0 : now.wall_ms}}});
  context_.lines.tell(group.id(),
                      fmt::format("(epoch {}) has a new assignment of {} to {} by {}: {} of them changed", group.epoch(),
                                  counted(next.partitions, "partition"), counted(group.size(), "member"), assignor.name, changed),
                      now);
}

bool ConsumerGroups::reconcile_member(const ConsumerGroup& group, const ConsumerMember& member, bool subscription_changed,
                                      Heartbeat& heartbeat) {
  const CurrentAssignment& current = member.current();
  if (!subscription_changed && reconciled(current, group.target_epoch())) return false;
  const auto& told = heartbeat.request.owned;
  const auto subscribed = [&](const Uuid& topic_id) {
    const auto name = context_.image->topic_name(topic_id);
    return name && group.subscribes(member, *name);
  };
  const auto free = [&](const Uuid& topic_id, int32_t partition) {
    const int32_t owner = group.owner(topic_id, partition);
    return owner == PartitionOwners::kNobody || owner == member.number;
  };
  std::optional<CurrentAssignment> next = reconcile({current, group.target_epoch(), member.target(), told ? &*told : nullptr,
                                                     subscription_changed, std::cref(subscribed), std::cref(free)});
  WEIR_CHECK(next.has_value());  // check_epoch() refused it otherwise
  if (*next == current) return false;
  const bool assignment_changed = next->assigned != current.assigned;
  heartbeat.change.emit(CurrentAssignmentEntry{group.id(), member.id, std::move(next)});
  expect_revocation(group, member, heartbeat.now);
  return assignment_changed;
}

}  // namespace weir::coordination
