// The shared state of a group coordinator's parts: the groups, their offsets, deadlines, configuration, and the one way to change
// durable state.
//
// Records have the durable part. emit() applies a record and gives it to the log, and replay applies it by the same code. The
// soft part is members' waiting answers, deadlines, ids that were given out, and votes of a rebalance. No record has it, apply()
// leaves it alone, and a restart loses it.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "base/rate_limit.h"
#include "coordination/group/group.h"
#include "coordination/group/group_config.h"
#include "coordination/group/group_memory.h"
#include "coordination/group/group_records.h"
#include "coordination/group/offsets/committed_offsets.h"
#include "coordination/group/offsets/pending_offsets.h"
#include "coordination/runtime/deadlines.h"
#include "coordination/runtime/state_machine.h"
#include "runtime/clock.h"

namespace weir::coordination {

// kMember is the session of a member of any type, kRebalance its time to give up partitions.
enum class DeadlineKind : uint8_t { kMember, kJoin, kSync, kRebalance, kOffsetCheck, kSweep };

struct DeadlineKey {
  DeadlineKind kind{};
  std::string group_id;
  std::string member_id;
  auto operator<=>(const DeadlineKey&) const = default;
};

// Counts of events since the state was made.
struct GroupTotals {
  uint64_t rebalances = 0;           // of classic groups, that ended with an assignment
  uint64_t consumer_rebalances = 0;  // of consumer groups: changes of their epoch
  uint64_t offsets_committed = 0;
  uint64_t offsets_expired = 0;  // or gone with their topic
  uint64_t offsets_deleted = 0;  // on demand
  GroupTotals& operator+=(const GroupTotals& other) {
    rebalances += other.rebalances;
    consumer_rebalances += other.consumer_rebalances;
    offsets_committed += other.offsets_committed;
    offsets_expired += other.offsets_expired;
    offsets_deleted += other.offsets_deleted;
    return *this;
  }
};

// Lines of the process log about groups, a bounded number. Many members that come at once hide no rebalance.
class GroupLines {
 public:
  void tell(std::string_view group_id, std::string_view what, Instant now) { tell(group_id, what, now, lines_); }
  void tell_member(const ClassicGroup& group, const std::string& member_id, std::string_view what, Instant now);
  void tell_member(const ConsumerGroup& group, const ConsumerMember& member, std::string_view what, Instant now);

 private:
  static void tell(std::string_view group_id, std::string_view what, Instant now, RateLimit& limit);
  RateLimit lines_{20};
  RateLimit member_lines_{20};
};

class GroupChange;

struct GroupContext {
  // The arguments outlive the context. `memory` is shared with other coordinators.
  GroupContext(const GroupConfig& group_config, runtime::Random& chance, GroupMemory& all_memory)
      : config(group_config), random(chance), memory(all_memory), groups(all_memory), offsets(all_memory), pending(all_memory) {}
  GroupContext(const GroupContext&) = delete;
  GroupContext& operator=(const GroupContext&) = delete;

  // `origin`: of the batch that the record is in. Offsets of a transaction are pending until its marker: those of a commit take
  // the place of what is older in the log, those of an abort are dropped.
  void apply(GroupRecord record, const Origin& origin = {});
  void apply(const TransactionMarker& marker);
  void emit(GroupRecord record, Effects& effects, const Origin& origin = {});
  void emit(const TransactionMarker& marker, Effects& effects);

  // Of a group without members, offsets and pending offsets.
  void remove(const std::string& group_id, std::string_view why, Instant now, Effects& effects);
  // The group has no members. Its offsets stay, for the group of another type that takes its place in this change.
  void replace(const std::string& group_id, std::string_view why, Instant now, GroupChange& change);
  bool is_kept_back(std::string_view group_id) const { return kept_back && kept_back(group_id); }
  // A client was refused.
  void warn_of_memory(Instant now);

  const GroupConfig config;
  runtime::Random& random;
  GroupMemory& memory;
  ImagePtr image;
  Groups groups;
  CommittedOffsets offsets;  // whose group exists
  PendingOffsets pending;    // so does theirs
  // What `log_order` is next. Records are applied in the order of the log, in a step as in a replay, so a count does for what
  // Kafka has the offsets of the records for, which a step does not know yet.
  int64_t next_log_order = 0;
  Deadlines<DeadlineKey> deadlines;
  GroupTotals totals;
  GroupLines lines;
  StateMachine::KeptBack kept_back;
  int64_t record_bytes_max = std::numeric_limits<int64_t>::max();
};

// Records of one change of a group. They are one batch of the log, so that no crash parts them.
class GroupChange {
 public:
  GroupChange(GroupContext& context, Effects& effects) : context_(context), effects_(effects) {}
  void emit(GroupRecord record);
  // What was emitted means nothing wrong without what follows, which may be in a batch of its own.
  void part() { begun_ = false; }

 private:
  GroupContext& context_;
  Effects& effects_;
  bool begun_ = false;
};

}  // namespace weir::coordination
