// The state machine of group coordinators: the groups and committed offsets of one partition of `__consumer_offsets`.
// Joins and syncs may be answered by a later step. Deterministic but for the member ids it draws.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/rate_limit.h"
#include "base/result.h"
#include "coordination/group/classic_group.h"
#include "coordination/group/committed_offsets.h"
#include "coordination/group/deadlines.h"
#include "coordination/group/group_config.h"
#include "coordination/group/group_messages.h"
#include "coordination/group/group_records.h"
#include "coordination/runtime/state_machine.h"
#include "runtime/clock.h"

namespace weir::coordination {

class GroupCoordinatorState final : public StateMachine {
 public:
  // `memory` is shared with other coordinators and outlives the state.
  GroupCoordinatorState(const GroupConfig& config, runtime::Random& random, GroupMemory& memory)
      : config_(config), random_(random), memory_(memory), offsets_(memory) {}

  // StateMachine
  Result<void> replay(int64_t offset, const Origin& origin, Bytes key, std::optional<Bytes> value) override;
  void replay_marker(int64_t /*offset*/, const TransactionMarker& /*marker*/) override {}  // no offsets of transactions yet
  void loaded(const ImagePtr& image, Instant now, Effects& effects) override;
  void image_changed(const ImageChange& change, Instant now, Effects& effects) override;                        // group_sweep.cc
  void arrived(const Token& /*token*/, std::any /*result*/, Instant /*now*/, Effects& /*effects*/) override {}  // nothing is sent
  int64_t next_deadline_ms() const override { return deadlines_.next_ms(); }
  void tick(Instant now, Effects& effects) override;
  void abandon(ErrorCode error, Effects& effects) override;
  void limit_record(int64_t bytes) override { group_bytes_max_ = bytes; }
  void keep_back(KeptBack kept_back) override { kept_back_ = std::move(kept_back); }
  std::string summary() const override;
  // Groups in the middle of a rebalance are left out.
  std::vector<CoordinatorRecord> snapshot() const override;

  // classic_rebalance.cc
  void join(JoinRequest request, JoinReply reply, Instant now, Effects& effects);
  void sync(SyncRequest request, SyncReply reply, Instant now, Effects& effects);
  void heartbeat(const HeartbeatRequest& request, HeartbeatReply reply, Instant now, Effects& effects);
  void leave(const LeaveRequest& request, LeaveReply reply, Instant now, Effects& effects);

  // group_offsets.cc
  void commit_offsets(const OffsetCommitRequest& request, OffsetCommitReply reply, Instant now, Effects& effects);
  void fetch_offsets(const OffsetFetchRequest& request, OffsetFetchReply reply, Effects& effects);
  void delete_offsets(const OffsetDeleteRequest& request, OffsetDeleteReply reply, Instant now, Effects& effects);

  // group_move.cc: groups that belong to another partition of the topic.
  using HomeOf = std::function<int32_t(std::string_view group_id)>;  // the index of a group's partition
  struct MoveSlice {
    std::vector<CoordinatorRecord> records;  // all of groups that belong to partition `to`
    int32_t to = -1;
    std::string next_group;  // where to go on once the records were forgotten
    bool finished = false;   // nothing comes after this slice
  };
  MoveSlice misplaced(const std::string& from_group, int32_t own, const HomeOf& home_of) const;
  void adopt(const std::vector<CoordinatorRecord>& records, Instant now, Effects& effects);  // what is not newer here
  void forget(const std::vector<CoordinatorRecord>& records, Effects& effects);

  void describe(const std::string& group_id, DescribeReply reply, Effects& effects);
  void list(ListReply reply, Effects& effects);
  // `from`: who asks, for the log.
  void delete_group(const std::string& group_id, const std::string& from, DeleteGroupReply reply, Instant now, Effects& effects);

  // What happened since this object was made.
  struct Totals {
    uint64_t rebalances = 0;  // that ended with an assignment
    uint64_t offsets_committed = 0;
    uint64_t offsets_expired = 0;  // or gone with their topic
    uint64_t offsets_deleted = 0;  // on demand
    Totals& operator+=(const Totals& other) {
      rebalances += other.rebalances;
      offsets_committed += other.offsets_committed;
      offsets_expired += other.offsets_expired;
      offsets_deleted += other.offsets_deleted;
      return *this;
    }
  };
  const Totals& totals() const { return totals_; }
  const GroupStateCounts& state_counts() const { return state_counts_; }
  size_t group_count() const { return groups_.size(); }
  size_t offset_count() const { return offsets_.count(); }
  const CommittedOffsets& offsets() const { return offsets_; }
  // Estimated, and the same by a walk over everything to check it.
  int64_t memory_bytes() const;
  int64_t counted_memory_bytes() const;

 private:
  // A walk over all groups; what it looks for.
  struct Sweep {
    std::string next_group;
    bool expire = false;
    std::map<std::string, std::vector<Uuid>> deleted;  // name -> ids
    std::optional<int64_t> loaded_wall_ms;             // offsets that are older go if their topic does not exist
  };

  bool is_kept_back(std::string_view group_id) const { return kept_back_ && kept_back_(group_id); }
  ClassicGroup* find(std::string_view group_id);
  ClassicGroup& find_or_create(const std::string& group_id);
  void replay_group(GroupMetadataEntry entry);
  void replay_offset(OffsetEntry entry);

  // Joining.
  void join_new_member(JoinRequest& request, ClassicGroup& group, JoinReply reply, Instant now, Effects& effects);
  void join_existing_member(JoinRequest& request, ClassicGroup& group, JoinReply reply, Instant now, Effects& effects);
  bool accepts(ClassicGroup& group, const std::string& member_id) const;
  bool fits(ClassicGroup* group, const JoinRequest& request) const;
  void add_member(JoinRequest& request, ClassicGroup& group, const std::string& member_id, JoinReply reply, Instant now,
                  Effects& effects);
  void update_member(JoinRequest& request, ClassicGroup& group, ClassicMember& member, JoinReply reply, Effects& effects);
  void replace_static_member(JoinRequest& request, ClassicGroup& group, const std::string& new_id, JoinReply reply, Instant now,
                             Effects& effects);
  void answer_current_generation(ClassicGroup& group, const ClassicMember& member, JoinReply reply, Effects& effects);
  // The rebalance.
  // `why`: for the log.
  void rebalance_or_complete(ClassicGroup& group, std::string_view why, Instant now, Effects& effects);
  void prepare_rebalance(ClassicGroup& group, std::string_view why, Instant now, Effects& effects);
  void complete_join_if_all(ClassicGroup& group, Instant now, Effects& effects);
  void complete_join(ClassicGroup& group, Instant now, Effects& effects);
  void initial_wait_over(ClassicGroup& group, Instant now, Effects& effects);
  void propagate_assignment(ClassicGroup& group, ErrorCode error, Instant now, Effects& effects);
  // Members going.
  void member_expired(ClassicGroup& group, const std::string& member_id, Instant now, Effects& effects);
  void pending_syncs_expired(ClassicGroup& group, Instant now, Effects& effects);
  void remove_member(ClassicGroup& group, const std::string& member_id, std::string_view why, ErrorCode error, Instant now,
                     Effects& effects);
  void synced(ClassicGroup& group, const std::string& member_id);
  ErrorCode leave_one(ClassicGroup& group, const LeaveRequest::Member& leaving, const std::string& from, Instant now,
                      Effects& effects);
  void answer_join_error(JoinReply reply, const std::string& member_id, ErrorCode error, Effects& effects);
  void answer_waiting(ClassicGroup& group, ClassicMember& member, ErrorCode error, Effects& effects);
  std::string new_member_id(std::string_view prefix);

  // Deadlines.
  void expect_heartbeat(const ClassicGroup& group, const ClassicMember& member, Instant now);
  void set_join_deadline(ClassicGroup& group, int64_t delay_ms, Instant now);
  void cancel_join_deadline(ClassicGroup& group);
  static DeadlineKey member_key(const ClassicGroup& group, const std::string& member_id) {
    return {DeadlineKind::kMember, group.id(), member_id};
  }

  // Offsets.
  ErrorCode validate_commit(const OffsetCommitRequest& request, Instant now);
  Sweep& begin_sweep(Instant now);
  void sweep_slice(Instant now, Effects& effects);
  size_t sweep_group(const ClassicGroup& group, Instant now, Effects& effects);
  bool topic_gone(const std::string& topic, const CommittedOffset& offset) const;
  bool offset_expired(const ClassicGroup& group, const CommittedOffset& offset, int64_t wall_ms) const;
  void delete_all_offsets(const std::string& group_id, Effects& effects);
  void warn_of_memory(Instant now);
  void remove_group(const std::string& group_id, std::string_view why, Instant now, Effects& effects);

  // What the log says of groups, a bounded number of lines: many members that come at once hide no rebalance.
  static void tell(const ClassicGroup& group, std::string_view what, Instant now, RateLimit& limit);
  void tell(const ClassicGroup& group, std::string_view what, Instant now);
  void tell_member(const ClassicGroup& group, const std::string& member_id, std::string_view what, Instant now);

  const GroupConfig config_;
  runtime::Random& random_;
  GroupMemory& memory_;
  Totals totals_;
  GroupStateCounts state_counts_{};  // of groups_, which keep it
  ImagePtr image_;
  std::map<std::string, std::unique_ptr<ClassicGroup>, std::less<>> groups_;
  CommittedOffsets offsets_;  // whose group exists
  Deadlines deadlines_;
  std::optional<Sweep> sweep_;
  RateLimit lines_{20};
  RateLimit member_lines_{20};
  KeptBack kept_back_;
  int64_t group_bytes_max_ = std::numeric_limits<int64_t>::max();
};

}  // namespace weir::coordination
