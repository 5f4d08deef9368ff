// Test wrapper of a MetaStore that makes the contract's unpleasant outcomes happen: kUnknown although the
// transaction was done, kUnknown although it was not, a plain failure, and answers held back until the test
// lets them go.
//
// Set the faults from the thread that calls; the wrapped store outlives the wrapper.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "storage/metadata/meta_store.h"

namespace weir::storage {

class FaultyMetaStore final : public MetaStore {
 public:
  enum class Fault {
    kNone,
    kUnknownDone,     // done, but the answer says kUnknown
    kUnknownNotDone,  // not done, and the answer says kUnknown
    kFailed,          // not done, kIo
  };

  explicit FaultyMetaStore(MetaStore& store) : store_(store) {}

  // Faults of the next transactions, in order; afterwards kNone.
  void plan(std::vector<Fault> faults) { planned_.insert(planned_.end(), faults.begin(), faults.end()); }
  // From a seed: each transaction gets a fault with probability 1/`one_in`. 0 turns it off.
  void random_faults(uint64_t seed, uint32_t one_in) {
    random_state_ = seed * 2 + 1;
    one_in_ = one_in;
  }
  // While held, answers of asynchronous transactions wait; release() delivers them in order.
  void hold() { held_ = true; }
  void release();
  uint64_t transactions() const { return transactions_; }

  void transact(MetaTransaction transaction, runtime::Executor& reply_to, Function<void(Result<MetaOutcome>)> done) override;
  void range(std::string prefix, runtime::Executor& reply_to, Function<void(Result<MetaRange>)> done) override;
  Result<MetaOutcome> transact_blocking(MetaTransaction transaction) override;
  Result<MetaRange> range_blocking(std::string prefix) override;

 private:
  Fault next_fault();

  MetaStore& store_;
  std::deque<Fault> planned_;
  uint64_t random_state_ = 1;
  uint32_t one_in_ = 0;
  uint64_t transactions_ = 0;
  bool held_ = false;
  std::vector<Function<void()>> waiting_;
};

}  // namespace weir::storage
