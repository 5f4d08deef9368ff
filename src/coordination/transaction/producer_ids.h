// The producer ids that a coordinator has ready. The controller gives each of them, durably, out of its shard's block. A few are
// there before they are needed, because the end of a transaction that gives its producer another id does not wait for one.
//
// Bounded: at most kReady are ready or asked for, and one for each request that waits. What is left at a restart is never used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

#include "coordination/runtime/effects.h"

namespace weir::coordination {

class ProducerIds {
 public:
  static constexpr size_t kReady = 8;

  // `token_kind`: of the calls.
  explicit ProducerIds(int token_kind) : token_kind_(token_kind) {}

  // Nothing: none is ready. Asks for more when half of them are gone.
  std::optional<int64_t> take(Effects& effects) {
    std::optional<int64_t> id;
    if (!ready_.empty()) {
      id = ready_.front();
      ready_.pop_front();
    }
    if (ready_.size() + asked_ <= kReady / 2) ask(kReady, effects);
    return id;
  }
  // For as many requests that wait.
  void ask_for_waiting(size_t count, Effects& effects) { ask(kReady / 2 + count, effects); }
  bool any() const { return !ready_.empty(); }
  void arrived(const ControllerResult& result) {
    --asked_;
    if (result.error == protocol::ErrorCode::kNone) ready_.push_back(result.producer_id);
  }

 private:
  void ask(size_t wanted, Effects& effects) {
    for (; ready_.size() + asked_ < wanted; ++asked_) effects.calls.push_back({{"", token_kind_, 0}, NextProducerId()});
  }

  const int token_kind_;
  std::deque<int64_t> ready_;
  size_t asked_ = 0;
};

}  // namespace weir::coordination
