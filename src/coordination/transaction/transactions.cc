#include "coordination/transaction/transactions.h"

namespace weir::coordination {

Transaction* Transactions::find(std::string_view id) const {
  const auto at = all_.find(id);
  return at == all_.end() ? nullptr : at->second.get();
}

Transaction* Transactions::apply(TransactionRecord record) {
  auto at = all_.find(record.transactional_id);
  if (at != all_.end()) discount(*at->second);
  if (!record.value) {
    if (at != all_.end()) all_.erase(at);
    return nullptr;
  }
  if (at == all_.end()) {
    auto made = std::make_unique<Transaction>();
    made->id = std::move(record.transactional_id);
    const std::string_view id = made->id;
    at = all_.emplace(id, std::move(made)).first;
  }
  Transaction& transaction = *at->second;
  transaction.is = std::move(*record.value);
  count(transaction);
  return &transaction;
}

void Transactions::count(const Transaction& transaction) {
  ++by_state_[static_cast<size_t>(transaction.is.state)];
  if (is_open(transaction.is.state)) open_.emplace(transaction.is.start_ms, transaction.id);
  memory_.add(bytes_of(transaction));
}

void Transactions::discount(const Transaction& transaction) {
  --by_state_[static_cast<size_t>(transaction.is.state)];
  if (is_open(transaction.is.state)) open_.erase({transaction.is.start_ms, transaction.id});
  memory_.add(-bytes_of(transaction));
}

int64_t Transactions::bytes_of(const Transaction& transaction) {
  constexpr int64_t kTransactionBytes = 300;  // of the objects, and of what they allocate
  return kTransactionBytes + static_cast<int64_t>(transaction.id.size()) + transaction.is.partitions.memory_bytes();
}

}  // namespace weir::coordination
