// Remembers across restarts which partitions lost acknowledged data: one small text file each under
// `<log dir>/offline/<topic id>-<index>`, holding the reason. The WAL that showed the damage is recycled one day; the
// partition must not come back as if nothing had happened. An operator who has restored the data removes the file.
// Blocking.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "runtime/file.h"
#include "storage/types.h"

namespace weir::storage {

class OfflineMarkers {
 public:
  OfflineMarkers(runtime::FileSystem& files, const std::string& log_dir)
      : files_(files), parent_(log_dir), directory_(log_dir + "/offline") {}

  Result<std::vector<std::pair<PartitionId, std::string>>> load();
  Result<void> put(const PartitionId& partition, const std::string& reason);  // durable
  Result<void> remove(const PartitionId& partition);

 private:
  std::string path_of(const PartitionId& partition) const {
    return directory_ + "/" + partition.topic.to_string() + "-" + std::to_string(partition.index);
  }
  runtime::FileSystem& files_;
  std::string parent_;
  std::string directory_;
};

}  // namespace weir::storage
