// Bounds the connections of the process: by the configured numbers, and by its descriptors. Some descriptors are kept back for
// the log, the segments and the databases. Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace weir::broker {

class ConnectionLimits {
 public:
  // `open_files`: the process's limit; 0: none is known.
  ConnectionLimits(int64_t max_connections, int64_t max_per_ip, uint64_t open_files = 0)
      : max_connections_(max_connections), max_per_ip_(max_per_ip), descriptors_(descriptors_for_connections(open_files)) {}
  // A quarter is kept back, at least 512 (half, where there are fewer) and at most 2048.
  static int64_t descriptors_for_connections(uint64_t open_files);

  // Returns nullptr if the connection is admitted, otherwise the name of the limit that refuses it.
  const char* admit(const std::string& ip);
  void leave(const std::string& ip);
  int64_t connections() const;
  void set_limits(int64_t max_connections, int64_t max_per_ip);

 private:
  mutable std::mutex mutex_;  // protects all below
  int64_t max_connections_;
  int64_t max_per_ip_;
  const int64_t descriptors_;
  int64_t connections_ = 0;
  std::map<std::string, int64_t> per_ip_;
};

}  // namespace weir::broker
