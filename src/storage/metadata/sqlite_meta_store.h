// MetaStore on one machine: a table of keys in `<data dir>/meta.db`. Format: docs/formats/metadata.md.
//
// Calls from any thread. Calls queue, and one task at a time on the pool takes the whole queue into one SQLite transaction. So
// transactions that arrive together share a sync. Completions are posted to each caller's executor in call order. Blocking
// calls take their turn between two groups.
//
// If the store is paired (NotedDatabase), answers and watchers wait until the manifest database has noted the revision. Watchers
// learn of a transaction before it is answered. The store keeps changes for watchers since it was opened, within a bound.
//
// Leases end with the process. So entries under a lease are in memory only. The disk only has to keep the revision, so that no
// revision comes twice.
//
// A failed commit is undone at once if that can be made certain; the caller then gets the failure itself. If it cannot be made
// certain, the outcome is kUnknown, and the store takes nothing until it can.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include "base/lifetime.h"
#include "runtime/clock.h"
#include "runtime/file.h"
#include "storage/metadata/meta_table.h"
#include "storage/sqlite/noted_database.h"

namespace weir::storage {

class SqliteMetaStore final : public MetaStore, public NotedDatabase {
 public:
  struct Options {
    std::string path;                    // of the database file; its folder exists and is locked by this process
    uint64_t ordering_key = 0x6d657461;  // for tasks on the pool; no other user of the pool has it
    const runtime::Clock* clock = nullptr;
    bool paired = false;  // the caller calls NotedDatabase::pair before anything else
  };
  // `files` and `pool` outlive the store; no task of the pool may run after it is gone.
  static Result<std::unique_ptr<SqliteMetaStore>> open(runtime::FileSystem& files, runtime::Pool& pool, Options options);
  ~SqliteMetaStore() override { lifetime_.end(); }

  void transact(MetaTransaction transaction, runtime::Executor& reply_to, Function<void(Result<MetaOutcome>)> done) override;
  void range(MetaRangeRequest request, runtime::Executor& reply_to, Function<void(Result<MetaRange>)> done) override;
  std::unique_ptr<MetaWatch> watch(std::string prefix, int64_t from, runtime::Executor& reply_to,
                                   Function<void(Result<MetaEvents>)> told) override;
  // Without a clock there are no leases.
  void grant_lease(int64_t ttl_ms, runtime::Loop& loop, Function<void(Result<MetaLease>)> done) override;
  void keep_alive(int64_t lease, runtime::Loop& loop, Function<void(Result<MetaLease>)> done) override;
  void revoke_lease(int64_t lease, runtime::Loop& loop, Function<void(Result<void>)> done) override;
  Result<MetaOutcome> transact_blocking(MetaTransaction transaction) override;
  Result<MetaRange> range_blocking(MetaRangeRequest request) override;

  uint64_t syncs() const { return database_->syncs(); }
  void compact() { feed_.compact(); }

 private:
  struct TransactCall {
    MetaTransaction transaction;
    Function<void(Result<MetaOutcome>)> done;
    Result<MetaOutcome> result;
  };
  struct RangeCall {
    MetaRangeRequest request;
    Function<void(Result<MetaRange>)> done;
    Result<MetaRange> result;
  };
  // Deletes the entries under leases that have ended.
  struct EndLeasesCall {
    Function<void(Result<void>)> done;
    Result<void> result;
  };
  struct Call {
    runtime::Executor* reply_to;
    std::variant<TransactCall, RangeCall, EndLeasesCall> work;
  };

  // The entries: in memory if they are under a lease, else in the database.
  class Table final : public MetaTable {
   public:
    using MetaTable::MetaTable;
    Result<void> prepare(Database& database);
    Result<void> store_revision() { return set_revision_.bind(1, revision()).run(); }
    void keep_leased() { leased_before_ = leased_; }
    void undo(int64_t revision);

   private:
    Result<std::optional<MetaEntry>> find(const std::string& key) override;
    Result<void> put(const MetaEntry& entry) override;
    Result<void> erase(const MetaEntry& entry) override;
    Result<std::vector<MetaEntry>> scan(const std::string& first, const std::string& end, size_t limit) override;
    std::vector<MetaEntry> leased() const override;

    Statement get_, put_, remove_, scan_, scan_from_, set_revision_;
    std::map<std::string, MetaEntry> leased_, leased_before_;
  };

  SqliteMetaStore(runtime::Pool& pool, Options options);
  Result<void> upgrade(int64_t from) override;
  Result<void> prepare() override;
  void enqueue(Call call);
  void drain();
  void run_group(std::vector<Call>& calls);
  Result<void> run_in_transaction(std::vector<Call>& calls);
  Result<void> run(Call& call);
  int64_t now_ns() const { return options_.clock ? options_.clock->monotonic_ns() : 0; }
  void watch_lease(runtime::Loop& loop, int64_t lease);

  runtime::Pool& pool_;
  const Options options_;
  MetaFeed feed_;
  MetaLeases leases_;
  Lifetime lifetime_;  // of timers

  std::mutex queue_mutex_;  // never held while database_mutex_ is taken
  std::vector<Call> queue_;
  bool drain_submitted_ = false;

  Table table_{feed_, leases_};  // database_mutex_
};

}  // namespace weir::storage
