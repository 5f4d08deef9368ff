// The listening addresses of this process, shared by its loops.
//
// Every loop binds its own socket with SO_REUSEPORT, which would silently also share the address with another
// process of the same user. So the first of our sockets proves that nobody else listens there.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "base/result.h"

namespace weir::runtime {

// Thread-safe. Keys are socket addresses in text form with the real port.
class BoundAddresses {
 public:
  // Runs `prove_free` if no socket of ours is bound to `address` yet, and counts one more if it succeeds.
  template <typename Prove>
  Result<void> acquire(const std::string& address, Prove prove_free) {
    const std::lock_guard lock(mutex_);
    int& count = counts_[address];
    if (count == 0) {
      if (Result<void> proved = prove_free(); !proved) {
        counts_.erase(address);
        return proved;
      }
    }
    ++count;
    return {};
  }
  void release(const std::string& address) {
    const std::lock_guard lock(mutex_);
    const auto entry = counts_.find(address);
    if (entry != counts_.end() && --entry->second == 0) counts_.erase(entry);
  }

 private:
  std::mutex mutex_;
  std::map<std::string, int> counts_;
};

}  // namespace weir::runtime
