#include "storage/segment/log_directories.h"

#include <algorithm>

#include "base/check.h"

namespace weir::storage {

bool LogDirectories::knows(uint32_t number) const { return std::ranges::find(all_, number, &Directory::number) != all_.end(); }

const LogDirectories::Directory& LogDirectories::at(uint32_t number) const {
  const auto found = std::ranges::find(all_, number, &Directory::number);
  WEIR_CHECK(found != all_.end());
  return *found;
}

std::optional<uint32_t> LogDirectories::find(std::string_view path) const {
  const auto found = std::ranges::find(all_, path, &Directory::path);
  if (found == all_.end()) return std::nullopt;
  return found->number;
}

uint32_t LogDirectories::emptiest() const {
  const auto partitions = [this](const Directory& directory) {
    const auto found = partitions_in_.find(directory.number);
    return found == partitions_in_.end() ? size_t{0} : found->second;
  };
  return std::ranges::min_element(all_, {}, partitions)->number;
}

void LogDirectories::put(const PartitionId& partition, PartitionPlace place) {
  const auto [known, added] = places_.try_emplace(partition, place);
  if (!added) {
    --partitions_in_[known->second.target];
    known->second = place;
  }
  ++partitions_in_[place.target];
}

PartitionPlace LogDirectories::place(const PartitionId& partition) {
  if (!several()) return {};
  std::lock_guard lock(mutex_);
  const auto known = places_.find(partition);
  if (known != places_.end()) return known->second;
  const uint32_t directory = emptiest();
  put(partition, {directory, directory});
  unsaved_.push_back(partition);
  return {directory, directory};
}

void LogDirectories::prefer(const std::string& topic, int32_t index, uint32_t directory) {
  if (!several()) return;
  std::lock_guard lock(mutex_);
  if (preferred_.size() >= kPreferencesMax) preferred_.clear();
  preferred_[{topic, index}] = directory;
}

void LogDirectories::create(const std::string& topic, const PartitionId& partition) {
  if (!several()) return;
  std::lock_guard lock(mutex_);
  const auto preferred = preferred_.find({topic, partition.index});
  if (preferred == preferred_.end()) return;
  const uint32_t directory = preferred->second;
  preferred_.erase(preferred);
  if (places_.contains(partition)) return;
  put(partition, {directory, directory});
  unsaved_.push_back(partition);
}

void LogDirectories::set(const PartitionId& partition, PartitionPlace place) {
  if (!several()) return;
  std::lock_guard lock(mutex_);
  put(partition, place);
}

void LogDirectories::forget(const PartitionId& partition) {
  std::lock_guard lock(mutex_);
  const auto known = places_.find(partition);
  if (known == places_.end()) return;
  --partitions_in_[known->second.target];
  places_.erase(known);
}

std::vector<std::pair<PartitionId, PartitionPlace>> LogDirectories::take_unsaved() {
  std::lock_guard lock(mutex_);
  std::vector<std::pair<PartitionId, PartitionPlace>> places;
  for (const PartitionId& partition : unsaved_) {
    const auto known = places_.find(partition);
    if (known != places_.end()) places.emplace_back(partition, known->second);
  }
  unsaved_.clear();
  return places;
}

void LogDirectories::not_saved(const std::vector<std::pair<PartitionId, PartitionPlace>>& places) {
  std::lock_guard lock(mutex_);
  for (const auto& [partition, place] : places) unsaved_.push_back(partition);
}

}  // namespace weir::storage
