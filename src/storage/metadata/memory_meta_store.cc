#include "storage/metadata/memory_meta_store.h"

#include <utility>

#include "storage/metadata/meta_rules.h"

namespace weir::storage {

void MemoryMetaStore::transact(MetaTransaction transaction, runtime::Executor& reply_to,
                               Function<void(Result<MetaOutcome>)> done) {
  reply_to.post(
      [done = std::move(done), result = transact_blocking(std::move(transaction))]() mutable { done(std::move(result)); });
}

void MemoryMetaStore::range(std::string prefix, runtime::Executor& reply_to, Function<void(Result<MetaRange>)> done) {
  reply_to.post([done = std::move(done), result = range_blocking(std::move(prefix))]() mutable { done(std::move(result)); });
}

Result<MetaOutcome> MemoryMetaStore::transact_blocking(MetaTransaction transaction) {
  if (auto valid = check_transaction(transaction); !valid) return std::unexpected(std::move(valid.error()));
  std::lock_guard lock(mutex_);
  for (const MetaCompare& compare : transaction.compares) {
    const auto found = entries_.find(compare.key);
    const bool exists = found != entries_.end();
    if (compare.mod_revision && (exists ? found->second.mod_revision : 0) != *compare.mod_revision)
      return MetaOutcome{false, revision_};
    if (compare.value && (!exists || found->second.value != *compare.value)) return MetaOutcome{false, revision_};
  }
  const int64_t revision = revision_ + 1;
  bool changed = false;
  for (MetaOperation& operation : transaction.operations) {
    if (operation.kind == MetaOperation::Kind::kPut) {
      MetaEntry& entry = entries_[operation.key];
      if (entry.create_revision == 0) entry.create_revision = revision;
      entry.key = std::move(operation.key);
      entry.value = std::move(operation.value);
      entry.mod_revision = revision;
      changed = true;
      continue;
    }
    auto first = entries_.lower_bound(operation.key);
    auto last = first;
    if (operation.kind == MetaOperation::Kind::kDelete) {
      if (last != entries_.end() && last->first == operation.key) ++last;
    } else {
      while (last != entries_.end() && last->first.starts_with(operation.key)) ++last;
    }
    changed |= first != last;
    entries_.erase(first, last);
  }
  if (changed) revision_ = revision;
  return MetaOutcome{true, revision_};
}

Result<MetaRange> MemoryMetaStore::range_blocking(std::string prefix) {
  std::lock_guard lock(mutex_);
  MetaRange range;
  range.revision = revision_;
  for (auto it = entries_.lower_bound(prefix); it != entries_.end() && it->first.starts_with(prefix); ++it)
    range.entries.push_back(it->second);
  return range;
}

}  // namespace weir::storage
