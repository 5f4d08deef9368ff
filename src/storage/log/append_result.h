// An append to a partition: who asks for it, and what becomes of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "protocol/errors.h"

namespace weir::storage {

// Whose batches are appended: a client's, such after batch_preparation.h has checked them, or the broker's own.
enum class AppendFrom : uint8_t { kClient, kPreparation, kBroker };

struct AppendResult {
  protocol::ErrorCode error{};
  int64_t base_offset = -1;
  int64_t last_offset = -1;
  int64_t log_append_time_ms = -1;  // only with LogAppendTime
  int64_t log_start_offset = -1;
  std::string message;  // why, for the client; empty on success
  struct RecordError {
    int32_t index;
    std::string message;
  };
  std::vector<RecordError> record_errors;
};

}  // namespace weir::storage
