// What a history says of the partitions' logs and of the transactions: the offset of each record, and the end of each
// transaction.
//
// A transaction whose commit has no answer is a branch: it may be visible or not, but as a whole. One committed read that shows a
// record of it decides the branch.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "testing/history/history.h"

namespace weir::testing {

// A transaction of the history.
struct RecordedTransaction {
  enum class Fate : uint8_t { kAborted, kUnknown, kCommitted };
  OperationId begin = kNoOperation;
  OperationId commit = kNoOperation;  // the first one asked for
  Fate fate = Fate::kAborted;
  OperationId evidence = kNoOperation;  // kCommitted: the answered commit, or what has shown it
  std::vector<OperationId> sends;
  std::vector<OperationId> offsets;
};

class RecoveredLog {
 public:
  struct Entry {
    int64_t offset = -1;
    OperationId send = kNoOperation;
  };
  using Entries = std::vector<Entry>;

  // The history has to live as long. Stops the process if a value was sent twice.
  explicit RecoveredLog(const History& history);

  const History& history() const { return history_; }
  const Operation& operation(OperationId id) const { return history_.operations[id]; }
  const Send& send(OperationId id) const { return std::get<Send>(operation(id).body); }
  const std::string& name(NameId id) const { return history_.names[id]; }
  // kNoOperation: nobody sent it.
  OperationId send_of(uint64_t value) const;
  // The send of the polled record, if it can be there: the right partition and key, and not refused.
  OperationId plausible_send(NameId partition, const PolledRecord& record) const;

  const std::vector<RecordedTransaction>& transactions() const { return transactions_; }
  // Of the Begin. Null if there is none.
  const RecordedTransaction* transaction(OperationId begin) const;
  const RecordedTransaction* transaction_of_send(OperationId id) const { return transaction(send(id).transaction); }
  // "in transaction #10, which was not committed"; nothing for a send without one.
  std::string fate_of_send(OperationId id) const;
  // True if a committed read that ended at `time` may show the transaction.
  bool may_show(const RecordedTransaction& transaction, uint64_t time) const;
  // A branch is decided: `evidence` shows that the transaction was committed.
  void decide(OperationId begin, OperationId evidence);

  // As acknowledged, or as a poll has shown it first. -1: not known.
  int64_t offset_of(OperationId send) const { return offsets_[send]; }
  // The first committed read that showed the record and might.
  OperationId seen_by(OperationId send) const { return seen_by_[send]; }
  // True if each committed read that passes the record has to show it.
  bool must_be_visible(OperationId send) const;
  // Records whose offset is known, by offset. Two records of one offset are both there.
  const Entries& entries(NameId partition) const { return entries_[partition]; }

 private:
  void find_operations();
  void find_reads();
  void find_entries();

  const History& history_;
  std::unordered_map<uint64_t, OperationId> sends_;
  std::vector<RecordedTransaction> transactions_;
  std::unordered_map<OperationId, size_t> transaction_indexes_;  // by Begin
  std::vector<int64_t> offsets_;                                 // by operation
  std::vector<OperationId> seen_by_;
  std::vector<Entries> entries_;  // by partition
};

}  // namespace weir::testing
