// The state machine of transaction coordinators: the transactional ids of one partition of `__transaction_state`.
//
// A transaction is begun by the first partition that is added to it. It ends when its end is decided (a Prepare record), the
// marker is in every partition, and that is noted (a Complete record). Markers are posts of WriteMarker to the partitions'
// owners; a MarkerWritten comes back for each. A partition that cannot take its marker is asked again, less and less often, for
// ever; one that is gone counts as done.
//
// Its parts are TransactionEndings, PartitionAdditions, and their shared state, TransactionContext. This class has the other
// requests, and finds the part for a result or a deadline.
#pragma once

#include <any>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "coordination/runtime/state_machine.h"
#include "coordination/transaction/partition_additions.h"
#include "coordination/transaction/transaction_config.h"
#include "coordination/transaction/transaction_context.h"
#include "coordination/transaction/transaction_endings.h"
#include "coordination/transaction/transaction_messages.h"

namespace weir::coordination {

class TransactionCoordinatorState final : public StateMachine {
 public:
  // Requests that wait for a producer id. Further ones are asked to come again.
  static constexpr size_t kWaitingForIdMax = 1'000;

  // `coordinator_epoch`: the leader epoch of the partition of `__transaction_state`. `level` and `memory` outlive the state, and
  // are shared with other coordinators.
  TransactionCoordinatorState(const TransactionConfig& config, int32_t coordinator_epoch, const TransactionLevel& level,
                              TransactionMemory& memory)
      : context_(config, coordinator_epoch, level, memory), endings_(context_), additions_(context_) {}

  // --- requests
  // Without a transactional id there is no coordinator to ask: the handler gives a producer id itself.
  void init_producer(InitProducerRequest request, InitProducerReply reply, Instant now, Effects& effects);
  void add_partitions(AddPartitionsRequest request, AddPartitionsReply reply, Instant now, Effects& effects);
  void end_transaction(const EndTransactionRequest& request, EndTransactionReply reply, Instant now, Effects& effects);
  void describe(const std::string& transactional_id, DescribeTransactionReply reply, Instant now, Effects& effects);
  void list(const ListTransactionsRequest& request, ListTransactionsReply reply, Instant now, Effects& effects);

  // --- StateMachine
  Result<void> replay(int64_t offset, const Origin& origin, Bytes key, std::optional<Bytes> value) override;
  void replay_marker(int64_t /*offset*/, const TransactionMarker& /*marker*/) override {}
  void loaded(const ImagePtr& image, Instant now, Effects& effects) override;
  void image_changed(const ImageChange& change, Instant now, Effects& effects) override;
  void arrived(const Token& token, std::any result, Instant now, Effects& effects) override;
  int64_t next_deadline_ms() const override { return context_.deadlines.next_ms(); }
  void tick(Instant now, Effects& effects) override;
  void abandon(ErrorCode error, Effects& effects) override;
  void limit_record(int64_t bytes) override { context_.record_bytes_max = bytes; }
  std::string summary() const override;
  std::vector<CoordinatorRecord> snapshot() const override;

  // --- for metrics and sweeps
  TransactionTotals totals() const;
  // The claims of transactions that are open or being ended, partition by partition: an open transaction in a partition that no
  // coordinator claims is an orphan. It does not walk over the others.
  using ClaimVisitor = std::function<void(int64_t producer_id, std::string_view topic, int32_t partition)>;
  void each_claim(const ClaimVisitor& visit) const;
  int64_t memory_bytes() const { return context_.transactions.memory_bytes(); }

 private:
  struct WaitingInit {
    InitProducerRequest request;
    InitProducerReply reply;
  };
  struct Outcome {  // of a step of init_producer
    ErrorCode error{};
    bool waits = false;  // for a producer id
  };

  // init_producer.cc
  Outcome init(const InitProducerRequest& request, Instant now, Effects& effects);
  Outcome init_new(const InitProducerRequest& request, Instant now, Effects& effects);
  Outcome init_ended(Transaction& transaction, const InitProducerRequest& request, Instant now, Effects& effects);
  ErrorCode init_open(Transaction& transaction, const InitProducerRequest& request, Instant now, Effects& effects);
  void producer_id_arrived(const ControllerResult& result, Instant now, Effects& effects);

  // end_transaction.cc
  EndTransactionResult end(const EndTransactionRequest& request, Instant now, Effects& effects);
  EndTransactionResult end_two(Transaction& transaction, const EndTransactionRequest& request, Instant now, Effects& effects);
  ErrorCode end_one(Transaction& transaction, const EndTransactionRequest& request, Instant now, Effects& effects);

  void due(const TransactionDeadline& deadline, Instant now, Effects& effects);
  void time_out(Transaction& transaction, Instant now, Effects& effects);
  void expire_slice(Instant now, Effects& effects);
  void wake_completed(Instant now, Effects& effects);

  TransactionContext context_;
  TransactionEndings endings_;
  PartitionAdditions additions_;
  std::deque<WaitingInit> waiting_inits_;
  std::string next_to_expire_;  // the walk's next transactional id
};

}  // namespace weir::coordination
