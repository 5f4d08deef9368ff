// For tests: requests to a transaction coordinator whose answers are kept, and a state machine with virtual time and a log in
// memory.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <any>
#include <cstdint>
#include <deque>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "coordination/runtime/coordinator_world.h"
#include "coordination/runtime/world_time.h"
#include "coordination/transaction/transaction_coordinator_state.h"

namespace weir::coordination {

inline constexpr TransactionVersion kTwo = TransactionVersion::kTwo;
inline constexpr TransactionVersion kZero = TransactionVersion::kZero;

// A producer id and its epoch.
struct Identity {
  int64_t id = -1;
  int16_t epoch = -1;
  bool operator==(const Identity&) const = default;
};

inline std::vector<TopicPartition> partitions(const std::string& topic, std::vector<int32_t> indexes) {
  std::vector<TopicPartition> all;
  for (const int32_t index : indexes) all.push_back({topic, index});
  return all;
}

// The content of a record.
inline TransactionMetadata metadata(TransactionState state, Identity producer, std::vector<TopicPartition> in = {}) {
  TransactionMetadata made;
  made.producer_id = made.previous_producer_id = producer.id;
  made.producer_epoch = producer.epoch;
  made.timeout_ms = 60'000;
  made.state = state;
  made.partitions = TransactionPartitions(in);
  made.last_update_ms = made.start_ms = 1'735'689'600'000;
  made.client_version = kTwo;
  return made;
}

// Asks a coordinator. A derived class has the state machine.
class TransactionRequests {
 public:
  virtual ~TransactionRequests() = default;
  // A step, with its effects.
  using Step = Function<void(TransactionCoordinatorState&, Instant, Effects&)>;
  virtual void run(Step step) = 0;

  Pending<InitProducerResult> ask_init(Identity given = {}, int32_t timeout_ms = 60'000, const std::string& id = "x") {
    Pending<InitProducerResult> answer;
    run([&](auto& state, Instant now, Effects& effects) {
      state.init_producer({id, timeout_ms, given.id, given.epoch}, answer.reply(), now, effects);
    });
    return answer;
  }
  Pending<AddPartitionsResult> ask_add(Identity by, std::vector<TopicPartition> partitions, TransactionVersion version,
                                       int32_t wait_ms, const std::string& id = "x") {
    AddPartitionsRequest request{id, by.id, by.epoch, std::move(partitions), version, false, wait_ms};
    Pending<AddPartitionsResult> answer;
    run([&](auto& state, Instant now, Effects& effects) {
      state.add_partitions(std::move(request), answer.reply(), now, effects);
    });
    return answer;
  }
  ErrorCode add(Identity by, std::vector<TopicPartition> partitions, TransactionVersion version = kTwo,
                const std::string& id = "x") {
    return ask_add(by, std::move(partitions), version, 0, id)->error;
  }
  // The error of all partitions, or those of each.
  std::vector<ErrorCode> verify(Identity by, std::vector<TopicPartition> partitions, const std::string& id = "x") {
    AddPartitionsRequest request{id, by.id, by.epoch, std::move(partitions), kZero, true, 0};
    Pending<AddPartitionsResult> answer;
    run([&](auto& state, Instant now, Effects& effects) {
      state.add_partitions(std::move(request), answer.reply(), now, effects);
    });
    return answer->error != ErrorCode::kNone ? std::vector{answer->error} : answer->partition_errors;
  }
  Pending<EndTransactionResult> ask_end(Identity by, bool commit, TransactionVersion version = kTwo,
                                        const std::string& id = "x") {
    Pending<EndTransactionResult> answer;
    run([&](auto& state, Instant now, Effects& effects) {
      state.end_transaction({id, by.id, by.epoch, commit, version}, answer.reply(), now, effects);
    });
    return answer;
  }
  TransactionDescription describe(const std::string& id = "x") {
    Pending<TransactionDescription> answer;
    run([&](auto& state, Instant now, Effects& effects) { state.describe(id, answer.reply(), now, effects); });
    return *answer;
  }
  std::vector<std::string> list(const ListTransactionsRequest& request = {}) {
    Pending<ListTransactionsResult> answer;
    run([&](auto& state, Instant now, Effects& effects) { state.list(request, answer.reply(), now, effects); });
    std::vector<std::string> ids;
    for (const ListedTransaction& one : answer->transactions) ids.push_back(one.transactional_id);
    return ids;
  }
};

class TransactionWorld final : public TransactionRequests, public WorldTime<TransactionWorld> {
 public:
  static constexpr int32_t kCoordinatorEpoch = 7;

  explicit TransactionWorld(TransactionConfig config = {}) : config_(config) { restart(); }

  void run(Step change) override {
    step([&](Effects& effects) { change(*state, now, effects); });
  }
  // Carries out a step. All that is in the log is durable at once; the state is what the log says.
  template <typename Step>
  void step(Step run) {
    Effects effects;
    run(effects);
    std::ranges::move(effects.log, std::back_inserter(log));
    std::ranges::move(effects.calls, std::back_inserter(calls));
    std::ranges::move(effects.posts, std::back_inserter(posts));
    expect_as_logged();
    for (Release& release : effects.replies) release(ErrorCode::kNone);
    if (give_ids) give_all_ids();
  }

  void expect_as_logged() {
    const auto copy = replayed();
    EXPECT_TRUE(copy && copy->snapshot() == state->snapshot()) << "the log does not say what the state is";
    EXPECT_EQ(memory.used_bytes(), state->memory_bytes() + (copy ? copy->memory_bytes() : 0) + others_bytes);
  }

  // Other coordinators use so many eighths of the memory.
  void use_memory(int64_t eighths) {
    const int64_t bytes = memory.limit_bytes() / 8 * eighths;
    memory.add(bytes - std::exchange(others_bytes, bytes));
  }

  // --- elsewhere
  void give_id(ControllerResult result) {
    const Token token = calls.front().token;
    calls.pop_front();
    step([&](Effects& effects) { state->arrived(token, result, now, effects); });
  }
  void give_all_ids() {
    while (!calls.empty()) give_id({{}, next_id++});
  }
  static WriteMarker marker_of(const Post& post) { return std::any_cast<WriteMarker>(post.message); }
  // The answer of the oldest post that waits for one.
  void answer_marker(ErrorCode error = ErrorCode::kNone) {
    const Token token = posts.front().token;
    posts.pop_front();
    step([&](Effects& effects) { state->arrived(token, MarkerWritten{error}, now, effects); });
  }
  void answer_markers() {
    while (!posts.empty()) answer_marker();
  }
  void set_gone(std::set<std::string, std::less<>> topics) {
    image = std::make_shared<TestImage>(std::move(topics));
    step([&](Effects& effects) { state->image_changed({nullptr, image, {}}, now, effects); });
  }

  // --- the usual way
  Identity init(Identity given = {}, const std::string& id = "x") {
    const auto answer = ask_init(given, 60'000, id);
    EXPECT_EQ(answer->error, ErrorCode::kNone);
    return {answer->producer_id, answer->producer_epoch};
  }
  // Ends, writes the markers, and returns what the producer goes on with.
  Identity end(Identity by, bool commit = true, TransactionVersion version = kTwo, const std::string& id = "x") {
    const auto answer = ask_end(by, commit, version, id);
    EXPECT_EQ(answer->error, ErrorCode::kNone);
    answer_markers();
    return version == kTwo ? Identity{answer->producer_id, answer->producer_epoch} : by;
  }

  // --- the log
  std::unique_ptr<TransactionCoordinatorState> make() {
    return std::make_unique<TransactionCoordinatorState>(config_, kCoordinatorEpoch, level, memory);
  }
  // A new state out of the log, as after a crash.
  std::unique_ptr<TransactionCoordinatorState> replayed() {
    auto fresh = make();
    for (size_t i = 0; i < log.size(); ++i) {
      const auto& record = std::get<CoordinatorRecord>(log[i].what);
      std::optional<Bytes> value;
      if (record.value) value = as_bytes(*record.value);
      if (!fresh->replay(static_cast<int64_t>(i), log[i].origin, as_bytes(record.key), value)) return nullptr;
    }
    return fresh;
  }
  void restart() {
    posts.clear();
    calls.clear();
    state.reset();
    state = replayed();
    step([&](Effects& effects) { state->loaded(image, now, effects); });
  }
  // As a load finds it.
  void put(TransactionMetadata found, TransactionVersion at = kTwo, const std::string& id = "x") {
    log.push_back({encode({id, std::move(found)}, at)});
  }
  void load(TransactionMetadata found, TransactionVersion at = kTwo) {
    put(std::move(found), at);
    restart();
  }
  TransactionRecord record(size_t from_the_end = 0) const {
    const auto& encoded = std::get<CoordinatorRecord>(log.at(log.size() - 1 - from_the_end).what);
    std::optional<Bytes> value;
    if (encoded.value) value = as_bytes(*encoded.value);
    return parse_transaction_record(as_bytes(encoded.key), value).value();
  }
  TransactionMetadata written(size_t from_the_end = 0) const { return record(from_the_end).value.value(); }

  std::vector<LogEntry> log;
  std::deque<ControllerCall> calls;
  std::deque<Post> posts;
  bool give_ids = true;  // at once
  int64_t next_id = 1'000;
  ImagePtr image = std::make_shared<TestImage>();
  TransactionLevel level;
  TransactionMemory memory{1 << 30};
  int64_t others_bytes = 0;  // of it
  std::unique_ptr<TransactionCoordinatorState> state;

 private:
  TransactionConfig config_;
};

}  // namespace weir::coordination
