// Remembers across restarts which partitions lost acknowledged data. Each of them has a small text file, `<log
// dir>/offline/<topic id>-<index>`, with the kind of the loss and the reason (docs/formats/segments.md). The write-ahead log that
// showed the damage is recycled one day, and the partition must not come back as if nothing had happened. An operator who has
// restored the data removes the file.
//
// The write-ahead log may hold batches of the partition behind the damage. No checkpoint takes them, so they are kept beside the
// marker, in `<topic id>-<index>.batches`. `weir log salvage` brings them back.
//
// Blocking.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/result.h"
#include "runtime/file.h"
#include "storage/types.h"

namespace weir::storage {

inline constexpr const char* kOfflineRemedy =
    "Bring its files back from a copy; or stop the broker and run weir log salvage, which serves again what is intact and names "
    "the rest; or delete and recreate the topic";

// Where the lost records were.
enum class OfflineKind : uint8_t {
  kUnknown,  // the marker of an earlier version does not say it
  kSegment,
  kWriteAheadLog,
};

struct OfflineMarker {
  PartitionId partition;
  OfflineKind kind = OfflineKind::kUnknown;
  std::string reason;  // for people

  // The reasons of earlier versions name the file that was damaged.
  bool lost_in_write_ahead_log() const {
    if (kind == OfflineKind::kUnknown) return reason.find(".wal") != std::string::npos;
    return kind == OfflineKind::kWriteAheadLog;
  }
};

class OfflineMarkers {
 public:
  OfflineMarkers(runtime::FileSystem& files, const std::string& log_dir)
      : files_(files), parent_(log_dir), directory_(log_dir + "/offline") {}

  Result<std::vector<OfflineMarker>> load();
  // Durable. The first marker of a partition stays.
  Result<void> put(const PartitionId& partition, const std::string& reason, OfflineKind kind = OfflineKind::kSegment);
  Result<void> remove(const PartitionId& partition);  // with the kept batches

  // Adds batches to the kept ones of the partition. Durable. Reads the kept ones through a small window.
  Result<void> keep(const PartitionId& partition, std::vector<Slice> batches);
  // Returns the bytes of the kept batches, unchecked; empty without any.
  Result<Buffer> kept(const PartitionId& partition, size_t& size);
  std::string kept_path(const PartitionId& partition) const { return path_of(partition) + ".batches"; }

 private:
  // Writes a file. After a power cut it is there as a whole, or not at all.
  Result<void> put_in_place(const std::string& path, const std::function<Result<void>(runtime::File&)>& write);
  std::string path_of(const PartitionId& partition) const {
    return directory_ + "/" + partition.topic.to_string() + "-" + std::to_string(partition.index);
  }
  runtime::FileSystem& files_;
  std::string parent_;
  std::string directory_;
};

}  // namespace weir::storage
