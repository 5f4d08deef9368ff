// Requests to a transaction coordinator and their results, owned and independent of protocol versions.
#pragma once

#include <compare>
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

// The protocol of transactions that a client speaks: which one, the versions of its requests say (KIP-890).
enum class TransactionVersion : int8_t {
  kZero = 0,  // records of the coordinator's log are of version 0
  kOne = 1,
  kTwo = 2,  // every transaction has an epoch of its own; partitions are added by what writes to them
};

struct TopicPartition {
  std::string topic;
  int32_t partition = 0;
  auto operator<=>(const TopicPartition&) const = default;
};

struct InitProducerRequest {
  std::string transactional_id;
  int32_t timeout_ms = 0;
  int64_t producer_id = -1;  // that the client has, or -1 and -1
  int16_t producer_epoch = -1;
  TransactionVersion version = TransactionVersion::kOne;  // of the client, as the level of the feature says
};
struct InitProducerResult {
  ErrorCode error{};
  int64_t producer_id = -1;
  int16_t producer_epoch = -1;
};
using InitProducerReply = Function<void(InitProducerResult)>;

// Adds partitions to a transaction (AddPartitionsToTxn, AddOffsetsToTxn, Produce, TxnOffsetCommit), or asks whether they are in it.
struct AddPartitionsRequest {
  std::string transactional_id;
  int64_t producer_id = -1;
  int16_t producer_epoch = -1;
  std::vector<TopicPartition> partitions;
  TransactionVersion version = TransactionVersion::kOne;
  bool verify_only = false;
  // While the transaction before is being ended, the answer waits for its end so long; 0: CONCURRENT_TRANSACTIONS at once.
  int32_t wait_ms = 0;
};
struct AddPartitionsResult {
  ErrorCode error{};  // of all partitions
};
using AddPartitionsReply = Function<void(AddPartitionsResult)>;

struct EndTransactionRequest {
  std::string transactional_id;
  int64_t producer_id = -1;
  int16_t producer_epoch = -1;
  bool commit = false;
  TransactionVersion version = TransactionVersion::kOne;
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
  std::vector<TopicPartition> partitions;  // in order
};
using DescribeTransactionReply = Function<void(TransactionDescription)>;

struct ListTransactionsRequest {
  std::vector<std::string> states;  // none: any. Names that are not known match nothing
  std::vector<int64_t> producer_ids;
  int64_t duration_ms = -1;  // those that are open for longer; negative: any
  // Called for each id that matches so far.
  Function<bool(std::string_view)> matches;
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

// What the coordinator posts to the owner of a partition of a transaction that ends, and what comes back.
struct WriteMarker {
  TransactionMarker marker;
  TransactionVersion version = TransactionVersion::kOne;
};
struct MarkerWritten {
  ErrorCode error{};
};

}  // namespace weir::coordination
