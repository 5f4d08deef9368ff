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

// Whether the parts can become whole in the order of their missing bytes. A whole reservation comes back by itself.
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
  part.held += bytes;
  part.rest -= bytes;
  add(part);
  if (all_can_end()) return true;
  remove(part);
  part = before;
  add(part);
  return false;
}

MemoryBudget::Share::Waiters::node_type MemoryBudget::Share::grow_one() {
  constexpr int kTried = 16;
  const auto grown = [this](Waiters::iterator waiter) {
    Part& part = *waiter->second.part;
    if (!grow(part, waiter->second.bytes)) return false;
    part.ticket = 0;
    return true;
  };
  int tried = 0;
  for (auto it = growers.begin(); it != growers.end() && tried < kTried; ++it, ++tried) {
    if (grown(it)) return growers.extract(it);
  }
  tried = 0;
  std::array<Ticket, kTried> least;  // growing changes the order
  for (auto part = parts.begin(); part != parts.end() && tried < kTried; ++part, ++tried)
    least[static_cast<size_t>(tried)] = (*part)->ticket;
  for (int i = 0; i < tried; ++i) {
    const auto it = growers.find(least[static_cast<size_t>(i)]);
    if (it != growers.end() && grown(it)) return growers.extract(it);
  }
  return {};
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
  const Ticket ticket = next_ticket_++;
  if (waiter.part) waiter.part->ticket = ticket;
  (waiter.part ? s.growers : s.waiters).emplace(ticket, std::move(waiter));
  ++s.waits;
  grant_waiters(share, lock);
  return ticket;
}

bool MemoryBudget::cancel(MemoryShare share, Ticket ticket) {
  Share::Waiters::node_type removed;  // destroyed after the lock is released: its callback may own anything
  std::unique_lock lock(mutex_);
  Share& s = at(share);
  removed = s.growers.extract(ticket);
  if (removed) removed.mapped().part->ticket = 0;
  else removed = s.waiters.extract(ticket);
  if (!removed) return false;
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
  if (auto grower = s.grow_one()) {
    const uint64_t bytes = grower.mapped().bytes;
    s.granted += bytes;
    return Grant(std::move(grower.mapped()), Reservation(this, share, false, bytes));
  }
  if (!s.growers.empty() || s.waiters.empty()) return std::nullopt;
  const auto first = s.waiters.begin();
  auto granted = grant(share, first->second.bytes, first->second.whole);
  if (!granted) return std::nullopt;
  return Grant(std::move(s.waiters.extract(first).mapped()), std::move(*granted));
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
