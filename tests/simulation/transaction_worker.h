// A client of the transaction scenario that sends: an idempotent producer, a transactional one, or a processor that turns each
// record of a partition into one record of the output, in transactions that commit its offsets. It speaks the requests of
// transaction version 1 (AddPartitionsToTxn, AddOffsetsToTxn) or 2 (neither; the end of a transaction raises the epoch), as
// Kafka's clients do.
//
// Before each step the worker may stop for a while. Another worker takes its place then, so that this one comes back as a zombie,
// or nobody does.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "simulation/transaction_stage.h"

namespace weir::simulation {

// Oracle::happened.
inline constexpr const char* kTransactionCommitted = "a transaction committed";
inline constexpr const char* kTransactionAborted = "a transaction aborted";
inline constexpr const char* kTransactionFailed = "a transaction was refused";
inline constexpr const char* kProducerFenced = "a producer was fenced";
inline constexpr const char* kMemberExpelled = "a processor was no longer a member";
inline constexpr const char* kZombieCameBack = "a zombie came back";
inline constexpr const char* kCommitUnanswered = "a commit got no answer";

struct WorkerRole {
  std::string transactional_id = {};  // empty: without transactions
  bool version_2 = false;
  std::string group = {};  // empty: not a processor
  int32_t partition = 0;   // of the input
  bool member = false;     // of the group; else the transactional id alone fences
};

class TransactionWorker {
 public:
  // `replace`: another worker has to take the role.
  TransactionWorker(TransactionStage& stage, WorkerRole role, int64_t timeout_ns, std::function<void(const WorkerRole&)> replace);

  void start();
  // The connection is gone, as after a restart of the broker.
  void drop() { connection_.drop(); }
  // True if the worker sends nothing any more.
  bool ended() const { return ended_; }
  // The role of a worker that ended without another one in its place. Asked for once.
  std::optional<WorkerRole> hand_over();

 private:
  // How an attempt of a request ended.
  enum class Ending {
    kDone,
    kRefused,   // the transaction cannot go on
    kFenced,    // nor can the producer
    kExpelled,  // nor can the member
    kAgain,     // to be tried again
    kNowhere,   // the same, once the coordinator is found; what it wrote may be durable
    kNoAnswer,  // nobody knows whether it was carried out
  };
  struct Ended {
    Ending ending;
    bool certain;  // no earlier attempt may have been carried out
  };
  using Reply = std::function<void(Ending)>;
  using Attempt = std::function<void(Reply)>;

  Ending ending_of(const char* request, int16_t error);
  // Tries until the request has an end, or the worker loses its patience.
  void ask(Attempt attempt, std::function<void(Ended)> done, bool uncertain = false);
  void find_coordinators(TransactionStage::Step next);
  // Ends an operation of the history that was not carried out.
  void not_done(testing::OperationId id, const Ended& ended);
  void go_on(TransactionStage::Step step);
  void end_work();
  void give_up_role();
  bool transactional() const { return !role_.transactional_id.empty(); }
  bool processor() const { return !role_.group.empty(); }

  // Producers.
  void initialize(bool anew);
  void initialized();
  void begin();
  void make_records();
  void send_next();
  void send_batch();
  void add_partition(TransactionStage::Step next);
  void produce(std::vector<testing::OperationId> sends, const std::vector<uint8_t>& bytes);
  void produced(const std::vector<testing::OperationId>& sends, const Ended& ended);
  // After a request that was refused or has no answer.
  void troubled(const Ended& ended);
  void end(bool commit);
  void end_request(bool commit, const Reply& reply);

  // Processors, in transaction_processor.cc.
  void join();
  void join_request(const Reply& reply);
  void sync_request(bool leader, const Reply& reply);
  void find_position();
  void fetch_offset(const Reply& reply);
  void poll();
  void polled(testing::OperationId id, const FetchedRange* range);
  void send_offsets();
  void commit_offsets(testing::OperationId id);
  void commit_offsets_request(const Reply& reply);
  testing::NameId input() const { return stage_.input.partitions[static_cast<size_t>(role_.partition)]; }

  struct OutgoingBatch {
    const StageTopic* topic = nullptr;
    int32_t partition = 0;
    std::vector<testing::Send> records;
  };

  TransactionStage& stage_;
  const WorkerRole role_;
  const uint32_t client_;
  const std::function<void(const WorkerRole&)> replace_;
  KafkaClient connection_;
  bool replaced_ = false;
  bool ended_ = false;

  int64_t producer_id_ = -1;
  int16_t epoch_ = -1;
  std::map<testing::NameId, int32_t> sequences_;  // of this epoch, by partition
  testing::OperationId init_ = testing::kNoOperation;
  testing::OperationId transaction_ = testing::kNoOperation;
  bool touched_ = false;                // the transaction has something in it
  std::set<testing::NameId> added_;     // its partitions, as the coordinator knows
  std::vector<OutgoingBatch> batches_;  // still to be sent

  std::string member_id_;
  int32_t generation_ = -1;
  bool leader_ = false;
  bool owner_ = false;
  int64_t position_ = -1;
};

}  // namespace weir::simulation
