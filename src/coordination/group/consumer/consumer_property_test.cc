// Random lives of many members, with restarts of the coordinator: a partition has one owner at any time, and once nothing fails
// any more, the group becomes stable and every partition has an owner that subscribes to its topic.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/log.h"
#include "coordination/group/consumer/consumer_client.h"

namespace weir::coordination {
namespace {

using enum ErrorCode;

class Life {
 public:
  explicit Life(uint64_t seed) : random_(seed, 3), world_(config(seed)) {
    change_image();
    world_.restart();
    for (int i = 0; i < 12; ++i) {
      ConsumerClient& client = clients_.emplace_back();
      client.id = "m" + std::to_string(next_id_++);
      if (i % 3 == 0) client.instance = "i" + std::to_string(i);
      client.rebalance_ms = 20'000;
      resubscribe(client);
    }
  }

  void run(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) {
      act();
      world_.do_jobs();
      check_owners();
      ASSERT_EQ(world_.state->memory_bytes(), world_.state->counted_memory_bytes());
    }
  }

  void settle() {
    world_.advance(60'000);  // who is silent is gone
    for (ConsumerClient& client : clients_) client.slow = false;
    for (int round = 0; round < 40; ++round) {
      for (ConsumerClient& client : clients_) beat(client);
      world_.do_jobs();
      world_.advance(1'500);
    }
    EXPECT_EQ(world_.describe_consumer().state, "Stable");
    std::map<std::string, std::set<int32_t>> owned;
    for (const ConsumerClient& client : clients_) {
      for (const auto& [name, topic] : topics_) {
        for (int32_t partition = 0; partition < topic.partition_count; ++partition) {
          if (!ConsumerClient::has(client.owned, TestImage::id_of(name), partition)) continue;
          EXPECT_TRUE(subscribes(client, name)) << client.id << " has partitions of " << name;
          owned[name].insert(partition);
        }
      }
    }
    check_owners();
    for (const auto& [name, topic] : topics_) {
      const bool wanted = std::ranges::any_of(clients_, [&](const ConsumerClient& client) { return subscribes(client, name); });
      EXPECT_EQ(owned[name].size(), wanted ? static_cast<size_t>(topic.partition_count) : 0u) << name;
    }
  }

 private:
  static GroupConfig config(uint64_t seed) {
    GroupConfig config;
    if (seed % 2 == 0) config.consumer.assignment_interval_ms.value = 0;
    if (seed % 3 == 0) config.consumer.assignors = {"range", "uniform"};
    return config;
  }

  void act() {
    ConsumerClient& client = clients_[random_.below(clients_.size())];
    switch (random_.below(24)) {
      case 0:
        return resubscribe(client);
      case 1:
        if (client.epoch > 0) client.leave(world_, client.instance && random_.one_in(2));
        return begin_anew(client);
      case 2:
        return begin_anew(client);  // without a word
      case 3:
        client.slow = random_.one_in(2);
        return;
      case 4:
        world_.advance(static_cast<int64_t>(random_.below(random_.one_in(4) ? 30'000 : 2'000)));
        return;
      case 5:
        if (random_.one_in(3)) change_image();
        return;
      case 6:
        if (random_.one_in(4)) world_.restart();
        return;
      case 7:
        client.full_heartbeat(world_);
        return follow(client);
      case 8:
        client.revoke();
        return;
      default:
        return beat(client);
    }
  }

  void beat(ConsumerClient& client) {
    client.heartbeat(world_);
    follow(client);
  }
  void follow(ConsumerClient& client) {
    switch (client.last.error) {
      case kNone:
      case kUnreleasedInstanceId:
        return;
      case kUnknownMemberId:
      case kGroupIdNotFound:
      case kFencedMemberEpoch:
        return client.fence();
      case kFencedInstanceId:
        return begin_anew(client);
      default:
        ADD_FAILURE() << static_cast<int>(client.last.error) << ' ' << client.last.error_message.value_or("");
    }
  }
  void begin_anew(ConsumerClient& client) {
    client.fence();
    client.id = "m" + std::to_string(next_id_++);
  }

  void resubscribe(ConsumerClient& client) {
    std::vector<std::string> names;
    for (const char* name : {"a", "b", "ab", "c"}) {
      if (random_.one_in(2)) names.push_back(name);
    }
    std::optional<std::string> regex;
    if (random_.one_in(3)) regex = random_.one_in(2) ? "a.*" : "[bc]";
    client.subscribe(std::move(names), std::move(regex));
    if (random_.one_in(4)) client.assignor = random_.one_in(2) ? "range" : "uniform";
  }
  static bool subscribes(const ConsumerClient& client, const std::string& topic) {
    if (std::ranges::count(client.topics, topic) > 0) return true;
    if (!client.regex) return false;
    return *client.regex == "a.*" ? topic[0] == 'a' : topic == "b" || topic == "c";
  }

  void change_image() {
    std::vector<std::string> changed;
    std::set<std::string, std::less<>> gone;
    for (const char* name : {"a", "b", "ab", "c"}) {
      const auto at = topics_.find(name);
      if (random_.one_in(3)) {
        changed.push_back(name);
        if (at == topics_.end()) topics_[name] = {1 + static_cast<int32_t>(random_.below(9))};
        else if (random_.one_in(3)) topics_.erase(at);
        else at->second.partition_count += static_cast<int32_t>(random_.below(4));
      }
      if (!topics_.contains(name)) gone.insert(name);
    }
    world_.change_image(image_with(topics_, gone), changed);
  }

  // Of members that the group has. Others stop once they hear of it.
  void check_owners() {
    std::set<std::string> members;
    for (const auto& member : world_.describe_consumer().members) members.insert(member.member_id);
    std::map<std::pair<Uuid, int32_t>, std::string> owners;
    for (const ConsumerClient& client : clients_) {
      if (!members.contains(client.id) || client.epoch <= 0) continue;
      for (const TopicPartitions& topic : client.owned) {
        for (const int32_t partition : topic.partitions) {
          const auto [at, first] = owners.try_emplace({topic.topic_id, partition}, client.id);
          EXPECT_TRUE(first) << at->second << " and " << client.id << " have partition " << partition;
        }
      }
    }
  }

  weir::testing::SeededRandom random_;
  GroupWorld world_;
  std::map<std::string, TestImage::Listed, std::less<>> topics_;
  std::vector<ConsumerClient> clients_;
  int next_id_ = 0;
};

TEST(ConsumerPropertyTest, OneOwnerAtAnyTimeAndAllInTheEnd) {
  set_log_level(LogLevel::kError);
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    Life life(seed);
    life.run(600);
    life.settle();
    if (HasFailure()) break;
  }
  set_log_level(LogLevel::kInfo);
}

}  // namespace
}  // namespace weir::coordination
