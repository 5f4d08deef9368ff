#include "coordination/group/consumer/reconciliation.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

namespace weir::coordination {
namespace {

using Owned = std::vector<OwnedTopicPartitions>;

bool says_it_has_any_of(const Assignment* owned, const Owned& topics) {
  if (topics.empty()) return false;
  if (owned == nullptr) return true;
  for (const OwnedTopicPartitions& topic : topics) {
    const auto at = std::ranges::lower_bound(*owned, topic.topic_id, {}, &TopicPartitions::topic_id);
    if (at == owned->end() || at->topic_id != topic.topic_id) continue;
    for (const int32_t partition : at->partitions) {
      if (std::ranges::binary_search(topic.partitions, partition)) return true;
    }
  }
  return false;
}

void add(OwnedTopicPartitions& to, int32_t partition, int32_t epoch) {
  to.partitions.push_back(partition);
  to.assignment_epochs.push_back(epoch);
}

void add(Owned& to, OwnedTopicPartitions topic) {
  if (!topic.partitions.empty()) to.push_back(std::move(topic));
}

OwnedTopicPartitions merged(const OwnedTopicPartitions& a, const OwnedTopicPartitions& b) {
  OwnedTopicPartitions both{a.topic_id, {}, {}};
  size_t i = 0, j = 0;
  while (i < a.partitions.size() || j < b.partitions.size()) {
    const bool first = j == b.partitions.size() || (i < a.partitions.size() && a.partitions[i] <= b.partitions[j]);
    if (first && j < b.partitions.size() && a.partitions[i] == b.partitions[j]) ++j;
    if (first) add(both, a.partitions[i], a.assignment_epochs[i]), ++i;
    else add(both, b.partitions[j], b.assignment_epochs[j]), ++j;
  }
  return both;
}

void merge_into(Owned& to, const OwnedTopicPartitions& topic) {
  const auto at = std::ranges::lower_bound(to, topic.topic_id, {}, &OwnedTopicPartitions::topic_id);
  if (at != to.end() && at->topic_id == topic.topic_id) *at = merged(*at, topic);
  else to.insert(at, topic);
}

// From a member's assigned partitions to its target.
class Way {
 public:
  explicit Way(const Reconciliation& with) : with_(with) {
    auto has = with.current.assigned.begin();
    auto gets = with.target.begin();
    while (has != with.current.assigned.end() || gets != with.target.end()) {
      const bool at_has = has != with.current.assigned.end() && (gets == with.target.end() || has->topic_id <= gets->topic_id);
      const bool at_gets = gets != with.target.end() && (!at_has || gets->topic_id == has->topic_id);
      look_at(at_has ? &*has : nullptr, at_gets ? &*gets : nullptr);
      if (at_has) ++has;
      if (at_gets) ++gets;
    }
  }

  // `epoch`: that it has until it has given up what it must.
  CurrentAssignment next(int32_t epoch) && {
    CurrentAssignment next;
    next.previous_member_epoch = with_.current.member_epoch;
    if (says_it_has_any_of(with_.owned, lost_)) {
      next.member_epoch = epoch;
      next.state = MemberState::kUnrevokedPartitions;
      next.assigned = std::move(kept_);
      next.pending_revocation = std::move(lost_);
    } else {
      next.member_epoch = with_.target_epoch;
      next.state = waits_ ? MemberState::kUnreleasedPartitions : MemberState::kStable;
      next.assigned = std::move(kept_);
      for (const OwnedTopicPartitions& topic : got_) merge_into(next.assigned, topic);
    }
    return next;
  }

 private:
  // One topic. One of the two may be missing.
  void look_at(const OwnedTopicPartitions* has, const TopicPartitions* gets) {
    const Uuid& id = has != nullptr ? has->topic_id : gets->topic_id;
    if (gets != nullptr && !with_.subscribed(id)) gets = nullptr;
    OwnedTopicPartitions kept{id, {}, {}}, lost{id, {}, {}}, got{id, {}, {}};
    for (size_t i = 0; has != nullptr && i < has->partitions.size(); ++i) {
      const bool keep = gets != nullptr && std::ranges::binary_search(gets->partitions, has->partitions[i]);
      add(keep ? kept : lost, has->partitions[i], has->assignment_epochs[i]);
    }
    if (gets != nullptr && gets->partitions.size() > kept.partitions.size()) {
      for (const int32_t partition : gets->partitions) {
        if (std::ranges::binary_search(kept.partitions, partition)) continue;
        if (with_.free(id, partition)) add(got, partition, with_.target_epoch);
        else waits_ = true;
      }
    }
    add(kept_, std::move(kept));
    add(lost_, std::move(lost));
    add(got_, std::move(got));
  }

  const Reconciliation& with_;
  Owned kept_, lost_, got_;
  bool waits_ = false;  // for partitions that others have
};

// The way is the same for a member that stays where it is, but for topics that it does not subscribe to any more.
CurrentAssignment without_unsubscribed(const Reconciliation& with) {
  const CurrentAssignment& current = with.current;
  CurrentAssignment next = current;
  next.previous_member_epoch = current.member_epoch;
  next.assigned.clear();
  for (const OwnedTopicPartitions& topic : current.assigned) {
    if (with.subscribed(topic.topic_id)) next.assigned.push_back(topic);
    else merge_into(next.pending_revocation, topic);
  }
  if (next.assigned.size() == current.assigned.size()) return current;
  if (says_it_has_any_of(with.owned, next.pending_revocation)) next.state = MemberState::kUnrevokedPartitions;
  else next.pending_revocation = current.pending_revocation;
  return next;
}

CurrentAssignment next_of(const Reconciliation& with) {
  const CurrentAssignment& current = with.current;
  switch (current.state) {
    case MemberState::kStable:
      if (current.member_epoch != with.target_epoch) return Way(with).next(current.member_epoch);
      return with.subscription_changed ? without_unsubscribed(with) : current;
    case MemberState::kUnrevokedPartitions:
      // Without an owned list it has them still.
      if (with.owned == nullptr || says_it_has_any_of(with.owned, current.pending_revocation)) {
        return with.subscription_changed ? without_unsubscribed(with) : current;
      }
      return Way(with).next(current.member_epoch);
    case MemberState::kUnreleasedPartitions:
      return Way(with).next(current.member_epoch);
    case MemberState::kUnknown:
      break;
  }
  return Way(with).next(with.target_epoch);
}

}  // namespace

std::optional<CurrentAssignment> reconcile(const Reconciliation& with) {
  if (with.current.state == MemberState::kUnknown && (with.owned == nullptr || !with.owned->empty())) return std::nullopt;
  CurrentAssignment next = next_of(with);
  // A step that changes nothing leaves the member its previous epoch, which it may still ask with.
  const CurrentAssignment& current = with.current;
  const bool same = next.member_epoch == current.member_epoch && next.state == current.state &&
                    next.assigned == current.assigned && next.pending_revocation == current.pending_revocation;
  return same ? current : next;
}

}  // namespace weir::coordination
