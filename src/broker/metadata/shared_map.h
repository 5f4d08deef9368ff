// A map whose copies share their content. A copy costs a fixed few hundred pointers, and a change copies one bucket. So a
// metadata image is immutable, and the next one is cheap to make, even with thousands of topics.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <unordered_map>
#include <utility>

namespace weir::broker {

// If find() takes another type than Key, Hash and Equal are transparent.
template <typename Key, typename Value, typename Hash = std::hash<Key>, typename Equal = std::equal_to<>>
class SharedMap {
 public:
  template <typename Lookup>
  const Value* find(const Lookup& key) const {
    const Bucket* bucket = buckets_[index(Hash()(key))].get();
    if (bucket == nullptr) return nullptr;
    const auto it = bucket->find(key);
    return it == bucket->end() ? nullptr : &it->second;
  }
  void put(const Key& key, Value value) {
    Bucket& bucket = change(index(Hash()(key)));
    size_ += bucket.insert_or_assign(key, std::move(value)).second ? 1 : 0;
  }
  void erase(const Key& key) {
    if (find(key) == nullptr) return;
    change(index(Hash()(key))).erase(key);
    --size_;
  }
  size_t size() const { return size_; }
  template <typename Visitor>
  void for_each(Visitor visit) const {
    for (const auto& bucket : buckets_) {
      if (!bucket) continue;
      for (const auto& [key, value] : *bucket) visit(key, value);
    }
  }

 private:
  using Bucket = std::unordered_map<Key, Value, Hash, Equal>;
  static constexpr size_t kBuckets = 128;

  // The hash of a bucket's own table uses the low bits.
  static size_t index(size_t hash) { return (hash * 0x9e3779b97f4a7c15ull) >> 57; }
  Bucket& change(size_t i) {
    auto copy = buckets_[i] ? std::make_shared<Bucket>(*buckets_[i]) : std::make_shared<Bucket>();
    Bucket& changed = *copy;
    buckets_[i] = std::move(copy);
    return changed;
  }

  std::array<std::shared_ptr<const Bucket>, kBuckets> buckets_;
  size_t size_ = 0;
};

}  // namespace weir::broker
