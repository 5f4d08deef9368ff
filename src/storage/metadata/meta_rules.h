// Every MetaStore makes these checks before it does anything, so that all backends take the same transactions.
#pragma once

#include <string>

#include "base/result.h"
#include "storage/metadata/meta_store.h"

namespace weir::storage {

// Limit of the keys, values and compares of one transaction together: etcd's default limit of a request.
inline constexpr size_t kMaxTransactionBytes = 1536 * 1024;

// kInvalid if the transaction has too many compares, operations or reads, is too large, has an empty key, puts one key twice,
// or puts a key that it also deletes (etcd refuses the latter two as well).
Result<void> check_transaction(const MetaTransaction& transaction);

// The smallest key above every key that starts with `prefix`. Empty if there is none (all bytes are 0xff, or there is no prefix).
std::string prefix_end(std::string prefix);

}  // namespace weir::storage
