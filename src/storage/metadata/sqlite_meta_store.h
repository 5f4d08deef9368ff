// MetaStore on one machine: a table of keys in `<data dir>/meta.db`. Format: docs/formats/metadata.md.
//
// Calls from any thread. They queue, and one task at a time on the pool takes the whole queue into one SQLite
// transaction, so that transactions that arrive together share a sync. Completions are posted to each
// caller's executor in call order. Blocking calls take their turn between two groups.
//
// An answer waits until the manifest database has noted the revision, too (NotedDatabase), if they are a pair.
//
// A commit that fails is undone at once where that can be made certain (the answer is then the failure
// itself); where it cannot, the answer is kUnknown and nothing is accepted until it can.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include "runtime/clock.h"
#include "runtime/file.h"
#include "storage/metadata/meta_store.h"
#include "storage/sqlite/noted_database.h"

namespace weir::storage {

class SqliteMetaStore final : public MetaStore, public NotedDatabase {
 public:
  struct Options {
    std::string path;                    // of the database file; its folder exists and is locked by this process
    uint64_t ordering_key = 0x6d657461;  // of the pool; no other user of the pool has it
    const runtime::Clock* clock = nullptr;
    bool paired = false;  // NotedDatabase::pair comes before anything else
  };
  // `files` and `pool` outlive the store; no task of the pool may run after it is gone.
  static Result<std::unique_ptr<SqliteMetaStore>> open(runtime::FileSystem& files, runtime::Pool& pool, Options options);

  void transact(MetaTransaction transaction, runtime::Executor& reply_to, Function<void(Result<MetaOutcome>)> done) override;
  void range(std::string prefix, runtime::Executor& reply_to, Function<void(Result<MetaRange>)> done) override;
  Result<MetaOutcome> transact_blocking(MetaTransaction transaction) override;
  Result<MetaRange> range_blocking(std::string prefix) override;

  uint64_t syncs() const { return database_->syncs(); }

 private:
  struct TransactCall {
    MetaTransaction transaction;
    Function<void(Result<MetaOutcome>)> done;
    Result<MetaOutcome> result;
  };
  struct RangeCall {
    std::string prefix;
    Function<void(Result<MetaRange>)> done;
    Result<MetaRange> result;
  };
  struct Call {
    runtime::Executor* reply_to;
    std::variant<TransactCall, RangeCall> work;
  };

  SqliteMetaStore(runtime::Pool& pool, Options options);
  Result<void> upgrade(int64_t from) override;
  Result<void> prepare() override;
  void enqueue(Call call);
  void drain();
  void run_group(std::vector<Call>& calls);
  Result<void> run_in_transaction(std::vector<Call>& calls);
  Result<MetaOutcome> apply(const MetaTransaction& transaction);
  Result<bool> holds(const MetaCompare& compare);
  Result<int64_t> apply(const MetaOperation& operation, int64_t revision);
  Result<MetaRange> read(const std::string& prefix);

  runtime::Pool& pool_;
  const Options options_;

  std::mutex queue_mutex_;  // never held while database_mutex_ is taken
  std::vector<Call> queue_;
  bool drain_submitted_ = false;

  // database_mutex_
  Statement get_, put_, remove_, remove_range_, remove_from_, scan_, scan_from_, set_revision_;
  int64_t revision_ = 0;
};

}  // namespace weir::storage
