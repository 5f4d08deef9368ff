// The metadata store: an ordered key-value map with revisions, compare-and-set transactions, watches and leases. One of the
// engine's seams. Every backend keeps etcd's contract, so that code for the embedded SQLite store would work on etcd.
//
// Calls are asynchronous. They complete on the executor or loop that the caller passes. An outcome may be *unknown*
// (ErrorCode::kUnknown): the transaction may or may not have happened, and the caller reads to find out. The store's revision
// grows by one with each transaction that changes something, and with each end of leases that does; with nothing else. A
// transaction has at most 128 compares and 128 operations.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
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
  int64_t lease = 0;         // the entry ends with this lease; 0: with none
  bool operator==(const MetaEntry&) const = default;
};

struct MetaCompare {
  std::string key;
  // Holds if the key's mod_revision equals this. 0: holds if the key does not exist.
  std::optional<int64_t> mod_revision;
  // Holds if the key exists with exactly this value.
  std::optional<std::string> value;
};

struct MetaOperation {
  enum class Kind { kPut, kDelete, kDeletePrefix };
  Kind kind = Kind::kPut;
  std::string key;
  std::string value;
  int64_t lease = 0;  // of a put; a put without one takes the key out of its lease
};

struct MetaTransaction {
  std::vector<MetaCompare> compares;  // all must hold, otherwise nothing is done
  std::vector<MetaOperation> operations;
  std::vector<std::string> otherwise = {};  // keys to read if a compare does not hold; at most 128
};

struct MetaOutcome {
  bool succeeded = false;             // the compares held and the operations are durable
  int64_t revision = 0;               // of the store after the transaction
  std::vector<MetaEntry> found = {};  // entries of the keys `otherwise` that exist, as of `revision`, in the order of the keys
};

// All entries whose key starts with `prefix`, or a part of them.
struct MetaRangeRequest {
  // Implicit: most callers name a prefix only.
  MetaRangeRequest(std::string all_of) : prefix(std::move(all_of)) {}
  MetaRangeRequest(const char* all_of) : prefix(all_of) {}

  std::string prefix;
  std::string start = {};  // keys below it are left out. The next page starts at the last key plus a zero byte
  size_t limit = 0;        // at most so many entries; 0: all
  int64_t revision = 0;    // entries as of then; 0: now. kNotFound if that is not kept any more, kInvalid if it is yet to come
};

struct MetaRange {
  std::vector<MetaEntry> entries;  // ascending by key
  int64_t revision = 0;            // the entries are as of this revision
  bool more = false;               // there are entries above `limit`
};

struct MetaEvent {
  bool deleted = false;
  MetaEntry entry;  // of a deletion: the key, and in mod_revision the revision of the deletion
};

// Events of one or several transactions.
struct MetaEvents {
  std::vector<MetaEvent> events;  // by revision
  int64_t revision = 0;           // the next events are of later revisions
};

// A watch. It ends with this object. The watch's loop destroys the object.
class MetaWatch {
 public:
  virtual ~MetaWatch() = default;
};

struct MetaLease {
  int64_t id = 0;
  int64_t ttl_ms = 0;  // as granted; may be more than the caller asked for
};

class MetaStore {
 public:
  static constexpr size_t kMaxOperations = 128;

  virtual ~MetaStore() = default;
  // The transaction is durable when `done` is called with success. Transactions of one caller apply in call order.
  virtual void transact(MetaTransaction transaction, runtime::Executor& reply_to, Function<void(Result<MetaOutcome>)> done) = 0;
  // Linearizable.
  virtual void range(MetaRangeRequest request, runtime::Executor& reply_to, Function<void(Result<MetaRange>)> done) = 0;

  // Calls `told` with every change of keys that start with `prefix`, from revision `from` on (0: from the next revision on), in
  // order and once. A change may come before or after the answer to its transaction. All events of a revision come together. A
  // watch of all keys gets every revision. So a gap in revisions means a loss: a caller that needs all events has to check for
  // gaps. After an error `told` is not called any more. kNotFound: revision `from` is not kept any more (compacted); the caller
  // reads again and watches from there. Any other error: the watch was cut; the caller watches again.
  virtual std::unique_ptr<MetaWatch> watch(std::string prefix, int64_t from, runtime::Executor& reply_to,
                                           Function<void(Result<MetaEvents>)> told) = 0;

  // A lease ends when it was not kept alive for its time, or is revoked. The keys under it are deleted then. kNotFound: the
  // lease has ended; a put under it is refused with the same error. A living lease does not prove that its holder may act: only
  // compares decide that.
  virtual void grant_lease(int64_t ttl_ms, runtime::Loop& loop, Function<void(Result<MetaLease>)> done) = 0;
  virtual void keep_alive(int64_t lease, runtime::Loop& loop, Function<void(Result<MetaLease>)> done) = 0;
  virtual void revoke_lease(int64_t lease, runtime::Loop& loop, Function<void(Result<void>)> done) = 0;

  // Blocking forms, for starts and tests.
  virtual Result<MetaOutcome> transact_blocking(MetaTransaction transaction) = 0;
  virtual Result<MetaRange> range_blocking(MetaRangeRequest request) = 0;
};

}  // namespace weir::storage
