// The metadata store: an ordered key-value map with revisions, compare-and-set transactions, watches and leases. One of
// the engine's three seams. Its contract is etcd's on every backend, so that what works on the embedded
// SQLite store works on etcd.
//
// The revision of the store grows by one with each transaction that changes something, and with nothing else. Calls are
// asynchronous and complete on the loop they were made from; an outcome may be *unknown* (ErrorCode::kUnknown): the transaction
// may or may not have happened, the caller reads to find out. At most 128 compares and 128 operations.
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
  int64_t lease = 0;         // it goes with; 0: none
  bool operator==(const MetaEntry&) const = default;
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
  std::vector<MetaEntry> found = {};  // those of `otherwise` that exist, as of that revision, in the order asked for
};

// All entries whose key starts with `prefix`, or a part of them.
struct MetaRangeRequest {
  // Implicit: most callers name a prefix only.
  MetaRangeRequest(std::string all_of) : prefix(std::move(all_of)) {}
  MetaRangeRequest(const char* all_of) : prefix(all_of) {}

  std::string prefix;
  std::string start = {};  // keys below it are left out. The next page starts at the last key and a zero byte
  size_t limit = 0;        // at most so many entries; 0: all
  int64_t revision = 0;    // as it was then; 0: now. kNotFound if that is not kept any more, kInvalid if it is yet to come
};

struct MetaRange {
  std::vector<MetaEntry> entries;  // ascending by key
  int64_t revision = 0;            // that it is as of
  bool more = false;               // there are entries above `limit`
};

struct MetaEvent {
  bool deleted = false;
  MetaEntry entry;  // of a deletion: the key, and in mod_revision that of the deletion
};

// What happened in one or several transactions.
struct MetaEvents {
  std::vector<MetaEvent> events;  // by revision
  int64_t revision = 0;           // the watch is told of later ones from here on
};

// A watch. It ends with this object, which its loop destroys.
class MetaWatch {
 public:
  virtual ~MetaWatch() = default;
};

struct MetaLease {
  int64_t id = 0;
  int64_t ttl_ms = 0;  // as granted: may be more than was asked for
};

class MetaStore {
 public:
  static constexpr size_t kMaxOperations = 128;

  virtual ~MetaStore() = default;
  // Durable when `done` says so. Transactions of one caller apply in call order.
  virtual void transact(MetaTransaction transaction, runtime::Executor& reply_to, Function<void(Result<MetaOutcome>)> done) = 0;
  // Linearizable.
  virtual void range(MetaRangeRequest request, runtime::Executor& reply_to, Function<void(Result<MetaRange>)> done) = 0;

  // Tells every change of keys that start with `prefix`, those of revision `from` and later (0: of the next one), in order and
  // once, before or after the transaction itself is answered. All events of a revision come together. A watch of all keys is told
  // of every revision; so one that is missing was lost, and whoever needs all of them has to look. An error is the last thing
  // that is told. kNotFound: `from` is not kept any more (compacted), read again and watch from there. Any other: the watch was
  // cut, watch again.
  virtual std::unique_ptr<MetaWatch> watch(std::string prefix, int64_t from, runtime::Executor& reply_to,
                                           Function<void(Result<MetaEvents>)> told) = 0;

  // Keys put under a lease are deleted when it ends: when it was not kept alive for its time or is revoked. Nobody may conclude
  // from a lease that lives that its holder may act; only compares decide. kNotFound: it has ended. A put under it is refused
  // likewise.
  virtual void grant_lease(int64_t ttl_ms, runtime::Loop& loop, Function<void(Result<MetaLease>)> done) = 0;
  virtual void keep_alive(int64_t lease, runtime::Loop& loop, Function<void(Result<MetaLease>)> done) = 0;
  virtual void revoke_lease(int64_t lease, runtime::Loop& loop, Function<void(Result<void>)> done) = 0;

  // Blocking forms for start-up and tests.
  virtual Result<MetaOutcome> transact_blocking(MetaTransaction transaction) = 0;
  virtual Result<MetaRange> range_blocking(MetaRangeRequest request) = 0;
};

}  // namespace weir::storage
