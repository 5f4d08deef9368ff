#include "coordination/transaction/transaction_partitions.h"

#include <algorithm>
#include <utility>

namespace weir::coordination {
namespace {

// Runs of partitions of one topic.
std::vector<TransactionPartitions::Topic> by_topic(const std::vector<TopicPartition>& partitions) {
  std::vector<TransactionPartitions::Topic> topics;
  for (const TopicPartition& partition : partitions) {
    if (topics.empty() || topics.back().name != partition.topic) topics.push_back({partition.topic, {}});
    topics.back().indexes.push_back(partition.partition);
  }
  return topics;
}

}  // namespace

TransactionPartitions::TransactionPartitions(std::vector<Topic> topics) {
  std::ranges::sort(topics, {}, &Topic::name);
  for (Topic& topic : topics) {
    if (topic.indexes.empty()) continue;
    if (topics_.empty() || topics_.back().name != topic.name) {
      topics_.push_back(std::move(topic));
    } else {
      std::vector<int32_t>& indexes = topics_.back().indexes;
      indexes.insert(indexes.end(), topic.indexes.begin(), topic.indexes.end());
    }
  }
  for (Topic& topic : topics_) {
    std::ranges::sort(topic.indexes);
    const auto repeated = std::ranges::unique(topic.indexes);
    topic.indexes.erase(repeated.begin(), repeated.end());
  }
}

TransactionPartitions::TransactionPartitions(const std::vector<TopicPartition>& partitions)
    : TransactionPartitions(by_topic(partitions)) {}

TransactionPartitions TransactionPartitions::united_with(const TransactionPartitions& others) const {
  std::vector<Topic> all = topics_;
  all.insert(all.end(), others.topics_.begin(), others.topics_.end());
  return TransactionPartitions(std::move(all));
}

const TransactionPartitions::Topic* TransactionPartitions::find(std::string_view topic) const {
  const auto at = std::ranges::lower_bound(topics_, topic, {}, [](const Topic& one) { return std::string_view(one.name); });
  return at == topics_.end() || at->name != topic ? nullptr : &*at;
}

bool TransactionPartitions::contains(std::string_view topic, int32_t index) const {
  const Topic* found = find(topic);
  return found != nullptr && std::ranges::binary_search(found->indexes, index);
}

bool TransactionPartitions::contains(const TransactionPartitions& others) const {
  return std::ranges::all_of(others.topics_, [&](const Topic& topic) {
    const Topic* found = find(topic.name);
    return found != nullptr && std::ranges::includes(found->indexes, topic.indexes);
  });
}

size_t TransactionPartitions::count() const {
  size_t count = 0;
  for (const Topic& topic : topics_) count += topic.indexes.size();
  return count;
}

int64_t TransactionPartitions::memory_bytes() const {
  constexpr size_t kTopicBytes = 96;  // of the objects, and of what they allocate
  // The number has 4. The bound is for what a partition of an open transaction needs elsewhere as well: its marker when the
  // transaction ends, and its producer, which the partition cannot forget before.
  constexpr size_t kPartitionBytes = 128;
  size_t bytes = 0;
  for (const Topic& topic : topics_) bytes += kTopicBytes + topic.name.size() + topic.indexes.size() * kPartitionBytes;
  return static_cast<int64_t>(bytes);
}

}  // namespace weir::coordination
