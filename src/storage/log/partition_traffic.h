// The traffic of one partition since the broker started, for metrics. The shard that owns the partition writes it, by plain
// additions.
#pragma once

#include <cstdint>

namespace weir::storage {

struct PartitionTraffic {
  int64_t messages_in = 0;
  int64_t bytes_in = 0;          // of batches that were appended
  int64_t produce_requests = 0;  // appends asked for, by clients and coordinators
  int64_t fetch_requests = 0;    // reads asked for, each round of a waiting fetch

  PartitionTraffic& operator+=(const PartitionTraffic& other) {
    messages_in += other.messages_in;
    bytes_in += other.bytes_in;
    produce_requests += other.produce_requests;
    fetch_requests += other.fetch_requests;
    return *this;
  }
};

}  // namespace weir::storage
