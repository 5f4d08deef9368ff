// Tells late callbacks whether their object is still there: timers, messages of other loops and completions of the pool may come
// after the object that asked for them is gone.
//
//   class Cleaner {
//     void begin() { loop_.post(lifetime_.guard([this] { step(); })); }  // nothing happens once the Cleaner is gone
//     Lifetime lifetime_;
//   };
//
// The callback and the end of the object happen on one thread, or the object ends when no loop runs any more. An observer may
// travel over other threads in between.
#pragma once

#include <memory>
#include <utility>

namespace weir {

class Lifetime {
 public:
  // True as long as the object lives. Copies are cheap.
  class Observer {
   public:
    explicit operator bool() const { return *alive_; }

   private:
    friend class Lifetime;
    explicit Observer(std::shared_ptr<const bool> alive) : alive_(std::move(alive)) {}
    std::shared_ptr<const bool> alive_;
  };

  Lifetime() = default;
  Lifetime(const Lifetime&) = delete;
  Lifetime& operator=(const Lifetime&) = delete;
  ~Lifetime() { end(); }

  // Before the object goes: callbacks do nothing from now on.
  void end() { *alive_ = false; }
  explicit operator bool() const { return *alive_; }
  Observer observe() const { return Observer(alive_); }

  // `callback`, which does nothing once the object is gone.
  template <typename Callback>
  auto guard(Callback callback) const {
    return [alive = observe(), callback = std::move(callback)](auto&&... arguments) mutable {
      if (alive) callback(std::forward<decltype(arguments)>(arguments)...);
    };
  }

 private:
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace weir
