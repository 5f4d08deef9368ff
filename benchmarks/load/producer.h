// Keeps a fixed number of produce requests in flight on each of its connections, round robin over the partitions.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "load/connection.h"
#include "load/options.h"

namespace load {

struct ProducerSettings {
  explicit ProducerSettings(Options& options);
  std::string broker;
  std::vector<TopicPartition> partitions;
  int16_t acks;
  int record_bytes;
  int batch_records;
  int in_flight;
  int connections;
  bool idempotent;
  size_t batches_per_request;  // of as many partitions, as a busy producer sends them
  int64_t bytes_per_s;         // 0: as fast as possible
};

class Producer {
 public:
  explicit Producer(const ProducerSettings& settings);
  // Sends `requests` requests. Returns when all are answered.
  void run(uint64_t requests);
  size_t request_bytes() const { return lanes_.front().batch.bytes().size() * settings_.batches_per_request; }
  uint64_t request_records() const { return static_cast<uint64_t>(settings_.batch_records) * settings_.batches_per_request; }

 private:
  // A batch, prebuilt for one partition, and the request's bytes around it: with `frame` it is the first of a request,
  // with `between` a later one.
  struct Lane {
    Batch batch;
    ProduceFrame frame;
    std::vector<uint8_t> between;
    int32_t next_sequence = 0;
  };
  struct Link {
    Connection connection;
    int in_flight = 0;
  };
  void send_one(Link& link);
  Lane& next_lane();
  void wait_until_due();

  ProducerSettings settings_;
  std::vector<Lane> lanes_;
  std::vector<Link> links_;
  size_t next_lane_ = 0;
  std::vector<std::span<const uint8_t>> pieces_;
  ProducerIdentity producer_;
  int64_t started_ns_ = 0;
  int64_t sent_bytes_ = 0;
};

// Creates the topics that --topic, --topics and --partitions name. Fetches and latency runs use the same options.
std::vector<TopicPartition> create_topics(Options& options);

}  // namespace load
