// A coordinator's state machine: the state of one partition of an internal topic, without I/O.
//
// Each call after loaded() is one step. It changes the state at once, and leaves its consequences in `effects`. The state runs
// ahead of the log. CoordinatorRuntime appends the entries of the steps in their order. It gives no answer of a step before all
// entries up to and including its own are durable. A read is a step like any other. If entries cannot be appended, the state is
// of no more use: it is abandoned, and the log is replayed into a new one.
//
// Start: replay() and replay_marker() in the order of the log, then loaded(). After each step the runtime arranges that tick() is
// called at next_deadline_ms(). Requests are calls of the concrete class. Not thread-safe. Only the random numbers that it is
// given make it differ from run to run.
#pragma once

#include <any>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "coordination/runtime/effects.h"
#include "coordination/runtime/image.h"

namespace weir::coordination {

class StateMachine {
 public:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  virtual ~StateMachine() = default;

  // Skips records of unknown types. A record that does not decode changes nothing and is an error.
  virtual Result<void> replay(int64_t offset, const Origin& origin, Bytes key, std::optional<Bytes> value) = 0;
  virtual void replay_marker(int64_t offset, const TransactionMarker& marker) = 0;
  // Called again if keys were kept back until now. Waits begin here: members get full sessions, and unfinished work begins anew.
  // All of the image is news. Only of topics deleted meanwhile, which it cannot show, image_changed() tells afterwards.
  virtual void loaded(const ImagePtr& image, Instant now, Effects& effects) = 0;
  virtual void image_changed(const ImageChange& change, Instant now, Effects& effects) = 0;
  // A job, call or post is done. A result that is not waited for (any more) is ignored: see Awaited.
  virtual void arrived(const Token& token, std::any result, Instant now, Effects& effects) = 0;
  virtual int64_t next_deadline_ms() const = 0;  // kNever: none
  virtual void tick(Instant now, Effects& effects) = 0;
  // Answers all waiting requests with `error`. The object is of no use afterwards.
  virtual void abandon(protocol::ErrorCode error, Effects& effects) = 0;

  // The bound of a record's bytes. A step that would need a larger record is refused before it changes the state.
  virtual void limit_record(int64_t /*bytes*/) {}
  // Keys that may have more records in a partition that cannot be read. Nothing of them ends by itself. Empty: all are served.
  using KeptBack = std::function<bool(std::string_view key)>;
  virtual void keep_back(KeptBack /*kept_back*/) {}

  // One line about the loaded state, for the log. Empty: not worth a line.
  virtual std::string summary() const = 0;
  // Records of all of the durable state, in an order that depends on nothing else. For checks: a replay of the log gives the
  // same.
  virtual std::vector<CoordinatorRecord> snapshot() const = 0;
};

}  // namespace weir::coordination
