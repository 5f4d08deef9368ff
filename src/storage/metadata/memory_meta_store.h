// MetaStore in memory, for tests: the same rules and revisions, but nothing survives. Calls from any thread. Completions are
// posted, never inline.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "base/lifetime.h"
#include "storage/metadata/meta_table.h"

namespace weir::storage {

class MemoryMetaStore final : public MetaStore {
 public:
  // Without a clock there are no leases.
  explicit MemoryMetaStore(const runtime::Clock* clock = nullptr) : clock_(clock) { feed_.begin(table_.revision()); }
  ~MemoryMetaStore() override { lifetime_.end(); }

  void transact(MetaTransaction transaction, runtime::Executor& reply_to, Function<void(Result<MetaOutcome>)> done) override;
  void range(MetaRangeRequest request, runtime::Executor& reply_to, Function<void(Result<MetaRange>)> done) override;
  std::unique_ptr<MetaWatch> watch(std::string prefix, int64_t from, runtime::Executor& reply_to,
                                   Function<void(Result<MetaEvents>)> told) override;
  void grant_lease(int64_t ttl_ms, runtime::Loop& loop, Function<void(Result<MetaLease>)> done) override;
  void keep_alive(int64_t lease, runtime::Loop& loop, Function<void(Result<MetaLease>)> done) override;
  void revoke_lease(int64_t lease, runtime::Loop& loop, Function<void(Result<void>)> done) override;
  Result<MetaOutcome> transact_blocking(MetaTransaction transaction) override;
  Result<MetaRange> range_blocking(MetaRangeRequest request) override;

  void compact() { feed_.compact(); }

 private:
  class Table final : public MetaTable {
   public:
    using MetaTable::MetaTable;

   private:
    Result<std::optional<MetaEntry>> find(const std::string& key) override;
    Result<void> put(const MetaEntry& entry) override;
    Result<void> erase(const MetaEntry& entry) override;
    Result<std::vector<MetaEntry>> scan(const std::string& first, const std::string& end, size_t limit) override;
    std::vector<MetaEntry> leased() const override;

    std::map<std::string, MetaEntry, std::less<>> entries_;
  };

  int64_t now_ns() const { return clock_ ? clock_->monotonic_ns() : 0; }
  void end_leases();
  void watch_lease(runtime::Loop& loop, int64_t lease);

  const runtime::Clock* clock_;
  MetaFeed feed_;
  MetaLeases leases_;
  std::mutex mutex_;
  Table table_{feed_, leases_};  // mutex_
  Lifetime lifetime_;
};

}  // namespace weir::storage
