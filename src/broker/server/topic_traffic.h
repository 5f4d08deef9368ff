// Counts of one shard's connections by topic, of facts that are known only where a response is made. Facts of an append or a read
// are counted in the partition (storage/log/partition_traffic.h).
//
// On the shard's loop only. It allocates only for a topic that it sees for the first time. forget() bounds it.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "base/uuid.h"
#include "protocol/errors.h"

namespace weir::broker {

struct TopicCounts {
  int64_t bytes_out = 0;
  int64_t bytes_rejected = 0;  // of batches above max.message.bytes
  int64_t failed_produces = 0;
  int64_t failed_fetches = 0;

  TopicCounts& operator+=(const TopicCounts& other) {
    bytes_out += other.bytes_out;
    bytes_rejected += other.bytes_rejected;
    failed_produces += other.failed_produces;
    failed_fetches += other.failed_fetches;
    return *this;
  }
};

class TopicTraffic {
 public:
  void sent(const TopicId& topic, uint64_t bytes) { at(topic).bytes_out += static_cast<int64_t>(bytes); }
  void produced(const TopicId& topic, protocol::ErrorCode error, uint64_t bytes) {
    if (error != protocol::ErrorCode::kNone) produce_failed(topic, error, bytes);
  }
  void fetch_failed(const TopicId& topic, protocol::ErrorCode error);

  const std::unordered_map<TopicId, TopicCounts>& by_topic() const { return by_topic_; }
  // Moves the counts of topics that `exists` does not know to the total of gone topics.
  template <typename Exists>
  void forget_unless(Exists exists) {
    for (auto it = by_topic_.begin(); it != by_topic_.end();) {
      if (exists(it->first)) {
        ++it;
        continue;
      }
      gone_ += it->second;
      it = by_topic_.erase(it);
    }
    last_ = nullptr;
  }
  const TopicCounts& gone() const { return gone_; }

 private:
  // Partitions of one topic follow each other in requests.
  TopicCounts& at(const TopicId& topic) {
    if (last_ == nullptr || last_topic_ != topic) {
      last_ = &by_topic_[topic];
      last_topic_ = topic;
    }
    return *last_;
  }
  void produce_failed(const TopicId& topic, protocol::ErrorCode error, uint64_t bytes);

  std::unordered_map<TopicId, TopicCounts> by_topic_;
  TopicCounts gone_;
  TopicId last_topic_;
  TopicCounts* last_ = nullptr;
};

}  // namespace weir::broker
