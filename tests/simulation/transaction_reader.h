// A client of the transaction scenario that reads: a consumer that goes on from where it was, or a reader of everything.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "simulation/transaction_stage.h"

namespace weir::simulation {

// Polls partitions by chance, as long as its scenario lives, and looks at the committed offsets of groups.
class TransactionConsumer {
 public:
  TransactionConsumer(TransactionStage& stage, testing::Isolation isolation, int64_t timeout_ns, std::vector<std::string> groups);

  void start();
  void drop() { connection_.drop(); }

 private:
  void act();
  void poll();
  void look(const std::string& group);

  TransactionStage& stage_;
  const testing::Isolation isolation_;
  const uint32_t client_;
  const std::vector<std::string> groups_;
  KafkaClient connection_;
  std::map<testing::NameId, int64_t> positions_;
};

// Reads every partition from the start to the end of one isolation, as a new client, and writes that down as one poll.
class TransactionReader {
 public:
  struct Ends {
    int64_t high_watermark = 0;
    int64_t last_stable_offset = 0;
  };
  // `done` gets the ends of all partitions, in the order of input and output.
  using Done = std::function<void(const std::vector<Ends>&)>;

  explicit TransactionReader(TransactionStage& stage) : stage_(stage), connection_(stage.loop()) {}

  // One at a time. Tries again whatever breaks, until drop().
  void read(testing::Isolation isolation, bool complete, Done done);
  // The stable offsets of a group, of all partitions of the input.
  void fetch_offsets(const std::string& group, std::function<void(bool)> done);
  void drop();
  KafkaClient& connection() { return connection_; }

 private:
  void next(uint64_t round);

  TransactionStage& stage_;
  KafkaClient connection_;
  uint64_t round_ = 0;  // drop() makes the running read void
  testing::Poll poll_;
  testing::OperationId id_ = testing::kNoOperation;
  std::vector<Ends> ends_;
  uint32_t client_ = 0;
  Done done_;
};

// Has `done` told the operation, or that it failed: an answer with an error, or none.
void fetch_group_offsets(TransactionStage& stage, KafkaClient& connection, const std::string& group, bool stable, uint32_t client,
                         std::function<void(bool)> done);

}  // namespace weir::simulation
