// Partitions that are added to transactions, and the question whether they are in one. Under version two a producer may begin its
// next transaction while the last one is being ended: such a request can wait for the end. Part of a transaction coordinator's
// state: each call is within a step.
#pragma once

#include <cstddef>
#include <cstdint>

#include "coordination/transaction/transaction_context.h"

namespace weir::coordination {

class PartitionAdditions {
 public:
  // Requests that wait. Further ones are answered at once.
  static constexpr size_t kParkedPerId = 128;
  static constexpr size_t kParkedMax = 4'096;

  explicit PartitionAdditions(TransactionContext& context) : context_(context) {}

  void add(AddPartitionsRequest request, AddPartitionsReply reply, Instant now, Effects& effects);
  // Its transaction has ended: those that wait are judged anew.
  void wake(Transaction& transaction, Instant now, Effects& effects);
  // Deadline kParked.
  void due(Transaction& transaction, Instant now, Effects& effects);
  void abandon(ErrorCode error, Effects& effects);
  size_t parked() const { return parked_; }

 private:
  AddPartitionsResult verify(const AddPartitionsRequest& request) const;
  bool park(Transaction& transaction, AddPartitionsRequest& request, AddPartitionsReply& reply, Instant now);
  ErrorCode add_to(Transaction& transaction, const AddPartitionsRequest& request, Instant now, Effects& effects);

  TransactionContext& context_;
  size_t parked_ = 0;
};

}  // namespace weir::coordination
