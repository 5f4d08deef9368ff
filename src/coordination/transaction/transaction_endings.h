// The end of transactions: it is decided, markers go out to all partitions, and when the last one is durable the transaction is
// complete. Part of a transaction coordinator's state: each call is within a step.
#pragma once

#include <any>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "coordination/transaction/transaction_context.h"

namespace weir::coordination {

class TransactionEndings {
 public:
  // Markers under way. Further ones go out when these are written: a transaction can have many partitions, and many can end at
  // once.
  static constexpr size_t kUnderWayMax = 2'000;
  // The epochs of a producer id: a client never has the last one, so that a producer can always be fenced.
  static constexpr int16_t kLastEpoch = INT16_MAX;
  static bool exhausted(int16_t epoch) { return epoch >= kLastEpoch - 1; }

  explicit TransactionEndings(TransactionContext& context) : context_(context) {}

  struct Decision {
    bool commit = false;
    TransactionVersion version = TransactionVersion::kZero;
    bool empty = false;   // no partition was added: the transaction begins with its end
    bool fences = false;  // also under earlier versions its producer may not go on
  };
  // Of a transaction that is not being ended. kNone, or why nothing has happened.
  ErrorCode decide(Transaction& transaction, const Decision& decision, Instant now, Effects& effects);
  // Aborts an Ongoing one whose producer may not go on, as the level of the feature says.
  ErrorCode fence(Transaction& transaction, Instant now, Effects& effects);
  // After a load: sends the markers of one that is being ended.
  void resume(Transaction& transaction, Instant now, Effects& effects);

  // A marker's result, and the deadline kMarkers.
  void marker_arrived(const Token& token, const std::any& result, Instant now, Effects& effects);
  void retry(Transaction& transaction, Instant now, Effects& effects);

  // Those that were completed since the last call.
  std::vector<std::string> take_completed() { return std::exchange(completed_, {}); }
  size_t markers_outstanding() const { return outstanding_; }
  size_t markers_to_retry() const { return to_retry_; }

 private:
  static constexpr int32_t kFirstRetryMs = 50;
  static constexpr int32_t kLongestRetryMs = 1'000;

  struct Marker {  // of a partition; no transaction: it is of an end that is over
    Transaction* transaction = nullptr;
    TransactionEnding::Part* part = nullptr;
  };
  Marker find(uint64_t serial) const;
  void send_some(Instant now, Effects& effects);
  void send(Transaction& transaction, TransactionEnding::Part& part, Effects& effects);
  void finish(TransactionEnding& ending, TransactionEnding::Part& part);
  void fail(Transaction& transaction, TransactionEnding::Part& part, ErrorCode error, Instant now);
  void tell_waiting(const Transaction& transaction, const TransactionEnding::Part& part, ErrorCode error, Instant now);
  void retry_at(Transaction& transaction, int64_t at_ms);
  void complete_if_done(Transaction& transaction, Instant now, Effects& effects);
  void complete(Transaction& transaction, Instant now, Effects& effects);

  TransactionContext& context_;
  uint64_t next_serial_ = 1;                      // of markers: their tokens have no other key
  std::map<uint64_t, Transaction*> being_ended_;  // by the serial of its first marker
  std::deque<uint64_t> to_send_;
  size_t under_way_ = 0;
  size_t outstanding_ = 0;
  size_t to_retry_ = 0;
  std::vector<std::string> completed_;
};

}  // namespace weir::coordination
