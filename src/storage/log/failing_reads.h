// Partitions whose last read of segments failed without damage: the process may not open the files, the disk fails, or
// descriptors are used up. Such a partition stays online, because the trouble may pass. /health and a metric name it until a read
// succeeds.
//
// Loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/function.h"
#include "storage/types.h"

namespace weir::storage {

struct FailingRead {
  std::string partition;  // partition_text()
  std::string reason;     // names the file
};

class FailingReads {
 public:
  static constexpr size_t kListed = 10;

  void failed(const PartitionId& partition, std::string reason) {
    ++failures_;
    reasons_.insert_or_assign(partition, std::move(reason));
  }
  // A read of the partition succeeded, or nobody reads it any more.
  void ended(const PartitionId& partition) {
    if (!reasons_.empty()) reasons_.erase(partition);
  }
  size_t partitions() const { return reasons_.size(); }
  uint64_t failures() const { return failures_; }  // reads since the start
  // Returns some of the partitions.
  std::vector<FailingRead> list(Function<std::string(const PartitionId&)> text_of) const {
    std::vector<FailingRead> listed;
    for (const auto& [partition, reason] : reasons_) {
      if (listed.size() == kListed) break;
      listed.push_back({text_of(partition), reason});
    }
    return listed;
  }

 private:
  std::map<PartitionId, std::string> reasons_;
  uint64_t failures_ = 0;
};

}  // namespace weir::storage
