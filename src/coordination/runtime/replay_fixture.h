// Random histories of a state machine over the runtime and a log on a simulated disk, with crashes: what the log says is what the
// state is, at every point. A state machine's test derives its History.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "coordination/runtime/coordinator_runtime.h"
#include "coordination/runtime/coordinator_world.h"
#include "coordination/runtime/verified_step.h"
#include "storage/log/log_on_disk_fixture.h"
#include "testing/seeded_random.h"

namespace weir::coordination {

// Where a history takes place.
class Place {
 public:
  virtual ~Place() = default;
  // Returns when the step is durable; what it answers has come.
  virtual void run(CoordinatorRuntime::Step step) = 0;
  virtual void advance(int64_t ms) = 0;
  virtual void image_changed(const ImageChange& change) = 0;
  virtual void crash(storage::testing::Death death) = 0;
  virtual TestServices& services() = 0;
};

// What happens to one kind of state machine.
class History {
 public:
  explicit History(uint64_t seed) : random_(seed, 9) {}
  virtual ~History() = default;
  void take_place(Place& place) { place_ = &place; }
  virtual std::unique_ptr<StateMachine> make() = 0;
  virtual void begin() {}
  virtual void act() = 0;
  virtual void compare(const StateMachine& live, const StateMachine& replayed) const = 0;
  // How far it got, to see that it gets anywhere.
  virtual int progress() const = 0;

  weir::testing::SeededRandom random_;

 protected:
  Place& place() { return *place_; }

 private:
  Place* place_ = nullptr;
};

class ReplayPropertyTest : public storage::testing::LogOnDisk, private Place {
 protected:
  // `steps` of it, and a crash now and then.
  void run_history(History& history, int steps) {
    history_ = &history;
    history.take_place(*this);
    ASSERT_EQ(open(), "");
    start();
    history.begin();
    for (int i = 0; i < steps; ++i) {
      history.act();
      compare();
      if (HasFatalFailure()) return;
      if (!history.random_.one_in(40)) continue;
      crash(history.random_.one_in(2) ? storage::testing::Death::kPowerCut : storage::testing::Death::kKill);
    }
    coordinator_.reset();
    end(storage::testing::Death::kKill);
    topics_.push_back(storage::testing::partition_id(next_topic_++));  // for the next history
  }

 private:
  const storage::PartitionId& id() const { return topics_.back(); }
  runtime::Loop& loop() { return sim_.loop(storage::shard_of(id(), 2)); }

  std::unique_ptr<CoordinatorRuntime> make() {
    const CoordinatorRuntime::Surroundings around{sim_.pool(), loop(), shard(id()), *services_};
    return std::make_unique<CoordinatorRuntime>(
        around, id(), CoordinatorRuntime::Names{"topic", "things"}, [this] { return history_->make(); },
        std::make_shared<TestImage>());
  }
  void start() {
    services_ = std::make_unique<TestServices>(loop());
    coordinator_ = make();
    coordinator_->load();
    until([&] { return coordinator_->loaded(); });
  }
  template <typename Condition>
  void until(Condition condition) {
    ASSERT_EQ(sim_.run_until(condition, 60 * runtime::kSecond), storage::testing::SimRuntime::Stop::kDone);
  }

  // Place
  void run(CoordinatorRuntime::Step step) override {
    coordinator_->run([this, &step](StateMachine& machine, Instant at, Effects& effects) {
      step(machine, at, effects);
      verify(effects, shard(id()), id());
    });
    settle();
  }
  void advance(int64_t ms) override {
    sim_.run_for(ms * runtime::kMillisecond);
    settle();
  }
  void image_changed(const ImageChange& change) override {
    coordinator_->image_changed(change);
    settle();
  }
  void crash(storage::testing::Death death) override {
    coordinator_.reset();
    end(death);
    ASSERT_EQ(open(), "");
    start();
  }
  TestServices& services() override { return *services_; }

  // An answer comes when all that was before is durable.
  void settle() {
    until([&] { return coordinator_->loaded(); });
    bool durable = false;
    coordinator_->run([&](StateMachine&, Instant, Effects& effects) {
      effects.replies.push_back([&](protocol::ErrorCode failure) {
        EXPECT_EQ(failure, protocol::ErrorCode::kNone);
        durable = true;
      });
    });
    until([&] { return durable; });
  }

  void compare() {
    std::unique_ptr<CoordinatorRuntime> copy;
    std::vector<CoordinatorRecord> before;
    do {  // again if a timer or an arrival came between
      settle();
      before = coordinator_->machine().snapshot();
      copy = make();
      copy->hold([](bool) {});  // it writes nothing
      copy->load();
      until([&] { return copy->loaded(); });
    } while (before != coordinator_->machine().snapshot());
    history_->compare(coordinator_->machine(), copy->machine());
  }

  History* history_ = nullptr;
  std::unique_ptr<TestServices> services_;
  std::unique_ptr<CoordinatorRuntime> coordinator_;
  uint64_t next_topic_ = 100;
};

}  // namespace weir::coordination
