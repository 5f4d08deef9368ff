// Remembers across restarts which partitions lost acknowledged data: one small text file each under
// `<log dir>/offline/<topic id>-<index>`, holding the reason. The WAL that showed the damage is recycled one day; the
// partition must not come back as if nothing had happened. An operator who has restored the data removes the file.
// Beside it, in `<topic id>-<index>.batches`, lie the acknowledged batches that the write-ahead log held behind the damage, one
// after the other: nobody checkpoints them, and it is recycled. `weir log salvage` brings them back. Blocking.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/buffer.h"
#include "base/result.h"
#include "runtime/file.h"
#include "storage/types.h"

namespace weir::storage {

inline constexpr const char* kOfflineRemedy =
    "Bring its files back from a copy; or stop the broker and run weir log salvage, which serves again what is intact and names "
    "the rest; or delete and recreate the topic";

class OfflineMarkers {
 public:
  OfflineMarkers(runtime::FileSystem& files, const std::string& log_dir)
      : files_(files), parent_(log_dir), directory_(log_dir + "/offline") {}

  Result<std::vector<std::pair<PartitionId, std::string>>> load();
  Result<void> put(const PartitionId& partition, const std::string& reason);  // durable
  Result<void> remove(const PartitionId& partition);                          // and the kept batches

  // Adds batches to the kept ones of the partition; durable.
  Result<void> keep(const PartitionId& partition, std::vector<Slice> batches);
  Result<std::vector<Slice>> kept(const PartitionId& partition);  // the intact ones, ascending

 private:
  std::string path_of(const PartitionId& partition) const {
    return directory_ + "/" + partition.topic.to_string() + "-" + std::to_string(partition.index);
  }
  runtime::FileSystem& files_;
  std::string parent_;
  std::string directory_;
};

}  // namespace weir::storage
