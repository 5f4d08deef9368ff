// The memory that the process may use for bytes that clients make it hold. It is divided among shares, so that one kind of load
// cannot starve another: a broker full of requests still answers fetches.
//
// Thread-safe. A Reservation gives its bytes back when it is destroyed, on any thread. Waiters of a share are served strictly
// first come first served. A large one in front holds back smaller ones behind it, so it is never starved. A request larger than
// the whole share is granted alone, once all that was granted before is back.
//
// Parts. A reservation may begin with a part of its need and grow (docs/decisions/0011). A part cannot end before it is whole, so
// parts could fill the share and wait for each other for ever. They do not. A part is granted only while there is an order in
// which all can become whole one after the other, each with the bytes that earlier ones gave back (the banker's algorithm).
// Waiters that grow come before waiters that begin. Each return tries only a few of them: the ones that have waited longest, and
// the ones that lack least. One of the latter can always go on.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "base/function.h"
#include "runtime/loop.h"

namespace weir::broker {

// kResponses is for the data that fetches send. kAnswers is for the decoded form and the answers of other requests.
enum class MemoryShare : uint8_t { kTail, kRequests, kResponses, kIndexes, kAnswers };
inline constexpr size_t kMemoryShares = 5;

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
  // Gives back the bytes above `bytes`; not of a part.
  void shrink_to(uint64_t bytes);
  // Adds the bytes that this one was granted to grow by.
  void absorb(Reservation grown);

 private:
  friend class MemoryBudget;
  // Of a reservation that is not whole. The budget's mutex protects it.
  struct Part {
    uint64_t held;
    uint64_t rest;
    uint64_t ticket = 0;  // while it waits to grow
  };
  Reservation(MemoryBudget* budget, MemoryShare share, bool forced, uint64_t bytes, std::unique_ptr<Part> part = nullptr)
      : budget_(budget), bytes_(bytes), share_(share), forced_(forced), part_(std::move(part)) {}
  void swap(Reservation& other) noexcept {
    std::swap(budget_, other.budget_);
    std::swap(bytes_, other.bytes_);
    std::swap(share_, other.share_);
    std::swap(forced_, other.forced_);
    std::swap(part_, other.part_);
  }

  MemoryBudget* budget_ = nullptr;
  uint64_t bytes_ = 0;
  MemoryShare share_ = MemoryShare::kRequests;
  bool forced_ = false;
  std::unique_ptr<Part> part_;
};

class MemoryBudget {
 public:
  using Limits = std::array<uint64_t, kMemoryShares>;
  using Ticket = uint64_t;

  // Divides `total` bytes: tail min(256 MB, a quarter), requests a quarter, responses a quarter, indexes an eighth, answers a
  // sixteenth. The rest is for uncounted memory (code, maps, sockets).
  static Limits divide(uint64_t total);

  explicit MemoryBudget(Limits limits) {
    for (size_t i = 0; i < kMemoryShares; ++i) shares_[i].limit = limits[i];
  }

  // Grants at once or not at all, and nothing while others wait for the share. With `whole` above `bytes` it is a part. `whole`
  // is at most the limit.
  std::optional<Reservation> try_reserve(MemoryShare share, uint64_t bytes, uint64_t whole = 0);
  // Posts `granted` to `reply_to` when it is this waiter's turn and there is room.
  Ticket wait(MemoryShare share, uint64_t bytes, runtime::Executor& reply_to, Function<void(Reservation)> granted,
              uint64_t whole = 0);
  // Adds to a part, at once or not at all; nothing while others wait to grow.
  bool try_grow(Reservation& part, uint64_t bytes);
  // As wait, for a part, which absorbs the grant. The part outlives the wait, or cancels it.
  Ticket wait_to_grow(Reservation& part, uint64_t bytes, runtime::Executor& reply_to, Function<void(Reservation)> granted);
  // Returns true if the waiter was still waiting: its callback will not be called. Otherwise the callback is on its way.
  bool cancel(MemoryShare share, Ticket ticket);
  // Grants in any case. It counts the bytes, so that waiters that begin wait longer: up to a quarter of the share, and not if
  // nothing else is granted, so that they do not wait for ever. For small amounts that are already in memory and have other
  // bounds.
  Reservation reserve_now(MemoryShare share, uint64_t bytes);

  uint64_t limit(MemoryShare share) const;
  uint64_t used(MemoryShare share) const;
  size_t waiting(MemoryShare share) const;
  // How often somebody had to wait so far.
  uint64_t waits(MemoryShare share) const;
  // Whether more was granted in any case than counts. This and the next cost nothing.
  bool forced_much(MemoryShare share) const {
    return shares_[static_cast<size_t>(share)].forced_much.load(std::memory_order_relaxed);
  }
  // Whether somebody waits now.
  bool crowded(MemoryShare share) const { return shares_[static_cast<size_t>(share)].crowded.load(std::memory_order_relaxed); }

 private:
  friend class Reservation;
  using Part = Reservation::Part;
  struct Waiter {
    uint64_t bytes = 0;
    uint64_t whole = 0;
    Part* part = nullptr;  // of one that grows
    runtime::Executor* reply_to = nullptr;
    Function<void(Reservation)> granted;
  };
  struct LeastRest {
    bool operator()(const Part* a, const Part* b) const { return std::pair(a->rest, a) < std::pair(b->rest, b); }
  };
  struct Share {
    uint64_t limit = 0;
    uint64_t granted = 0;
    uint64_t forced = 0;
    uint64_t waits = 0;
    bool granting = false;
    std::atomic<bool> crowded = false;
    std::atomic<bool> forced_much = false;
    std::set<Part*, LeastRest> parts;  // not whole yet
    uint64_t parts_held = 0;
    using Waiters = std::map<Ticket, Waiter>;  // as they came
    Waiters growers;
    Waiters waiters;

    bool fits(uint64_t bytes) const { return granted == 0 || granted + std::min(forced, limit / 4) + bytes <= limit; }
    bool all_can_end() const;
    void add(Part& part);
    void remove(Part& part);
    std::unique_ptr<Part> begin(uint64_t bytes, uint64_t whole);  // nullptr if not all could end then
    Waiters::node_type grow_one();                                // the next waiter that may grow
    bool grow(Part& part, uint64_t bytes);  // false, and as before, if there is no room or not all could end then
  };
  Share& at(MemoryShare share) { return shares_[static_cast<size_t>(share)]; }
  const Share& at(MemoryShare share) const { return shares_[static_cast<size_t>(share)]; }
  std::optional<Reservation> grant(MemoryShare share, uint64_t bytes, uint64_t whole);
  void give_back(const Reservation& reservation, uint64_t bytes, bool all);
  Ticket add_waiter(MemoryShare share, Waiter waiter);
  using Grant = std::pair<Waiter, Reservation>;
  std::optional<Grant> next_grant(MemoryShare share);
  // Unlocks while it posts; `lock` holds mutex_ before and after.
  void grant_waiters(MemoryShare share, std::unique_lock<std::mutex>& lock);

  mutable std::mutex mutex_;  // protects all below; the atomic flags are written under it
  std::array<Share, kMemoryShares> shares_;
  Ticket next_ticket_ = 1;
};

}  // namespace weir::broker
