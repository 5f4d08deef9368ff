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
  if (context_.offsets.count() > 0) begin(now).loaded_wall_ms = now.wall_ms;
}

void OffsetSweep::topics_deleted(const std::vector<ImageChange::Topic>& topics, Instant now) {
  if (topics.empty() || context_.offsets.count() == 0) return;
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
    const bool unused = context_.offsets.topics(group->first) == nullptr && is_empty(group->second) && !is_awaited(group->second);
    if (sweep_->expire && unused) gone.push_back(group->first);
  }
  const bool finished = group == all.end();
  if (!finished) sweep_->next_group = group->first;
  for (const std::string& group_id : gone) {
    context_.remove(group_id, "ends: it has neither members nor offsets any more", now, effects);
  }
  if (finished) sweep_.reset();
  else context_.deadlines.set(kSweepKey, now.monotonic_ms + 1);
}

// Returns the number of offsets that it looked at.
size_t OffsetSweep::sweep_group(const Group& group, Instant now, Effects& effects) {
  const CommittedOffsets::Topics* topics = context_.offsets.topics(id_of(group));
  if (topics == nullptr) return 0;
  size_t seen = 0;
  std::vector<OffsetEntry> gone;
  for (const auto& [topic, partitions] : *topics) {
    for (const auto& [partition, offset] : partitions) {
      ++seen;
      const bool over = sweep_->expire && !subscribed_to(group, topic) && expired(group, offset, now.wall_ms);
      if (over || topic_gone(topic, offset)) gone.push_back({id_of(group), topic, partition, std::nullopt});
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

bool OffsetSweep::expired(const Group& group, const CommittedOffset& offset, int64_t wall_ms) const {
  const std::optional<int64_t> since_ms = unused_since_ms(group, offset.commit_timestamp_ms);
  if (!since_ms) return false;
  if (offset.expire_timestamp_ms >= 0) return wall_ms >= offset.expire_timestamp_ms;
  return *since_ms <= wall_ms - context_.config.offsets_retention_ms;
}

}  // namespace weir::coordination
