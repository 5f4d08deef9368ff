// A reader of the log scenario: it reads partitions as consumers do, and tells the oracle of bytes that are no valid batches.
#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "base/function.h"
#include "base/result.h"
#include "simulation/oracle.h"
#include "storage/log/log_shard.h"

namespace weir::simulation {

class LogReader {
 public:
  explicit LogReader(Oracle& oracle) : oracle_(oracle) {}

  // Adds the records of a read by offset. False if a file cannot be read, or its bytes are no valid batches.
  bool take(const storage::PartitionId& id, const storage::ReadResult& result, std::map<int64_t, uint64_t>& records);

  // Reads all records of a partition from the log start to the high watermark, as they are now. Follows a log start that moves
  // meanwhile. `done` gets them, or an error that names the offset. On the shard's loop.
  void read_all(storage::LogShard& shard, const storage::PartitionId& id, Function<void(Result<Oracle::Found>)> done);

 private:
  struct Reading;
  void go_on(std::shared_ptr<Reading> reading);
  void take_answer(std::shared_ptr<Reading> reading, const storage::ReadResult& result);

  Oracle& oracle_;
};

}  // namespace weir::simulation
