#include "broker/server/topic_traffic.h"

namespace weir::broker {

using protocol::ErrorCode;

// As in Kafka, errors by a client's outdated view of the cluster, or by too large a batch, are no failures of a request. Offences
// against the topic's rules are, and so are all faults of the broker.
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
