// Fetch requests of a test, and the parts of their answers that tests look at.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "broker/handlers/broker_fixture.h"
#include "protocol/errors.h"
#include "protocol/messages/fetch.h"

namespace weir::broker {

class FetchTest : public BrokerTest {
 protected:
  struct Ask {
    std::string topic;
    int32_t partition = 0;
    int64_t offset = 0;
    int32_t max_bytes = 1 << 20;
    int32_t leader_epoch = -1;
    int32_t last_fetched_epoch = -1;
  };
  // Makes a request whose memory lives as long as the test.
  protocol::FetchRequest& request(const std::vector<Ask>& asks, int32_t max_wait_ms = 0, int32_t min_bytes = 1) {
    auto& memory = requests_.emplace_back();
    memory.asks = asks;
    memory.partitions.resize(asks.size());
    memory.topics.resize(asks.size());
    for (size_t i = 0; i < asks.size(); ++i) {
      const Ask& ask = memory.asks[i];
      auto& partition = memory.partitions[i];
      partition.partition = ask.partition;
      partition.fetch_offset = ask.offset;
      partition.partition_max_bytes = ask.max_bytes;
      partition.current_leader_epoch = ask.leader_epoch;
      partition.last_fetched_epoch = ask.last_fetched_epoch;
      memory.topics[i].topic = ask.topic;
      if (const Topic* topic = broker_->shard(0).image->find(ask.topic)) memory.topics[i].topic_id = topic->id();
      memory.topics[i].partitions = {&partition, 1};
    }
    memory.request.topics = memory.topics;
    memory.request.max_wait_ms = max_wait_ms;
    memory.request.min_bytes = min_bytes;
    memory.request.max_bytes = 50 << 20;
    memory.request.session_epoch = -1;
    return memory.request;
  }
  Answer<protocol::FetchResponse> fetch(const std::vector<Ask>& asks, int32_t max_wait_ms = 0, int32_t min_bytes = 1) {
    return call<protocol::FetchResponse>(peer(0), 12, request(asks, max_wait_ms, min_bytes));
  }
  // Returns the base offsets of the batches in an answered partition.
  static std::vector<int64_t> offsets(const protocol::FetchResponse::PartitionData& data) {
    std::vector<int64_t> bases;
    for (protocol::BatchSplitter batches(data.records.data); batches.next();) bases.push_back(batches.header().base_offset);
    return bases;
  }
  protocol::FetchRequest& committed_request(int64_t offset, int32_t max_wait_ms = 0) {
    protocol::FetchRequest& asked = request({{"t", 0, offset}}, max_wait_ms);
    asked.isolation_level = 1;
    return asked;
  }
  static const protocol::FetchResponse::PartitionData& partition(const Answer<protocol::FetchResponse>& answer, size_t topic = 0,
                                                                 size_t index = 0) {
    return answer->responses[topic].partitions[index];
  }
  static protocol::ErrorCode error(const Answer<protocol::FetchResponse>& answer) {
    return static_cast<protocol::ErrorCode>(partition(answer).error_code);
  }

  struct Memory {
    std::vector<Ask> asks;
    std::vector<protocol::FetchRequest::FetchPartition> partitions;
    std::vector<protocol::FetchRequest::FetchTopic> topics;
    protocol::FetchRequest request;
  };
  std::deque<Memory> requests_;
};

}  // namespace weir::broker
