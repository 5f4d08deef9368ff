#include "storage/metadata/faulty_meta_store.h"

#include <utility>

namespace weir::storage {

namespace {

Error injected(FaultyMetaStore::Fault fault) {
  if (fault == FaultyMetaStore::Fault::kFailed) return {ErrorCode::kIo, "injected failure of a metadata transaction", 0};
  return {ErrorCode::kUnknown, "injected: the outcome of the metadata transaction is not known", 0};
}

}  // namespace

FaultyMetaStore::Fault FaultyMetaStore::next_fault() {
  ++transactions_;
  if (!planned_.empty()) {
    const Fault fault = planned_.front();
    planned_.pop_front();
    return fault;
  }
  return static_cast<Fault>(draw(3));
}

FaultyMetaStore::WatchFault FaultyMetaStore::next_watch_fault() {
  if (!planned_watches_.empty()) {
    const WatchFault fault = planned_watches_.front();
    planned_watches_.pop_front();
    return fault;
  }
  return static_cast<WatchFault>(draw(4));
}

uint64_t FaultyMetaStore::draw(uint64_t kinds) {
  if (one_in_ == 0) return 0;
  random_state_ = random_state_ * 6364136223846793005ull + 1442695040888963407ull;
  const uint64_t draw = random_state_ >> 33;
  return draw % one_in_ == 0 ? 1 + (draw / one_in_) % kinds : 0;
}

void FaultyMetaStore::release() {
  held_ = false;
  for (auto& answer : std::exchange(waiting_, {})) answer();
}

void FaultyMetaStore::transact(MetaTransaction transaction, runtime::Executor& reply_to,
                               Function<void(Result<MetaOutcome>)> done) {
  const Fault fault = next_fault();
  auto answer = [this, done = std::move(done)](Result<MetaOutcome> result) mutable {
    if (!held_) return done(std::move(result));
    waiting_.push_back([done = std::move(done), result = std::move(result)]() mutable { done(std::move(result)); });
  };
  if (fault == Fault::kUnknownNotDone || fault == Fault::kFailed) {
    reply_to.post([fault, answer = std::move(answer)]() mutable { answer(std::unexpected(injected(fault))); });
    return;
  }
  store_.transact(std::move(transaction), reply_to, [fault, answer = std::move(answer)](Result<MetaOutcome> result) mutable {
    if (fault == Fault::kUnknownDone) result = std::unexpected(injected(fault));
    answer(std::move(result));
  });
}

void FaultyMetaStore::range(MetaRangeRequest request, runtime::Executor& reply_to, Function<void(Result<MetaRange>)> done) {
  store_.range(std::move(request), reply_to, std::move(done));
}

std::unique_ptr<MetaWatch> FaultyMetaStore::watch(std::string prefix, int64_t from, runtime::Executor& reply_to,
                                                  Function<void(Result<MetaEvents>)> told) {
  ++watches_;
  auto filter = [this, alive = lifetime_.observe(), ended = false, told = std::move(told)](Result<MetaEvents> events) mutable {
    if (ended || !alive) return;
    const WatchFault fault = events ? next_watch_fault() : WatchFault::kNone;
    if (fault == WatchFault::kLost) return;
    ended = fault == WatchFault::kCut || fault == WatchFault::kCompacted;
    if (fault == WatchFault::kCut) events = std::unexpected(Error{ErrorCode::kIo, "injected: the watch was cut", 0});
    if (fault == WatchFault::kCompacted) events = std::unexpected(Error{ErrorCode::kNotFound, "injected: compacted", 0});
    if (fault == WatchFault::kTwice) told(events);
    told(std::move(events));
  };
  return store_.watch(std::move(prefix), from, reply_to, std::move(filter));
}

void FaultyMetaStore::grant_lease(int64_t ttl_ms, runtime::Loop& loop, Function<void(Result<MetaLease>)> done) {
  store_.grant_lease(ttl_ms, loop,
                     [this, alive = lifetime_.observe(), &loop, done = std::move(done)](Result<MetaLease> lease) mutable {
                       if (lease && alive) leases_.emplace_back(lease->id, &loop);
                       done(std::move(lease));
                     });
}

void FaultyMetaStore::keep_alive(int64_t lease, runtime::Loop& loop, Function<void(Result<MetaLease>)> done) {
  store_.keep_alive(lease, loop, std::move(done));
}

void FaultyMetaStore::revoke_lease(int64_t lease, runtime::Loop& loop, Function<void(Result<void>)> done) {
  store_.revoke_lease(lease, loop, std::move(done));
}

void FaultyMetaStore::lose_leases() {
  for (const auto& [lease, loop] : std::exchange(leases_, {})) store_.revoke_lease(lease, *loop, [](Result<void>) {});
}

Result<MetaOutcome> FaultyMetaStore::transact_blocking(MetaTransaction transaction) {
  const Fault fault = next_fault();
  if (fault == Fault::kUnknownNotDone || fault == Fault::kFailed) return std::unexpected(injected(fault));
  auto result = store_.transact_blocking(std::move(transaction));
  if (fault == Fault::kUnknownDone) return std::unexpected(injected(fault));
  return result;
}

Result<MetaRange> FaultyMetaStore::range_blocking(MetaRangeRequest request) { return store_.range_blocking(std::move(request)); }

}  // namespace weir::storage
