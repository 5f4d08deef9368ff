// Deadlines of one coordinator, by key: a type of the state machine's, with an order. A move to a later time, as by every
// heartbeat, only notes the new time. The queue is corrected when the old time comes. It has one item for each key.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace weir::coordination {

template <typename Key>
class Deadlines {
 public:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  void set(const Key& key, int64_t at_ms) {
    const auto [at, added] = entries_.try_emplace(key, Entry{at_ms, at_ms});
    Entry& entry = at->second;
    entry.at_ms = at_ms;
    if (!added && at_ms >= entry.queued_ms) return;
    if (!added) queue_.erase({entry.queued_ms, &at->first});
    entry.queued_ms = at_ms;
    queue_.insert({at_ms, &at->first});
  }
  void cancel(const Key& key) {
    const auto at = entries_.find(key);
    if (at != entries_.end()) remove(at);
  }
  bool contains(const Key& key) const { return entries_.contains(key); }

  // The earliest time at which a deadline may be due. Never later than the earliest deadline.
  int64_t next_ms() const { return queue_.empty() ? kNever : queue_.begin()->at_ms; }

  // Takes one deadline that is due.
  std::optional<Key> pop(int64_t now_ms) {
    while (next_ms() <= now_ms) {
      const auto at = entries_.find(*queue_.begin()->key);
      Entry& entry = at->second;
      if (entry.at_ms <= now_ms) return remove(at);
      queue_.erase(queue_.begin());
      entry.queued_ms = entry.at_ms;
      queue_.insert({entry.queued_ms, &at->first});
    }
    return std::nullopt;
  }

 private:
  struct Entry {
    int64_t at_ms = kNever;
    int64_t queued_ms = kNever;
  };
  struct Item {
    int64_t at_ms = 0;
    const Key* key = nullptr;  // of the entry
    bool operator<(const Item& other) const { return at_ms != other.at_ms ? at_ms < other.at_ms : *key < *other.key; }
  };
  using Entries = std::map<Key, Entry>;

  Key remove(typename Entries::iterator at) {
    queue_.erase({at->second.queued_ms, &at->first});
    return std::move(entries_.extract(at).key());
  }

  Entries entries_;
  std::set<Item> queue_;
};

}  // namespace weir::coordination
