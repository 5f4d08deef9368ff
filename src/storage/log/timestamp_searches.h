// Look-ups by time wait here for their turn, oldest first, because each may read from a slow disk, on threads that other work
// needs. Equal look-ups that have not begun become one, and all callers get its outcome. A look-up does not begin if no caller
// waits for it any more. Belongs to one loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/function.h"
#include "base/result.h"
#include "storage/segment/segment_store.h"

namespace weir::storage {

class TimestampSearches {
 public:
  struct Asker {
    Function<void(Result<TimestampPosition>)> done;
    Function<bool()> wanted;  // empty: it is
  };
  struct Search {
    PartitionId partition;
    int64_t timestamp = 0;
    std::vector<Asker> askers;
  };

  // `most`: bound of look-ups that run or wait.
  TimestampSearches(size_t at_once, size_t most) : at_once_(at_once), most_(most) {}

  // Adds a look-up, alone or to an equal one, and returns nothing. If too many wait already, returns the asker.
  std::optional<Asker> add(const PartitionId& partition, int64_t timestamp, Asker asker) {
    const Key key{partition, timestamp};
    auto found = waiting_.find(key);
    if (found == waiting_.end()) {
      if (waiting_.size() + running_ >= most_) return asker;
      found = waiting_.emplace(key, std::vector<Asker>()).first;
      order_.push_back(key);
    }
    found->second.push_back(std::move(asker));
    return std::nullopt;
  }

  // Calls `run` with each look-up whose turn it is. The caller calls ended() at its end, which may be within `run`.
  template <typename Run>
  void begin(Run run) {
    if (std::exchange(beginning_, true)) return;
    while (auto search = next()) run(std::move(*search));
    beginning_ = false;
  }
  void ended() { --running_; }

 private:
  using Key = std::pair<PartitionId, int64_t>;

  std::optional<Search> next() {
    while (running_ < at_once_ && !order_.empty()) {
      auto node = waiting_.extract(order_.front());
      order_.pop_front();
      Search search{node.key().first, node.key().second, {}};
      for (Asker& asker : node.mapped()) {
        if (!asker.wanted || asker.wanted()) search.askers.push_back(std::move(asker));
        else asker.done(fail(ErrorCode::kClosed, "nobody waits for it any more"));
      }
      if (search.askers.empty()) continue;
      ++running_;
      return search;
    }
    return std::nullopt;
  }

  const size_t at_once_;
  const size_t most_;
  size_t running_ = 0;
  bool beginning_ = false;
  std::map<Key, std::vector<Asker>> waiting_;
  std::deque<Key> order_;
};

}  // namespace weir::storage
