#include "broker/server/topic_traffic.h"

namespace weir::broker {

using protocol::ErrorCode;

// As in Kafka, what a client caused by its own idea of the cluster or by too large a batch is no failure of a request;
// what it did against the topic's rules is, and so is everything that went wrong here.
void TopicTraffic::produce_failed(const TopicId& topic, ErrorCode error, uint64_t bytes) {
  switch (error) {
    case ErrorCode::kMessageTooLarge:
    case ErrorCode::kRecordListTooLarge:
      at(topic).bytes_rejected += static_cast<int64_t>(bytes);
      return;
    case ErrorCode::kUnknownTopicOrPartition:
    case ErrorCode::kNotLeaderOrFollower:
    case ErrorCode::kCorruptMessage:
      return;
    default:
      ++at(topic).failed_produces;
  }
}

void TopicTraffic::fetch_failed(const TopicId& topic, ErrorCode error) {
  if (error == ErrorCode::kKafkaStorageError || error == ErrorCode::kUnknownServerError) ++at(topic).failed_fetches;
}

}  // namespace weir::broker
