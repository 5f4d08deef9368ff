#include "storage/metadata/memory_meta_store.h"

#include <utility>

namespace weir::storage {

Result<std::optional<MetaEntry>> MemoryMetaStore::Table::find(const std::string& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return std::nullopt;
  return found->second;
}

Result<void> MemoryMetaStore::Table::put(const MetaEntry& entry) {
  entries_.insert_or_assign(entry.key, entry);
  return {};
}

Result<void> MemoryMetaStore::Table::erase(const MetaEntry& entry) {
  entries_.erase(entry.key);
  return {};
}

Result<std::vector<MetaEntry>> MemoryMetaStore::Table::scan(const std::string& first, const std::string& end, size_t limit) {
  std::vector<MetaEntry> found;
  for (auto at = entries_.lower_bound(first); at != entries_.end() && (end.empty() || at->first < end); ++at) {
    if (limit != 0 && found.size() == limit) break;
    found.push_back(at->second);
  }
  return found;
}

std::vector<MetaEntry> MemoryMetaStore::Table::leased() const {
  std::vector<MetaEntry> found;
  for (const auto& [key, entry] : entries_) {
    if (entry.lease != 0) found.push_back(entry);
  }
  return found;
}

void MemoryMetaStore::transact(MetaTransaction transaction, runtime::Executor& reply_to,
                               Function<void(Result<MetaOutcome>)> done) {
  reply_to.post(
      [done = std::move(done), result = transact_blocking(std::move(transaction))]() mutable { done(std::move(result)); });
}

void MemoryMetaStore::range(MetaRangeRequest request, runtime::Executor& reply_to, Function<void(Result<MetaRange>)> done) {
  reply_to.post([done = std::move(done), result = range_blocking(std::move(request))]() mutable { done(std::move(result)); });
}

std::unique_ptr<MetaWatch> MemoryMetaStore::watch(std::string prefix, int64_t from, runtime::Executor& reply_to,
                                                  Function<void(Result<MetaEvents>)> told) {
  return feed_.watch(std::move(prefix), from, reply_to, std::move(told));
}

Result<MetaOutcome> MemoryMetaStore::transact_blocking(MetaTransaction transaction) {
  const std::lock_guard lock(mutex_);
  auto outcome = table_.transact(transaction, now_ns());
  table_.committed();
  feed_.publish(table_.revision());
  return outcome;
}

Result<MetaRange> MemoryMetaStore::range_blocking(MetaRangeRequest request) {
  const std::lock_guard lock(mutex_);
  return table_.range(request);
}

// --- leases ---------------------------------------------------------------------------------------------------------

void MemoryMetaStore::end_leases() {
  const std::lock_guard lock(mutex_);
  (void)table_.end_leases(now_ns());
  table_.committed();
  feed_.publish(table_.revision());
}

void MemoryMetaStore::watch_lease(runtime::Loop& loop, int64_t lease) {
  const int64_t left_ns = leases_.left_ns(lease, now_ns());
  if (left_ns == 0) return end_leases();
  loop.schedule_after(left_ns, [this, alive = lifetime_.observe(), &loop, lease] {
    if (alive) watch_lease(loop, lease);
  });
}

void MemoryMetaStore::grant_lease(int64_t ttl_ms, runtime::Loop& loop, Function<void(Result<MetaLease>)> done) {
  loop.post([this, alive = lifetime_.observe(), ttl_ms, &loop, done = std::move(done)]() mutable {
    if (!alive) return;
    if (clock_ == nullptr) return done(fail(ErrorCode::kUnsupported, "no leases without a clock"));
    const MetaLease lease = leases_.grant(ttl_ms, now_ns());
    watch_lease(loop, lease.id);
    done(lease);
  });
}

void MemoryMetaStore::keep_alive(int64_t lease, runtime::Loop& loop, Function<void(Result<MetaLease>)> done) {
  loop.post([done = std::move(done), result = leases_.keep_alive(lease, now_ns())]() mutable { done(std::move(result)); });
}

void MemoryMetaStore::revoke_lease(int64_t lease, runtime::Loop& loop, Function<void(Result<void>)> done) {
  leases_.revoke(lease);
  end_leases();
  loop.post([done = std::move(done)]() mutable { done({}); });
}

}  // namespace weir::storage
