// The memory the process may use for bytes that clients make it hold, divided among shares so that one kind of load
// cannot starve another: a broker full of requests still answers fetches.
//
// Thread-safe. A Reservation gives its bytes back when it is destroyed, on any thread. Waiters of a share are served
// strictly first come first served: a large one in front holds back smaller ones behind it, so it is never starved. A
// request larger than the whole share is granted alone, once everything that was granted before is back.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <utility>

#include "base/function.h"
#include "runtime/loop.h"

namespace weir::broker {

enum class MemoryShare : uint8_t { kTail, kRequests, kResponses, kIndexes };
inline constexpr size_t kMemoryShares = 4;

class MemoryBudget;

class Reservation {
 public:
  Reservation() = default;
  Reservation(Reservation&& other) noexcept { swap(other); }
  Reservation& operator=(Reservation&& other) noexcept {
    Reservation(std::move(other)).swap(*this);
    return *this;
  }
  ~Reservation() { release(); }

  uint64_t bytes() const { return bytes_; }
  void release();

 private:
  friend class MemoryBudget;
  Reservation(MemoryBudget* budget, MemoryShare share, bool forced, uint64_t bytes)
      : budget_(budget), bytes_(bytes), share_(share), forced_(forced) {}
  void swap(Reservation& other) noexcept {
    std::swap(budget_, other.budget_);
    std::swap(bytes_, other.bytes_);
    std::swap(share_, other.share_);
    std::swap(forced_, other.forced_);
  }

  MemoryBudget* budget_ = nullptr;
  uint64_t bytes_ = 0;
  MemoryShare share_ = MemoryShare::kRequests;
  bool forced_ = false;
};

class MemoryBudget {
 public:
  using Limits = std::array<uint64_t, kMemoryShares>;
  using Ticket = uint64_t;

  // Divides `total` bytes: tail min(256 MB, a quarter), requests a quarter, responses a quarter, indexes an eighth. The
  // rest is for what is not counted (code, maps, sockets).
  static Limits divide(uint64_t total);

  explicit MemoryBudget(Limits limits) { for (size_t i = 0; i < kMemoryShares; ++i) shares_[i].limit = limits[i]; }

  // Grants at once or not at all. Nothing while others wait for the share.
  std::optional<Reservation> try_reserve(MemoryShare share, uint64_t bytes);
  // Posts `granted` to `reply_to` when it is this waiter's turn and there is room.
  Ticket wait(MemoryShare share, uint64_t bytes, runtime::Executor& reply_to, Function<void(Reservation)> granted);
  // True if the waiter was still waiting: its callback will not be called. Otherwise the callback is on its way.
  bool cancel(MemoryShare share, Ticket ticket);
  // Grants in any case and counts, so that others wait longer. For small amounts that are already in memory.
  Reservation reserve_now(MemoryShare share, uint64_t bytes);

  uint64_t limit(MemoryShare share) const;
  uint64_t used(MemoryShare share) const;
  size_t waiting(MemoryShare share) const;

 private:
  friend class Reservation;
  struct Waiter {
    Ticket ticket;
    uint64_t bytes;
    runtime::Executor* reply_to;
    Function<void(Reservation)> granted;
  };
  struct Share {
    uint64_t limit = 0;
    uint64_t granted = 0;
    uint64_t forced = 0;
    bool granting = false;
    std::list<Waiter> waiters;

    bool fits(uint64_t bytes) const {
      if (bytes > limit) return granted == 0;
      return granted + forced + bytes <= limit;
    }
  };
  Share& at(MemoryShare share) { return shares_[static_cast<size_t>(share)]; }
  const Share& at(MemoryShare share) const { return shares_[static_cast<size_t>(share)]; }
  void give_back(MemoryShare share, bool forced, uint64_t bytes);
  // Unlocks while it posts; `lock` holds mutex_ before and after.
  void grant_waiters(MemoryShare share, std::unique_lock<std::mutex>& lock);

  mutable std::mutex mutex_;  // protects all below
  std::array<Share, kMemoryShares> shares_;
  Ticket next_ticket_ = 1;
};

}  // namespace weir::broker
