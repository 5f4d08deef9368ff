// What the clients of the transaction scenario have in common, besides what all stages have: options and topics.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/uuid.h"
#include "protocol/messages/fetch.h"
#include "protocol/record_batch_builder.h"
#include "simulation/client_stage.h"
#include "simulation/drawn_options.h"
#include "simulation/kafka_client.h"
#include "testing/history/history.h"

namespace weir::simulation {

// Drawn per seed.
struct TransactionOptions {
  explicit TransactionOptions(DrawnOptions& drawn);
  int64_t work_ns;  // of each life
  int32_t partitions;
  uint64_t plain_producers, producers, processors, consumers;
  uint64_t transaction_partitions, offsets_partitions, segment_bytes, fetch_bytes;
  int32_t transaction_timeout_ms;
  bool version_1, version_2;  // transaction versions that clients use; one of them is true
  bool members;               // processors share a group, and its generations fence them
  bool zombies;
};

struct StageTopic {
  std::string name;
  Uuid id;
  std::vector<testing::NameId> partitions;  // in the history
};

class TransactionStage : public ClientStage {
 public:
  TransactionStage(testing::SimRuntime& sim, Oracle& oracle, testing::SeededRandom chance, DrawnOptions& drawn)
      : ClientStage(sim, oracle, chance), options(drawn) {}

  const TransactionOptions options;
  StageTopic input{"input", {}, {}}, output{"output", {}, {}};

  uint64_t new_value() { return ++last_value_; }

  // Workers that may still send input.
  void producer_works(bool works) { works ? ++producers_ : --producers_; }
  bool input_may_come() const { return producers_ > 0; }

 private:
  uint64_t producers_ = 0;
  uint64_t last_value_ = 0;
};

// What a consumer makes of a fetched partition.
struct FetchedRange {
  std::vector<testing::PolledRecord> records;
  int64_t next_offset = 0;
  int64_t high_watermark = 0;
  int64_t last_stable_offset = 0;
};

// A batch whose records are numbers: keys and values of the history.
std::vector<uint8_t> number_batch(const std::vector<testing::PolledRecord>& records, const protocol::BatchOptions& options,
                                  int64_t now_ms, size_t padding);

// Fetches a partition of a topic once. `done` gets null if the connection broke or the answer is an error. As Kafka's clients do,
// it leaves out control records, and the aborted ones that the answer names. What a broker must not answer is a violation.
void fetch_range(TransactionStage& stage, KafkaClient& connection, const StageTopic& topic, int32_t partition, int64_t from,
                 testing::Isolation isolation, std::function<void(const FetchedRange*)> done);

}  // namespace weir::simulation
