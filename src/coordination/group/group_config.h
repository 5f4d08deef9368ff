// Settings of a group coordinator, under Kafka's names.
#pragma once

#include <cstdint>
#include <limits>

namespace weir::coordination {

struct GroupConfig {
  int32_t min_session_timeout_ms = 6'000;
  int32_t max_session_timeout_ms = 1'800'000;
  int32_t max_size = std::numeric_limits<int32_t>::max();
  int32_t initial_rebalance_delay_ms = 3'000;
  // A member that just joined gets this long until its first rebalance ends, whatever its session timeout.
  int32_t new_member_join_timeout_ms = 300'000;
  int32_t offset_metadata_max_bytes = 4'096;
  int64_t offsets_retention_ms = 7ll * 24 * 3'600 * 1'000;
  int64_t offsets_retention_check_interval_ms = 600'000;
};

}  // namespace weir::coordination
