// Deadlines of one coordinator, by key: a type of the state machine's, with an order. A move to a later time, as by every
// heartbeat, only notes the new time. The queue is corrected when the old time comes.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <queue>
#include <utility>
#include <vector>

namespace weir::coordination {

template <typename Key>
class Deadlines {
 public:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  void set(const Key& key, int64_t at_ms) {
    Entry& entry = entries_[key];
    entry.at_ms = at_ms;
    if (at_ms >= entry.queued_ms) return;
    entry.queued_ms = at_ms;
    queue_.emplace(at_ms, key);
  }
  void cancel(const Key& key) { entries_.erase(key); }
  bool contains(const Key& key) const { return entries_.contains(key); }

  // The earliest time at which a deadline may be due. Never later than the earliest deadline.
  int64_t next_ms() const { return queue_.empty() ? kNever : queue_.top().first; }

  // Takes one deadline that is due.
  std::optional<Key> pop(int64_t now_ms) {
    while (!queue_.empty() && queue_.top().first <= now_ms) {
      auto [queued_ms, key] = queue_.top();
      queue_.pop();
      const auto entry = entries_.find(key);
      if (entry == entries_.end() || entry->second.queued_ms != queued_ms) continue;
      if (entry->second.at_ms <= now_ms) {
        entries_.erase(entry);
        return key;
      }
      entry->second.queued_ms = entry->second.at_ms;
      queue_.emplace(entry->second.at_ms, std::move(key));
    }
    return std::nullopt;
  }

 private:
  struct Entry {
    int64_t at_ms = kNever;
    int64_t queued_ms = kNever;  // the one queue item that counts for it
  };
  using Item = std::pair<int64_t, Key>;

  std::map<Key, Entry> entries_;
  std::priority_queue<Item, std::vector<Item>, std::greater<>> queue_;
};

}  // namespace weir::coordination
