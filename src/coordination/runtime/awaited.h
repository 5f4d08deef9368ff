// The jobs, calls and posts that a state machine waits for. Of one kind about one key (a group, a transactional id) only the
// newest counts. The answer of an older one, or of one that was given up, finds its token unknown and is ignored.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace weir::coordination {

struct Token {
  std::string key;
  int kind = 0;  // an enum of the state machine's
  uint64_t serial = 0;
};

class Awaited {
 public:
  Token begin(std::string key, int kind) {
    const uint64_t serial = ++last_serial_;
    serials_[{key, kind}] = serial;
    return {std::move(key), kind, serial};
  }
  // Returns whether the token is waited for, and ends the wait.
  bool take(const Token& token) {
    const auto at = serials_.find({token.key, token.kind});
    if (at == serials_.end() || at->second != token.serial) return false;
    serials_.erase(at);
    return true;
  }
  bool waits(const std::string& key, int kind) const { return serials_.contains({key, kind}); }
  void give_up(const std::string& key, int kind) { serials_.erase({key, kind}); }

 private:
  std::map<std::pair<std::string, int>, uint64_t> serials_;
  uint64_t last_serial_ = 0;
};

}  // namespace weir::coordination
