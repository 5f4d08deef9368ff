// All transactional ids of a coordinator, and how many there are of what.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "coordination/runtime/state_machine.h"
#include "coordination/transaction/transaction_config.h"
#include "coordination/transaction/transaction_messages.h"
#include "coordination/transaction/transaction_records.h"

namespace weir::coordination {

// The markers of a transaction that is being ended.
struct TransactionEnding {
  struct Part {
    std::string_view topic;  // of the record's
    int32_t index = 0;
    bool done = false;
    int32_t delay_ms = 0;                        // the last one before another try
    int64_t retry_at_ms = StateMachine::kNever;  // monotonic; never: under way
  };
  uint64_t first_serial = 0;  // of the token of the first part; the others follow
  std::vector<Part> parts;
  size_t left = 0;
  int64_t next_retry_ms = StateMachine::kNever;  // monotonic; the first of the parts'
  int64_t begun_ms = 0;                          // monotonic
};

// A request that waits for the end of the transaction before.
struct ParkedAddition {
  AddPartitionsRequest request;
  AddPartitionsReply reply;
  int64_t until_ms = 0;  // monotonic
};

struct Transaction {
  std::string id;
  TransactionMetadata is;  // changed by records only

  // Soft: a restart loses it.
  int16_t last_epoch = -1;                      // the epoch before, whose InitProducerId may be a retry
  int64_t times_out_ms = StateMachine::kNever;  // monotonic; while Ongoing
  std::unique_ptr<TransactionEnding> ending;    // while it is being ended
  std::vector<ParkedAddition> parked;
};

class Transactions {
 public:
  using Map = std::map<std::string_view, std::unique_ptr<Transaction>>;  // the keys are the transactions' own ids
  // Ongoing, or being ended; those that began first come first.
  using Open = std::set<std::pair<int64_t, std::string_view>>;

  explicit Transactions(TransactionMemory& memory) : memory_(memory) {}
  Transactions(const Transactions&) = delete;
  Transactions& operator=(const Transactions&) = delete;

  // nullptr: there is none.
  Transaction* find(std::string_view id) const;
  // The one way to change what is durable. Returns the transaction, unless it was removed.
  Transaction* apply(TransactionRecord record);

  const Map& all() const { return all_; }
  const Open& open() const { return open_; }
  const std::array<uint64_t, kTransactionStates>& by_state() const { return by_state_; }
  int64_t memory_bytes() const { return memory_.bytes(); }

 private:
  void count(const Transaction& transaction);
  void discount(const Transaction& transaction);
  static int64_t bytes_of(const Transaction& transaction);

  Map all_;
  Open open_;
  std::array<uint64_t, kTransactionStates> by_state_{};
  MemoryCharge memory_;
};

}  // namespace weir::coordination
