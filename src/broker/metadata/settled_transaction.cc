#include "broker/metadata/settled_transaction.h"

#include <utility>
#include <vector>

#include "base/log.h"
#include "runtime/homebound.h"

namespace weir::broker {
namespace {

using storage::MetaOperation;
using storage::MetaOutcome;
using storage::MetaRange;

constexpr int64_t kRetryNs = 200 * runtime::kMillisecond;

class Settling final : public runtime::Homebound {
 public:
  Settling(storage::MetaStore& store, runtime::Loop& loop, Lifetime::Observer alive, storage::MetaTransaction transaction,
           Function<void(Result<MetaOutcome>)> done)
      : Homebound(loop),
        store_(store),
        loop_(loop),
        alive_(std::move(alive)),
        transaction_(std::move(transaction)),
        done_(std::move(done)) {
    // So a transaction that is sent again, and fails because it had been done, tells so itself.
    transaction_.otherwise.push_back(transaction_.operations.front().key);
  }

  void send() {
    store_.transact(transaction_, loop_, [self = runtime::HomeRef(this)](Result<MetaOutcome> outcome) {
      if (self->alive_) self->answered(std::move(outcome));
    });
  }

 private:
  void answered(Result<MetaOutcome> outcome) {
    if (!outcome && outcome.error().code == ErrorCode::kUnknown) {
      if (!std::exchange(in_doubt_, true)) {
        log_warn("metadata", "Outcome of a metadata transaction is not known ({}); reading it back, and trying again until it is",
                 outcome.error().message);
      }
      return look();
    }
    // After a doubt only the store's content counts: an earlier attempt may have been the one that succeeded.
    if (in_doubt_ && !outcome) return look_last(std::move(outcome));
    if (in_doubt_ && !outcome->succeeded) outcome->succeeded = visible(outcome->found);
    done_(std::move(outcome));
  }
  void look() {
    read([self = runtime::HomeRef(this)](const MetaRange& range) {
      if (self->visible(range.entries)) self->done_(MetaOutcome{true, range.revision});
      else self->later([self] { self->send(); });
    });
  }
  void look_last(Result<MetaOutcome> failed) {
    read([self = runtime::HomeRef(this), failed = std::move(failed)](const MetaRange& range) mutable {
      if (self->visible(range.entries)) self->done_(MetaOutcome{true, range.revision});
      else self->done_(std::move(failed));
    });
  }
  void read(Function<void(const MetaRange&)> then) {
    store_.range(transaction_.operations.front().key, loop_,
                 [self = runtime::HomeRef(this), then = std::move(then)](Result<MetaRange> range) mutable {
                   if (!self->alive_) return;
                   if (range) return then(*range);
                   self->later([self, then = std::move(then)]() mutable { self->read(std::move(then)); });
                 });
  }
  void later(Function<void()> what) {
    loop_.schedule_after(kRetryNs, [self = runtime::HomeRef(this), what = std::move(what)]() mutable {
      if (self->alive_) what();
    });
  }
  bool visible(const std::vector<storage::MetaEntry>& entries) const {
    const MetaOperation& first = transaction_.operations.front();
    for (const storage::MetaEntry& entry : entries) {
      if (entry.key == first.key) return first.kind == MetaOperation::Kind::kPut && entry.value == first.value;
    }
    return first.kind != MetaOperation::Kind::kPut;
  }

  storage::MetaStore& store_;
  runtime::Loop& loop_;
  const Lifetime::Observer alive_;
  storage::MetaTransaction transaction_;
  Function<void(Result<MetaOutcome>)> done_;
  bool in_doubt_ = false;
};

}  // namespace

void settle(storage::MetaStore& store, runtime::Loop& loop, Lifetime::Observer alive, storage::MetaTransaction transaction,
            Function<void(Result<MetaOutcome>)> done) {
  runtime::make_homebound<Settling>(store, loop, std::move(alive), std::move(transaction), std::move(done))->send();
}

}  // namespace weir::broker
