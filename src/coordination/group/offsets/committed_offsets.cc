#include "coordination/group/offsets/committed_offsets.h"

#include <utility>

namespace weir::coordination {
namespace {

// A node of the innermost map, and a share of the outer ones.
int64_t size_of(const CommittedOffset& offset) { return 240 + static_cast<int64_t>(offset.metadata.size()); }

}  // namespace

const CommittedOffsets::Topics* CommittedOffsets::topics(std::string_view group_id) const {
  const auto group = groups_.find(group_id);
  return group == groups_.end() ? nullptr : &group->second;
}

const CommittedOffset* CommittedOffsets::find(std::string_view group_id, std::string_view topic, int32_t partition) const {
  const Topics* group = topics(group_id);
  if (group == nullptr) return nullptr;
  const auto partitions = group->find(topic);
  if (partitions == group->end()) return nullptr;
  const auto offset = partitions->second.find(partition);
  return offset == partitions->second.end() ? nullptr : &offset->second;
}

CommittedOffsets::Partitions& CommittedOffsets::partitions_of(const std::string& group_id, const std::string& topic) {
  if (last_group_ == nullptr || last_group_->first != group_id) {
    last_group_ = &*groups_.try_emplace(group_id).first;
    last_topic_ = nullptr;
  }
  if (last_topic_ == nullptr || last_topic_->first != topic) last_topic_ = &*last_group_->second.try_emplace(topic).first;
  return last_topic_->second;
}

bool CommittedOffsets::put(const std::string& group_id, const std::string& topic, int32_t partition, CommittedOffset offset) {
  const int64_t size = size_of(offset);
  Partitions& partitions = partitions_of(group_id, topic);
  const size_t before = partitions.size();
  CommittedOffset& slot = partitions.try_emplace(partitions.end(), partition)->second;
  const bool added = partitions.size() > before;
  if (added) ++count_;
  memory_.add(size - (added ? 0 : size_of(slot)));
  slot = std::move(offset);
  return added && before == 0 && last_group_->second.size() == 1;
}

void CommittedOffsets::forget(const CommittedOffset& offset) {
  --count_;
  memory_.add(-size_of(offset));
}

void CommittedOffsets::erase(std::string_view group_id, std::string_view topic, int32_t partition) {
  const auto group = groups_.find(group_id);
  if (group == groups_.end()) return;
  const auto partitions = group->second.find(topic);
  if (partitions == group->second.end()) return;
  const auto offset = partitions->second.find(partition);
  if (offset == partitions->second.end()) return;
  forget(offset->second);
  last_group_ = nullptr;
  partitions->second.erase(offset);
  if (partitions->second.empty()) group->second.erase(partitions);
  if (group->second.empty()) groups_.erase(group);
}

}  // namespace weir::coordination
