// Coordinators of another kind than groups, in a whole broker: what the broker does for every state machine.
#include "broker/coordinators/coordinator_host.h"

#include "broker/broker.h"
#include "broker/handlers/broker_fixture.h"
#include "coordination/runtime/ledger_world.h"
#include "protocol/messages/delete_topics.h"

namespace weir::broker {
namespace {

using coordination::Effects;
using coordination::Instant;
using coordination::Ledger;
using coordination::LedgerReply;
using coordination::LedgerResult;
using protocol::ErrorCode;

class LedgerCoordinators final : public CoordinatorHost {
 public:
  LedgerCoordinators(Broker& broker, runtime::Pool& pool)
      : CoordinatorHost(broker, pool, {"ledger", "accounts", 7, {{"cleanup.policy", "compact"}}}) {
    begin();
  }
  template <typename Step>
  void call(unsigned home, std::string_view account, LedgerReply reply, Step step) {
    ask<Ledger>(home, coordinator_hash(account), false, std::move(reply), std::move(step));
  }

 private:
  std::unique_ptr<coordination::CoordinatorRuntime> make_partition(
      BrokerShard& /*shard*/, const coordination::CoordinatorRuntime::Surroundings& surroundings, const storage::PartitionId& id,
      coordination::ImagePtr image) override {
    return std::make_unique<coordination::CoordinatorPartition<Ledger>>(
        surroundings, id, coordination::CoordinatorRuntime::Names{"ledger", "accounts"},
        [] { return std::make_unique<Ledger>(); }, std::move(image));
  }
  // Another partition takes money if it exists.
  void deliver(BrokerShard& shard, const storage::PartitionId& to, std::any message, Function<void(std::any)> done) override {
    EXPECT_TRUE(shard.loop.in_loop());
    done(std::any(std::any_cast<int64_t>(message) > 0 && shard.log.find(to) != nullptr));
  }
};

class CoordinatorHostTest : public BrokerTest {
 protected:
  void SetUp() override {
    BrokerTest::SetUp();
    start_ledgers();
    bool created = false;
    ledgers_->create_topic(0, [&](ErrorCode error) {
      EXPECT_EQ(error, ErrorCode::kNone);
      created = true;
    });
    run_until([&] { return created; });
  }
  void start_ledgers() { ledgers_ = std::make_unique<LedgerCoordinators>(*broker_, sim_.pool()); }
  void TearDown() override {
    stop();
    ledgers_.reset();
  }

  template <typename Step>
  LedgerResult ask(unsigned home, const std::string& account, Step step) {
    std::optional<LedgerResult> answer;
    sim_.loop(home).post([&] {
      ledgers_->call(
          home, account, [&](LedgerResult result) { answer = result; },
          [step, account](Ledger& ledger, LedgerReply reply, Instant, Effects& effects) mutable {
            step(ledger, account, std::move(reply), effects);
          });
    });
    run_until([&] { return answer.has_value(); });
    return *answer;
  }
  int64_t deposit(unsigned home, const std::string& account, int64_t amount) {
    return ask(home, account,
               [amount](Ledger& ledger, const std::string& name, LedgerReply reply, Effects& effects) {
                 ledger.deposit(name, amount, std::move(reply), effects);
               })
        .value;
  }
  LedgerResult balance(unsigned home, const std::string& account) {
    return ask(home, account, [](Ledger& ledger, const std::string& name, LedgerReply reply, Effects& effects) {
      ledger.read(name, std::move(reply), effects);
    });
  }

  std::unique_ptr<LedgerCoordinators> ledgers_;
};

TEST_F(CoordinatorHostTest, KeysHaveOneCoordinatorWhateverShardAsks) {
  for (int i = 0; i < 20; ++i) {
    const std::string account = "account" + std::to_string(i);
    EXPECT_EQ(deposit(0, account, 1), 1);
    EXPECT_EQ(deposit(1, account, 2), 3);
    EXPECT_EQ(deposit(2, account, i), 3 + i);
  }
  EXPECT_EQ(ledgers_->partition_count(0), 7);
  stop();
  ledgers_.reset();
  frontends_.clear();
  frontend_metrics_.reset();
  registry_.reset();
  start();
  start_ledgers();
  for (int i = 0; i < 20; ++i) {
    const std::string account = "account" + std::to_string(i);
    LedgerResult answer;
    do answer = balance(1, account);
    while (answer.error == ErrorCode::kCoordinatorLoadInProgress || answer.error == ErrorCode::kNotCoordinator);
    EXPECT_EQ(answer.value, 3 + i);
  }
}

TEST_F(CoordinatorHostTest, TheBrokerDoesWhatStateMachinesAskFor) {
  const auto branch = [](Ledger& ledger, const std::string& name, LedgerReply reply, Effects& effects) {
    ledger.open_branch(name, std::move(reply), effects);
  };
  const LedgerResult first = ask(0, "north", branch);
  const LedgerResult second = ask(1, "north", branch);
  EXPECT_EQ(first.error, ErrorCode::kNone);
  EXPECT_NE(first.value, second.value) << "producer ids are given once";

  const auto audit = [](Ledger& ledger, const std::string&, LedgerReply reply, Effects& effects) {
    ledger.audit(std::move(reply), effects);
  };
  deposit(0, "south", 5);
  EXPECT_EQ(ask(2, "south", audit).value, 5);

  const Uuid topic = create_topic("t", 5);
  for (int32_t index = 0; index < 7; ++index) {
    const auto send = [&](Ledger& ledger, const std::string& name, LedgerReply reply, Effects& effects) {
      ledger.send(name, 1, {topic, index}, std::move(reply), effects);
    };
    EXPECT_EQ(ask(0, "south", send).error, index < 5 ? ErrorCode::kNone : ErrorCode::kInvalidRequest) << index;
  }
  EXPECT_EQ(balance(0, "south").value, 0);
}

TEST_F(CoordinatorHostTest, CoordinatorsHearOfImages) {
  create_topic("t", 1);
  deposit(0, "t", 5);
  deposit(0, "u", 6);
  protocol::DeleteTopicsRequest request;
  std::string_view name = "t";
  request.topic_names = {&name, 1};
  request.timeout_ms = 10'000;
  EXPECT_EQ(call<protocol::DeleteTopicsResponse>(3, request)->responses[0].error_code, 0);
  EXPECT_EQ(balance(1, "t").value, 0);
  EXPECT_EQ(balance(1, "u").value, 6);
}

TEST_F(CoordinatorHostTest, CoordinatorsOfADeletedTopicServeNoMore) {
  deposit(0, "u", 6);
  protocol::DeleteTopicsRequest request;
  std::string_view name = "ledger";
  request.topic_names = {&name, 1};
  request.timeout_ms = 10'000;
  EXPECT_EQ(call<protocol::DeleteTopicsResponse>(3, request)->responses[0].error_code, 0);
  EXPECT_EQ(balance(1, "u").error, ErrorCode::kNotCoordinator);
}

}  // namespace
}  // namespace weir::broker
