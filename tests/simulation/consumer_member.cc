#include "simulation/consumer_member.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "protocol/messages/find_coordinator.h"

namespace weir::simulation {

using protocol::ConsumerGroupHeartbeatRequest;
using protocol::ErrorCode;
using testing::OperationId;

namespace {

constexpr int64_t kRetryNs = 20 * runtime::kMillisecond;
constexpr int64_t kMillisecond = runtime::kMillisecond;
constexpr int32_t kJoinEpoch = 0, kLeaveEpoch = -1, kStaticLeaveEpoch = -2;

std::vector<testing::NameId> names(ConsumerStage& stage, const std::set<TopicPartition>& partitions) {
  std::vector<testing::NameId> all;
  for (const TopicPartition& partition : partitions) all.push_back(stage.name_of(partition));
  return all;
}

std::set<TopicPartition> without(std::set<TopicPartition> all, const std::set<TopicPartition>& some) {
  for (const TopicPartition& partition : some) all.erase(partition);
  return all;
}

}  // namespace

ConsumerMember::ConsumerMember(ConsumerStage& stage, ConsumerRole role, std::function<void(const ConsumerRole&)> replace)
    : stage_(stage),
      role_(std::move(role)),
      client_(stage.new_client()),
      member_id_(fmt::format("consumer-{}", client_)),
      group_(stage.history.name(role_.group)),
      replace_(std::move(replace)),
      heartbeats_(stage.loop()),
      data_(stage.loop()),
      subscription_(stage.draw_subscription()) {
  heartbeats_.set_timeout(stage.faults.timeout_ns());
  data_.set_timeout(stage.faults.timeout_ns());
  if (stage.random.one_in(6)) assignor_ = stage.random.one_in(2) ? "uniform" : "range";
}

void ConsumerMember::start() {
  beat_in(static_cast<int64_t>(stage_.random.below(kRetryNs)));
  again(kRetryNs);
}

void ConsumerMember::drop() {
  heartbeats_.drop();
  data_.drop();
}

std::set<TopicPartition> ConsumerMember::owned() const {
  Partitions all;
  for (const auto& [partition, position] : owned_) all.insert(partition);
  return all;
}

void ConsumerMember::later(int64_t delay_ns, ConsumerStage::Step step) {
  stage_.after(delay_ns, [this, step = std::move(step)]() mutable {
    if (ended_) return;
    stalled_ ? asleep_.push_back(std::move(step)) : step();
  });
}

void ConsumerMember::stall(int64_t length_ns) {
  stalled_ = true;
  stage_.after(length_ns, [this] {
    stalled_ = false;
    if (replaced_) stage_.oracle().happened(kZombieConsumer);
    for (const ConsumerStage::Step& step : std::exchange(asleep_, {})) later(0, step);
  });
}

void ConsumerMember::end_process(bool come_again) {
  ended_ = true;
  drop();
  if (come_again && !std::exchange(replaced_, true)) replace_(role_);
}

void ConsumerMember::find_coordinator(KafkaClient& connection, ConsumerStage::Step done) {
  std::string_view wanted = role_.group;
  protocol::FindCoordinatorRequest request;
  request.coordinator_keys = {&wanted, 1};
  stage_.begin_request();
  connection.call<protocol::FindCoordinatorResponse>(4, request, [this, done = std::move(done)](const auto*) {
    stage_.end_request();
    later(kRetryNs, done);
  });
}

bool ConsumerMember::elsewhere(ErrorCode error) {
  return error == ErrorCode::kCoordinatorLoadInProgress || error == ErrorCode::kCoordinatorNotAvailable ||
         error == ErrorCode::kNotCoordinator;
}

// --- Heartbeats

void ConsumerMember::beat_in(int64_t delay_ns) {
  later(delay_ns, [this, timer = ++beat_timer_] {
    if (timer == beat_timer_) beat();
  });
}

void ConsumerMember::beat() {
  // The answer sets the next timer.
  if (beating_ || leaving_) return;
  const bool joins = epoch_ == kJoinEpoch;
  ConsumerGroupHeartbeatRequest request;
  request.group_id = role_.group;
  request.member_id = member_id_;
  request.member_epoch = epoch_;
  if (role_.instance) request.instance_id = *role_.instance;
  if (joins || !sent_) request.rebalance_timeout_ms = stage_.options.rebalance_timeout_ms;
  std::vector<std::string_view> topics(subscription_.topics.begin(), subscription_.topics.end());
  if (joins || !sent_ || sent_->subscription.topics != subscription_.topics) request.subscribed_topic_names = topics;
  const bool regex_is_new = sent_ ? sent_->subscription.regex != subscription_.regex : had_regex_;
  // A static member that returns has the expression of the one before it, unless it says that it has none.
  const bool says_regex = joins && (role_.instance || !subscription_.regex.empty());
  if (regex_is_new || says_regex) request.subscribed_topic_regex = subscription_.regex;
  had_regex_ = had_regex_ || !subscription_.regex.empty();
  if ((joins || !sent_) && !assignor_.empty()) request.server_assignor = assignor_;
  std::map<Uuid, std::vector<int32_t>> by_topic;
  for (const auto& [partition, position] : owned_) by_topic[partition.topic].push_back(partition.index);
  std::vector<ConsumerGroupHeartbeatRequest::TopicPartitions> list;
  for (auto& [topic, indexes] : by_topic) {
    list.emplace_back();
    list.back().topic_id = topic;
    list.back().partitions = indexes;
  }
  if (joins || !sent_ || sent_->owned != owned()) request.topic_partitions = list;
  Beat beat{.sent_ns = stage_.now_ns(), .joins = joins};
  beat.full = request.rebalance_timeout_ms >= 0 && request.topic_partitions &&
              (request.subscribed_topic_names || request.subscribed_topic_regex);
  sent_ = Sent{subscription_, owned()};
  possible_.push_back(subscription_);
  if (!owned_.empty()) beat.kept = stage_.history.invoke(client_, testing::Kept{group_, epoch_, names(stage_, owned())});
  if (!to_acknowledge_.empty()) {
    const testing::Revoked revoked{group_, epoch_, names(stage_, std::exchange(to_acknowledge_, {}))};
    revocations_.push_back(stage_.history.invoke(client_, revoked));
  }
  beating_ = true;
  ++beats_;
  stage_.begin_request();
  heartbeats_.call<HeartbeatResponse>(1, request, [this, beat](const auto* response) {
    stage_.end_request();
    beating_ = false;
    if (!ended_) answered(response, beat);
  });
}

void ConsumerMember::answered(const HeartbeatResponse* response, const Beat& beat) {
  if (!response) return unanswered(stage_.lost_ns());
  const auto error = static_cast<ErrorCode>(response->error_code);
  if (elsewhere(error)) {
    // The heartbeat may have been taken, and what it wrote may be durable, unless it met a coordinator that loads.
    missed_ += error != ErrorCode::kCoordinatorLoadInProgress;
    sent_.reset();
    return find_coordinator(heartbeats_, [this] { beat_in(0); });
  }
  if (error == ErrorCode::kNone) return accepted(*response, beat);
  refused(error, beat);
}

void ConsumerMember::unanswered(int64_t delay_ns) {
  ++missed_;
  sent_.reset();
  beat_in(delay_ns);
}

void ConsumerMember::accepted(const HeartbeatResponse& response, const Beat& beat) {
  Oracle& oracle = stage_.oracle();
  const std::string where = fmt::format("{}: {} in epoch {}", role_.group, member_id_, epoch_);
  if (response.member_id != member_id_) oracle.violation(fmt::format("{} is called {}", where, *response.member_id));
  if (response.member_epoch < std::max(epoch_, 1)) oracle.violation(fmt::format("{} got epoch {}", where, response.member_epoch));
  if (beat.full && !response.assignment) oracle.violation(fmt::format("{} said everything and got no assignment", where));
  if (missed_ > 0 && response.member_epoch > epoch_ && !beat.joins) oracle.happened(kMissedAnswer);
  oracle.learned(1);
  epoch_ = response.member_epoch;
  // An answer that was lost may have asked for it already.
  const int64_t asked_ns = missed_ > 0 ? accepted_ns_ : beat.sent_ns;
  missed_ = 0;
  accepted_ns_ = beat.sent_ns;
  interval_ns_ = response.heartbeat_interval_ms * kMillisecond;
  if (beat.kept != testing::kNoOperation) stage_.history.ok(beat.kept);
  for (const OperationId id : std::exchange(revocations_, {})) stage_.history.ok(id);
  if (response.assignment) take(response);
  // Requests that are under way end before the next one, so that only the last subscription is known now.
  possible_.erase(possible_.begin(), possible_.end() - 1);
  const bool owes = !without(owned(), target_).empty() || !to_acknowledge_.empty();
  if (!owes) revocation_asked_ns_ = -1;
  if (owes && revocation_asked_ns_ < 0) revocation_asked_ns_ = asked_ns;
  // What changed meanwhile is told at once.
  beat_in(sent_->owned == owned() ? interval_ns_ : 0);
  reconcile();
}

void ConsumerMember::refused(ErrorCode error, const Beat& beat) {
  for (const OperationId id : std::exchange(revocations_, {})) stage_.history.fail(id);
  if (beat.kept != testing::kNoOperation) stage_.history.fail(beat.kept);
  if (error == ErrorCode::kUnreleasedInstanceId && beat.joins && role_.instance) {
    stage_.oracle().happened(kInstanceTaken);
    if (replaced_) return end_process(false);
    return unanswered(5 * kRetryNs);
  }
  judge_refusal("ConsumerGroupHeartbeat", error);
  stage_.oracle().happened(kMemberExpired);
  lose();
  if (error == ErrorCode::kFencedInstanceId || replaced_) return end_process(true);
  beat_in(static_cast<int64_t>(stage_.random.below(kRetryNs)));
}

bool ConsumerMember::lapsed() const {
  if (epoch_ == kJoinEpoch) return false;
  const int64_t now_ns = stage_.now_ns() + 2 * kMillisecond;  // the coordinator counts in milliseconds
  if (now_ns - accepted_ns_ >= stage_.options.session_timeout_ms * kMillisecond) return true;
  // An answer that was lost, or is still under way, may have asked for a revocation.
  int64_t asked_ns = revocation_asked_ns_;
  if (missed_ > 0 || beating_) asked_ns = asked_ns < 0 ? accepted_ns_ : std::min(asked_ns, accepted_ns_);
  return asked_ns >= 0 && now_ns - asked_ns >= stage_.options.rebalance_timeout_ms * kMillisecond;
}

void ConsumerMember::judge_refusal(const char* request, ErrorCode error) {
  const bool missed = error == ErrorCode::kFencedMemberEpoch && missed_ >= 2;
  const bool removed =
      error == ErrorCode::kUnknownMemberId || error == ErrorCode::kFencedInstanceId || error == ErrorCode::kFencedMemberEpoch;
  if (missed || (removed && lapsed())) return;
  stage_.oracle().violation(fmt::format("{}: {} in epoch {} got error {} to {}, with {} answers missed", role_.group, member_id_,
                                        epoch_, static_cast<int16_t>(error), request, missed_));
}

// --- Assignments

void ConsumerMember::take(const HeartbeatResponse& response) {
  Partitions target;
  for (const auto& topic : response.assignment->topic_partitions) {
    const auto known = stage_.topics.find(topic.topic_id);
    const bool wanted = known == stage_.topics.end() || std::any_of(possible_.begin(), possible_.end(), [&](const auto& one) {
                          return one.matches(known->second.name);
                        });
    if (!wanted) {
      stage_.oracle().violation(
          fmt::format("{}: {} got {}, to which it does not subscribe", role_.group, member_id_, known->second.name));
    }
    for (const int32_t index : topic.partitions) target.insert({topic.topic_id, index});
  }
  if (target != target_) target_is_new_ = true;
  target_ = std::move(target);
  const Partitions added = without(target_, granted_);
  // What the member is given and loses before it takes it, it never owned.
  granted_ = target_;
  for (const auto& [partition, position] : owned_) granted_.insert(partition);
  if (added.empty()) return;
  stage_.oracle().happened(kPartitionsGiven);
  const testing::Assigned assigned{group_, epoch_, names(stage_, added), true};
  stage_.history.ok(stage_.history.invoke(client_, assigned));
}

void ConsumerMember::reconcile() {
  if (reconciling_) return;
  Partitions next;
  for (const TopicPartition& partition : target_) {
    if (stage_.topics.contains(partition.topic)) next.insert(partition);
  }
  // Kafka's client, too, owns a partition only once it knows the topic. Each heartbeat comes back to it.
  if (next != target_) stage_.look_up_topics([] {});
  revoking_ = without(owned(), next);
  if (next == owned()) {
    // The coordinator waits for the list, even if nothing had been taken yet.
    if (next == target_ && std::exchange(target_is_new_, false)) {
      sent_->owned.reset();
      beat_in(0);
    }
    return;
  }
  reconciling_ = true;
  int64_t pause_ns = static_cast<int64_t>(stage_.random.below(4)) * kMillisecond;
  if (stage_.options.slow_revocations && stage_.random.one_in(2)) {
    // Longer than the interval of heartbeats, now and then longer than the coordinator waits.
    const int64_t longest_ns = (stage_.random.one_in(8) ? 2 : 1) * stage_.options.rebalance_timeout_ms * kMillisecond * 2 / 3;
    pause_ns = static_cast<int64_t>(stage_.random.below(static_cast<uint64_t>(longest_ns)));
  }
  if (revoking_.empty()) pause_ns /= 8;
  later(pause_ns, [this, incarnation = incarnation_] { give_up(incarnation); });
}

// Commits what it has read of the partitions to be given up, unless that process forgets it.
void ConsumerMember::give_up(uint64_t incarnation) {
  if (incarnation != incarnation_) return;
  if (committing_) return later(kMillisecond, [this, incarnation] { give_up(incarnation); });
  Partitions unfinished;
  for (const TopicPartition& partition : revoking_) {
    const Position& position = owned_.at(partition);
    if (position.offset > position.committed && !stage_.gone(partition.topic)) unfinished.insert(partition);
  }
  const auto done = [this, incarnation] {
    if (incarnation == incarnation_) reconciled();
  };
  unfinished.empty() || stage_.random.one_in(4) ? done() : commit(unfinished, done);
}

void ConsumerMember::reconciled() {
  reconciling_ = false;
  for (const TopicPartition& partition : revoking_) {
    owned_.erase(partition);
    granted_.erase(partition);
    to_acknowledge_.insert(partition);
    stage_.oracle().happened(kPartitionsRevoked);
  }
  revoking_.clear();
  // A newer target may lack a partition that the member has not taken yet: that one may have another owner by now.
  for (const TopicPartition& partition : target_) {
    if (!granted_.contains(partition) || !stage_.topics.contains(partition.topic)) continue;
    const auto [position, taken] = owned_.try_emplace(partition);
    if (taken) position->second.grant = ++grants_;
  }
  beat_in(0);
}

void ConsumerMember::lose() {
  if (!granted_.empty()) {
    stage_.history.fail(stage_.history.invoke(client_, testing::Revoked{group_, epoch_, names(stage_, granted_)}));
  }
  ++incarnation_;
  epoch_ = kJoinEpoch;
  missed_ = 0;
  sent_.reset();
  possible_.clear();
  revocation_asked_ns_ = -1;
  reconciling_ = target_is_new_ = false;
  target_.clear();
  granted_.clear();
  owned_.clear();
  revoking_.clear();
  to_acknowledge_.clear();
}

// --- Leaving

void ConsumerMember::leave(bool for_good) {
  leaving_ = true;
  if (beating_ || committing_) return later(kMillisecond, [this, for_good] { leave(for_good); });
  if (epoch_ == kJoinEpoch) return left(for_good, 0);  // it was expelled meanwhile
  ConsumerGroupHeartbeatRequest request;
  request.group_id = role_.group;
  request.member_id = member_id_;
  request.member_epoch = role_.instance && !stage_.random.one_in(4) ? kStaticLeaveEpoch : kLeaveEpoch;
  if (role_.instance) request.instance_id = *role_.instance;
  const OperationId id = stage_.history.invoke(client_, testing::Revoked{group_, epoch_, names(stage_, granted_)});
  stage_.begin_request();
  heartbeats_.call<HeartbeatResponse>(1, request, [this, id, epoch = request.member_epoch, for_good](const auto* response) {
    stage_.end_request();
    if (ended_) return;
    judge_leave(response, id, epoch);
    left(for_good, response ? 0 : stage_.lost_ns());
  });
}

void ConsumerMember::judge_leave(const HeartbeatResponse* response, OperationId id, int32_t epoch) {
  if (!response) return;
  const auto error = static_cast<ErrorCode>(response->error_code);
  if (error == ErrorCode::kNone) {
    stage_.history.ok(id);
    if (epoch == kStaticLeaveEpoch) stage_.oracle().happened(kStaticMemberLeft);
    if (response->member_epoch == epoch) return;
    stage_.oracle().violation(fmt::format("{}: {} left in epoch {}", role_.group, member_id_, response->member_epoch));
  } else if (!elsewhere(error)) {
    stage_.history.fail(id);
    judge_refusal("leaving", error);
  }
}

// A process that polls too rarely leaves, and comes back under its old id.
void ConsumerMember::left(bool for_good, int64_t delay_ns) {
  granted_.clear();
  revocations_.clear();
  lose();
  leaving_ = false;
  if (for_good) return end_process(true);
  beat_in(static_cast<int64_t>(stage_.random.below(kRetryNs)) + delay_ns);
}

std::string ConsumerMember::unsettled() const {
  const std::string who = fmt::format("{} ({}) in epoch {}", member_id_, role_.instance.value_or("dynamic"), epoch_);
  if (epoch_ <= 0 || leaving_) return who + " has not joined";
  if (stalled_) return who + " is stalled";
  if (missed_ > 0) return who + " gets no answer";
  if (reconciling_ || target_ != owned()) return who + " has not reconciled its assignment";
  if (!to_acknowledge_.empty() || !revocations_.empty()) return who + " has not told what it gave up";
  for (const auto& [partition, position] : owned_) {
    if (stage_.quiet_since_ns >= 0 && position.at_end_ns >= stage_.quiet_since_ns && position.committed == position.offset)
      continue;
    return fmt::format("{} is at {} of {}-{}, committed {}", who, position.offset, partition.topic.to_string(), partition.index,
                       position.committed);
  }
  return {};
}

}  // namespace weir::simulation
