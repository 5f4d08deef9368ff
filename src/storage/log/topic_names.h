// Names of partitions in messages. People know topics by their names, and folders have ids.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <string>
#include <string_view>

#include "storage/segment/segment_names.h"
#include "storage/types.h"

namespace weir::storage {

// Returns the name of a topic. Called on the loop of this index. Empty if the name is not known (yet).
using TopicNames = std::function<std::string(unsigned loop, const TopicId&)>;

// `orders-3 (folder AAAAAAAATvCAAAAAAAAAAg-3)`
inline std::string partition_text(std::string_view topic, const PartitionId& partition) {
  const std::string folder = partition_folder_name(partition);
  return topic.empty() ? folder : fmt::format("{}-{} (folder {})", topic, partition.index, folder);
}

inline std::string partition_text(const TopicNames& names, unsigned loop, const PartitionId& partition) {
  return partition_text(names ? names(loop, partition.topic) : std::string(), partition);
}

}  // namespace weir::storage
