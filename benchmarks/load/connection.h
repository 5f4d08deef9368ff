// A blocking connection to one broker, with requests and responses of fixed versions.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "load/wire.h"

namespace load {

struct TopicPartition {
  std::string topic;
  int32_t partition;
  bool operator==(const TopicPartition&) const = default;
};

class Connection {
 public:
  // `address` is host:port. Dies if the broker cannot be reached.
  explicit Connection(const std::string& address);
  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) = delete;
  ~Connection();

  int descriptor() const { return descriptor_; }

  // Sends header and parts as one frame with one gathered write; blocks until the kernel has taken them.
  void send(int16_t api, int16_t version, bool flexible, std::span<const std::span<const uint8_t>> parts);
  void send(int16_t api, int16_t version, bool flexible, std::initializer_list<std::span<const uint8_t>> parts) {
    send(api, version, flexible, std::span(parts.begin(), parts.size()));
  }
  void send_raw(std::span<const uint8_t> bytes);

  // Blocks until one whole response is there. The bytes start after the response header and are valid until the next call.
  // Responses come in the order of the requests.
  std::span<const uint8_t> receive(bool flexible);
  // True if a response is complete without another wait on the socket.
  bool has_buffered_response() const;

 private:
  int descriptor_ = -1;
  int32_t correlation_id_ = 0;
  std::vector<uint8_t> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
};

// --- calls that wait for their answer ---

// Returns how many APIs the broker announces.
int api_versions(Connection& connection);
// Creates the topic, unless it exists. Returns when all partitions have a leader.
void create_topic(Connection& connection, const std::string& topic, int32_t partitions,
                  const std::map<std::string, std::string>& configs);
int64_t list_offset(Connection& connection, const TopicPartition& where, int64_t timestamp);
// With a transactional id: fences its producers before, and waits until their transaction has ended.
ProducerIdentity init_producer_id(Connection& connection, const std::string& transactional_id = {});
// Ends the transaction of a producer of transaction.version 2. Returns its identity in the next one.
ProducerIdentity commit(Connection& connection, const std::string& transactional_id, ProducerIdentity producer);

// --- the two hot calls, split so that they can be pipelined ---

constexpr int16_t kProduce = 0;
constexpr int16_t kProduceVersion = 9;
constexpr int16_t kTransactionalProduceVersion = 12;  // adds its partitions to the transaction
constexpr int16_t kConcurrentTransactions = 51;       // the transaction before is still being ended
constexpr int16_t kFetch = 1;
constexpr int16_t kFetchVersion = 12;

// The bytes of a produce request around the records of each partition: `before` the first, `between` two, and `after`
// the last. All partitions are of one topic.
struct ProduceFrame {
  ProduceFrame(const TopicPartition& where, int16_t acks, size_t records_bytes, size_t partitions = 1,
               const std::string& transactional_id = {});
  std::vector<uint8_t> before;
  std::vector<uint8_t> after;
  static std::vector<uint8_t> between(int32_t partition, size_t records_bytes);
};
// Returns whether the broker took the records. False: all partitions say kConcurrentTransactions. Dies on any other error.
bool accepted(std::span<const uint8_t> produce_response);
// Returns the base offset of the last partition. Dies on an error code of any partition.
int64_t check_produce_response(std::span<const uint8_t> response);

struct FetchPosition {
  TopicPartition where;
  int64_t offset;
};
struct FetchLimits {
  int32_t wait_ms = 500;
  int32_t bytes_min = 1;
  int32_t bytes_max = 50 << 20;
  int32_t partition_bytes_max = 1 << 20;
  bool read_committed = false;
};
void send_fetch(Connection& connection, const std::vector<FetchPosition>& positions, const FetchLimits& limits);

struct FetchCount {
  uint64_t bytes = 0;
  uint64_t records = 0;
};
// Advances the positions, and calls the callback for each batch if there is one.
FetchCount read_fetch(std::span<const uint8_t> response, std::vector<FetchPosition>& positions,
                      const std::function<void(const BatchView&)>& callback);

}  // namespace load
