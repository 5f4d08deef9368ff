// Consumer groups at work (KIP-848): members join, send heartbeats, are reconciled with their targets, leave and are removed.
// Part of a group coordinator's state: each call is within a step.
//
// A heartbeat does all the work of a group. It changes the member's subscription, which raises the group's epoch. If that is
// ahead of the target's, and the last target is old enough, it computes the next target. Then it brings its own member a step
// nearer to the target. Nothing is computed for other members: their next heartbeats do that.
#pragma once

#include <any>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "coordination/group/classic/classic_groups.h"
#include "coordination/group/consumer/assignor.h"
#include "coordination/group/consumer/classic_protocol.h"
#include "coordination/group/consumer/consumer_messages.h"
#include "coordination/group/group_context.h"
#include "coordination/group/group_messages.h"
#include "coordination/runtime/awaited.h"

namespace weir::coordination {

class ConsumerGroups {
 public:
  // What a client could make without end. Kafka has no such bounds.
  static constexpr size_t kTopicsMax = 32'768;  // that a group's members name
  static constexpr size_t kRegexesMax = 128;    // of a group

  ConsumerGroups(GroupContext& context, ClassicGroups& classic)
      : context_(context), classic_(classic), config_(context.config.consumer) {}

  // consumer_heartbeat.cc
  void heartbeat(ConsumerHeartbeatRequest request, ConsumerHeartbeatReply reply, Instant now, Effects& effects);

  // consumer_classic_members.cc: members of the classic protocol, of a group that is not empty. Each joins with its subscription
  // and learns in a sync what it has. Its generation is its epoch.
  void join(ConsumerGroup& group, JoinRequest request, JoinReply reply, Instant now, Effects& effects);
  void sync(ConsumerGroup& group, const SyncRequest& request, SyncReply reply, Instant now, Effects& effects);
  void classic_heartbeat(ConsumerGroup& group, const HeartbeatRequest& request, HeartbeatReply reply, Instant now,
                         Effects& effects);

  // consumer_leave.cc
  void leave(ConsumerGroup& group, const LeaveRequest& request, LeaveReply reply, Instant now, Effects& effects);
  // A deadline of a kind that is about members.
  void due(ConsumerGroup& group, const DeadlineKey& key, Instant now, Effects& effects);

  // consumer_regexes.cc
  void arrived(const Token& token, std::any result, Instant now, Effects& effects);

  // consumer_groups.cc
  // A group that was read from the log: its members get full sessions. Members that cannot be are removed.
  void loaded(ConsumerGroup& group, Instant now, Effects& effects);
  void image_changed(const ImageChange& change);
  // kNone, or why the request may not commit or fetch offsets.
  ErrorCode may_commit(const ConsumerGroup& group, const OffsetCommitRequest& request) const;
  ErrorCode may_commit_in_transaction(const ConsumerGroup& group, const TxnOffsetCommitRequest& request) const;
  static ErrorCode may_fetch(const ConsumerGroup& group, const OffsetFetchRequest& request);
  std::string_view default_assignor() const { return config_.assignors.front(); }

 private:
  struct Refusal {
    ErrorCode error{};
    std::string message;
  };
  using Refused = std::unexpected<Refusal>;
  static Refused refused(ErrorCode error, std::string message) { return Refused({error, std::move(message)}); }

  // Who sends a heartbeat.
  struct Sender {
    const ConsumerMember* member = nullptr;  // nullptr: a new one
    bool takes_over = false;                 // the place of this static member, which left for a while
  };
  struct Heartbeat {
    const ConsumerHeartbeatRequest& request;
    std::string member_id;
    std::optional<ConsumerMemberMetadata> metadata;  // the member's from now on; nothing: unchanged
    Instant now;
    Effects& effects;
    GroupChange& change;
  };

  // A heartbeat's checks.
  std::expected<ConsumerHeartbeatResult, Refusal> answer(ConsumerHeartbeatRequest& request, Instant now, Effects& effects,
                                                         GroupChange& change);
  std::expected<const Group*, Refusal> find(const ConsumerHeartbeatRequest& request) const;
  std::expected<void, Refusal> check_size(const ConsumerGroup& group, const std::string& member_id,
                                          const std::optional<std::string>& instance_id) const;
  std::expected<Sender, Refusal> identify(const ConsumerGroup* group, const ConsumerHeartbeatRequest& request) const;
  std::expected<Sender, Refusal> identify_static(const ConsumerGroup* group, const ConsumerHeartbeatRequest& request) const;
  static std::expected<Sender, Refusal> check_epoch(const ConsumerMember& member, const ConsumerHeartbeatRequest& request);
  std::expected<void, Refusal> check_subscription(const ConsumerGroup* group, const ConsumerHeartbeatRequest& request) const;
  std::expected<void, Refusal> check_room(const Group* there, const ConsumerMember* member,
                                          const ConsumerMemberMetadata& metadata, Instant now);

  // Its work.
  ConsumerHeartbeatResult carry_out(const Sender& sender, Heartbeat& heartbeat);
  void take_over(const ConsumerGroup& group, const ConsumerMember& from, Heartbeat& heartbeat);
  // Whether the member's topics may be others now.
  bool update_subscription(const ConsumerMember* member, Heartbeat& heartbeat);
  void compute_target(ConsumerGroup& group, Instant now, GroupChange& change);
  // Whether the partitions changed that the member shall have.
  bool reconcile_member(const ConsumerGroup& group, const ConsumerMember& member, bool subscription_changed,
                        Heartbeat& heartbeat);
  const Assignor& assignor_of(const ConsumerGroup& group) const;

  // Members of the classic protocol.
  std::expected<void, Refusal> check_join(const ConsumerGroup& group, const JoinRequest& request) const;
  std::expected<Sender, ErrorCode> identify_classic(const ConsumerGroup& group, const JoinRequest& request) const;
  static std::expected<const ConsumerMember*, ErrorCode> validate_classic(const ConsumerGroup& group,
                                                                          const std::string& member_id,
                                                                          const std::optional<std::string>& instance_id,
                                                                          int32_t generation);
  static bool waits_for_partitions(const ConsumerGroup& group, const ConsumerMember& member);
  void expect_join(const ConsumerGroup& group, const ConsumerMember& member, Instant now);

  // consumer_conversion.cc: online migration. A conversion is one batch of the log.
  // The records of the consumer group that takes the place of a classic one, without tombstones; or why there can be none.
  std::expected<std::vector<GroupRecord>, Refusal> upgrade_of(ClassicGroup& group) const;
  void upgrade(ClassicGroup& group, std::vector<GroupRecord> records, Instant now, GroupChange& change, Effects& effects);
  // Whether the group is to become a classic one when `leaving` go. Without them all its members have the classic protocol.
  bool downgrades(const ConsumerGroup& group, std::span<const ConsumerMember* const> leaving) const;
  // Ends the group. `rebalance`: the assignment is not what the members shall have.
  void downgrade(ConsumerGroup& group, std::span<const ConsumerMember* const> leaving, bool rebalance, Instant now,
                 GroupChange& change, Effects& effects);
  GroupMetadata classic_metadata(const ConsumerGroup& group, std::span<const ConsumerMember* const> leaving, Instant now) const;

  // Members going.
  std::expected<ConsumerHeartbeatResult, Refusal> leave(const ConsumerHeartbeatRequest& request, Instant now, Effects& effects);
  void leave_for_a_while(const ConsumerMember& member, ConsumerGroup& group, Instant now, GroupChange& change);
  // `why`: for the log.
  void fence(ConsumerGroup& group, std::span<const ConsumerMember* const> members, std::string_view why, Instant now,
             GroupChange& change);
  // The same, and the group may end: it becomes a classic one if only members of that protocol are left.
  void fence_or_downgrade(ConsumerGroup& group, std::span<const ConsumerMember* const> members, std::string_view why, Instant now,
                          GroupChange& change, Effects& effects);
  void cancel_deadlines(const ConsumerGroup& group, const std::string& member_id);
  static void remove_member(const ConsumerGroup& group, const std::string& member_id, GroupChange& change);
  static void forget_regex(const ConsumerGroup& group, const std::string& regex, GroupChange& change);

  // The topics of expressions.
  bool is_resolution_due(const ConsumerGroup& group, Instant now) const;
  void resolve_regexes(ConsumerGroup& group, const TopicFilter& may_describe, Instant now, Effects& effects);
  bool has_room(const std::vector<std::string>& topics, const ConsumerGroup::Regex& of, Instant now);

  // The group's epoch rises if `raise`, or if the metadata of its topics are others than when it last rose.
  void refresh_epoch(ConsumerGroup& group, bool raise, std::string_view why, Instant now, GroupChange& change);
  int64_t metadata_hash(ConsumerGroup& group);
  int64_t hash_of_topic(const std::string& topic);
  const ConsumerGroupSettings& settings(ConsumerGroup& group) const;
  int32_t session_timeout_ms(ConsumerGroup& group, const ConsumerMember& member) const;
  void expect_heartbeat(ConsumerGroup& group, const ConsumerMember& member, Instant now);
  void expect_revocation(const ConsumerGroup& group, const ConsumerMember& member, Instant now);
  std::vector<const ConsumerMember*> broken_members(const ConsumerGroup& group) const;
  void mend(ConsumerGroup& group, Instant now, Effects& effects);
  bool owned_since(const ConsumerMember& member, const OffsetCommitRequest& request) const;
  ErrorCode check_commit_epoch(const ConsumerMember& member, const OffsetCommitRequest& request) const;

  void tell(const ConsumerGroup& group, const ConsumerMember& member, std::string_view what, Instant now) {
    context_.lines.tell_member(group, member, what, now);
  }
  static DeadlineKey session_key(const ConsumerGroup& group, const std::string& member_id) {
    return {DeadlineKind::kMember, group.id(), member_id};
  }
  static DeadlineKey revocation_key(const ConsumerGroup& group, const std::string& member_id) {
    return {DeadlineKind::kRebalance, group.id(), member_id};
  }
  static DeadlineKey join_key(const ConsumerGroup& group, const std::string& member_id) {
    return {DeadlineKind::kJoin, group.id(), member_id};
  }
  static DeadlineKey sync_key(const ConsumerGroup& group, const std::string& member_id) {
    return {DeadlineKind::kSync, group.id(), member_id};
  }

  static constexpr int kResolution = 0;  // the kind of its tokens

  GroupContext& context_;
  ClassicGroups& classic_;
  const GroupConfig::Consumer& config_;
  Awaited awaited_;
  int64_t newest_topics_ = 0;  // the version of the last image with topics that were not there before
  uint64_t defaults_ = 0;      // grows with each change of the broker's configuration
  static constexpr size_t kTopicHashesMax = 65'536;
  std::unordered_map<std::string, int64_t> topic_hashes_;  // of some topics of the present image
};

}  // namespace weir::coordination
