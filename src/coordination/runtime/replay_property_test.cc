// Random histories over the runtime and a log on a simulated disk, with crashes: whatever the state machine, what the log says is
// what the state is, at every point.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "base/log.h"
#include "coordination/group/consumer/consumer_client.h"
#include "coordination/group/group_world.h"
#include "coordination/runtime/coordinator_runtime.h"
#include "coordination/runtime/coordinator_world.h"
#include "coordination/runtime/ledger_world.h"
#include "coordination/runtime/verified_step.h"
#include "coordination/transaction/transaction_world.h"
#include "storage/log/log_on_disk_fixture.h"

namespace weir::coordination {
namespace {

// Where a history takes place.
class Place {
 public:
  virtual ~Place() = default;
  // Returns when the step is durable; what it answers has come.
  virtual void run(CoordinatorRuntime::Step step) = 0;
  virtual void advance(int64_t ms) = 0;
  virtual void image_changed(const ImageChange& change) = 0;
  virtual void crash(storage::testing::Death death) = 0;
  virtual TestServices& services() = 0;
};

// What happens to one kind of state machine.
class History {
 public:
  explicit History(uint64_t seed) : random_(seed, 9) {}
  virtual ~History() = default;
  void take_place(Place& place) { place_ = &place; }
  virtual std::unique_ptr<StateMachine> make() = 0;
  virtual void begin() {}
  virtual void act() = 0;
  virtual void compare(const StateMachine& live, const StateMachine& replayed) const = 0;
  // How far it got, to see that it gets anywhere.
  virtual int progress() const = 0;

  weir::testing::SeededRandom random_;

 protected:
  Place& place() { return *place_; }

 private:
  Place* place_ = nullptr;
};

// --- groups ---------------------------------------------------------------------------------------------------------

// Classic groups in a rebalance are not in the log as they are: they are left out on both sides.
std::vector<CoordinatorRecord> settled(const GroupCoordinatorState& from, const std::vector<CoordinatorRecord>& live) {
  std::vector<CoordinatorRecord> all;
  for (CoordinatorRecord& record : from.snapshot()) {
    const bool group = record.key[1] == 2;
    const bool known = std::any_of(live.begin(), live.end(), [&](const CoordinatorRecord& one) { return one.key == record.key; });
    if (!group || known) all.push_back(std::move(record));
  }
  return all;
}

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

// --- consumer groups ------------------------------------------------------------------------------------------------

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

// --- a ledger -------------------------------------------------------------------------------------------------------

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

// --- transactions ---------------------------------------------------------------------------------------------------

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

// --- the property ---------------------------------------------------------------------------------------------------

class ReplayPropertyTest : public storage::testing::LogOnDisk, private Place {
 protected:
  // `steps` of it, and a crash now and then.
  void run_history(History& history, int steps) {
    history_ = &history;
    history.take_place(*this);
    ASSERT_EQ(open(), "");
    start();
    history.begin();
    for (int i = 0; i < steps; ++i) {
      history.act();
      compare();
      if (HasFatalFailure()) return;
      if (!history.random_.one_in(40)) continue;
      crash(history.random_.one_in(2) ? storage::testing::Death::kPowerCut : storage::testing::Death::kKill);
    }
    coordinator_.reset();
    end(storage::testing::Death::kKill);
    topics_.push_back(storage::testing::partition_id(next_topic_++));  // for the next history
  }

 private:
  const storage::PartitionId& id() const { return topics_.back(); }
  runtime::Loop& loop() { return sim_.loop(storage::shard_of(id(), 2)); }

  std::unique_ptr<CoordinatorRuntime> make() {
    const CoordinatorRuntime::Surroundings around{sim_.pool(), loop(), shard(id()), *services_};
    return std::make_unique<CoordinatorRuntime>(
        around, id(), CoordinatorRuntime::Names{"topic", "things"}, [this] { return history_->make(); },
        std::make_shared<TestImage>());
  }
  void start() {
    services_ = std::make_unique<TestServices>(loop());
    coordinator_ = make();
    coordinator_->load();
    until([&] { return coordinator_->loaded(); });
  }
  template <typename Condition>
  void until(Condition condition) {
    ASSERT_EQ(sim_.run_until(condition, 60 * runtime::kSecond), storage::testing::SimRuntime::Stop::kDone);
  }

  // Place
  void run(CoordinatorRuntime::Step step) override {
    coordinator_->run([this, &step](StateMachine& machine, Instant at, Effects& effects) {
      step(machine, at, effects);
      verify(effects, shard(id()), id());
    });
    settle();
  }
  void advance(int64_t ms) override {
    sim_.run_for(ms * runtime::kMillisecond);
    settle();
  }
  void image_changed(const ImageChange& change) override {
    coordinator_->image_changed(change);
    settle();
  }
  void crash(storage::testing::Death death) override {
    coordinator_.reset();
    end(death);
    ASSERT_EQ(open(), "");
    start();
  }
  TestServices& services() override { return *services_; }

  // An answer comes when all that was before is durable.
  void settle() {
    until([&] { return coordinator_->loaded(); });  // again, if it was stale
    bool durable = false;
    coordinator_->run([&](StateMachine&, Instant, Effects& effects) {
      effects.replies.push_back([&](protocol::ErrorCode failure) {
        EXPECT_EQ(failure, protocol::ErrorCode::kNone);
        durable = true;
      });
    });
    until([&] { return durable; });
  }

  void compare() {
    std::unique_ptr<CoordinatorRuntime> copy;
    std::vector<CoordinatorRecord> before;
    do {  // again if a timer or an arrival came between
      settle();
      before = coordinator_->machine().snapshot();
      copy = make();
      copy->hold([](bool) {});  // it writes nothing
      copy->load();
      until([&] { return copy->loaded(); });
    } while (before != coordinator_->machine().snapshot());
    history_->compare(coordinator_->machine(), copy->machine());
  }

  History* history_ = nullptr;
  std::unique_ptr<TestServices> services_;
  std::unique_ptr<CoordinatorRuntime> coordinator_;
  uint64_t next_topic_ = 100;
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
