// The replay property of consumer groups: what the log says is what the state is, at every point.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "coordination/group/consumer/consumer_client.h"
#include "coordination/runtime/replay_fixture.h"

namespace weir::coordination {
namespace {

class ConsumerHistory final : public History, private GroupRequests {
 public:
  explicit ConsumerHistory(uint64_t seed) : History(seed) {
    config_.offsets_retention_ms = 200'000;
    config_.offsets_retention_check_interval_ms = 30'000;
    config_.consumer.max_size = 5;
    if (random_.one_in(2)) config_.consumer.assignment_interval_ms.value = 0;
    for (size_t i = 0; i < 8; ++i) {
      ConsumerClient& client = clients_.emplace_back();
      client.group = i < 5 ? "g" : "h";
      client.rebalance_ms = 20'000;
      if (i % 3 == 0) client.instance = "i" + std::to_string(i);
    }
  }
  std::unique_ptr<StateMachine> make() override { return std::make_unique<GroupCoordinatorState>(config_, member_ids_, memory_); }
  int progress() const override { return epochs_; }
  void begin() override { change_image(); }

  void compare(const StateMachine& live, const StateMachine& replayed) const override {
    const auto& state = static_cast<const GroupCoordinatorState&>(live);
    const auto& copy = static_cast<const GroupCoordinatorState&>(replayed);
    const auto records = state.snapshot();
    ASSERT_EQ(settled(copy, records), records);
    ASSERT_EQ(state.memory_bytes(), state.counted_memory_bytes());
    ASSERT_EQ(memory_.used_bytes(), state.memory_bytes() + copy.memory_bytes());
    ASSERT_EQ(copy.consumer_state_counts(), state.consumer_state_counts());
  }

  void act() override {
    ConsumerClient& client = clients_[random_.below(clients_.size())];
    switch (random_.below(20)) {
      case 0:
        client.leave(*this, client.instance && random_.one_in(2));
        return begin_anew(client);
      case 1:
        return random_.one_in(2) ? begin_anew(client) : client.fence();
      case 2:
        client.slow = random_.one_in(2);
        if (random_.one_in(3)) client.assignor = "range";
        return client.subscribe(random_.one_in(3) ? Names{"t"} : Names{"t", "u"}, random_.one_in(3) ? "[tv]" : "");
      case 3:
        return place().advance(static_cast<int64_t>(random_.below(random_.one_in(4) ? 60'000 : 3'000)));
      case 4:
        return change_image();
      case 5:
        commit(client.group, random_.one_in(2) ? "t" : "v", static_cast<int32_t>(random_.below(3)),
               static_cast<int64_t>(random_.below(100)), client.id, client.epoch);
        return;
      case 6:
        commit_in_transaction(static_cast<int64_t>(random_.below(3)), client.group, "t", 0, 7);
        end_transaction(static_cast<int64_t>(random_.below(3)), random_.one_in(2));
        return;
      case 7:
        if (random_.one_in(3)) GroupRequests::leave(client.id, client.instance, client.group);
        else delete_group(client.group);
        return;
      case 8:
        if (random_.one_in(3)) join("", {.group = client.group});
        return;
      case 9:
        return client.revoke();
      default:
        return beat(client);
    }
  }

 private:
  using Names = std::vector<std::string>;

  void run(Step step) override {
    place().run([&](StateMachine& machine, Instant at, Effects& effects) {
      step(static_cast<GroupCoordinatorState&>(machine), at, effects);
    });
  }
  void beat(ConsumerClient& client) {
    const ErrorCode error = client.heartbeat(*this);
    epochs_ = std::max(epochs_, client.epoch);
    if (error == ErrorCode::kFencedInstanceId) begin_anew(client);
    else if (error != ErrorCode::kNone) client.fence();
  }
  void begin_anew(ConsumerClient& client) {
    client.fence();
    client.id = "m" + std::to_string(next_id_++);
  }
  void change_image() {
    std::map<std::string, TestImage::Listed, std::less<>> topics;
    for (const char* name : {"t", "u", "v"}) topics[name] = {1 + static_cast<int32_t>(random_.below(5))};
    std::set<std::string, std::less<>> gone;
    if (random_.one_in(3)) gone.insert(random_.one_in(2) ? "t" : "v");
    auto image = image_with(std::move(topics), std::move(gone));
    image->image_version = ++images_;
    place().image_changed({nullptr, image, {}, {"t", "u", "v"}, {}});
  }

  GroupConfig config_;
  weir::testing::SeededRandom member_ids_{1};
  GroupMemory memory_{1 << 30};
  std::vector<ConsumerClient> clients_;
  int next_id_ = 0;
  int64_t images_ = 0;
  int epochs_ = 0;
};

TEST_F(ReplayPropertyTest, OfConsumerGroups) {
  set_log_level(LogLevel::kError);
  int epochs = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    ConsumerHistory history(seed);
    run_history(history, 300);
    epochs += history.progress();
    if (HasFatalFailure()) break;
  }
  set_log_level(LogLevel::kInfo);
  EXPECT_GT(epochs, 200) << "the histories do not get anywhere";
}

}  // namespace
}  // namespace weir::coordination
