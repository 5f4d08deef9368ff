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
  if (one_in_ == 0) return Fault::kNone;
  random_state_ = random_state_ * 6364136223846793005ull + 1442695040888963407ull;
  const uint64_t draw = random_state_ >> 33;
  if (draw % one_in_ != 0) return Fault::kNone;
  return static_cast<Fault>(1 + (draw / one_in_) % 3);
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

void FaultyMetaStore::range(std::string prefix, runtime::Executor& reply_to, Function<void(Result<MetaRange>)> done) {
  store_.range(std::move(prefix), reply_to, std::move(done));
}

Result<MetaOutcome> FaultyMetaStore::transact_blocking(MetaTransaction transaction) {
  const Fault fault = next_fault();
  if (fault == Fault::kUnknownNotDone || fault == Fault::kFailed) return std::unexpected(injected(fault));
  auto result = store_.transact_blocking(std::move(transaction));
  if (fault == Fault::kUnknownDone) return std::unexpected(injected(fault));
  return result;
}

Result<MetaRange> FaultyMetaStore::range_blocking(std::string prefix) { return store_.range_blocking(std::move(prefix)); }

}  // namespace weir::storage
