// The requests of a state machine's step to the world: entries for its log, answers, and work that is done elsewhere. Such work
// comes back as a step of its own (StateMachine::arrived).
#pragma once

#include <any>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/function.h"
#include "coordination/log/origin.h"
#include "coordination/runtime/awaited.h"
#include "protocol/errors.h"
#include "storage/log/transactions.h"
#include "storage/types.h"

namespace weir::coordination {

// The time of a step. Deadlines count in monotonic time; stored times are wall time.
struct Instant {
  int64_t monotonic_ms = 0;
  int64_t wall_ms = 0;
};

// One record of an internal topic. Its type is in the key. A missing value is a tombstone.
struct CoordinatorRecord {
  std::string key;
  std::optional<std::string> value;
  bool operator==(const CoordinatorRecord&) const = default;
};

// One entry of a coordinator's log. Entries are appended in the order of the steps.
struct LogEntry {
  std::variant<CoordinatorRecord, TransactionMarker> what;
  Origin origin = {};   // of a record
  bool joined = false;  // in one batch with the entry before it, so that no crash parts them
};

// Called once: with kNone when all entries that the answer depends on are durable, otherwise with the error to answer.
using Release = Function<void(protocol::ErrorCode failure)>;

// Work for the pool. `work` may use its captures and nothing of the state machine.
struct Job {
  Token token;
  Function<std::any()> work;
};

// Work for the controller.
struct CreateTopic {
  std::string name;
  int32_t partition_count = 1;
};
struct NextProducerId {};
using ControllerRequest = std::variant<CreateTopic, NextProducerId>;
struct ControllerResult {  // of such a request
  protocol::ErrorCode error{};
  int64_t producer_id = -1;
};
struct ControllerCall {
  Token token;
  ControllerRequest request;
};

// A message to the shard that owns a partition. Sender and receiver agree on its type, and on the type of the result.
struct Post {
  Token token;
  storage::PartitionId to;
  std::any message;
};

// Jobs start at once. Answers, calls and posts go out in their order, when all entries of their step and of earlier steps are
// durable.
struct Effects {
  std::vector<LogEntry> log;
  storage::AppendOptions options;  // of the entries of producers: the guard of a transaction's, the version of a marker
  std::vector<Release> replies;
  std::vector<Job> jobs;
  std::vector<ControllerCall> calls;
  std::vector<Post> posts;

  void append(CoordinatorRecord record) { log.push_back({std::move(record)}); }
  // In one batch with the entry before it, which has the same origin.
  void append_joined(CoordinatorRecord record) {
    const Origin origin = log.back().origin;
    log.push_back({std::move(record), origin, true});
  }
  // As part of a transaction, or by the producer that ends one. Appended within the step, in a batch of its own, so the log
  // judges producer and epoch as of this step.
  void append(CoordinatorRecord record, const Origin& origin) { log.push_back({std::move(record), origin}); }
  void append(const TransactionMarker& marker) { log.push_back({marker}); }

  // Calls `reply` with `result` once that is allowed. Every result has an `error`.
  template <typename Result>
  void answer(Function<void(Result)> reply, Result result) {
    replies.push_back([reply = std::move(reply), result = std::move(result)](protocol::ErrorCode failure) mutable {
      if (failure != protocol::ErrorCode::kNone) {
        result = Result();
        result.error = failure;
      }
      reply(std::move(result));
    });
  }
};

}  // namespace weir::coordination
