// Requests to a transaction coordinator and their results, owned and independent of protocol versions.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/function.h"
#include "coordination/log/origin.h"
#include "protocol/errors.h"

namespace weir::coordination {

using protocol::ErrorCode;

// The protocol of transactions (KIP-890). The level of the feature transaction.version is any of them. A client speaks the second
// one or an earlier one, as the versions of its requests say. Kafka notes all earlier ones as kZero.
enum class TransactionVersion : int8_t {
  kZero = 0,
  kOne = 1,  // as kZero, with records of version 1 in the coordinator's log
  kTwo = 2,  // every transaction has an epoch of its own; partitions are added by what writes to them
};

// As records note a client's version.
constexpr TransactionVersion noted_version(TransactionVersion of_client) {
  return of_client == TransactionVersion::kTwo ? TransactionVersion::kTwo : TransactionVersion::kZero;
}

enum class TransactionState : int8_t {  // by the numbers of records
  kEmpty = 0,
  kOngoing = 1,
  kPrepareCommit = 2,  // decided; markers are under way
  kPrepareAbort = 3,
  kCompleteCommit = 4,
  kCompleteAbort = 5,
};
inline constexpr size_t kTransactionStates = 6;
constexpr bool is_being_ended(TransactionState state) {
  return state == TransactionState::kPrepareCommit || state == TransactionState::kPrepareAbort;
}
constexpr bool is_open(TransactionState state) { return state == TransactionState::kOngoing || is_being_ended(state); }

// "PrepareCommit", as tools show it.
std::string_view name_of(TransactionState state);
// Whether Kafka knows a state of that name; it has two that nothing is ever in.
bool is_transaction_state(std::string_view name);

struct TopicPartition {
  std::string topic;
  int32_t partition = 0;
  auto operator<=>(const TopicPartition&) const = default;
};

// Partitions of one topic, in order.
struct TransactionTopic {
  std::string name;
  std::vector<int32_t> indexes;
  bool operator==(const TransactionTopic&) const = default;
};

struct InitProducerRequest {
  std::string transactional_id;
  int32_t timeout_ms = 0;
  int64_t producer_id = -1;  // what the client has, or -1 and -1
  int16_t producer_epoch = -1;
};
struct InitProducerResult {
  ErrorCode error{};
  int64_t producer_id = -1;
  int16_t producer_epoch = -1;
};
using InitProducerReply = Function<void(InitProducerResult)>;

// Adds partitions to a transaction (AddPartitionsToTxn, AddOffsetsToTxn, Produce, TxnOffsetCommit), or asks whether they are in
// it. Whether the partitions exist, and whether the client may write to them, the caller has checked. Those that the
// coordinator's own image does not have yet are to be asked for again: COORDINATOR_LOAD_IN_PROGRESS.
struct AddPartitionsRequest {
  std::string transactional_id;
  int64_t producer_id = -1;
  int16_t producer_epoch = -1;
  std::vector<TopicPartition> partitions;
  TransactionVersion version = TransactionVersion::kZero;  // of the client
  bool verify_only = false;
  // While the transaction before is being ended, the answer waits for its end so long; 0: CONCURRENT_TRANSACTIONS at once.
  int32_t wait_ms = 0;
};
struct AddPartitionsResult {
  ErrorCode error{};  // of all partitions
  // Of each partition, in their order: kNone, or kTransactionAbortable. Only of verify_only without an error of all.
  std::vector<ErrorCode> partition_errors;
};
using AddPartitionsReply = Function<void(AddPartitionsResult)>;

struct EndTransactionRequest {
  std::string transactional_id;
  int64_t producer_id = -1;
  int16_t producer_epoch = -1;
  bool commit = false;
  TransactionVersion version = TransactionVersion::kZero;  // of the client
};
struct EndTransactionResult {
  ErrorCode error{};
  int64_t producer_id = -1;  // to go on with, under version two
  int16_t producer_epoch = -1;
};
using EndTransactionReply = Function<void(EndTransactionResult)>;

struct TransactionDescription {
  ErrorCode error{};  // kTransactionalIdNotFound: no such transaction
  std::string transactional_id;
  std::string_view state;
  int32_t timeout_ms = 0;
  int64_t start_ms = -1;
  int64_t producer_id = -1;
  int16_t producer_epoch = -1;
  std::vector<TransactionTopic> topics;  // by name; while it is being ended, of the partitions whose marker is not written yet
};
using DescribeTransactionReply = Function<void(TransactionDescription)>;

// Several coordinators may use one at the same time.
struct ListTransactionsRequest {
  std::vector<std::string> states;    // none: any. Names that are not known match nothing
  std::vector<int64_t> producer_ids;  // in order; none: any
  int64_t duration_ms = -1;           // those whose last transaction, if any, began longer ago; negative: any
};
struct ListedTransaction {
  std::string transactional_id;
  int64_t producer_id = -1;
  std::string_view state;
};
struct ListTransactionsResult {
  ErrorCode error{};
  std::vector<ListedTransaction> transactions;
};
using ListTransactionsReply = Function<void(ListTransactionsResult)>;

// Posted to the owner of a partition of a transaction that ends (Post::message), and what comes back (StateMachine::arrived).
struct WriteMarker {
  TransactionMarker marker;
  TransactionVersion version = TransactionVersion::kZero;  // which rule the log applies to the marker's epoch
};
struct MarkerWritten {
  ErrorCode error{};  // kNone: durable
};

// For metrics: how long transactions took from the decision to the completion.
struct EndingTimes {
  static constexpr size_t kBuckets = 18;
  // Inclusive: 1 ms, 2 ms, 4 ms and so on. The last bucket has none.
  static constexpr int64_t bound_ms(size_t bucket) { return int64_t{1} << bucket; }

  void add(int64_t ms);
  EndingTimes& operator+=(const EndingTimes& other);

  std::array<uint64_t, kBuckets> counts{};
  int64_t sum_ms = 0;
};

// For metrics.
struct TransactionTotals {
  std::array<uint64_t, kTransactionStates> by_state{};  // transactional ids
  uint64_t parked = 0;                                  // requests that wait for the end of the transaction before
  uint64_t markers_outstanding = 0;                     // under way, or waiting for another try
  uint64_t markers_to_retry = 0;                        // of them, those that wait
  int64_t oldest_open_start_ms = -1;                    // wall time; -1: no transaction is open
  // Since the state was made.
  uint64_t commits = 0;  // transactions that were completed
  uint64_t aborts = 0;
  uint64_t timeouts = 0;  // aborts that the coordinator began because time was over
  uint64_t expired_ids = 0;
  uint64_t markers_written = 0;
  uint64_t marker_retries = 0;
  EndingTimes endings;
  TransactionTotals& operator+=(const TransactionTotals& other);
};

}  // namespace weir::coordination
