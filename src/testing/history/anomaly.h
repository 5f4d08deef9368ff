// What a checker found wrong in a history.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "testing/history/history.h"

namespace weir::testing {

enum class AnomalyKind : uint8_t {
  // Records
  kPhantom,           // a poll shows what nobody sent there, or what was refused
  kAbortedRead,       // G1a: a committed read shows a record of a transaction that did not commit
  kDirtyRead,         // a committed read shows a record before the commit was asked for
  kIntermediateRead,  // G1b: a part of a transaction's records is visible, another part is not
  kLostWrite,         // a complete read lacks a record that was acknowledged or seen
  kDuplicate,         // a record stands at two offsets
  kOffsetReused,      // two records stand at one offset
  kNonMonotonicPoll,  // a consumer is shown records again, or in another order
  kPollSkip,          // a consumer is not shown a record in the range that it passes, in a poll or between two
  kNonMonotonicSend,  // offsets contradict the order of two sends
  kWriteCycle,        // G0: no order of events explains the offsets
  kReadCycle,         // G1c: no order of events explains offsets and reads
  kFencedWrite,       // a producer wrote or committed after it was fenced
  // Committed offsets
  kOffsetWentBack,     // a group's committed offset is lower than it was
  kPhantomOffset,      // a committed offset that nobody committed, or of a transaction that did not commit
  kProcessedTwice,     // two visible outputs of one record
  kOutputMissing,      // an offset is committed, and a record before it has no output
  kOutputUncommitted,  // a record has an output, and its offset is not committed
  // Groups
  kTwoOwners,           // a partition has two owners
  kGenerationWentBack,  // a member is in a generation lower than one before
};
inline constexpr size_t kAnomalyKinds = static_cast<size_t>(AnomalyKind::kGenerationWentBack) + 1;

// "aborted read (G1a)"
std::string_view name_of(AnomalyKind kind);

struct Anomaly {
  AnomalyKind kind;
  std::string text;                     // a sentence
  std::vector<OperationId> operations;  // that the sentence is about
};

// Anomalies of a history. Keeps the first ones of each kind and counts the others.
class Report {
 public:
  explicit Report(const History& history) : history_(history) {}

  void add(AnomalyKind kind, std::string text, std::vector<OperationId> operations);
  // True if another one of this kind would be kept: only then its explanation is worth its time.
  bool wants(AnomalyKind kind) const { return counts_[static_cast<size_t>(kind)] < kKept; }
  bool clean() const { return anomalies_.empty(); }
  uint64_t count(AnomalyKind kind) const { return counts_[static_cast<size_t>(kind)]; }
  const std::vector<Anomaly>& anomalies() const { return anomalies_; }
  // Name, sentence, and a line for each operation. The history has to live.
  std::string describe(const Anomaly& anomaly) const;
  std::string text() const;

 private:
  static constexpr uint64_t kKept = 8;
  const History& history_;
  std::vector<Anomaly> anomalies_;
  std::array<uint64_t, kAnomalyKinds> counts_ = {};
};

}  // namespace weir::testing
