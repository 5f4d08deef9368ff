// Settings of a group coordinator, under Kafka's names.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

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

  // Consumer groups (KIP-848): group.consumer.*
  struct Consumer {
    // Which of a group's own configs may change what holds for all groups, and within which bounds.
    struct Bounded {
      int32_t value = 0;
      int32_t min = 0;
      int32_t max = 0;
    };
    Bounded session_timeout_ms{45'000, 45'000, 60'000};
    Bounded heartbeat_interval_ms{5'000, 5'000, 15'000};
    Bounded assignment_interval_ms{1'000, 0, 15'000};
    int32_t max_size = std::numeric_limits<int32_t>::max();
    std::vector<std::string> assignors{"uniform", "range"};  // the first is the default
    int32_t regex_refresh_interval_ms = 600'000;
    enum class Migration : uint8_t { kDisabled, kDowngrade, kUpgrade, kBidirectional };
    Migration migration = Migration::kBidirectional;
  } consumer;
};

}  // namespace weir::coordination
