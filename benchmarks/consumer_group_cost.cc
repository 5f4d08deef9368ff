// The cost of a consumer group for its coordinator: processor time of the state machine, without requests, log and network.
//   weir_consumer_group_cost [members] [topics] [partitions of each] [assignor]
#include <fmt/core.h>

#include <cstdlib>
#include <ctime>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/log.h"
#include "coordination/group/group_coordinator_state.h"
#include "testing/seeded_random.h"

namespace weir::coordination {
namespace {

class Topics final : public Image {
 public:
  Topics(int topics, int32_t partitions) : partitions_(partitions) {
    for (int i = 0; i < topics; ++i) {
      const std::string name = "topic-" + std::to_string(i);
      const Uuid id = Uuid::from_random(0x9e3779b97f4a7c15ull * static_cast<uint64_t>(i + 1), static_cast<uint64_t>(i));
      ids_[name] = id;
      names_[id] = name;
    }
  }
  bool has_topic(std::string_view name) const override { return ids_.contains(std::string(name)); }
  bool has_topic(const Uuid& id) const override { return names_.contains(id); }
  std::optional<storage::PartitionId> partition(std::string_view, int32_t) const override { return std::nullopt; }
  std::optional<Topic> topic(std::string_view name) const override {
    const auto at = ids_.find(std::string(name));
    return at == ids_.end() ? std::nullopt : std::optional(Topic{at->second, partitions_});
  }
  std::optional<std::string> topic_name(const Uuid& id) const override {
    const auto at = names_.find(id);
    return at == names_.end() ? std::nullopt : std::optional(at->second);
  }
  std::vector<std::string> racks(std::string_view, int32_t) const override { return {}; }
  void for_each_topic(const std::function<void(std::string_view)>& visit) const override {
    for (const auto& [name, id] : ids_) visit(name);
  }
  int64_t version() const override { return 1; }
  std::optional<std::string> group_config(std::string_view, std::string_view) const override { return std::nullopt; }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& [name, id] : ids_) all.push_back(name);
    return all;
  }

 private:
  const int32_t partitions_;
  std::unordered_map<std::string, Uuid> ids_;
  std::unordered_map<Uuid, std::string> names_;
};

struct Member {
  std::string id;
  int32_t epoch = 0;
  Assignment owned = {};
  Assignment told = {};
  bool stable = false;  // its last heartbeat changed nothing
};

class Group {
 public:
  Group(int topics, int32_t partitions, std::string assignor)
      : image_(std::make_shared<Topics>(topics, partitions)), assignor_(std::move(assignor)), names_(image_->names()) {
    Effects effects;
    state_.loaded(image_, now_, effects);
  }

  void join(Member& member) { beat(member, true); }
  void leave(const Member& member) {
    ConsumerHeartbeatRequest request = base(member);
    request.member_epoch = -1;
    ask(std::move(request));
  }
  void beat(Member& member, bool joins = false) {
    ConsumerHeartbeatRequest request = base(member);
    if (joins) {
      request.rebalance_timeout_ms = 300'000;
      request.subscribed_topics = names_;
      request.server_assignor = assignor_;
      request.owned = Assignment();
    } else if (member.owned != member.told) {
      request.owned = member.owned;
    }
    if (request.owned) member.told = *request.owned;
    const int32_t before = member.epoch;
    ConsumerHeartbeatResult result = ask(std::move(request));
    if (result.error != ErrorCode::kNone) {
      fmt::print("heartbeat of {}: error {} {}\n", member.id, static_cast<int>(result.error), result.error_message.value_or(""));
      std::exit(1);
    }
    member.epoch = result.member_epoch;
    member.stable = member.epoch == before && !result.assignment && member.owned == member.told;
    if (result.assignment) member.owned = std::move(*result.assignment);
  }
  // Rounds of heartbeats until the group is stable.
  int settle(std::vector<Member>& members) {
    for (int round = 1;; ++round) {
      for (Member& member : members) beat(member);
      if (state_.consumer_state_counts()[static_cast<size_t>(ConsumerGroupState::kStable)] == 1) return round;
      pass(1'000);
    }
  }
  void pass(int64_t ms) {
    now_.monotonic_ms += ms;
    now_.wall_ms += ms;
  }
  size_t records() const { return records_; }
  int64_t memory_bytes() const { return state_.memory_bytes(); }

 private:
  ConsumerHeartbeatRequest base(const Member& member) const {
    ConsumerHeartbeatRequest request;
    request.group_id = "group";
    request.member_id = member.id;
    request.member_epoch = member.epoch;
    request.client_id = "client";
    request.client_host = "/10.0.0.1";
    return request;
  }
  ConsumerHeartbeatResult ask(ConsumerHeartbeatRequest request) {
    ConsumerHeartbeatResult answer;
    Effects effects;
    state_.consumer_heartbeat(
        std::move(request), [&](ConsumerHeartbeatResult result) { answer = std::move(result); }, now_, effects);
    for (Release& release : effects.replies) release(ErrorCode::kNone);
    records_ += effects.log.size();
    return answer;
  }

  const std::shared_ptr<Topics> image_;
  const std::string assignor_;
  const std::vector<std::string> names_;
  testing::SeededRandom random_{1};
  GroupMemory memory_{int64_t{1} << 40};
  GroupCoordinatorState state_{GroupConfig(), random_, memory_};
  Instant now_{1'000, 1'735'689'600'000};
  size_t records_ = 0;
};

double cpu_ms() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

template <typename Work>
double measure(std::string_view what, Group& group, Work work) {
  const size_t records = group.records();
  const double before = cpu_ms();
  const int rounds = work();
  const double ms = cpu_ms() - before;
  fmt::print("{:<40} {:>9.3f} ms  {:>3} rounds of heartbeats, {} records\n", what, ms, rounds, group.records() - records);
  return ms;
}

int run(int members_count, int topics, int32_t partitions, const std::string& assignor) {
  Group group(topics, partitions, assignor);
  std::vector<Member> members;
  for (int i = 0; i < members_count; ++i)
    members.push_back({fmt::format("member-{:016x}", testing::mix(static_cast<uint64_t>(i)))});
  measure("all join", group, [&] {
    for (Member& member : members) group.join(member);
    group.pass(1'000);
    return group.settle(members);
  });
  fmt::print("{} members, {} topics of {} partitions, {}: {} KiB\n", members_count, topics, partitions, assignor,
             group.memory_bytes() / 1024);
  for (int i = 0; i < 5; ++i) {
    const double idle = measure("idle", group, [&] { return group.settle(members); });
    group.pass(1'000);
    members.push_back({fmt::format("new-{}", i)});
    const double joined = measure("one joins", group, [&] {
      group.join(members.back());
      return group.settle(members);
    });
    group.pass(1'000);
    fmt::print("  over idle at {:.4f} ms a round: one heartbeat {:.3f} us\n", idle, idle * 1e3 / members_count);
    const double left = measure("one leaves", group, [&] {
      group.leave(members.front());
      members.erase(members.begin());
      return group.settle(members);
    });
    group.pass(1'000);
    static_cast<void>(joined + left);
  }
  return 0;
}

}  // namespace
}  // namespace weir::coordination

int main(int argc, char** argv) {
  const auto argument = [&](int index, int otherwise) { return argc > index ? std::atoi(argv[index]) : otherwise; };
  weir::set_log_level(weir::LogLevel::kError);
  return weir::coordination::run(argument(1, 1'000), argument(2, 10), argument(3, 1'000), argc > 4 ? argv[4] : "uniform");
}
