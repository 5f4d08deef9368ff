#include "broker/server/memory_budget.h"

#include <algorithm>

#include "base/check.h"

namespace weir::broker {

void Reservation::release() {
  if (budget_) budget_->give_back(share_, forced_, bytes_);
  budget_ = nullptr;
  bytes_ = 0;
}

MemoryBudget::Limits MemoryBudget::divide(uint64_t total) {
  Limits limits{};
  limits[static_cast<size_t>(MemoryShare::kTail)] = std::min<uint64_t>(256ull << 20, total / 4);
  limits[static_cast<size_t>(MemoryShare::kRequests)] = total / 4;
  limits[static_cast<size_t>(MemoryShare::kResponses)] = total / 4;
  limits[static_cast<size_t>(MemoryShare::kIndexes)] = total / 8;
  return limits;
}

std::optional<Reservation> MemoryBudget::try_reserve(MemoryShare share, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  Share& s = at(share);
  if (!s.waiters.empty() || !s.fits(bytes)) return std::nullopt;
  s.granted += bytes;
  return Reservation(this, share, false, bytes);
}

MemoryBudget::Ticket MemoryBudget::wait(MemoryShare share, uint64_t bytes, runtime::Executor& reply_to,
                                        Function<void(Reservation)> granted) {
  std::unique_lock lock(mutex_);
  const Ticket ticket = next_ticket_++;
  at(share).waiters.push_back({ticket, bytes, &reply_to, std::move(granted)});
  grant_waiters(share, lock);
  return ticket;
}

bool MemoryBudget::cancel(MemoryShare share, Ticket ticket) {
  Waiter removed{};  // destroyed after the lock is released: its callback may own anything
  std::unique_lock lock(mutex_);
  Share& s = at(share);
  const auto it = std::find_if(s.waiters.begin(), s.waiters.end(), [&](const Waiter& w) { return w.ticket == ticket; });
  if (it == s.waiters.end()) return false;
  removed = std::move(*it);
  s.waiters.erase(it);
  grant_waiters(share, lock);
  return true;
}

Reservation MemoryBudget::reserve_now(MemoryShare share, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  at(share).forced += bytes;
  return Reservation(this, share, true, bytes);
}

void MemoryBudget::give_back(MemoryShare share, bool forced, uint64_t bytes) {
  std::unique_lock lock(mutex_);
  uint64_t& counted = forced ? at(share).forced : at(share).granted;
  WEIR_CHECK(counted >= bytes);
  counted -= bytes;
  grant_waiters(share, lock);
}

void MemoryBudget::grant_waiters(MemoryShare share, std::unique_lock<std::mutex>& lock) {
  Share& s = at(share);
  // An executor at its end destroys a task inside post, and with it the reservation, which comes back here: hence no
  // post under the lock, and one loop for all grants instead of a recursion as deep as there are waiters.
  if (s.granting) return;
  s.granting = true;
  while (!s.waiters.empty() && s.fits(s.waiters.front().bytes)) {
    Waiter waiter = std::move(s.waiters.front());
    s.waiters.pop_front();
    s.granted += waiter.bytes;
    lock.unlock();
    waiter.reply_to->post([granted = std::move(waiter.granted),
                           reservation = Reservation(this, share, false, waiter.bytes)]() mutable {
      granted(std::move(reservation));
    });
    lock.lock();
  }
  s.granting = false;
}

uint64_t MemoryBudget::limit(MemoryShare share) const {
  const std::lock_guard lock(mutex_);
  return at(share).limit;
}
uint64_t MemoryBudget::used(MemoryShare share) const {
  const std::lock_guard lock(mutex_);
  return at(share).granted + at(share).forced;
}
size_t MemoryBudget::waiting(MemoryShare share) const {
  const std::lock_guard lock(mutex_);
  return at(share).waiters.size();
}

}  // namespace weir::broker
