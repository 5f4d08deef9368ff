// The common part of the stores of one process: transactions, ranges and the end of leases. Each store keeps the table's
// entries in its own way. Not thread-safe: the store's mutex covers this object and its entries.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "storage/metadata/meta_feed.h"
#include "storage/metadata/meta_leases.h"
#include "storage/metadata/meta_store.h"

namespace weir::storage {

class MetaTable {
 public:
  MetaTable(MetaFeed& feed, const MetaLeases& leases) : feed_(feed), leases_(leases) {}
  virtual ~MetaTable() = default;
  MetaTable(const MetaTable&) = delete;

  int64_t revision() const { return revision_; }
  void begin(int64_t revision) { revision_ = revision; }

  // If the error is refused(), nothing is done, and other calls of the group go on. After an error of the table itself a part
  // may be done: the store then undoes everything since its last commit and calls undone().
  Result<MetaOutcome> transact(const MetaTransaction& transaction, int64_t now_ns);
  Result<MetaRange> range(const MetaRangeRequest& request);
  static bool refused(const Error& error) { return error.code == ErrorCode::kInvalid || error.code == ErrorCode::kNotFound; }
  // Deletes the keys under leases that have ended. Takes one revision if there are any.
  Result<void> end_leases(int64_t now_ns);

  // committed(): everything since the last of these calls is durable; records it in the feed. undone(): the store has undone it.
  void committed();
  void undone(int64_t revision);

 protected:
  virtual Result<std::optional<MetaEntry>> find(const std::string& key) = 0;
  virtual Result<void> put(const MetaEntry& entry) = 0;
  virtual Result<void> erase(const MetaEntry& entry) = 0;
  // The entries with keys in [first, end), ascending. An empty `end`: no end. `limit` 0: all.
  virtual Result<std::vector<MetaEntry>> scan(const std::string& first, const std::string& end, size_t limit) = 0;
  virtual std::vector<MetaEntry> leased() const = 0;

 private:
  Result<bool> holds(const MetaCompare& compare);
  Result<void> apply(const MetaOperation& operation, int64_t revision);
  Result<void> put(const MetaOperation& operation, int64_t revision);
  Result<void> erase(MetaEntry entry, int64_t revision);

  MetaFeed& feed_;
  const MetaLeases& leases_;
  int64_t revision_ = 1;
  std::vector<MetaFeed::Change> changes_;  // not committed yet
};

}  // namespace weir::storage
