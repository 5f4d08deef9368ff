// Requests to a broker, for the tests of produce, offsets, topics and metadata.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "broker/handlers/broker_fixture.h"
#include "protocol/errors.h"
#include "protocol/messages/list_offsets.h"
#include "protocol/messages/metadata.h"

namespace weir::broker {

class HandlersTest : public BrokerTest {
 protected:
  Answer<protocol::MetadataResponse> metadata(const std::vector<std::string>& names, bool create = true, int16_t version = 13) {
    std::vector<protocol::MetadataRequest::MetadataRequestTopic> topics(names.size());
    for (size_t i = 0; i < names.size(); ++i) topics[i].name = names[i];
    protocol::MetadataRequest request;
    request.topics = std::span(topics);
    request.allow_auto_topic_creation = create;
    return call<protocol::MetadataResponse>(version, request);
  }
  protocol::ListOffsetsResponse::ListOffsetsPartitionResponse offset(const std::string& topic, int32_t partition,
                                                                     int64_t timestamp, int16_t version = 11) {
    protocol::ListOffsetsRequest::ListOffsetsPartition asked;
    asked.partition_index = partition;
    asked.timestamp = timestamp;
    protocol::ListOffsetsRequest::ListOffsetsTopic topics;
    topics.name = topic;
    topics.partitions = {&asked, 1};
    protocol::ListOffsetsRequest request;
    request.replica_id = -1;
    request.topics = {&topics, 1};
    return call<protocol::ListOffsetsResponse>(version, request)->topics[0].partitions[0];
  }
  int16_t create_error(protocol::CreateTopicsRequest::CreatableTopic topic, bool validate_only = false) {
    protocol::CreateTopicsRequest request;
    request.topics = {&topic, 1};
    request.validate_only = validate_only;
    return call<protocol::CreateTopicsResponse>(7, request)->topics[0].error_code;
  }
};

}  // namespace weir::broker
