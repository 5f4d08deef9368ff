#include "storage/metadata/meta_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

namespace weir::storage {

namespace {

Result<void> check_overlaps(const std::vector<MetaOperation>& operations) {
  std::vector<std::string_view> puts;
  for (const auto& operation : operations) {
    if (operation.kind == MetaOperation::Kind::kPut) puts.push_back(operation.key);
  }
  std::ranges::sort(puts);
  if (auto twice = std::ranges::adjacent_find(puts); twice != puts.end()) {
    return fail(ErrorCode::kInvalid, fmt::format("metadata transaction puts key {} twice", *twice));
  }
  for (const auto& operation : operations) {
    if (operation.kind == MetaOperation::Kind::kPut) continue;
    const auto first = std::ranges::lower_bound(puts, operation.key);
    if (first == puts.end()) continue;
    const bool overlaps =
        operation.kind == MetaOperation::Kind::kDelete ? *first == operation.key : first->starts_with(operation.key);
    if (overlaps) return fail(ErrorCode::kInvalid, fmt::format("metadata transaction both puts and deletes key {}", *first));
  }
  return {};
}

}  // namespace

Result<void> check_transaction(const MetaTransaction& transaction) {
  if (std::max({transaction.compares.size(), transaction.operations.size(), transaction.otherwise.size()}) >
      MetaStore::kMaxOperations) {
    return fail(ErrorCode::kInvalid,
                fmt::format("metadata transaction of {} compares, {} operations and {} reads: at most {} each",
                            transaction.compares.size(), transaction.operations.size(), transaction.otherwise.size(),
                            MetaStore::kMaxOperations));
  }
  size_t bytes = 0;
  for (const auto& compare : transaction.compares) {
    if (compare.key.empty()) return fail(ErrorCode::kInvalid, "metadata transaction compares an empty key");
    bytes += compare.key.size() + (compare.value ? compare.value->size() : 0);
  }
  for (const auto& operation : transaction.operations) {
    if (operation.key.empty()) return fail(ErrorCode::kInvalid, "metadata transaction writes an empty key or prefix");
    bytes += operation.key.size() + operation.value.size();
  }
  if (bytes > kMaxTransactionBytes) {
    return fail(ErrorCode::kInvalid, fmt::format("metadata transaction of {} bytes: at most {}", bytes, kMaxTransactionBytes));
  }
  return check_overlaps(transaction.operations);
}

std::string prefix_end(std::string prefix) {
  while (!prefix.empty() && static_cast<uint8_t>(prefix.back()) == 0xff) prefix.pop_back();
  if (!prefix.empty()) prefix.back() = static_cast<char>(static_cast<uint8_t>(prefix.back()) + 1);
  return prefix;
}

}  // namespace weir::storage
