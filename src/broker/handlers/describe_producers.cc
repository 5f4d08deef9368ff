#include "broker/handlers/describe_producers.h"

#include <algorithm>
#include <memory>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/metadata/topic_name.h"
#include "broker/requests/partition_at_home.h"
#include "broker/requests/sharded_operation.h"
#include "broker/requests/topic_resolver.h"
#include "protocol/messages/describe_producers.h"

namespace weir::broker {
namespace {

using protocol::DescribeProducersRequest;
using protocol::DescribeProducersResponse;
using ProtocolError = protocol::ErrorCode;
using PartitionResponse = DescribeProducersResponse::PartitionResponse;
using ProducerState = DescribeProducersResponse::ProducerState;

struct ProducersItem {
  storage::PartitionId id;
  PartitionResponse* response = nullptr;
  ProtocolError error{};
  size_t count = 0;
  std::vector<ProducerState> producers;
};

class DescribeProducersOperation final : public ShardedOperation<ProducersItem> {
 public:
  DescribeProducersOperation(Broker& broker, RequestContextPtr context) : ShardedOperation(broker, std::move(context)) {}

  void start() {
    if (!context_->decode(request_)) return;
    protocol::Arena& arena = context_->arena();
    std::set<std::pair<std::string_view, int32_t>> named;
    size_t count = 0;
    for (const auto& topic : request_.topics) count += topic.partition_indexes.size();
    items_.reserve(count);
    const TopicResolver topics(*context_, *home().image, {.invalid_names = InvalidNames::kToldToEverybody});
    response_.topics = arena.array<DescribeProducersResponse::TopicResponse>(request_.topics.size());
    for (size_t t = 0; t < request_.topics.size(); ++t) {
      const auto& asked = request_.topics[t];
      response_.topics[t].name = asked.name;
      response_.topics[t].partitions = arena.array<PartitionResponse>(asked.partition_indexes.size());
      const ResolvedTopic topic = topics.find(asked.name);
      std::string_view fault;
      if (topic.error == ProtocolError::kInvalidTopicException) fault = arena.copy(topic_name_fault(asked.name).value_or(""));
      for (size_t p = 0; p < asked.partition_indexes.size(); ++p) {
        PartitionResponse& response = response_.topics[t].partitions[p];
        response.partition_index = asked.partition_indexes[p];
        if (!fault.empty()) {
          response.error_code = code(topic.error);
          response.error_message = fault.substr(0, 400);
        } else if (!named.emplace(asked.name, response.partition_index).second) {
          response.error_code = code(ProtocolError::kInvalidRequest);  // its producers may be many
        } else if (const ProtocolError error = topic.error_of_led(response.partition_index); error != ProtocolError::kNone) {
          response.error_code = code(error);
          if (!topic) response.error_message = "This server does not host this topic-partition.";
        } else {
          items_.push_back({topic->partition(response.partition_index), &response, ProtocolError::kNone, 0, {}});
        }
      }
    }
    assign(items_);
    start_round();
  }

 private:
  // On the owning shard.
  void run(Part& part) override {
    for (ProducersItem* item : part.items) {
      if (const storage::Partition* partition = serving_partition(*part.shard, item->id, item->error)) {
        item->count = partition->producers().entries().size();
        if (!counting_)
          for (const storage::ProducerEntry& entry : partition->producers().entries()) item->producers.push_back(state_of(entry));
      }
      item_done(part);
    }
  }
  static ProducerState state_of(const storage::ProducerEntry& entry) {
    ProducerState state;
    state.producer_id = entry.producer_id;
    state.producer_epoch = entry.producer_epoch;
    state.last_sequence = entry.batches.empty() ? -1 : entry.batches.back().last_sequence;
    state.last_timestamp = entry.last_timestamp;
    state.coordinator_epoch = entry.coordinator_epoch;
    state.current_txn_start_offset = entry.transaction_first_offset;
    return state;
  }

  void complete() override {
    if (std::exchange(counting_, false)) {
      constexpr uint64_t kProducerBytes = 256;
      uint64_t count = 0;
      for (const ProducersItem& item : items_) count += item.count;
      if (context_->reserve(std::min(count * kProducerBytes, context_->most_answer_bytes()))) return start_round();
      return context_.reset();  // starts again when there is memory
    }
    for (ProducersItem& item : items_) {
      item.response->error_code = code(item.error);
      std::sort(item.producers.begin(), item.producers.end(),
                [](const ProducerState& a, const ProducerState& b) { return a.producer_id < b.producer_id; });
      item.response->active_producers = item.producers;
    }
    context_->respond(response_);
    context_.reset();
  }

  DescribeProducersRequest request_;
  DescribeProducersResponse response_;
  std::vector<ProducersItem> items_;
  bool counting_ = true;  // in the first of two rounds: how much the answer will hold
};

}  // namespace

void handle_describe_producers(Broker& broker, RequestContextPtr context) {
  runtime::make_homebound<DescribeProducersOperation>(broker, std::move(context))->start();
}

}  // namespace weir::broker
