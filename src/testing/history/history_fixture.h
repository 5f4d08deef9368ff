// Histories written by hand, for tests of the checkers. Each call is an operation that is over before the next one begins, unless
// it says otherwise.
#pragma once

#include <algorithm>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "testing/history/history.h"
#include "testing/history/history_checker.h"

namespace weir::testing {

class PlantedHistory {
 public:
  using Records = std::vector<PolledRecord>;

  NameId partition(int32_t index) { return recorder_.partition("p", index); }
  NameId group() { return recorder_.name("group"); }
  // Operations that overlap others.
  HistoryRecorder& recorder() { return recorder_; }

  template <typename Body>
  OperationId add(uint32_t client, Body body, Outcome outcome = Outcome::kOk) {
    const OperationId id = recorder_.invoke(client, std::move(body));
    if (outcome == Outcome::kOk) recorder_.ok(id);
    if (outcome == Outcome::kFail) recorder_.fail(id);
    return id;
  }

  OperationId init(uint32_t client, const char* id = "id") { return add(client, InitProducer{recorder_.name(id)}); }
  // A transaction of an id of its own, unless there is an init.
  OperationId begin(uint32_t client, OperationId init = kNoOperation, bool of_group = false) {
    return add(client, Begin{init, of_group ? group() : kNoName});
  }
  // The key is always 1.
  Send record(int32_t partition_index, uint64_t value, int64_t offset, OperationId transaction = kNoOperation,
              uint64_t cause = 0) {
    return {.partition = partition(partition_index),
            .key = 1,
            .value = value,
            .transaction = transaction,
            .cause = cause,
            .offset = offset};
  }
  OperationId send(uint32_t client, const Send& send, Outcome outcome = Outcome::kOk) { return add(client, send, outcome); }
  OperationId commit(uint32_t client, OperationId transaction, Outcome outcome = Outcome::kOk) {
    return add(client, EndTransaction{transaction, true}, outcome);
  }
  OperationId abort(uint32_t client, OperationId transaction) { return add(client, EndTransaction{transaction, false}); }

  struct Range {
    int32_t partition = 0;
    int64_t from = 0;
    int64_t to = 0;
    std::vector<std::pair<int64_t, uint64_t>> records = {};  // offset and value
  };
  Poll poll_of(const std::vector<Range>& ranges, Isolation isolation = Isolation::kReadCommitted) {
    Poll poll{.isolation = isolation, .ranges = {}};
    for (const Range& range : ranges) {
      poll.ranges.push_back({partition(range.partition), range.from, range.to, {}});
      for (const auto& [offset, value] : range.records) poll.ranges.back().records.push_back({offset, 1, value});
    }
    return poll;
  }
  OperationId poll(uint32_t client, const std::vector<Range>& ranges, Isolation isolation = Isolation::kReadCommitted) {
    return add(client, poll_of(ranges, isolation));
  }
  // By a client of its own.
  OperationId read_all(const std::vector<Range>& ranges) {
    Poll poll = poll_of(ranges);
    poll.complete = true;
    return add(999, std::move(poll));
  }

  Report check() {
    history_ = recorder_.history();
    return check_history(history_);
  }
  // The kinds of what is found, in the order of the enumeration.
  std::vector<AnomalyKind> kinds() {
    const Report report = check();
    std::vector<AnomalyKind> found;
    for (const Anomaly& anomaly : report.anomalies()) found.push_back(anomaly.kind);
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    return found;
  }

 private:
  HistoryRecorder recorder_;
  History history_;
};

using AnomalyKinds = std::vector<AnomalyKind>;

// For failures of tests.
inline void PrintTo(AnomalyKind kind, std::ostream* out) { *out << name_of(kind); }

}  // namespace weir::testing
