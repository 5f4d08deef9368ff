// GroupCoordinatorState: the walk over all groups that removes offsets whose time is over or whose topic is gone. It goes in
// slices, a millisecond apart, so that a coordinator with very many offsets holds up nobody.
#include <algorithm>
#include <utility>

#include "coordination/group/group_coordinator_state.h"

namespace weir::coordination {
namespace {

constexpr size_t kOffsetsPerSlice = 512;
constexpr size_t kGroupsPerSlice = 256;
const DeadlineKey kSweepKey{DeadlineKind::kSweep, {}, {}};

}  // namespace

// What is asked for while a walk is under way begins it again: groups that it has passed may be concerned.
GroupCoordinatorState::Sweep& GroupCoordinatorState::begin_sweep(Instant now) {
  if (!sweep_) sweep_ = Sweep{};
  sweep_->next_group.clear();
  deadlines_.set(kSweepKey, now.monotonic_ms + 1);
  return *sweep_;
}

void GroupCoordinatorState::image_changed(const ImageChange& change, Instant now, Effects& /*effects*/) {
  image_ = change.after;
  if (change.deleted.empty() || offsets_.count() == 0) return;
  Sweep& sweep = begin_sweep(now);
  for (const ImageChange::Topic& topic : change.deleted) sweep.deleted[topic.name].push_back(topic.id);
}

void GroupCoordinatorState::sweep_slice(Instant now, Effects& effects) {
  if (!sweep_) return;
  auto group = groups_.lower_bound(sweep_->next_group);
  size_t groups = 0;
  size_t offsets = 0;
  std::vector<std::string> gone;
  for (; group != groups_.end() && groups < kGroupsPerSlice && offsets < kOffsetsPerSlice; ++group, ++groups) {
    if (is_kept_back(group->first)) continue;
    offsets += sweep_group(*group->second, now, effects);
    const bool unused = offsets_.topics(group->first) == nullptr && group->second->in(ClassicGroupState::kEmpty) &&
                        group->second->pending_members().empty();
    if (sweep_->expire && unused) gone.push_back(group->first);
  }
  const bool finished = group == groups_.end();
  if (!finished) sweep_->next_group = group->first;
  for (const std::string& group_id : gone)
    remove_group(group_id, "ends: it has neither members nor offsets any more", now, effects);
  if (finished) sweep_.reset();
  else deadlines_.set(kSweepKey, now.monotonic_ms + 1);
}

// The number of offsets that were looked at.
size_t GroupCoordinatorState::sweep_group(const ClassicGroup& group, Instant now, Effects& effects) {
  size_t seen = 0;
  offsets_.erase_if(group.id(), [&](const std::string& topic, int32_t partition, const CommittedOffset& offset) {
    ++seen;
    const bool expired = sweep_->expire && !group.subscribed_to(topic) && offset_expired(group, offset, now.wall_ms);
    if (!expired && !topic_gone(topic, offset)) return false;
    effects.append(offset_tombstone(group.id(), topic, partition));
    ++totals_.offsets_expired;
    return true;
  });
  return seen;
}

// Offsets that do not say which topic of the name they mean are taken for the deleted one's.
bool GroupCoordinatorState::topic_gone(const std::string& topic, const CommittedOffset& offset) const {
  const auto ids = sweep_->deleted.find(topic);
  if (ids != sweep_->deleted.end()) {
    if (offset.topic_id.is_zero()) return true;
    if (std::find(ids->second.begin(), ids->second.end(), offset.topic_id) != ids->second.end()) return true;
  }
  // What was committed since may be for a topic that this shard has not heard of yet.
  if (!sweep_->loaded_wall_ms || offset.commit_timestamp_ms >= *sweep_->loaded_wall_ms) return false;
  return offset.topic_id.is_zero() ? !image_->has_topic(topic) : !image_->has_topic(offset.topic_id);
}

// Retention of a group with a protocol counts from when it lost its last member; of offsets that no member subscribes to,
// or of a group that never had members, from their commit.
bool GroupCoordinatorState::offset_expired(const ClassicGroup& group, const CommittedOffset& offset, int64_t wall_ms) const {
  int64_t since_ms = offset.commit_timestamp_ms;
  if (group.protocol_type()) {
    if (group.in(ClassicGroupState::kEmpty)) {
      if (group.state_timestamp_ms() >= 0) since_ms = group.state_timestamp_ms();
    } else if (!group.uses_consumer_protocol() || !group.knows_subscriptions() || !group.in(ClassicGroupState::kStable)) {
      return false;
    }
  }
  if (offset.expire_timestamp_ms >= 0) return wall_ms >= offset.expire_timestamp_ms;
  return since_ms <= wall_ms - config_.offsets_retention_ms;
}

}  // namespace weir::coordination
