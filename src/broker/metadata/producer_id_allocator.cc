#include "broker/metadata/producer_id_allocator.h"

#include <limits>
#include <utility>

#include "broker/metadata/settled_transaction.h"

namespace weir::broker {

void ProducerIdAllocator::allocate(Done done) {
  waiting_.push_back(std::move(done));
  if (waiting_.size() == 1) read();
}

void ProducerIdAllocator::read() {
  store_.range(std::string(ProducerIdsRecord::kKey), loop_,
               [this, alive = lifetime_.observe()](Result<storage::MetaRange> range) {
                 if (!alive) return;
                 if (!range) return answer(std::unexpected(range.error()));
                 for (const storage::MetaEntry& entry : range->entries) {
                   if (entry.key != ProducerIdsRecord::kKey) continue;
                   auto record = ProducerIdsRecord::decode(entry.value);
                   if (!record) return answer(std::unexpected(record.error()));
                   return write(record->next, entry.value);
                 }
                 write(0, std::nullopt);
               });
}

void ProducerIdAllocator::write(int64_t begin, std::optional<std::string> before) {
  if (begin < 0 || begin > std::numeric_limits<int64_t>::max() - ProducerIdBlock::kSize) {
    return answer(fail(ErrorCode::kInvalid, "all producer ids were handed out"));
  }
  const ProducerIdBlock block{begin, begin + ProducerIdBlock::kSize};
  const std::string key(ProducerIdsRecord::kKey);
  storage::MetaTransaction transaction;
  storage::MetaCompare compare{key, std::nullopt, std::nullopt};
  if (before) compare.value = std::move(before);
  else compare.mod_revision = 0;
  transaction.compares.push_back(std::move(compare));
  transaction.operations.push_back({storage::MetaOperation::Kind::kPut, key, ProducerIdsRecord{block.end}.encode()});
  settle(store_, loop_, lifetime_.observe(), std::move(transaction), [this, block](Result<storage::MetaOutcome> outcome) {
    if (!outcome) return answer(std::unexpected(outcome.error()));
    if (!outcome->succeeded) return read();
    answer(block);
  });
}

void ProducerIdAllocator::answer(Result<ProducerIdBlock> result) {
  Done done = std::move(waiting_.front());
  waiting_.erase(waiting_.begin());
  if (!waiting_.empty()) read();
  done(std::move(result));
}

}  // namespace weir::broker
