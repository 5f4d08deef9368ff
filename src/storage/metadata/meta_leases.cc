#include "storage/metadata/meta_leases.h"

#include <fmt/format.h>

#include <algorithm>

namespace weir::storage {

MetaLease MetaLeases::grant(int64_t ttl_ms, int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  std::erase_if(leases_, [now_ns](const auto& lease) { return lease.second.ends_ns <= now_ns; });
  const MetaLease lease{++last_, std::max(ttl_ms, kLeastTtlMs)};
  leases_[lease.id] = {lease.ttl_ms, now_ns + lease.ttl_ms * runtime::kMillisecond};
  return lease;
}

Result<MetaLease> MetaLeases::keep_alive(int64_t id, int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  const auto lease = leases_.find(id);
  if (lease == leases_.end() || lease->second.ends_ns <= now_ns) return std::unexpected(ended(id));
  lease->second.ends_ns = now_ns + lease->second.ttl_ms * runtime::kMillisecond;
  return MetaLease{id, lease->second.ttl_ms};
}

void MetaLeases::revoke(int64_t id) {
  const std::lock_guard lock(mutex_);
  leases_.erase(id);
}

int64_t MetaLeases::left_ns(int64_t id, int64_t now_ns) const {
  const std::lock_guard lock(mutex_);
  const auto lease = leases_.find(id);
  return lease == leases_.end() ? 0 : std::max<int64_t>(lease->second.ends_ns - now_ns, 0);
}

Error MetaLeases::ended(int64_t id) { return {ErrorCode::kNotFound, fmt::format("metadata lease {} has ended", id), 0}; }

}  // namespace weir::storage
