// Assignors: properties over random groups, and the results of Kafka's for the same groups (testdata/assignments.txt).
#include "coordination/group/consumer/assignor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "testing/seeded_random.h"

namespace weir::coordination {
namespace {

using ::testing::ElementsAre;
using testing::SeededRandom;

size_t at(int32_t number) { return static_cast<size_t>(number); }

// Names live as long as the group.
struct RandomGroup {
  std::vector<std::string> names, instances;
  AssignorInput input;
  Owners previous;

  bool subscribes(int32_t member, size_t topic) const {
    const auto& topics = input.members[at(member)].topics;
    return input.equal_subscriptions || std::ranges::binary_search(topics, static_cast<int32_t>(topic));
  }
  std::vector<int32_t> subscribers(size_t topic) const {
    std::vector<int32_t> all;
    for (int32_t member = 0; at(member) < input.members.size(); ++member) {
      if (subscribes(member, topic)) all.push_back(member);
    }
    return all;
  }
};

RandomGroup random_group(SeededRandom& random, bool equal) {
  RandomGroup group;
  const size_t members = random.between(1, random.one_in(4) ? 40 : 6);
  const size_t topics = random.between(1, random.one_in(4) ? 30 : 5);
  for (size_t i = 0; i < members; ++i) {
    group.names.push_back("member-" + std::to_string(100 + i));
    group.instances.push_back(random.one_in(3) ? "i" + std::to_string(random.below(1'000) * 100 + i) : "");
  }
  group.input.equal_subscriptions = equal;
  for (size_t i = 0; i < members; ++i) {
    AssignorMember& member = group.input.members.emplace_back();
    member.id = group.names[i];
    if (!group.instances[i].empty()) member.instance_id = group.instances[i];
    if (equal) continue;
    const uint64_t rare = random.between(1, 4);
    for (size_t topic = 0; topic < topics; ++topic) {
      if (random.one_in(rare)) member.topics.push_back(static_cast<int32_t>(topic));
    }
  }
  for (size_t topic = 0; topic < topics; ++topic) {
    Uuid id;
    id.bytes[15] = static_cast<uint8_t>(topic + 1);
    group.input.topics.push_back({id, static_cast<int32_t>(random.between(1, random.one_in(4) ? 100 : 8))});
    auto& owners = group.previous.emplace_back(at(group.input.topics.back().partition_count), -1);
    const uint64_t free_one_in = random.below(4);  // 1: all
    for (int32_t& owner : owners) {
      if (!random.one_in(free_one_in)) owner = static_cast<int32_t>(random.below(random.between(1, members)));
    }
  }
  return group;
}

std::vector<int64_t> loads(const Owners& owners, size_t members) {
  std::vector<int64_t> all(members);
  for (const auto& topic : owners) {
    for (const int32_t owner : topic) {
      if (owner >= 0) ++all[at(owner)];
    }
  }
  return all;
}

// Partitions that a member loses to another.
size_t moves(const RandomGroup& group, const Owners& after) {
  size_t count = 0;
  for (size_t topic = 0; topic < after.size(); ++topic) {
    for (size_t i = 0; i < after[topic].size(); ++i) {
      const int32_t before = group.previous[topic][i];
      if (before >= 0 && group.subscribes(before, topic) && before != after[topic][i]) ++count;
    }
  }
  return count;
}

// No assignment of equal subscriptions that is even moves less.
size_t fewest_moves(const RandomGroup& group) {
  const auto held = loads(group.previous, group.input.members.size());
  int64_t total = 0, over = 0, can_have_one_more = 0;
  for (const auto& topic : group.previous) total += static_cast<int64_t>(topic.size());
  const auto members = static_cast<int64_t>(held.size());
  for (const int64_t load : held) {
    if (load <= total / members) continue;
    over += load - total / members;
    ++can_have_one_more;
  }
  return static_cast<size_t>(over - std::min(can_have_one_more, total % members));
}

void expect_valid(const RandomGroup& group, const Owners& owners) {
  ASSERT_EQ(owners.size(), group.previous.size());
  for (size_t topic = 0; topic < owners.size(); ++topic) {
    ASSERT_EQ(owners[topic].size(), group.previous[topic].size());
    const auto subscribers = group.subscribers(topic);
    for (const int32_t owner : owners[topic]) {
      if (subscribers.empty()) EXPECT_EQ(owner, -1);
      else EXPECT_TRUE(std::ranges::binary_search(subscribers, owner)) << owner;
    }
  }
}

// No partition can go to a member that has at least two fewer than its owner.
void expect_even(const RandomGroup& group, const Owners& owners) {
  const auto load = loads(owners, group.input.members.size());
  for (size_t topic = 0; topic < owners.size(); ++topic) {
    const auto subscribers = group.subscribers(topic);
    if (subscribers.empty()) continue;
    const int32_t least = std::ranges::min(subscribers, {}, [&](int32_t member) { return load[at(member)]; });
    for (const int32_t owner : owners[topic]) EXPECT_LE(load[at(owner)], load[at(least)] + 1);
  }
}

int64_t unevenness(const RandomGroup& group, const Owners& owners) {
  int64_t squares = 0;
  for (const int64_t load : loads(owners, group.input.members.size())) squares += load * load;
  return squares;
}

constexpr uint64_t kGroups = 1'000;

TEST(UniformAssignor, EqualSubscriptionsBecomeEvenWithTheFewestMoves) {
  for (uint64_t seed = 0; seed < kGroups; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    const RandomGroup group = random_group(random, true);
    const Owners owners = assign_uniform(group.input, group.previous);
    expect_valid(group, owners);
    const auto load = loads(owners, group.input.members.size());
    EXPECT_LE(std::ranges::max(load) - std::ranges::min(load), 1);
    EXPECT_EQ(moves(group, owners), fewest_moves(group));
    EXPECT_EQ(assign_uniform(group.input, owners), owners);
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(UniformAssignor, DifferentSubscriptionsBecomeEvenWhereTheyOverlap) {
  for (uint64_t seed = 0; seed < kGroups; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    const RandomGroup group = random_group(random, false);
    const Owners owners = assign_uniform(group.input, group.previous);
    expect_valid(group, owners);
    expect_even(group, owners);
    EXPECT_EQ(assign_uniform(group.input, owners), owners);
    if (::testing::Test::HasFailure()) return;
  }
}

// The general way does for equal subscriptions what the short one does.
TEST(UniformAssignor, EqualSubscriptionsThatAreListedBecomeEvenToo) {
  for (uint64_t seed = 0; seed < kGroups; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    RandomGroup group = random_group(random, true);
    group.input.equal_subscriptions = false;
    for (auto& member : group.input.members) {
      for (size_t topic = 0; topic < group.previous.size(); ++topic) member.topics.push_back(static_cast<int32_t>(topic));
    }
    const Owners owners = assign_uniform(group.input, group.previous);
    expect_valid(group, owners);
    const auto load = loads(owners, group.input.members.size());
    EXPECT_LE(std::ranges::max(load) - std::ranges::min(load), 1);
    if (::testing::Test::HasFailure()) return;
  }
}

// Each member shares a topic with the one before it and one with the next, and all that is too much is at the end.
TEST(UniformAssignor, AChainOfSubscriptionsBecomesMoreEvenUntilItIsEven) {
  RandomGroup group;
  group.input.equal_subscriptions = false;
  constexpr int32_t kMembers = 60;
  for (int32_t i = 0; i < kMembers; ++i) group.names.push_back("member-" + std::to_string(100 + i));
  for (int32_t i = 0; i < kMembers; ++i) {
    AssignorMember& member = group.input.members.emplace_back();
    member.id = group.names[at(i)];
    if (i > 0) member.topics.push_back(i - 1);
    if (i + 1 == kMembers) break;
    member.topics.push_back(i);
    group.input.topics.push_back({Uuid(), 1 + 5 * i});
    group.previous.emplace_back(at(1 + 5 * i), i);
  }
  int calls = 0;
  for (int64_t before = unevenness(group, group.previous); calls < 100; ++calls) {
    Owners owners = assign_uniform(group.input, group.previous);
    expect_valid(group, owners);
    if (owners == group.previous) break;
    EXPECT_LT(unevenness(group, owners), before);
    before = unevenness(group, owners);
    group.previous = std::move(owners);
  }
  EXPECT_GT(calls, 1);
  EXPECT_LT(calls, 100);
  expect_even(group, group.previous);
}

TEST(UniformAssignor, AMemberThatComesTakesItsShareOnly) {
  RandomGroup group;
  group.input.topics = {{Uuid(), 4}, {Uuid(), 2}};
  group.input.members = {{"a", {}, {}}, {"b", {}, {}}, {"c", {}, {}}};
  group.previous = {{0, 0, 0, 1}, {1, 1}};
  EXPECT_THAT(assign_uniform(group.input, group.previous), ElementsAre(ElementsAre(0, 0, 2, 1), ElementsAre(1, 2)));
}

TEST(RangeAssignor, GivesContiguousRangesToTheSameMembers) {
  for (uint64_t seed = 0; seed < kGroups; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    const RandomGroup group = random_group(random, seed % 2 == 0);
    const Owners owners = assign_range(group.input, group.previous);
    expect_valid(group, owners);
    for (size_t topic = 0; topic < owners.size(); ++topic) {
      const auto members = group.subscribers(topic);
      if (members.empty()) continue;
      std::vector<int32_t> runs = owners[topic];
      runs.erase(std::unique(runs.begin(), runs.end()), runs.end());
      EXPECT_EQ(runs.size(), std::min(members.size(), owners[topic].size()));
      EXPECT_EQ(std::set(runs.begin(), runs.end()).size(), runs.size());
      for (const int32_t owner : runs) {
        const auto count = static_cast<size_t>(std::ranges::count(owners[topic], owner));
        EXPECT_GE(count, owners[topic].size() / members.size());
        EXPECT_LE(count, (owners[topic].size() + members.size() - 1) / members.size());
      }
      for (size_t other = 0; other < topic; ++other) {
        if (owners[other].size() != owners[topic].size() || group.subscribers(other) != members) continue;
        EXPECT_EQ(owners[other], owners[topic]);
      }
    }
    EXPECT_EQ(assign_range(group.input, owners), owners);
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(Assignors, WithoutMembersNobodyOwns) {
  AssignorInput input;
  input.topics = {{Uuid(), 2}};
  for (const Assignor& assignor : consumer_assignors()) {
    EXPECT_THAT(assignor.assign(input, {{-1, -1}}), ElementsAre(ElementsAre(-1, -1))) << assignor.name;
  }
}

TEST(Assignors, AreFoundByName) {
  EXPECT_EQ(consumer_assignors().front().name, "uniform");
  EXPECT_EQ(find_consumer_assignor("range")->assign, &assign_range);
  EXPECT_EQ(find_consumer_assignor("sticky"), nullptr);
}

struct KafkaGroup : RandomGroup {
  Owners by_range, by_uniform;
};

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');) parts.push_back(part);
  return parts;
}

Owners owners_of(const std::string& text) {
  Owners owners;
  for (const std::string& topic : split(text)) {
    auto& added = owners.emplace_back();
    for (const char owner : topic) added.push_back(owner == '-' ? -1 : owner - 'a');
  }
  return owners;
}

std::vector<KafkaGroup> kafka_groups() {
  std::vector<KafkaGroup> groups;
  std::ifstream file(WEIR_GROUP_TESTDATA "/assignments.txt");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    std::string equal, members, before, range, uniform;
    std::istringstream(line) >> equal >> members >> before >> range >> uniform;
    KafkaGroup& group = groups.emplace_back();
    group.input.equal_subscriptions = equal == "=";
    const auto tokens = split(members);
    for (const std::string& token : tokens) {
      group.names.push_back(std::string("m") + static_cast<char>('a' + group.names.size()));
      group.instances.push_back(token.substr(0, token.find(':')));
    }
    for (size_t i = 0; i < tokens.size(); ++i) {
      AssignorMember& member = group.input.members.emplace_back();
      member.id = group.names[i];
      if (group.instances[i] != "-") member.instance_id = group.instances[i];
      if (group.input.equal_subscriptions) continue;
      for (const char topic : tokens[i].substr(tokens[i].find(':') + 1)) member.topics.push_back(topic - '0');
    }
    group.previous = owners_of(before);
    group.by_range = owners_of(range);
    group.by_uniform = owners_of(uniform);
    for (const auto& topic : group.previous) group.input.topics.push_back({Uuid(), static_cast<int32_t>(topic.size())});
  }
  return groups;
}

// Where subscriptions differ, ties are decided differently, and what is more even may need another move.
TEST(Assignors, DoAsKafkas) {
  const auto groups = kafka_groups();
  ASSERT_EQ(groups.size(), 200u);
  size_t own_moves = 0, kafkas_moves = 0;
  for (const KafkaGroup& group : groups) {
    SCOPED_TRACE(&group - groups.data());
    EXPECT_EQ(assign_range(group.input, group.previous), group.by_range);
    const Owners owners = assign_uniform(group.input, group.previous);
    own_moves += moves(group, owners);
    kafkas_moves += moves(group, group.by_uniform);
    EXPECT_LE(unevenness(group, owners), unevenness(group, group.by_uniform));
    if (!group.input.equal_subscriptions) continue;
    EXPECT_EQ(unevenness(group, owners), unevenness(group, group.by_uniform));
    EXPECT_EQ(moves(group, owners), moves(group, group.by_uniform));
  }
  EXPECT_GT(own_moves, 100u);
  EXPECT_LE(own_moves, kafkas_moves);
}

}  // namespace
}  // namespace weir::coordination
