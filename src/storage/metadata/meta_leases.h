// The leases of a store that lives in this process. No lease outlives the process. The store's entries say which keys are under a
// lease. Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>

#include "storage/metadata/meta_store.h"

namespace weir::storage {

class MetaLeases {
 public:
  static constexpr int64_t kLeastTtlMs = 100;

  MetaLease grant(int64_t ttl_ms, int64_t now_ns);
  // kNotFound: the lease has ended.
  Result<MetaLease> keep_alive(int64_t id, int64_t now_ns);
  void revoke(int64_t id);
  bool alive(int64_t id, int64_t now_ns) const { return left_ns(id, now_ns) > 0; }
  // Time until the lease ends, if nobody keeps it alive. 0: it has ended.
  int64_t left_ns(int64_t id, int64_t now_ns) const;

  static Error ended(int64_t id);

 private:
  struct Lease {
    int64_t ttl_ms;
    int64_t ends_ns;
  };
  mutable std::mutex mutex_;
  std::map<int64_t, Lease> leases_;  // mutex_; the time of some may have passed
  int64_t last_ = 0;                 // mutex_
};

}  // namespace weir::storage
