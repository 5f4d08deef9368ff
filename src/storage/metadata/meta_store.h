// The metadata store: an ordered key-value map with revisions, compare-and-set transactions, watches. One of
// the engine's three seams. Its contract is etcd's on every backend, so that what works on the embedded
// SQLite store works on etcd.
//
// Calls are asynchronous and complete on the loop they were made from; an outcome may be *unknown*
// (ErrorCode::kUnknown): the transaction may or may not have happened, the caller reads to find out. At most
// 128 compares and 128 operations.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/function.h"
#include "base/result.h"
#include "runtime/loop.h"

namespace weir::storage {

struct MetaEntry {
  std::string key;
  std::string value;
  int64_t create_revision = 0;
  int64_t mod_revision = 0;  // revision of the transaction that wrote it last
};

struct MetaCompare {
  std::string key;
  // Holds if the key's mod_revision equals this; 0: the key does not exist.
  std::optional<int64_t> mod_revision;
  // Holds if the key exists with exactly this value.
  std::optional<std::string> value;
};

struct MetaOperation {
  enum class Kind { kPut, kDelete, kDeletePrefix };
  Kind kind = Kind::kPut;
  std::string key;
  std::string value;
};

struct MetaTransaction {
  std::vector<MetaCompare> compares;  // all must hold, otherwise nothing is done
  std::vector<MetaOperation> operations;
};

struct MetaOutcome {
  bool succeeded = false;  // the compares held and the operations are durable
  int64_t revision = 0;    // of the store after the transaction
};

struct MetaRange {
  std::vector<MetaEntry> entries;  // ascending by key
  int64_t revision = 0;
};

class MetaStore {
 public:
  static constexpr size_t kMaxOperations = 128;

  virtual ~MetaStore() = default;
  // Durable when `done` says so. Transactions of one caller apply in call order.
  virtual void transact(MetaTransaction transaction, runtime::Executor& reply_to, Function<void(Result<MetaOutcome>)> done) = 0;
  // All entries whose key starts with `prefix` (linearizable).
  virtual void range(std::string prefix, runtime::Executor& reply_to, Function<void(Result<MetaRange>)> done) = 0;

  // Blocking forms for start-up and tests.
  virtual Result<MetaOutcome> transact_blocking(MetaTransaction transaction) = 0;
  virtual Result<MetaRange> range_blocking(std::string prefix) = 0;
};

}  // namespace weir::storage
