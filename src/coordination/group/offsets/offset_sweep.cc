#include "coordination/group/offsets/offset_sweep.h"

#include <algorithm>
#include <utility>

namespace weir::coordination {
namespace {

constexpr size_t kOffsetsPerSlice = 512;
constexpr size_t kGroupsPerSlice = 256;
const DeadlineKey kSweepKey{DeadlineKind::kSweep, {}, {}};
const DeadlineKey kCheckKey{DeadlineKind::kOffsetCheck, {}, {}};

}  // namespace

// A request while a walk is under way begins the walk again: it may concern groups that the walk has passed.
OffsetSweep::Sweep& OffsetSweep::begin(Instant now) {
  if (!sweep_) sweep_ = Sweep{};
  sweep_->next_group.clear();
  context_.deadlines.set(kSweepKey, now.monotonic_ms + 1);
  return *sweep_;
}

void OffsetSweep::loaded(Instant now) {
  context_.deadlines.set(kCheckKey, now.monotonic_ms + context_.config.offsets_retention_check_interval_ms);
  if (has_offsets()) begin(now).loaded_wall_ms = now.wall_ms;
}

void OffsetSweep::topics_deleted(const std::vector<ImageChange::Topic>& topics, Instant now) {
  if (topics.empty() || !has_offsets()) return;
  Sweep& sweep = begin(now);
  for (const ImageChange::Topic& topic : topics) sweep.deleted[topic.name].push_back(topic.id);
}

void OffsetSweep::check(Instant now) {
  begin(now).expire = true;
  context_.deadlines.set(kCheckKey, now.monotonic_ms + context_.config.offsets_retention_check_interval_ms);
}

void OffsetSweep::slice(Instant now, Effects& effects) {
  if (!sweep_) return;
  const Groups::Map& all = context_.groups.all();
  auto group = all.lower_bound(sweep_->next_group);
  size_t groups = 0;
  size_t offsets = 0;
  std::vector<std::string> gone;
  for (; group != all.end() && groups < kGroupsPerSlice && offsets < kOffsetsPerSlice; ++group, ++groups) {
    if (context_.is_kept_back(group->first)) continue;
    offsets += sweep_group(group->second, now, effects);
    if (sweep_->expire && is_unused(group->second)) gone.push_back(group->first);
  }
  const bool finished = group == all.end();
  if (!finished) sweep_->next_group = group->first;
  for (const std::string& group_id : gone) {
    context_.remove(group_id, "ends: it has neither members nor offsets any more", now, effects);
  }
  if (finished) sweep_.reset();
  else context_.deadlines.set(kSweepKey, now.monotonic_ms + 1);
}

bool OffsetSweep::is_unused(const Group& group) const {
  const std::string& id = id_of(group);
  return context_.offsets.topics(id) == nullptr && !context_.pending.contains(id) && is_empty(group) && !is_awaited(group);
}

// Returns the number of offsets that it looked at. A tombstone takes the pending offsets of its partition along: while there
// are any, the stored one does not expire, and all go with their topic only if none is of one that is there.
size_t OffsetSweep::sweep_group(const Group& group, Instant now, Effects& effects) {
  const std::string& id = id_of(group);
  size_t seen = 0;
  std::vector<OffsetEntry> gone;
  if (const CommittedOffsets::Topics* topics = context_.offsets.topics(id)) {
    for (const auto& [topic, partitions] : *topics) {
      for (const auto& [partition, offset] : partitions) {
        ++seen;
        const bool over = sweep_->expire && !subscribed_to(group, topic) && expired(group, offset, now.wall_ms) &&
                          !context_.pending.contains({id, topic, partition});
        const bool gone_with_topic = topic_gone(topic, offset) && pending_ones_gone({id, topic, partition});
        if (over || gone_with_topic) gone.push_back({id, topic, partition, std::nullopt});
      }
    }
  }
  for (const auto& [of, producers] : context_.pending.partitions_of(id)) {
    seen += producers.size();
    const bool only_pending = context_.offsets.find(id, of.topic, of.partition) == nullptr;
    if (only_pending && pending_ones_gone({id, of.topic, of.partition})) {
      gone.push_back({id, of.topic, of.partition, std::nullopt});
    }
  }
  context_.totals.offsets_expired += gone.size();
  for (OffsetEntry& tombstone : gone) context_.emit(std::move(tombstone), effects);
  return seen;
}

// An offset without a topic id counts as the deleted topic's.
bool OffsetSweep::topic_gone(const std::string& topic, const CommittedOffset& offset) const {
  const auto ids = sweep_->deleted.find(topic);
  if (ids != sweep_->deleted.end()) {
    if (offset.topic_id.is_zero()) return true;
    if (std::find(ids->second.begin(), ids->second.end(), offset.topic_id) != ids->second.end()) return true;
  }
  // Later offsets may be of a topic that this shard has not heard of yet.
  if (!sweep_->loaded_wall_ms || offset.commit_timestamp_ms >= *sweep_->loaded_wall_ms) return false;
  return offset.topic_id.is_zero() ? !context_.image->has_topic(topic) : !context_.image->has_topic(offset.topic_id);
}

bool OffsetSweep::pending_ones_gone(GroupTopicPartitionView of) const {
  const auto partition = context_.pending.partitions().find(of);
  if (partition == context_.pending.partitions().end()) return true;
  return std::all_of(partition->second.begin(), partition->second.end(), [&](int64_t producer_id) {
    return topic_gone(partition->first.topic, *context_.pending.find(producer_id, of));
  });
}

bool OffsetSweep::expired(const Group& group, const CommittedOffset& offset, int64_t wall_ms) const {
  const std::optional<int64_t> since_ms = unused_since_ms(group, offset.commit_timestamp_ms);
  if (!since_ms) return false;
  if (offset.expire_timestamp_ms >= 0) return wall_ms >= offset.expire_timestamp_ms;
  return *since_ms <= wall_ms - context_.config.offsets_retention_ms;
}

}  // namespace weir::coordination
