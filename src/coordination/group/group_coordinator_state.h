// The state machine of group coordinators: the groups and committed offsets of one partition of `__consumer_offsets`. Its parts
// are the actions of each type of group (ClassicGroups, ConsumerGroups), those common to all types (GroupOffsets, OffsetSweep,
// GroupMove), and their shared state (GroupContext). This class finds the part for a request, a record or a deadline.
//
// A later step may answer joins and syncs. Deterministic but for the member ids that it draws.
#pragma once

#include <any>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "coordination/group/classic/classic_groups.h"
#include "coordination/group/consumer/consumer_groups.h"
#include "coordination/group/consumer/consumer_messages.h"
#include "coordination/group/group_context.h"
#include "coordination/group/group_messages.h"
#include "coordination/group/group_move.h"
#include "coordination/group/offsets/group_offsets.h"
#include "coordination/group/offsets/offset_sweep.h"
#include "coordination/runtime/state_machine.h"

namespace weir::coordination {

class GroupCoordinatorState final : public StateMachine {
 public:
  // `memory` is shared with other coordinators and outlives the state.
  GroupCoordinatorState(const GroupConfig& config, runtime::Random& random, GroupMemory& memory)
      : context_(config, random, memory),
        classic_(context_),
        consumer_(context_, classic_),
        offsets_(context_),
        sweep_(context_),
        move_(context_, classic_) {}

  // StateMachine
  Result<void> replay(int64_t offset, const Origin& origin, Bytes key, std::optional<Bytes> value) override;
  void replay_marker(int64_t offset, const TransactionMarker& marker) override;
  void loaded(const ImagePtr& image, Instant now, Effects& effects) override;
  void image_changed(const ImageChange& change, Instant now, Effects& effects) override;
  void arrived(const Token& token, std::any result, Instant now, Effects& effects) override;
  int64_t next_deadline_ms() const override { return context_.deadlines.next_ms(); }
  void tick(Instant now, Effects& effects) override;
  void abandon(ErrorCode error, Effects& effects) override;
  void limit_record(int64_t bytes) override { context_.record_bytes_max = bytes; }
  void keep_back(KeptBack kept_back) override { context_.kept_back = std::move(kept_back); }
  std::string summary() const override;
  // Groups in the middle of a rebalance are left out. Pending offsets are in it under the key of their record behind a text that
  // says whose they are, and of how many offsets of the partition, pending ones or not, they are the newer.
  std::vector<CoordinatorRecord> snapshot() const override;

  // Requests. `from`: the client, for the log.
  void join(JoinRequest request, JoinReply reply, Instant now, Effects& effects);
  void sync(SyncRequest request, SyncReply reply, Instant now, Effects& effects);
  void heartbeat(const HeartbeatRequest& request, HeartbeatReply reply, Instant now, Effects& effects);
  void leave(const LeaveRequest& request, LeaveReply reply, Instant now, Effects& effects);
  void consumer_heartbeat(ConsumerHeartbeatRequest request, ConsumerHeartbeatReply reply, Instant now, Effects& effects);
  void commit_offsets(const OffsetCommitRequest& request, OffsetCommitReply reply, Instant now, Effects& effects);
  // In a transaction: the offsets are pending until the marker. Whether the producer may write, the log says.
  void commit_transactional_offsets(const TxnOffsetCommitRequest& request, OffsetCommitReply reply, Instant now,
                                    Effects& effects);
  void end_transaction(const TransactionMarker& marker, MarkerReply reply, Instant now, Effects& effects);
  void fetch_offsets(const OffsetFetchRequest& request, OffsetFetchReply reply, Effects& effects);
  void delete_offsets(const OffsetDeleteRequest& request, OffsetDeleteReply reply, Instant now, Effects& effects);
  void describe(const std::string& group_id, DescribeReply reply, Effects& effects);
  void describe_consumer(const std::string& group_id, ConsumerDescribeReply reply, Effects& effects);
  void list(ListReply reply, Effects& effects);
  void delete_group(const std::string& group_id, const std::string& from, DeleteGroupReply reply, Instant now, Effects& effects);

  // Groups that belong to another partition of the topic.
  GroupMove& move() { return move_; }
  const GroupMove& move() const { return move_; }

  const GroupTotals& totals() const { return context_.totals; }
  const GroupStateCounts& state_counts() const { return context_.groups.classic_counts(); }
  const ConsumerStateCounts& consumer_state_counts() const { return context_.groups.consumer_counts(); }
  // As Kafka's tools show it; empty: there is no such group.
  std::string_view type_of(std::string_view group_id) const;
  size_t group_count() const { return context_.groups.size(); }
  size_t offset_count() const { return context_.offsets.count(); }
  size_t pending_offset_count() const { return context_.pending.count(); }
  const CommittedOffsets& offsets() const { return context_.offsets; }
  // Estimated, and the same by a walk over everything to check it.
  int64_t memory_bytes() const;
  int64_t counted_memory_bytes() const;

 private:
  ConsumerGroup* find_consumer_with_members(std::string_view group_id);
  ErrorCode may_commit(const OffsetCommitRequest& request, Instant now);
  // In Kafka's words, for one who asks for a group of a type.
  std::string why_not_found(const std::string& group_id, std::string_view type) const;
  ErrorCode may_commit_in_transaction(const TxnOffsetCommitRequest& request) const;
  CoordinatorRecord pending_record(int64_t producer_id, const GroupTopicPartition& of, const CommittedOffset& offset) const;

  GroupContext context_;
  ClassicGroups classic_;
  ConsumerGroups consumer_;
  GroupOffsets offsets_;
  OffsetSweep sweep_;
  GroupMove move_;
};

}  // namespace weir::coordination
