#include "storage/metadata/meta_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "storage/metadata/meta_rules.h"

namespace weir::storage {

Result<MetaOutcome> MetaTable::transact(const MetaTransaction& transaction, int64_t now_ns) {
  if (auto valid = check_transaction(transaction); !valid) return std::unexpected(std::move(valid.error()));
  for (const MetaOperation& operation : transaction.operations) {
    if (operation.lease != 0 && !leases_.alive(operation.lease, now_ns)) {
      return std::unexpected(MetaLeases::ended(operation.lease));
    }
  }
  MetaOutcome outcome{true, revision_};
  for (const MetaCompare& compare : transaction.compares) {
    auto held = holds(compare);
    if (!held) return std::unexpected(std::move(held.error()));
    outcome.succeeded = outcome.succeeded && *held;
  }
  if (!outcome.succeeded) {
    for (const std::string& key : transaction.otherwise) {
      auto entry = find(key);
      if (!entry) return std::unexpected(std::move(entry.error()));
      if (*entry) outcome.found.push_back(std::move(**entry));
    }
    return outcome;
  }
  const size_t changes_before = changes_.size();
  for (const MetaOperation& operation : transaction.operations) {
    if (auto done = apply(operation, revision_ + 1); !done) return std::unexpected(std::move(done.error()));
  }
  if (changes_.size() > changes_before) ++revision_;
  outcome.revision = revision_;
  return outcome;
}

Result<bool> MetaTable::holds(const MetaCompare& compare) {
  auto entry = find(compare.key);
  if (!entry) return std::unexpected(std::move(entry.error()));
  const MetaEntry* found = *entry ? &**entry : nullptr;
  if (compare.mod_revision && (found ? found->mod_revision : 0) != *compare.mod_revision) return false;
  return !compare.value || (found && found->value == *compare.value);
}

Result<void> MetaTable::apply(const MetaOperation& operation, int64_t revision) {
  if (operation.kind == MetaOperation::Kind::kPut) return put(operation, revision);
  if (operation.kind == MetaOperation::Kind::kDelete) {
    auto entry = find(operation.key);
    if (!entry) return std::unexpected(std::move(entry.error()));
    return *entry ? erase(std::move(**entry), revision) : Result<void>();
  }
  auto entries = scan(operation.key, prefix_end(operation.key), 0);
  if (!entries) return std::unexpected(std::move(entries.error()));
  for (MetaEntry& entry : *entries) {
    if (auto done = erase(std::move(entry), revision); !done) return done;
  }
  return {};
}

Result<void> MetaTable::put(const MetaOperation& operation, int64_t revision) {
  auto before = find(operation.key);
  if (!before) return std::unexpected(std::move(before.error()));
  MetaEntry entry{operation.key, operation.value, *before ? (*before)->create_revision : revision, revision, operation.lease};
  if (auto done = put(entry); !done) return done;
  changes_.push_back({{false, std::move(entry)}, std::move(*before)});
  return {};
}

Result<void> MetaTable::erase(MetaEntry entry, int64_t revision) {
  if (auto done = erase(entry); !done) return done;
  MetaEvent event{true, {entry.key, {}, 0, revision}};
  changes_.push_back({std::move(event), std::move(entry)});
  return {};
}

Result<MetaRange> MetaTable::range(const MetaRangeRequest& request) {
  if (request.revision > revision_) {
    return fail(ErrorCode::kInvalid,
                fmt::format("metadata revision {} is yet to come, {} is the last", request.revision, revision_));
  }
  const std::string first = std::max(request.prefix, request.start), end = prefix_end(request.prefix);
  const bool past = request.revision != 0 && request.revision != revision_;
  MetaRange range;
  range.revision = past ? request.revision : revision_;
  if (!end.empty() && first >= end) return range;
  auto entries = scan(first, end, past || request.limit == 0 ? 0 : request.limit + 1);
  if (!entries) return std::unexpected(std::move(entries.error()));
  if (past) {
    if (auto done = feed_.rewind(*entries, first, end, request.revision, changes_); !done)
      return std::unexpected(std::move(done.error()));
  }
  range.more = request.limit != 0 && entries->size() > request.limit;
  if (range.more) entries->resize(request.limit);
  range.entries = std::move(*entries);
  return range;
}

Result<void> MetaTable::end_leases(int64_t now_ns) {
  const size_t changes_before = changes_.size();
  for (MetaEntry& entry : leased()) {
    if (leases_.alive(entry.lease, now_ns)) continue;
    if (auto done = erase(std::move(entry), revision_ + 1); !done) return done;
  }
  if (changes_.size() > changes_before) ++revision_;
  return {};
}

void MetaTable::committed() { feed_.record(std::exchange(changes_, {})); }

void MetaTable::undone(int64_t revision) {
  revision_ = revision;
  changes_.clear();
}

}  // namespace weir::storage
