// What every MetaStore checks before it does anything, so that a transaction one backend takes is taken by
// all.
#pragma once

#include <string>

#include "base/result.h"
#include "storage/metadata/meta_store.h"

namespace weir::storage {

// Keys, values and compares of one transaction together; etcd's default limit of a request.
inline constexpr size_t kMaxTransactionBytes = 1536 * 1024;

// kInvalid if the transaction has too many compares or operations, is too large, writes one key twice, or
// puts a key that it also deletes (etcd refuses those too).
Result<void> check_transaction(const MetaTransaction& transaction);

// The smallest key above every key that starts with `prefix`; empty if there is none (all bytes 0xff or no
// prefix).
std::string prefix_end(std::string prefix);

}  // namespace weir::storage
