#include "broker/server/memory_budget.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace weir::broker {

void Reservation::release() {
  if (budget_) budget_->give_back(*this, bytes_, true);
  budget_ = nullptr;
  bytes_ = 0;
  part_.reset();
}

void Reservation::shrink_to(uint64_t bytes) {
  if (bytes >= bytes_) return;
  WEIR_CHECK(!part_);
  budget_->give_back(*this, bytes_ - bytes, false);
  bytes_ = bytes;
}

void Reservation::absorb(Reservation grown) {
  WEIR_CHECK(budget_ == grown.budget_ && share_ == grown.share_ && !forced_ && !grown.forced_ && !grown.part_);
  bytes_ += std::exchange(grown.bytes_, 0);
  grown.budget_ = nullptr;
}

MemoryBudget::Limits MemoryBudget::divide(uint64_t total) {
  Limits limits{};
  limits[static_cast<size_t>(MemoryShare::kTail)] = std::min<uint64_t>(256ull << 20, total / 4);
  limits[static_cast<size_t>(MemoryShare::kRequests)] = total / 4;
  limits[static_cast<size_t>(MemoryShare::kResponses)] = total / 4;
  limits[static_cast<size_t>(MemoryShare::kIndexes)] = total / 8;
  limits[static_cast<size_t>(MemoryShare::kAnswers)] = total / 16;
  return limits;
}

// Whether the parts can become whole in the order of what they lack. What is whole comes back by itself.
bool MemoryBudget::Share::all_can_end() const {
  if (parts_held > limit) return false;
  uint64_t spare = limit - parts_held;
  for (const Part* part : parts) {
    if (spare >= (*parts.rbegin())->rest) return true;
    if (part->rest > spare) return false;
    spare += part->held;
  }
  return true;
}

void MemoryBudget::Share::add(Part& part) {
  if (part.rest == 0) return;
  parts.insert(&part);
  parts_held += part.held;
}

void MemoryBudget::Share::remove(Part& part) {
  if (part.rest == 0) return;
  parts.erase(&part);
  parts_held -= part.held;
}

std::unique_ptr<Reservation::Part> MemoryBudget::Share::begin(uint64_t bytes, uint64_t whole) {
  auto part = std::make_unique<Part>(bytes, whole - bytes);
  add(*part);
  if (all_can_end()) return part;
  remove(*part);
  return nullptr;
}

bool MemoryBudget::Share::grow(Part& part, uint64_t bytes) {
  WEIR_CHECK(bytes <= part.rest);
  if (granted + bytes > limit) return false;
  const Part before = part;
  remove(part);
  part = {before.held + bytes, before.rest - bytes};
  add(part);
  if (all_can_end()) return true;
  remove(part);
  part = before;
  add(part);
  return false;
}

std::optional<Reservation> MemoryBudget::grant(MemoryShare share, uint64_t bytes, uint64_t whole) {
  Share& s = at(share);
  std::unique_ptr<Part> part;
  WEIR_CHECK(whole <= bytes || whole <= s.limit);
  if (!s.fits(bytes)) return std::nullopt;
  if (whole > bytes && !(part = s.begin(bytes, whole))) return std::nullopt;
  s.granted += bytes;
  return Reservation(this, share, false, bytes, std::move(part));
}

std::optional<Reservation> MemoryBudget::try_reserve(MemoryShare share, uint64_t bytes, uint64_t whole) {
  const std::lock_guard lock(mutex_);
  const Share& s = at(share);
  if (!s.growers.empty() || !s.waiters.empty()) return std::nullopt;
  return grant(share, bytes, whole);
}

bool MemoryBudget::try_grow(Reservation& part, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  Share& s = at(part.share_);
  WEIR_CHECK(part.part_ != nullptr);
  if (!s.growers.empty() || !s.grow(*part.part_, bytes)) return false;
  s.granted += bytes;
  part.bytes_ += bytes;
  return true;
}

MemoryBudget::Ticket MemoryBudget::wait(MemoryShare share, uint64_t bytes, runtime::Executor& reply_to,
                                        Function<void(Reservation)> granted, uint64_t whole) {
  return add_waiter(share, {.bytes = bytes, .whole = whole, .reply_to = &reply_to, .granted = std::move(granted)});
}

MemoryBudget::Ticket MemoryBudget::wait_to_grow(Reservation& part, uint64_t bytes, runtime::Executor& reply_to,
                                                Function<void(Reservation)> granted) {
  WEIR_CHECK(part.part_ != nullptr);
  return add_waiter(part.share_,
                    {.bytes = bytes, .part = part.part_.get(), .reply_to = &reply_to, .granted = std::move(granted)});
}

MemoryBudget::Ticket MemoryBudget::add_waiter(MemoryShare share, Waiter waiter) {
  std::unique_lock lock(mutex_);
  Share& s = at(share);
  const Ticket ticket = waiter.ticket = next_ticket_++;
  (waiter.part ? s.growers : s.waiters).push_back(std::move(waiter));
  ++s.waits;
  grant_waiters(share, lock);
  return ticket;
}

bool MemoryBudget::cancel(MemoryShare share, Ticket ticket) {
  std::list<Waiter> removed;  // destroyed after the lock is released: its callback may own anything
  std::unique_lock lock(mutex_);
  Share& s = at(share);
  for (std::list<Waiter>* list : {&s.growers, &s.waiters}) {
    const auto it = std::ranges::find(*list, ticket, &Waiter::ticket);
    if (it != list->end()) removed.splice(removed.end(), *list, it);
  }
  if (removed.empty()) return false;
  grant_waiters(share, lock);
  return true;
}

Reservation MemoryBudget::reserve_now(MemoryShare share, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  Share& s = at(share);
  s.forced += bytes;
  s.forced_much.store(s.forced > s.limit / 4, std::memory_order_relaxed);
  return Reservation(this, share, true, bytes);
}

void MemoryBudget::give_back(const Reservation& reservation, uint64_t bytes, bool all) {
  std::unique_lock lock(mutex_);
  Share& s = at(reservation.share_);
  uint64_t& counted = reservation.forced_ ? s.forced : s.granted;
  WEIR_CHECK(counted >= bytes);
  counted -= bytes;
  s.forced_much.store(s.forced > s.limit / 4, std::memory_order_relaxed);
  if (all && reservation.part_) s.remove(*reservation.part_);
  grant_waiters(reservation.share_, lock);
}

std::optional<MemoryBudget::Grant> MemoryBudget::next_grant(MemoryShare share) {
  Share& s = at(share);
  for (auto it = s.growers.begin(); it != s.growers.end(); ++it) {
    if (!s.grow(*it->part, it->bytes)) continue;
    s.granted += it->bytes;
    Grant next(std::move(*it), Reservation(this, share, false, it->bytes));
    s.growers.erase(it);
    return next;
  }
  if (!s.growers.empty() || s.waiters.empty()) return std::nullopt;
  auto granted = grant(share, s.waiters.front().bytes, s.waiters.front().whole);
  if (!granted) return std::nullopt;
  Grant next(std::move(s.waiters.front()), std::move(*granted));
  s.waiters.pop_front();
  return next;
}

void MemoryBudget::grant_waiters(MemoryShare share, std::unique_lock<std::mutex>& lock) {
  Share& s = at(share);
  // An executor at its end destroys a task inside post, and with it the reservation, which comes back here: hence no
  // post under the lock, and one loop for all grants instead of a recursion as deep as there are waiters.
  if (s.granting) return;
  s.granting = true;
  while (auto next = next_grant(share)) {
    lock.unlock();
    next->first.reply_to->post([granted = std::move(next->first.granted), reservation = std::move(next->second)]() mutable {
      granted(std::move(reservation));
    });
    next.reset();
    lock.lock();
  }
  s.granting = false;
  s.crowded.store(!s.growers.empty() || !s.waiters.empty(), std::memory_order_relaxed);
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
  return at(share).growers.size() + at(share).waiters.size();
}
uint64_t MemoryBudget::waits(MemoryShare share) const {
  const std::lock_guard lock(mutex_);
  return at(share).waits;
}

}  // namespace weir::broker
