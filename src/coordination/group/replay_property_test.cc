// Random histories: what the log says is what the state is, at every point.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/log.h"
#include "coordination/group/group_world.h"

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

class History {
 public:
  explicit History(uint64_t seed) : random_(seed, 9), world_(config()) {
    for (size_t i = 0; i < 7; ++i) {
      Client client;
      client.group = i < 4 ? "g" : "h";
      if (i % 3 == 0) client.instance = "i" + std::to_string(i);
      clients_.push_back(client);
    }
  }

  void run() {
    for (int i = 0; i < 400; ++i) {
      act();
      compare();
      if (::testing::Test::HasFatalFailure()) return;
      if (random_.one_in(60)) world_.restart();
    }
  }
  int generations() const { return generations_; }

 private:
  static GroupConfig config() {
    GroupConfig config;
    config.initial_rebalance_delay_ms = 500;
    config.offsets_retention_ms = 200'000;
    config.offsets_retention_check_interval_ms = 30'000;
    config.max_size = 5;
    return config;
  }

  void act() {
    Client& client = clients_[random_.below(clients_.size())];
    switch (random_.below(10)) {
      case 0:
      case 1:
      case 2:
        return join(client);
      case 3:
      case 4:
        return sync(client);
      case 5: {
        const ErrorCode error = world_.heartbeat(client.member_id, client.generation, client.instance, client.group);
        if (error == ErrorCode::kUnknownMemberId || error == ErrorCode::kFencedInstanceId) client.member_id.clear();
        return;
      }
      case 6:
        world_.commit(client.group, random_.one_in(2) ? "t" : "u", static_cast<int32_t>(random_.below(3)),
                      static_cast<int64_t>(random_.below(100)), client.member_id, client.generation);
        return;
      case 7:
        return world_.advance(static_cast<int64_t>(random_.below(random_.one_in(4) ? 60'000 : 3'000)));
      case 8:
        if (random_.one_in(4)) world_.delete_group(client.group);
        else if (random_.one_in(3)) world_.leave(client.member_id, client.instance, client.group);
        else world_.commit(client.group, "v", 0, 5);
        return;
      default:
        world_.delete_offset(client.group, "u", static_cast<int32_t>(random_.below(3)));
        return;
    }
  }

  void join(Client& client) {
    take(client);
    GroupWorld::JoinOptions options;
    options.group = client.group;
    options.instance = client.instance;
    options.ask_for_member_id = random_.one_in(2);
    options.can_skip = random_.one_in(2);
    if (random_.one_in(4)) options.protocols.push_back({"sticky", subscription({"t", "u"})});
    if (random_.one_in(4)) options.protocols.insert(options.protocols.begin(), {"sticky", subscription({"u"})});
    client.join = world_.join(client.member_id, options);
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
    client.sync = world_.sync(client.member_id, client.generation, assignments, client.instance, client.group);
  }

  // Groups in a rebalance are not in the log as they are: they are left out on both sides.
  static std::vector<CoordinatorRecord> settled(const GroupCoordinatorState& from, const std::vector<CoordinatorRecord>& live) {
    std::vector<CoordinatorRecord> all;
    for (CoordinatorRecord& record : from.snapshot()) {
      const bool group = record.key[1] == 2;
      const bool known =
          std::any_of(live.begin(), live.end(), [&](const CoordinatorRecord& one) { return one.key == record.key; });
      if (!group || known) all.push_back(std::move(record));
    }
    return all;
  }
  void compare() {
    const auto copy = world_.replayed();
    ASSERT_NE(copy, nullptr);
    const auto live = world_.state->snapshot();
    ASSERT_EQ(settled(*copy, live), live);
    ASSERT_EQ(world_.state->memory_bytes(), world_.state->counted_memory_bytes());
    ASSERT_EQ(world_.memory.used_bytes(), world_.state->memory_bytes() + copy->memory_bytes());
  }

  testing::SeededRandom random_;
  GroupWorld world_;
  std::vector<Client> clients_;
  int generations_ = 0;
};

TEST(ReplayPropertyTest, ReplayEqualsTheLiveState) {
  set_log_level(LogLevel::kWarn);  // thousands of groups come and go
  int generations = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    History history(seed);
    history.run();
    generations += history.generations();
    if (::testing::Test::HasFatalFailure()) return;
  }
  EXPECT_GT(generations, 60) << "the histories do not get anywhere";
}

}  // namespace
}  // namespace weir::coordination
