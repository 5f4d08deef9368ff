// A bounded map that forgets the values that were used least recently. Thread-safe. Values are shared pointers or small copies.
#pragma once

#include <cstddef>
#include <list>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

namespace weir::storage {

template <typename Key, typename Value, typename Hash>
class LruCache {
 public:
  // `capacity` is compared with the sum of the values' weights.
  explicit LruCache(size_t capacity) : capacity_(capacity) {}

  std::optional<Value> get(const Key& key) {
    std::lock_guard lock(mutex_);
    const auto found = map_.find(key);
    if (found == map_.end()) return std::nullopt;
    order_.splice(order_.begin(), order_, found->second);
    return found->second->value;
  }

  void put(const Key& key, Value value, size_t weight = 1) {
    std::lock_guard lock(mutex_);
    erase_locked(key);
    order_.push_front({key, std::move(value), weight});
    map_[key] = order_.begin();
    weight_ += weight;
    while (weight_ > capacity_ && order_.size() > 1) erase_locked(order_.back().key);
  }

  void erase(const Key& key) {
    std::lock_guard lock(mutex_);
    erase_locked(key);
  }

  size_t weight() const {
    std::lock_guard lock(mutex_);
    return weight_;
  }
  size_t size() const {
    std::lock_guard lock(mutex_);
    return map_.size();
  }

 private:
  struct Entry {
    Key key;
    Value value;
    size_t weight;
  };

  void erase_locked(const Key& key) {
    const auto found = map_.find(key);
    if (found == map_.end()) return;
    const auto entry = found->second;
    weight_ -= entry->weight;
    map_.erase(found);
    order_.erase(entry);
  }

  const size_t capacity_;
  mutable std::mutex mutex_;
  std::list<Entry> order_;  // most recent first
  std::unordered_map<Key, typename std::list<Entry>::iterator, Hash> map_;
  size_t weight_ = 0;
};

}  // namespace weir::storage
