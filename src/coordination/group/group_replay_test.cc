// Replay of groups.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "coordination/group/group_world.h"
#include "coordination/runtime/replay_fixture.h"

namespace weir::coordination {
namespace {

// A client that does what the answers ask of it most of the time.
struct Client {
  std::string group;
  std::string member_id;
  std::optional<std::string> instance;
  int32_t generation = -1;
  bool leads = false;
  Pending<JoinResult> join;
  Pending<SyncResult> sync;
};

class GroupHistory final : public History, private GroupRequests {
 public:
  explicit GroupHistory(uint64_t seed) : History(seed), config_(config()) {
    for (size_t i = 0; i < 7; ++i) {
      Client client;
      client.group = i < 4 ? "g" : "h";
      if (i % 3 == 0) client.instance = "i" + std::to_string(i);
      clients_.push_back(client);
    }
  }
  std::unique_ptr<StateMachine> make() override { return std::make_unique<GroupCoordinatorState>(config_, member_ids_, memory_); }
  int progress() const override { return generations_; }
  int offsets_of_transactions() const { return offsets_of_transactions_; }

  void compare(const StateMachine& live, const StateMachine& replayed) const override {
    const auto& state = static_cast<const GroupCoordinatorState&>(live);
    const auto& copy = static_cast<const GroupCoordinatorState&>(replayed);
    const auto records = state.snapshot();
    ASSERT_EQ(settled(copy, records), records);
    ASSERT_EQ(state.memory_bytes(), state.counted_memory_bytes());
    ASSERT_EQ(memory_.used_bytes(), state.memory_bytes() + copy.memory_bytes());
  }

  void act() override {
    Client& client = clients_[random_.below(clients_.size())];
    switch (random_.below(15)) {
      case 0:
      case 1:
      case 2:
        return join(client);
      case 3:
      case 4:
        return sync(client);
      case 5: {
        const ErrorCode error = heartbeat(client.member_id, client.generation, client.instance, client.group);
        if (error == ErrorCode::kUnknownMemberId || error == ErrorCode::kFencedInstanceId) client.member_id.clear();
        return;
      }
      case 6:
        commit(client.group, random_.one_in(2) ? "t" : "u", static_cast<int32_t>(random_.below(3)),
               static_cast<int64_t>(random_.below(100)), client.member_id, client.generation);
        return;
      case 7:
        return place().advance(static_cast<int64_t>(random_.below(random_.one_in(4) ? 60'000 : 3'000)));
      case 8:
        if (random_.one_in(4)) delete_group(client.group);
        else if (random_.one_in(3)) leave(client.member_id, client.instance, client.group);
        else commit(client.group, "v", 0, 5);
        return;
      case 9:
      case 10:
      case 11:
        return commit_in_transaction(client);
      case 12:
        return end_transaction();
      case 13:
        if (random_.one_in(4)) place().image_changed({nullptr, std::make_shared<TestImage>(), {{"v", Uuid{{1}}}}});
        return;
      default:
        delete_offset(client.group, "u", static_cast<int32_t>(random_.below(3)));
        return;
    }
  }

 private:
  static GroupConfig config() {
    GroupConfig config;
    config.initial_rebalance_delay_ms = 500;
    config.offsets_retention_ms = 200'000;
    config.offsets_retention_check_interval_ms = 30'000;
    config.max_size = 5;
    return config;
  }

  void run(Step step) override {
    place().run([&](StateMachine& machine, Instant at, Effects& effects) {
      step(static_cast<GroupCoordinatorState&>(machine), at, effects);
    });
  }

  void join(Client& client) {
    take(client);
    JoinOptions options;
    options.group = client.group;
    options.instance = client.instance;
    options.ask_for_member_id = random_.one_in(2);
    options.can_skip = random_.one_in(2);
    if (random_.one_in(4)) options.protocols.push_back({"sticky", subscription({"t", "u"})});
    if (random_.one_in(4)) options.protocols.insert(options.protocols.begin(), {"sticky", subscription({"u"})});
    client.join = GroupRequests::join(client.member_id, options);
    take(client);
  }
  void take(Client& client) {
    if (!client.join.answered()) return;
    const JoinResult& result = *client.join;
    if (result.error == ErrorCode::kNone || result.error == ErrorCode::kMemberIdRequired) {
      client.member_id = result.member_id;
      client.generation = result.generation;
      client.leads = result.leader == result.member_id;
      if (result.error == ErrorCode::kNone) generations_ = std::max(generations_, result.generation);
    } else if (result.error != ErrorCode::kRebalanceInProgress) {
      client.member_id.clear();
    }
  }
  void sync(Client& client) {
    take(client);
    std::vector<SyncRequest::Assignment> assignments;
    if (client.leads) {
      for (const Client& other : clients_) {
        if (other.group == client.group) assignments.push_back({other.member_id, "a" + std::to_string(random_.below(9))});
      }
    }
    client.sync = GroupRequests::sync(client.member_id, client.generation, assignments, client.instance, client.group);
  }

  void commit_in_transaction(const Client& client) {
    TxnOffsetCommitRequest request;
    request.group_id = random_.one_in(4) ? "only pending" : client.group;
    request.producer_id = static_cast<int64_t>(random_.below(3));
    request.producer_epoch = 0;
    if (random_.one_in(2)) {
      request.member_id = client.member_id;
      request.generation = client.generation;
    }
    for (uint64_t left = random_.below(3); left <= 2; ++left) {
      const std::string topic = random_.one_in(3) ? "t" : random_.one_in(2) ? "u" : "v";
      const Uuid topic_id = topic == "v" && random_.one_in(2) ? Uuid{{1}} : Uuid();
      request.items.push_back({topic, topic_id, static_cast<int32_t>(random_.below(2)), static_cast<int64_t>(random_.below(100)),
                               -1, std::string(random_.below(20), 'm')});
    }
    GroupRequests::commit_in_transaction(std::move(request));
  }
  void end_transaction() {
    const auto producer_id = static_cast<int64_t>(random_.below(3));
    const bool commits = !random_.one_in(3);
    run([&](GroupCoordinatorState& state, Instant now, Effects& effects) {
      const size_t before = state.pending_offset_count();
      state.end_transaction({producer_id, 0, 0, commits}, [](MarkerResult) {}, now, effects);
      if (commits) offsets_of_transactions_ += static_cast<int>(before - state.pending_offset_count());
    });
  }

  const GroupConfig config_;
  weir::testing::SeededRandom member_ids_{1};
  GroupMemory memory_{1 << 30};
  std::vector<Client> clients_;
  int generations_ = 0;
  int offsets_of_transactions_ = 0;  // that a marker made count
};

TEST_F(ReplayPropertyTest, OfGroups) {
  int generations = 0, offsets_of_transactions = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    GroupHistory history(seed);
    run_history(history, 300);
    generations += history.progress();
    offsets_of_transactions += history.offsets_of_transactions();
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(generations, 20) << "the histories do not get anywhere";
  EXPECT_GT(offsets_of_transactions, 200);
}

}  // namespace
}  // namespace weir::coordination
