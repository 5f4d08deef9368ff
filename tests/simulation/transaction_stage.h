// What the clients of the transaction scenario have in common: options, topics, the history they write, and the times at which
// they may act. All of it belongs to the client loop.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/uuid.h"
#include "protocol/messages/fetch.h"
#include "protocol/record_batch_builder.h"
#include "simulation/drawn_options.h"
#include "simulation/kafka_client.h"
#include "simulation/oracle.h"
#include "testing/history/history.h"
#include "testing/sim_runtime.h"

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

class TransactionStage {
 public:
  using Step = std::function<void()>;

  TransactionStage(testing::SimRuntime& sim, Oracle& oracle, testing::SeededRandom chance, DrawnOptions& drawn)
      : options(drawn), random(chance), sim_(sim), oracle_(oracle) {}

  const TransactionOptions options;
  testing::SeededRandom random;
  testing::HistoryRecorder history;
  StageTopic input{"input", {}, {}}, output{"output", {}, {}};

  runtime::Loop& loop() { return sim_.client_loop(); }
  int64_t wall_ms() { return sim_.clock().wall_ms(); }
  Oracle& oracle() { return oracle_; }
  uint32_t new_client() { return next_client_++; }
  uint64_t new_value() { return ++last_value_; }

  // Runs the step at once, or as soon as clients may act again.
  void act(Step step) { open_ ? step() : parked_.push_back(std::move(step)); }
  void after(int64_t delay_ns, Step step) {
    loop().schedule_after(delay_ns, [this, step = std::move(step)]() mutable { act(std::move(step)); });
  }
  void open() {
    open_ = true;
    for (Step& step : std::exchange(parked_, {})) act(std::move(step));
  }
  void close() { open_ = false; }
  // From now on clients bring to an end what they have begun.
  void settle() {
    settling_ = true;
    open();
  }
  void unsettle() { settling_ = false; }
  bool settling() const { return settling_; }

  // Workers that may still send input.
  void producer_works(bool works) { works ? ++producers_ : --producers_; }
  bool input_may_come() const { return producers_ > 0; }

  // Requests of clients without an answer.
  void begin_request() { ++requests_; }
  void end_request() { --requests_; }
  bool quiet() const { return requests_ == 0; }

 private:
  testing::SimRuntime& sim_;
  Oracle& oracle_;
  bool open_ = false;
  bool settling_ = false;
  uint64_t requests_ = 0;
  uint64_t producers_ = 0;
  uint32_t next_client_ = 0;
  uint64_t last_value_ = 0;
  std::vector<Step> parked_;
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
