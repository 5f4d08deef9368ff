// The outcome of an append to a partition, and the origin of its batches.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "protocol/errors.h"

namespace weir::storage {

// The origin of batches: a client, a client whose batches batch_preparation.h has checked, or the broker itself.
enum class AppendFrom : uint8_t { kClient, kPreparation, kBroker };

struct AppendResult {
  protocol::ErrorCode error{};
  int64_t base_offset = -1;
  int64_t last_offset = -1;
  int64_t log_append_time_ms = -1;  // only with LogAppendTime
  int64_t log_start_offset = -1;
  std::string message;  // the reason, for the client; empty on success
  struct RecordError {
    int32_t index;
    std::string message;
  };
  std::vector<RecordError> record_errors;
};

}  // namespace weir::storage
