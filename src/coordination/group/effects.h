// What a step of a coordinator's state machine asks of the world: records to append, answers to give afterwards.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/function.h"
#include "protocol/errors.h"

namespace weir::coordination {

// The time of a step. Deadlines count in monotonic time; what is stored or compared with stored times is wall time.
struct Instant {
  int64_t monotonic_ms = 0;
  int64_t wall_ms = 0;
};

// One record of an internal topic: its type is in the key, a missing value is a tombstone.
struct CoordinatorRecord {
  std::string key;
  std::optional<std::string> value;
  bool operator==(const CoordinatorRecord&) const = default;
};

// Called once: with kNone when everything the answer depends on is durable, else with the error to answer instead.
using Release = Function<void(protocol::ErrorCode failure)>;

struct Effects {
  std::vector<CoordinatorRecord> records;
  std::vector<Release> replies;

  // Answers `result` through `reply` once that is allowed. Every result has an `error`.
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
