// The groups and committed offsets of one partition of `__consumer_offsets`, as a state machine without I/O.
//
// Each call is one step: it changes the state at once and leaves in `effects` the records that say so and the answers
// that depend on them. The state runs ahead of the log: the caller appends the records of a step in the order of the
// steps and releases no answer of a step before all records up to and including its own are durable; a read is a step
// like any other. If records cannot be appended, the state is of no more use: abandon() it and replay the log into a new
// one. Joins and syncs may be answered by a later step.
//
// Start: replay() each record of the partition, then loaded(). After each step and each tick the caller arranges that
// tick() is called at next_deadline_ms(). Not thread-safe; deterministic but for the member ids it draws.
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
#include "coordination/group/effects.h"
#include "coordination/group/group_config.h"
#include "coordination/group/group_messages.h"
#include "coordination/group/group_records.h"
#include "runtime/clock.h"

namespace weir::coordination {

class GroupCoordinatorState {
 public:
  // `memory` is shared with other coordinators and outlives the state.
  GroupCoordinatorState(const GroupConfig& config, runtime::Random& random, GroupMemory& memory)
      : config_(config), random_(random), memory_(memory), offsets_(memory) {}

  // What a record may have: a group that would be larger is refused before the state is ahead of what the log takes.
  void limit_record(int64_t bytes) { group_bytes_max_ = bytes; }

  // Records of types that are not known are skipped; one that does not decode changes nothing and is an error.
  Result<void> replay(Bytes key, std::optional<Bytes> value);
  // Again, if groups were kept back until now.
  void loaded(Instant now, Effects& effects);

  // classic_rebalance.cc
  void join(JoinRequest request, JoinReply reply, Instant now, Effects& effects);
  void sync(SyncRequest request, SyncReply reply, Instant now, Effects& effects);
  void heartbeat(const HeartbeatRequest& request, HeartbeatReply reply, Instant now, Effects& effects);
  void leave(const LeaveRequest& request, LeaveReply reply, Instant now, Effects& effects);

  // group_offsets.cc
  void commit_offsets(const OffsetCommitRequest& request, OffsetCommitReply reply, Instant now, Effects& effects);
  void fetch_offsets(const OffsetFetchRequest& request, OffsetFetchReply reply, Effects& effects);
  void delete_offsets(const OffsetDeleteRequest& request, OffsetDeleteReply reply, Instant now, Effects& effects);

  // group_sweep.cc: committed offsets of topics that do not exist go, in the background.
  struct DeletedTopic {
    std::string name;
    Uuid id;
  };
  void topics_deleted(const std::vector<DeletedTopic>& topics, Instant now);
  // For offsets that were loaded: their topics may have been deleted when nobody was there to remove them. The id may be
  // zero. `exists` is called by later ticks.
  using TopicExists = std::function<bool(std::string_view name, const Uuid& id)>;
  void check_topics(TopicExists exists, Instant now);

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

  // Groups that may have more in a partition which cannot be read: nothing of them expires. With none given, loaded() comes next.
  using KeptBack = std::function<bool(std::string_view group_id)>;
  void keep_back(KeptBack kept_back) { kept_back_ = std::move(kept_back); }

  void describe(const std::string& group_id, DescribeReply reply, Effects& effects);
  void list(ListReply reply, Effects& effects);
  // `from`: who asks, for the log.
  void delete_group(const std::string& group_id, const std::string& from, DeleteGroupReply reply, Instant now, Effects& effects);

  int64_t next_deadline_ms() const { return deadlines_.next_ms(); }  // Deadlines::kNever: none
  void tick(Instant now, Effects& effects);

  // Answers all that wait with `error`; the object is of no use afterwards.
  void abandon(ErrorCode error, Effects& effects);

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
  bool take_refused_for_memory() { return std::exchange(refused_for_memory_, false); }  // since the last call
  // Estimated, and the same by a walk over everything to check it.
  int64_t memory_bytes() const;
  int64_t counted_memory_bytes() const;
  // Records that rebuild what the log holds of this state: groups in the middle of a rebalance are left out.
  std::vector<CoordinatorRecord> snapshot() const;

 private:
  // A walk over all groups; what it looks for.
  struct Sweep {
    std::string next_group;
    bool expire = false;
    std::map<std::string, std::vector<Uuid>> deleted;  // name -> ids
    TopicExists exists;
    int64_t loaded_wall_ms = 0;
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
  std::map<std::string, std::unique_ptr<ClassicGroup>, std::less<>> groups_;
  CommittedOffsets offsets_;  // whose group exists
  Deadlines deadlines_;
  std::optional<Sweep> sweep_;
  RateLimit lines_{20};
  RateLimit member_lines_{20};
  bool refused_for_memory_ = false;
  KeptBack kept_back_;
  int64_t group_bytes_max_ = std::numeric_limits<int64_t>::max();
};

}  // namespace weir::coordination
