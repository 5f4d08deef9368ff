// The origin of a record of an internal topic, and the end of a transaction in it.
#pragma once

#include <cstdint>

namespace weir::coordination {

// The batch of a record. A later marker says whether a transaction's records count.
struct Origin {
  int64_t producer_id = -1;
  int16_t producer_epoch = -1;
  bool transactional = false;
  bool operator==(const Origin&) const = default;
};

// The control record that ends a transaction in a partition.
struct TransactionMarker {
  int64_t producer_id = -1;
  int16_t producer_epoch = -1;
  int32_t coordinator_epoch = -1;
  bool commit = false;
  bool operator==(const TransactionMarker&) const = default;
};

}  // namespace weir::coordination
