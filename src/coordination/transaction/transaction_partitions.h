// The partitions of a transaction, by topic and in order. By name, because records and clients name them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "coordination/transaction/transaction_messages.h"

namespace weir::coordination {

class TransactionPartitions {
 public:
  using Topic = TransactionTopic;

  TransactionPartitions() = default;
  // In any order, and any of them more than once.
  explicit TransactionPartitions(std::vector<Topic> topics);
  explicit TransactionPartitions(const std::vector<TopicPartition>& partitions);

  TransactionPartitions united_with(const TransactionPartitions& others) const;
  bool contains(std::string_view topic, int32_t index) const;
  bool contains(const TransactionPartitions& others) const;
  size_t count() const;
  int64_t memory_bytes() const;  // estimated
  const std::vector<Topic>& topics() const { return topics_; }
  bool operator==(const TransactionPartitions&) const = default;

 private:
  const Topic* find(std::string_view topic) const;
  std::vector<Topic> topics_;  // by name
};

}  // namespace weir::coordination
