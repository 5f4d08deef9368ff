// For tests: requests to a group coordinator whose answers are kept, and a state machine with virtual time and a log in memory.
#pragma once

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "coordination/group/group_coordinator_state.h"
#include "coordination/runtime/coordinator_world.h"
#include "coordination/runtime/world_time.h"
#include "protocol/messages/consumer_protocol.h"
#include "testing/seeded_random.h"

namespace weir::coordination {

// Nobody waits for further members of a new group.
inline GroupConfig no_delay() {
  GroupConfig config;
  config.initial_rebalance_delay_ms = 0;
  return config;
}

inline std::string subscription(std::vector<std::string_view> topics) {
  protocol::ConsumerProtocolSubscription message;
  message.topics = topics;
  protocol::Writer writer;
  writer.i16(0);
  message.encode(writer, 0);
  return std::string(as_string(writer.bytes()));
}

// A snapshot without what `live` cannot have: classic groups in a rebalance are not in the log as they are.
inline std::vector<CoordinatorRecord> settled(const GroupCoordinatorState& from, const std::vector<CoordinatorRecord>& live) {
  std::vector<CoordinatorRecord> all;
  for (CoordinatorRecord& record : from.snapshot()) {
    const bool group = record.key[1] == 2;
    const bool known = std::any_of(live.begin(), live.end(), [&](const CoordinatorRecord& one) { return one.key == record.key; });
    if (!group || known) all.push_back(std::move(record));
  }
  return all;
}

// Asks a coordinator. A derived class has the state machine.
class GroupRequests {
 public:
  virtual ~GroupRequests() = default;
  // A step, with its effects.
  using Step = Function<void(GroupCoordinatorState&, Instant, Effects&)>;
  virtual void run(Step step) = 0;

  struct JoinOptions {
    std::string group = "g";
    std::optional<std::string> instance = {};
    std::vector<GroupProtocol> protocols = {{"range", subscription({"t"})}};
    std::string type = "consumer";
    int32_t session_ms = 10'000;
    int32_t rebalance_ms = 30'000;
    bool ask_for_member_id = false;
    bool can_skip = true;
    std::string client_id = "client";
    TopicFilter may_describe = {};
  };
  Pending<JoinResult> join(const std::string& member_id, JoinOptions options) {
    JoinRequest request;
    request.group_id = options.group;
    request.member_id = member_id;
    request.instance_id = options.instance;
    request.client_id = options.client_id;
    request.client_host = "/10.0.0.1";
    request.protocol_type = options.type;
    request.protocols = options.protocols;
    request.session_timeout_ms = options.session_ms;
    request.rebalance_timeout_ms = options.rebalance_ms;
    request.requires_known_member_id = options.ask_for_member_id;
    request.can_skip_assignment = options.can_skip;
    request.may_describe = options.may_describe;
    Pending<JoinResult> answer;
    run([&](auto& state, Instant now, Effects& effects) { state.join(std::move(request), answer.reply(), now, effects); });
    return answer;
  }
  Pending<JoinResult> join(const std::string& member_id) { return join(member_id, JoinOptions()); }
  Pending<SyncResult> sync(const std::string& member_id, int32_t generation,
                           std::vector<SyncRequest::Assignment> assignments = {}, std::optional<std::string> instance = {},
                           const std::string& group = "g") {
    SyncRequest request{group, generation, member_id, std::move(instance), {}, {}, std::move(assignments)};
    Pending<SyncResult> answer;
    run([&](auto& state, Instant now, Effects& effects) { state.sync(std::move(request), answer.reply(), now, effects); });
    return answer;
  }
  ErrorCode heartbeat(const std::string& member_id, int32_t generation, std::optional<std::string> instance = {},
                      const std::string& group = "g") {
    Pending<HeartbeatResult> answer;
    run([&](auto& state, Instant now, Effects& effects) {
      state.heartbeat({group, generation, member_id, instance}, answer.reply(), now, effects);
    });
    return answer->error;
  }
  ConsumerHeartbeatResult consumer_heartbeat(ConsumerHeartbeatRequest request) {
    Pending<ConsumerHeartbeatResult> answer;
    run([&](auto& state, Instant now, Effects& effects) {
      state.consumer_heartbeat(std::move(request), answer.reply(), now, effects);
    });
    return *answer;
  }
  ConsumerGroupDescription describe_consumer(const std::string& group = "g") {
    Pending<ConsumerGroupDescription> answer;
    run([&](auto& state, Instant, Effects& effects) { state.describe_consumer(group, answer.reply(), effects); });
    return *answer;
  }
  std::vector<ListedGroup> list() {
    Pending<ListResult> answer;
    run([&](auto& state, Instant, Effects& effects) { state.list(answer.reply(), effects); });
    return answer->groups;
  }
  ErrorCode leave(const std::string& member_id, std::optional<std::string> instance = {}, const std::string& group = "g") {
    Pending<LeaveResult> answer;
    run([&](auto& state, Instant now, Effects& effects) {
      state.leave({group, {{member_id, instance}}}, answer.reply(), now, effects);
    });
    return answer->members.at(0);
  }
  ErrorCode commit(OffsetCommitRequest request) {
    Pending<OffsetCommitResult> answer;
    run([&](auto& state, Instant now, Effects& effects) { state.commit_offsets(request, answer.reply(), now, effects); });
    return answer->items.empty() ? answer->error : answer->items[0];
  }
  ErrorCode commit(const std::string& group, const std::string& topic, int32_t partition, int64_t offset,
                   const std::string& member_id = "", int32_t generation = -1) {
    OffsetCommitRequest request;
    request.group_id = group;
    request.member_id = member_id;
    request.generation = generation;
    request.items.push_back({topic, {}, partition, offset, 3, "meta"});
    return commit(std::move(request));
  }
  ErrorCode commit_in_transaction(TxnOffsetCommitRequest request) {
    Pending<OffsetCommitResult> answer;
    run([&](auto& state, Instant now, Effects& effects) {
      state.commit_transactional_offsets(request, answer.reply(), now, effects);
    });
    return answer->items.empty() ? answer->error : answer->items[0];
  }
  ErrorCode commit_in_transaction(int64_t producer_id, const std::string& group, const std::string& topic, int32_t partition,
                                  int64_t offset, Uuid topic_id = {}) {
    TxnOffsetCommitRequest request;
    request.group_id = group;
    request.producer_id = producer_id;
    request.producer_epoch = 0;
    request.items.push_back({topic, topic_id, partition, offset, 3, "meta"});
    return commit_in_transaction(std::move(request));
  }
  ErrorCode end_transaction(int64_t producer_id, bool commit) {
    Pending<MarkerResult> answer;
    run([&](auto& state, Instant now, Effects& effects) {
      state.end_transaction({producer_id, 0, 0, commit}, answer.reply(), now, effects);
    });
    return answer->error;
  }
  OffsetFetchResult fetch_all(const OffsetFetchRequest& request) {
    Pending<OffsetFetchResult> answer;
    run([&](auto& state, Instant, Effects& effects) { state.fetch_offsets(request, answer.reply(), effects); });
    return *answer;
  }
  std::vector<FetchedOffset> fetch(const OffsetFetchRequest& request) { return fetch_all(request).items; }
  FetchedOffset fetch(const std::string& group, const std::string& topic, int32_t partition, Uuid topic_id = {}) {
    OffsetFetchRequest request;
    request.group_id = group;
    request.items = {{topic, topic_id, partition}};
    return fetch(request).at(0);
  }
  FetchedOffset fetch_stable(const std::string& group, const std::string& topic, int32_t partition) {
    OffsetFetchRequest request;
    request.group_id = group;
    request.items = {{topic, {}, partition}};
    request.require_stable = true;
    return fetch(request).at(0);
  }
  ErrorCode delete_group(const std::string& group) {
    Pending<DeleteGroupResult> answer;
    run([&](auto& state, Instant now, Effects& effects) { state.delete_group(group, "a test", answer.reply(), now, effects); });
    return answer->error;
  }
  ErrorCode delete_offset(const std::string& group, const std::string& topic, int32_t partition) {
    Pending<OffsetDeleteResult> answer;
    run([&](auto& state, Instant now, Effects& effects) {
      state.delete_offsets({group, "a test", {{topic, partition}}}, answer.reply(), now, effects);
    });
    return answer->items.at(0);
  }
  GroupDescription describe(const std::string& group = "g") {
    Pending<GroupDescription> answer;
    run([&](auto& state, Instant, Effects& effects) { state.describe(group, answer.reply(), effects); });
    return *answer;
  }
  std::string_view group_state(const std::string& group = "g") { return describe(group).state; }
};

class GroupWorld final : public GroupRequests, public WorldTime<GroupWorld> {
 public:
  explicit GroupWorld(GroupConfig config = {}) : config_(config) { restart(); }

  void run(Step change) override {
    step([&](Effects& effects) { change(*state, now, effects); });
  }

  template <typename Step>
  void step(Step run) {
    Effects effects;
    run(effects);
    std::ranges::move(effects.log, std::back_inserter(log));
    std::ranges::move(effects.jobs, std::back_inserter(jobs));
    for (Release& release : effects.replies) release(ErrorCode::kNone);
  }

  // A new state out of the log, as after a crash.
  std::unique_ptr<GroupCoordinatorState> replayed() {
    auto fresh = std::make_unique<GroupCoordinatorState>(config_, random_, memory);
    for (size_t i = 0; i < log.size(); ++i) {
      const auto offset = static_cast<int64_t>(i);
      if (const auto* marker = std::get_if<TransactionMarker>(&log[i].what)) {
        fresh->replay_marker(offset, *marker);
        continue;
      }
      const auto& record = std::get<CoordinatorRecord>(log[i].what);
      std::optional<Bytes> value;
      if (record.value) value = as_bytes(*record.value);
      if (!fresh->replay(offset, log[i].origin, as_bytes(record.key), value)) return nullptr;
    }
    return fresh;
  }
  void restart() {
    jobs.clear();
    state = replayed();
    step([&](Effects& effects) { state->loaded(image, now, effects); });
  }

  // Does the jobs that are under way.
  void do_jobs() {
    for (Job& job : std::exchange(jobs, {})) {
      std::any result = job.work();
      step([&](Effects& effects) { state->arrived(job.token, std::move(result), now, effects); });
    }
  }
  // The next image.
  void change_image(std::shared_ptr<TestImage> next, std::vector<std::string> topics, std::vector<std::string> groups = {}) {
    next->image_version = image->version() + 1;
    const ImageChange change{image, next, {}, std::move(topics), std::move(groups)};
    image = next;
    step([&](Effects& effects) { state->image_changed(change, now, effects); });
  }

  std::vector<LogEntry> log;
  std::vector<Job> jobs;
  ImagePtr image = std::make_shared<TestImage>();
  GroupMemory memory{1 << 30};
  std::unique_ptr<GroupCoordinatorState> state;

 private:
  GroupConfig config_;
  testing::SeededRandom random_{1};
};

}  // namespace weir::coordination
