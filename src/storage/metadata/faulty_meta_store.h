// Wraps a MetaStore for tests and makes the contract's unpleasant outcomes happen: kUnknown although the transaction was done,
// kUnknown although it was not, plain failures, answers held back until the test releases them, watches that are cut, compacted,
// silent or repeat themselves, and leases that end early.
//
// Set the faults from the calling thread. Use it on one loop or in a simulation. The wrapped store outlives the wrapper.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "base/lifetime.h"
#include "storage/metadata/meta_store.h"

namespace weir::storage {

class FaultyMetaStore final : public MetaStore {
 public:
  enum class Fault {
    kNone,
    kUnknownDone,     // done, but the outcome is kUnknown
    kUnknownNotDone,  // not done, and the outcome is kUnknown
    kFailed,          // not done, and the outcome is kIo
  };
  enum class WatchFault {
    kNone,
    kLost,       // the events never come (a bug that etcd had)
    kTwice,      // the events come twice
    kCut,        // the watch ends instead
    kCompacted,  // the watch ends, and its revisions cannot be watched any more
  };

  explicit FaultyMetaStore(MetaStore& store) : store_(store) {}
  ~FaultyMetaStore() override { lifetime_.end(); }

  // Faults of the next transactions, in order; afterwards kNone.
  void plan(std::vector<Fault> faults) { planned_.insert(planned_.end(), faults.begin(), faults.end()); }
  // Faults of the next events of any watch, in order; afterwards kNone.
  void plan_watches(std::vector<WatchFault> faults) {
    planned_watches_.insert(planned_watches_.end(), faults.begin(), faults.end());
  }
  // From a seed: each transaction, and each call of a watch, gets a fault with probability 1/`one_in`. 0 turns that off.
  void random_faults(uint64_t seed, uint32_t one_in) {
    random_state_ = seed * 2 + 1;
    one_in_ = one_in;
  }
  // While held, answers of asynchronous transactions wait; release() delivers them in order.
  void hold() { held_ = true; }
  void release();
  // Every lease granted until now ends.
  void lose_leases();
  uint64_t transactions() const { return transactions_; }
  uint64_t watches() const { return watches_; }

  void transact(MetaTransaction transaction, runtime::Executor& reply_to, Function<void(Result<MetaOutcome>)> done) override;
  void range(MetaRangeRequest request, runtime::Executor& reply_to, Function<void(Result<MetaRange>)> done) override;
  std::unique_ptr<MetaWatch> watch(std::string prefix, int64_t from, runtime::Executor& reply_to,
                                   Function<void(Result<MetaEvents>)> told) override;
  void grant_lease(int64_t ttl_ms, runtime::Loop& loop, Function<void(Result<MetaLease>)> done) override;
  void keep_alive(int64_t lease, runtime::Loop& loop, Function<void(Result<MetaLease>)> done) override;
  void revoke_lease(int64_t lease, runtime::Loop& loop, Function<void(Result<void>)> done) override;
  Result<MetaOutcome> transact_blocking(MetaTransaction transaction) override;
  Result<MetaRange> range_blocking(MetaRangeRequest request) override;

 private:
  Fault next_fault();
  WatchFault next_watch_fault();
  // Returns 0 as a rule, else a number from 1 to `kinds`.
  uint64_t draw(uint64_t kinds);

  MetaStore& store_;
  std::deque<Fault> planned_;
  std::deque<WatchFault> planned_watches_;
  uint64_t random_state_ = 1;
  uint32_t one_in_ = 0;
  uint64_t transactions_ = 0;
  uint64_t watches_ = 0;
  bool held_ = false;
  std::vector<Function<void()>> waiting_;
  std::vector<std::pair<int64_t, runtime::Loop*>> leases_;
  Lifetime lifetime_;
};

}  // namespace weir::storage
