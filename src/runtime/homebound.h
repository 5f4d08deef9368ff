// Objects that belong to a loop, and whose references travel to others.
//
// An operation on several shards lives as long as its tasks and answers are under way. So its last reference may go anywhere: on
// another shard, on a thread of the pool, with tasks that are discarded. The object itself is destroyed on its own loop only:
// dropping the last reference elsewhere sends it home. Costs what std::shared_ptr costs; the message home is
// sent only if the last reference is one that did not come home by itself.
//
//   class Operation : public Homebound { Operation(Loop& home) : Homebound(home) {} ... };
//   auto operation = make_homebound<Operation>(loop);
//   other.post([self = HomeRef(this)] { ... });   // in a member function
#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <utility>

#include "base/check.h"
#include "runtime/loop.h"

namespace weir::runtime {

template <typename T>
class HomeRef;

class Homebound {
 public:
  Homebound(const Homebound&) = delete;
  Homebound& operator=(const Homebound&) = delete;

 protected:
  explicit Homebound(Loop& home) : home_loop_(home) {}
  // In every build: a delete that does not come from a HomeRef is a bug that must not go on.
  virtual ~Homebound() { WEIR_CHECK(home_loop_.may_touch()); }

 private:
  template <typename T>
  friend class HomeRef;
  struct GoHome {
    void operator()(Homebound* object) const { object->go_home(); }
  };

  void add_reference() { references_.fetch_add(1, std::memory_order_relaxed); }
  void drop_reference() {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) go_home();
  }
  void go_home();

  std::atomic<uint32_t> references_{0};
  Loop& home_loop_;
};

// Copies and moves as std::shared_ptr does, and may be dropped on any thread.
template <typename T>
class HomeRef {
 public:
  HomeRef() = default;
  explicit HomeRef(T* object) : object_(object) {
    if (object_ != nullptr) base()->add_reference();
  }
  HomeRef(const HomeRef& other) : HomeRef(other.object_) {}
  HomeRef(HomeRef&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  HomeRef& operator=(HomeRef other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~HomeRef() {
    if (object_ != nullptr) base()->drop_reference();
  }

  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  Homebound* base() const { return object_; }
  T* object_ = nullptr;
};

template <std::derived_from<Homebound> T, typename... Arguments>
HomeRef<T> make_homebound(Arguments&&... arguments) {
  return HomeRef<T>(new T(std::forward<Arguments>(arguments)...));
}

}  // namespace weir::runtime
