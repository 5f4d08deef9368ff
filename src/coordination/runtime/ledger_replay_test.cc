// Replay of a ledger: the smallest state machine that uses every effect.
#include <gtest/gtest.h>

#include <any>
#include <memory>
#include <string>
#include <vector>

#include "coordination/runtime/ledger_world.h"
#include "coordination/runtime/replay_fixture.h"

namespace weir::coordination {
namespace {

class LedgerHistory final : public History {
 public:
  explicit LedgerHistory(uint64_t seed) : History(seed) {}
  std::unique_ptr<StateMachine> make() override { return std::make_unique<Ledger>(); }
  int progress() const override { return commits_; }
  void compare(const StateMachine& live, const StateMachine& replayed) const override {
    ASSERT_EQ(replayed.snapshot(), live.snapshot());
  }

  void act() override {
    const std::string name = one_of({"a", "b", "c", "t1", "t2"});
    const std::string other = one_of({"a", "b", "c", "t1"});
    const auto amount = static_cast<int64_t>(random_.below(100));
    const Origin producer{static_cast<int64_t>(random_.below(3)), 0, true};
    switch (random_.below(11)) {
      case 0:
        return step([&](Ledger& ledger, Instant, Effects& effects) { ledger.deposit(name, amount, ignore(), effects); });
      case 1:
        return step([&](Ledger& ledger, Instant, Effects& effects) { ledger.transfer(name, other, amount, ignore(), effects); });
      case 2:
        return step([&](Ledger& ledger, Instant, Effects& effects) { ledger.close(name, ignore(), effects); });
      case 3:
      case 4:
        return step([&](Ledger& ledger, Instant now, Effects& effects) {
          ledger.deposit(other, 1, ignore(), effects);
          ledger.deposit_in_transaction(producer, name, amount, ignore(), now, effects);
          ledger.deposit(name, 1, ignore(), effects);
        });
      case 5:
        ++commits_;
        return step([&](Ledger& ledger, Instant, Effects& effects) {
          ledger.end({producer.producer_id, 0, 0, !random_.one_in(3)}, ignore(), effects);
        });
      case 6:
        return step([&](Ledger& ledger, Instant, Effects& effects) { ledger.audit(ignore(), effects); });
      case 7:
        return step([&](Ledger& ledger, Instant, Effects& effects) { ledger.open_branch(name, ignore(), effects); });
      case 8:
        return step(
            [&](Ledger& ledger, Instant, Effects& effects) { ledger.send(name, amount, {Uuid{{7}}, 0}, ignore(), effects); });
      case 9:
        if (random_.one_in(2)) place().services().answer_all([this] { return std::any(!random_.one_in(3)); });
        return place().advance(static_cast<int64_t>(random_.below(random_.one_in(8) ? 70'000 : 100)));
      default:
        return place().image_changed({nullptr, std::make_shared<TestImage>(), {{"t1", Uuid{{1}}}}});
    }
  }

 private:
  std::string one_of(std::vector<std::string> names) { return names[random_.below(names.size())]; }
  LedgerReply ignore() {
    return [](LedgerResult) {};
  }
  template <typename Request>
  void step(Request request) {
    place().run(
        [&](StateMachine& machine, Instant at, Effects& effects) { request(static_cast<Ledger&>(machine), at, effects); });
  }
  int commits_ = 0;
};

TEST_F(ReplayPropertyTest, OfALedger) {
  int commits = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    LedgerHistory history(seed);
    run_history(history, 200);
    commits += history.progress();
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(commits, 100) << "the histories do not get anywhere";
}

}  // namespace
}  // namespace weir::coordination
