// Replay of transactions.
#include <gtest/gtest.h>

#include <any>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "coordination/runtime/replay_fixture.h"
#include "coordination/transaction/transaction_world.h"

namespace weir::coordination {
namespace {

class TransactionHistory final : public History, private TransactionRequests {
 public:
  explicit TransactionHistory(uint64_t seed) : History(seed) {}
  std::unique_ptr<StateMachine> make() override {
    TransactionConfig config;
    config.transactional_id_expiration_ms = 100'000;
    config.remove_expired_interval_ms = 20'000;
    config.partitions_max = 6;
    return std::make_unique<TransactionCoordinatorState>(config, 1, level_, memory_);
  }
  int progress() const override { return ended_; }
  int rotations() const { return rotations_; }
  void compare(const StateMachine& live, const StateMachine& replayed) const override {
    const auto& state = static_cast<const TransactionCoordinatorState&>(live);
    const auto& copy = static_cast<const TransactionCoordinatorState&>(replayed);
    ASSERT_EQ(copy.snapshot(), state.snapshot());
    ASSERT_EQ(memory_.used_bytes(), state.memory_bytes() + copy.memory_bytes());
  }

  // One whose epochs will be used up soon.
  void begin() override {
    run([](TransactionCoordinatorState&, Instant now, Effects& effects) {
      TransactionMetadata found = metadata(TransactionState::kEmpty, {500, 32'764});
      found.last_update_ms = now.wall_ms;
      effects.append(encode({"b", found}, kTwo));
    });
    place().crash(storage::testing::Death::kKill);
    producers_["b"] = {500, 32'764};
  }

  void act() override {
    const std::string id = one_of({"a", "b", "c"});
    switch (random_.below(16)) {
      case 0:
      case 1:
        return init(id);
      case 2:
      case 3:
      case 4:
      case 5:
        return add(id);
      case 6:
      case 7:
      case 8:
      case 9:
        return end(id);
      case 10:
      case 11:
      case 12:
        place().services().answer_all([this] { return std::any(MarkerWritten{random_.one_in(3) ? error() : ErrorCode::kNone}); });
        return place().advance(1 + static_cast<int64_t>(random_.below(100)));
      case 13:
        return place().advance(static_cast<int64_t>(random_.below(random_.one_in(8) ? 130'000 : 3'000)));
      case 14:
        return place().image_changed({nullptr, std::make_shared<TestImage>(one_in_three() ? Names{"t"} : Names{}), {}});
      default:
        if (one_in_three()) level_.set(static_cast<TransactionVersion>(random_.below(3)));
        return verify_and_look(id);
    }
  }

 private:
  using Names = std::set<std::string, std::less<>>;

  void run(Step step) override {
    place().run([&](StateMachine& machine, Instant at, Effects& effects) {
      step(static_cast<TransactionCoordinatorState&>(machine), at, effects);
    });
  }
  bool one_in_three() { return random_.one_in(3); }
  std::string one_of(std::vector<std::string> names) { return names[random_.below(names.size())]; }
  ErrorCode error() {
    constexpr ErrorCode kErrors[] = {ErrorCode::kNotLeaderOrFollower, ErrorCode::kUnknownTopicOrPartition,
                                     ErrorCode::kInvalidProducerEpoch, ErrorCode::kTransactionCoordinatorFenced};
    return kErrors[random_.below(std::size(kErrors))];
  }
  TransactionVersion version() { return random_.one_in(4) ? kZero : kTwo; }
  // Mostly the producer that should be.
  Identity producer(const std::string& id) {
    Identity by = producers_[id];
    if (random_.one_in(6) && by.epoch > 0) --by.epoch;
    if (random_.one_in(20)) ++by.id;
    return by;
  }

  void init(const std::string& id) {
    const Identity by = producers_[id].id < 0 || random_.one_in(2) ? Identity{} : producer(id);
    const auto answer = ask_init(by, random_.one_in(2) ? 2'000 : 60'000, id);
    if (answer.answered() && answer->error == ErrorCode::kNone) follow(id, {answer->producer_id, answer->producer_epoch});
  }
  void add(const std::string& id) {
    std::vector<TopicPartition> in;
    for (uint64_t left = 1 + random_.below(3); left > 0; --left) {
      in.push_back({one_of({"t", "u", "v"}), static_cast<int32_t>(random_.below(4))});
    }
    ask_add(producer(id), std::move(in), version(), random_.one_in(2) ? 100 : 0, id);
  }
  void end(const std::string& id) {
    const TransactionVersion by_version = version();
    const auto answer = ask_end(producer(id), !random_.one_in(3), by_version, id);
    if (answer->error != ErrorCode::kNone) return;
    ++ended_;
    if (by_version == kTwo) follow(id, {answer->producer_id, answer->producer_epoch});
  }
  void verify_and_look(const std::string& id) {
    verify(producer(id), {{"t", 0}}, id);
    describe(id);
    list();
  }
  void follow(const std::string& id, Identity now) {
    rotations_ += producers_[id].id >= 0 && producers_[id].id != now.id && now.epoch == 0;
    producers_[id] = now;
  }

  TransactionLevel level_;
  TransactionMemory memory_{1 << 30};
  std::map<std::string, Identity> producers_;
  int ended_ = 0;
  int rotations_ = 0;
};

TEST_F(ReplayPropertyTest, OfTransactions) {
  set_log_level(LogLevel::kError);
  int ended = 0, rotations = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    TransactionHistory history(seed);
    run_history(history, 300);
    ended += history.progress();
    rotations += history.rotations();
    if (HasFatalFailure()) break;
  }
  set_log_level(LogLevel::kInfo);
  EXPECT_GT(ended, 200) << "the histories do not get anywhere";
  EXPECT_GT(rotations, 5);
}

}  // namespace
}  // namespace weir::coordination
