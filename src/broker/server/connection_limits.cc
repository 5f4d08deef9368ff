#include "broker/server/connection_limits.h"

#include <algorithm>
#include <limits>

namespace weir::broker {

int64_t ConnectionLimits::descriptors_for_connections(uint64_t open_files) {
  constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (open_files == 0) return static_cast<int64_t>(kMost);
  const uint64_t kept = std::max(std::min<uint64_t>(open_files / 4, 2048), std::min<uint64_t>(open_files / 2, 512));
  return static_cast<int64_t>(std::min(open_files - kept, kMost));
}

const char* ConnectionLimits::admit(const std::string& ip) {
  const std::lock_guard lock(mutex_);
  if (connections_ >= max_connections_) return "max.connections";
  if (connections_ >= descriptors_) return "what the limit of open files (ulimit -n, LimitNOFILE) leaves for connections";
  int64_t& of_ip = per_ip_[ip];
  if (of_ip >= max_per_ip_) {
    if (of_ip == 0) per_ip_.erase(ip);
    return "max.connections.per.ip";
  }
  ++of_ip;
  ++connections_;
  return nullptr;
}

void ConnectionLimits::leave(const std::string& ip) {
  const std::lock_guard lock(mutex_);
  --connections_;
  const auto it = per_ip_.find(ip);
  if (it != per_ip_.end() && --it->second == 0) per_ip_.erase(it);
}

int64_t ConnectionLimits::connections() const {
  const std::lock_guard lock(mutex_);
  return connections_;
}

void ConnectionLimits::set_limits(int64_t max_connections, int64_t max_per_ip) {
  const std::lock_guard lock(mutex_);
  max_connections_ = max_connections;
  max_per_ip_ = max_per_ip;
}

}  // namespace weir::broker
