// The offsets that transactions of one coordinator's groups have committed and that do not count yet: of each producer, until the
// marker of its transaction comes. A partition may be pending for several producers; of one it has the offset that came last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <ranges>
#include <set>
#include <string>
#include <string_view>
#include <tuple>

#include "coordination/group/group_memory.h"
#include "coordination/group/group_records.h"

namespace weir::coordination {

struct GroupTopicPartition {
  std::string group_id;
  std::string topic;
  int32_t partition = 0;
};
struct GroupTopicPartitionView {  // to look one up
  std::string_view group_id;
  std::string_view topic;
  int32_t partition = 0;
};

class PendingOffsets {
 public:
  struct OfGroup {
    std::string_view id;
  };
  struct Order {
    using is_transparent = void;
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return key(a) < key(b);
    }
    bool operator()(const GroupTopicPartition& a, OfGroup b) const { return a.group_id < b.id; }
    bool operator()(OfGroup a, const GroupTopicPartition& b) const { return a.id < b.group_id; }

   private:
    template <typename Place>
    static std::tuple<std::string_view, std::string_view, int32_t> key(const Place& place) {
      return {place.group_id, place.topic, place.partition};
    }
  };
  using OfProducer = std::map<GroupTopicPartition, CommittedOffset, Order>;
  using Partitions = std::map<GroupTopicPartition, std::set<int64_t>, Order>;

  explicit PendingOffsets(GroupMemory& memory) : memory_(memory) {}

  const std::map<int64_t, OfProducer>& producers() const { return producers_; }
  const Partitions& partitions() const { return partitions_; }  // and the producers that they are pending for
  auto partitions_of(std::string_view group_id) const {
    const auto [first, last] = partitions_.equal_range(OfGroup{group_id});
    return std::ranges::subrange(first, last);
  }
  bool contains(std::string_view group_id) const { return partitions_.contains(OfGroup{group_id}); }
  bool contains(GroupTopicPartitionView of) const { return partitions_.contains(of); }
  const CommittedOffset* find(int64_t producer_id, GroupTopicPartitionView of) const;
  size_t count() const { return count_; }
  int64_t memory_bytes() const { return memory_.bytes(); }  // estimated
  int64_t counted_memory_bytes() const;                     // the same by a walk over everything, to check it

  void put(int64_t producer_id, GroupTopicPartition of, CommittedOffset offset);
  void erase(GroupTopicPartitionView of);  // for all producers
  OfProducer take(int64_t producer_id);    // all of a producer

 private:
  void forget(const GroupTopicPartition& of, const CommittedOffset& offset);

  std::map<int64_t, OfProducer> producers_;  // with at least one
  Partitions partitions_;                    // the same the other way round
  size_t count_ = 0;
  MemoryCharge memory_;
};

}  // namespace weir::coordination
