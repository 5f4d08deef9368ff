// The runtime over a log whose flushes the test completes: what goes out when, and what becomes of a step whose entries cannot
// be appended.
#include "coordination/runtime/coordinator_runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "coordination/runtime/coordinator_partition.h"
#include "coordination/runtime/coordinator_world.h"
#include "coordination/runtime/ledger_world.h"
#include "coordination/runtime/verified_step.h"
#include "protocol/record_batch.h"
#include "storage/log/log_shard_fixture.h"

namespace weir::coordination {
namespace {

using protocol::ErrorCode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class CoordinatorRuntimeTest : public storage::LogShardTest {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::kError);
    LogShardTest::SetUp();
    make();
    coordinator_->load();
    ASSERT_TRUE(coordinator_->loaded());
  }
  void TearDown() override { set_log_level(LogLevel::kInfo); }

  void make() {
    const CoordinatorRuntime::Surroundings around{world_.pool(), world_.loop(), *shard_, services_};
    coordinator_ = std::make_unique<CoordinatorPartition<Ledger>>(
        around, partition_->id(), CoordinatorRuntime::Names{"__ledger", "accounts"},
        [this] {
          ++machines_;
          return std::make_unique<Ledger>();
        },
        image_);
  }
  // Answers land in answers_, as the name of the request and what came.
  LedgerReply reply(std::string name) {
    return [this, name = std::move(name)](LedgerResult result) {
      answers_.push_back(
          name + " " +
          (result.error == ErrorCode::kNone ? std::to_string(result.value) : std::string(protocol::error_name(result.error))));
    };
  }
  template <typename Request>
  void step(Request request) {
    coordinator_->run([&](Ledger& ledger, Instant now, Effects& effects) {
      request(ledger, now, effects);
      verify(effects, *shard_, partition_->id());
    });
  }
  void deposit(const std::string& name, int64_t amount) {
    step([&](Ledger& ledger, Instant, Effects& effects) { ledger.deposit(name, amount, reply("deposit"), effects); });
  }
  void deposit_in(const Origin& origin, const std::string& name, int64_t amount) {
    step([&](Ledger& ledger, Instant now, Effects& effects) {
      ledger.deposit_in_transaction(origin, name, amount, reply("pending"), now, effects);
    });
  }
  void end(const TransactionMarker& marker) {
    step([&](Ledger& ledger, Instant, Effects& effects) { ledger.end(marker, reply("end"), effects); });
  }
  void read(const std::string& name) {
    step([&](Ledger& ledger, Instant, Effects& effects) { ledger.read(name, reply("read"), effects); });
  }
  void turn() { world_.advance(runtime::kMillisecond); }
  void flush() {
    turn();
    wal_->complete();
    turn();
  }
  void reloaded() {
    const int before = machines_;
    ASSERT_TRUE(world_.run_until([&] { return machines_ > before && coordinator_->loaded(); }));
  }
  std::vector<std::string> take_answers() { return std::exchange(answers_, {}); }

  TestServices services_{world_.loop()};
  ImagePtr image_ = std::make_shared<TestImage>();
  std::unique_ptr<CoordinatorPartition<Ledger>> coordinator_;
  std::vector<std::string> answers_;
  int machines_ = 0;
  const Origin producer_{7, 0, true};
};

TEST_F(CoordinatorRuntimeTest, AnswersWaitForTheEntriesOfTheirStepAndOfEarlierOnes) {
  read("a");
  EXPECT_THAT(take_answers(), ElementsAre("read 0")) << "nothing is before it";
  deposit("a", 5);
  deposit("b", 1);
  read("a");
  turn();
  EXPECT_EQ(wal_->info_.size(), 1u) << "one batch of a turn";
  EXPECT_THAT(take_answers(), IsEmpty());
  deposit("a", 2);
  turn();
  flush();
  EXPECT_THAT(take_answers(), ElementsAre("deposit 5", "deposit 1", "read 5", "deposit 7"));
}

TEST_F(CoordinatorRuntimeTest, EntriesOfATransactionAreAppendedInTheirStep) {
  deposit("a", 5);
  deposit_in(producer_, "a", 10);
  deposit_in(producer_, "b", 20);
  EXPECT_EQ(wal_->info_.size(), 3u) << "the plain one before it, and one a step";
  EXPECT_FALSE(wal_->info_[0].transactional());
  EXPECT_TRUE(wal_->info_[1].transactional());
  EXPECT_EQ(wal_->info_[1].producer_id, 7);
  end({7, 0, 4, true});
  ASSERT_EQ(wal_->info_.size(), 4u);
  EXPECT_TRUE(wal_->info_[3].ends_transaction());
  EXPECT_EQ(wal_->info_[3].coordinator_epoch, 4);
  read("a");
  flush();
  EXPECT_THAT(take_answers(), ElementsAre("deposit 5", "pending 0", "pending 0", "end 0", "read 15"));
  coordinator_.reset();
  make();
  coordinator_->load();
  world_.run_until([&] { return coordinator_->loaded(); });
  EXPECT_EQ(coordinator_->state().balance("a"), 15);
  EXPECT_EQ(coordinator_->state().balance("b"), 20);
  EXPECT_EQ(coordinator_->state().last_offset, 3);
}

// What a step without an own transaction does is never in another one's batch.
TEST_F(CoordinatorRuntimeTest, ATransactionNobodyEndsIsEndedByTime) {
  deposit_in(producer_, "a", 10);
  flush();
  world_.advance((Ledger::kTransactionTimeoutMs + 1) * runtime::kMillisecond);
  ASSERT_EQ(wal_->info_.size(), 2u);
  EXPECT_TRUE(wal_->info_[1].ends_transaction());
  EXPECT_EQ(wal_->info_[1].control_type, storage::BatchInfo::kAbort);
  EXPECT_EQ(coordinator_->state().balance("a"), 0);
}

TEST_F(CoordinatorRuntimeTest, RecordsThatAreJoinedAreOneBatch) {
  const std::string large(400 << 10, 'x');
  step([&](Ledger& ledger, Instant, Effects& effects) {
    ledger.deposit("1" + large, 1, reply("deposit"), effects);
    ledger.transfer("2" + large, "3" + large, 1, reply("transfer"), effects);
  });
  turn();
  ASSERT_EQ(wal_->info_.size(), 2u);
  EXPECT_EQ(wal_->info_[0].last_offset_delta, 0);
  EXPECT_EQ(wal_->info_[1].last_offset_delta, 1);
}

TEST_F(CoordinatorRuntimeTest, CallsAndPostsGoOutWhenTheirStepIsDurable) {
  const storage::PartitionId elsewhere{Uuid{{9}}, 3};
  step([&](Ledger& ledger, Instant, Effects& effects) {
    ledger.deposit("a", 5, reply("deposit"), effects);
    ledger.open_branch("north", reply("branch"), effects);
    ledger.send("a", 4, elsewhere, reply("send"), effects);
  });
  turn();
  EXPECT_TRUE(services_.requests.empty());
  EXPECT_TRUE(services_.posted.empty());
  flush();
  EXPECT_THAT(take_answers(), ElementsAre("deposit 5"));
  ASSERT_EQ(services_.requests.size(), 1u);
  ASSERT_EQ(services_.posted.size(), 1u);
  EXPECT_EQ(services_.posted[0].first, elsewhere);
  EXPECT_EQ(std::any_cast<int64_t>(services_.posted[0].second), 4);
  services_.answer_call({{}, 42});
  services_.answer_post(false);
  turn();
  turn();
  EXPECT_EQ(coordinator_->state().balance("a"), 5) << "was given back";
  EXPECT_THAT(take_answers(), IsEmpty()) << "what follows from an arrival is a step as well";
  flush();
  EXPECT_THAT(take_answers(), ElementsAre("branch 42", "send INVALID_REQUEST"));
}

TEST_F(CoordinatorRuntimeTest, JobsWorkOnASnapshotAndALateOneIsIgnored) {
  deposit("a", 5);
  flush();
  answers_.clear();
  const auto audit = [&] { step([&](Ledger& ledger, Instant, Effects& effects) { ledger.audit(reply("audit"), effects); }); };
  audit();
  deposit("a", 1);
  audit();  // takes the place of the first one, whose result nobody waits for
  flush();
  ASSERT_TRUE(world_.run_until([&] { return answers_.size() == 3 && coordinator_->state().ignored == 1; }));
  EXPECT_THAT(take_answers(), ElementsAre("deposit 6", "audit REBALANCE_IN_PROGRESS", "audit 6"));
}

TEST_F(CoordinatorRuntimeTest, WhatArrivesForAnEarlierStateIsDropped) {
  step([&](Ledger& ledger, Instant, Effects& effects) { ledger.open_branch("north", reply("branch"), effects); });
  step([&](Ledger& ledger, Instant, Effects& effects) { ledger.audit(reply("audit"), effects); });
  coordinator_->stop();
  EXPECT_THAT(take_answers(), ElementsAre("audit NOT_COORDINATOR", "branch NOT_COORDINATOR"));
  services_.answer_call({{}, 42});
  world_.advance(runtime::kSecond);
  EXPECT_EQ(machines_, 1);
  EXPECT_THAT(take_answers(), IsEmpty());
  EXPECT_EQ(coordinator_->serving(), ErrorCode::kNotCoordinator);
}

TEST_F(CoordinatorRuntimeTest, ImagesReachTheStateAndThoseOfALoadComeWithIt) {
  deposit("t", 5);
  deposit("topic", 6);
  flush();
  const auto deleted = [&](const std::string& topic) {
    auto after = std::make_shared<TestImage>(std::set<std::string, std::less<>>{topic});
    coordinator_->image_changed({image_, after, {{topic, Uuid{{1}}}}});
    image_ = after;
  };
  deleted("t");
  EXPECT_EQ(coordinator_->state().snapshot(), (std::vector<CoordinatorRecord>{{"atopic", "6"}}));
  flush();
  coordinator_.reset();
  make();
  coordinator_->load();
  ASSERT_FALSE(coordinator_->loaded());
  deleted("topic");
  world_.run_until([&] { return coordinator_->loaded(); });
  EXPECT_TRUE(coordinator_->state().snapshot().empty());
}

TEST_F(CoordinatorRuntimeTest, AStorageErrorAnswersNotCoordinatorAndTheStateIsReadAgain) {
  deposit("a", 5);
  turn();
  flush();
  deposit("a", 1);
  turn();
  read("a");
  step([&](Ledger& ledger, Instant, Effects& effects) { ledger.open_branch("north", reply("branch"), effects); });
  wal_->break_down();
  EXPECT_THAT(take_answers(),
              ElementsAre("deposit 5", "deposit NOT_COORDINATOR", "read NOT_COORDINATOR", "branch NOT_COORDINATOR"));
  EXPECT_TRUE(services_.requests.empty());
  EXPECT_EQ(coordinator_->serving(), ErrorCode::kCoordinatorLoadInProgress);
  reloaded();
  EXPECT_EQ(coordinator_->state().balance("a"), 5);
}

TEST_F(CoordinatorRuntimeTest, WhatIsTooLargeIsAnUnknownErrorAndTheStateIsReadAgain) {
  deposit("a", 5);
  flush();
  storage::LogConfig config = partition_->config();
  config.segment_bytes = 4096;
  shard_->set_config(partition_->id(), config);
  deposit("b", 1);
  deposit(std::string(8192, 'x'), 1);
  turn();
  EXPECT_THAT(take_answers(), ElementsAre("deposit 5", "deposit UNKNOWN_SERVER_ERROR", "deposit UNKNOWN_SERVER_ERROR"));
  reloaded();
  EXPECT_EQ(coordinator_->state().snapshot(), (std::vector<CoordinatorRecord>{{"aa", "5"}}));
  deposit("a", 1);
  flush();
  EXPECT_THAT(take_answers(), ElementsAre("deposit 6"));
}

TEST_F(CoordinatorRuntimeTest, ADeletedTopicMakesTheCoordinatorUnavailable) {
  deposit("a", 5);
  shard_->drop(partition_->id());
  turn();
  EXPECT_THAT(take_answers(), ElementsAre("deposit COORDINATOR_NOT_AVAILABLE"));
  world_.advance(3 * runtime::kSecond);
  EXPECT_EQ(coordinator_->serving(), ErrorCode::kNotCoordinator);
}

TEST_F(CoordinatorRuntimeTest, AFencedProducerEndsTheState) {
  deposit_in(producer_, "a", 10);
  end({7, 1, 0, true});
  flush();
  take_answers();
  deposit("a", 1);
  deposit_in(producer_, "a", 100);  // of the epoch before the marker's
  flush();
  EXPECT_THAT(take_answers(), ElementsAre("deposit INVALID_PRODUCER_EPOCH", "pending INVALID_PRODUCER_EPOCH"));
  reloaded();
  EXPECT_EQ(coordinator_->state().balance("a"), 11) << "its records came before the fenced one's, and are durable";
}

TEST_F(CoordinatorRuntimeTest, AHeldCoordinatorHasItsStateAndServesNobody) {
  deposit("t", 5);
  flush();
  coordinator_.reset();
  make();
  std::vector<bool> tried;
  coordinator_->hold([&](bool loaded) { tried.push_back(loaded); });
  coordinator_->load();
  ASSERT_TRUE(world_.run_until([&] { return coordinator_->loaded(); }));
  EXPECT_THAT(tried, ElementsAre(true));
  EXPECT_EQ(coordinator_->serving(), ErrorCode::kCoordinatorLoadInProgress);
  image_ = std::make_shared<TestImage>(std::set<std::string, std::less<>>{"t"});
  coordinator_->image_changed({nullptr, image_, {{"t", {}}}});
  EXPECT_EQ(coordinator_->state().balance("t"), 5) << "nothing happens to it";
  coordinator_->release();
  EXPECT_EQ(coordinator_->serving(), ErrorCode::kNone);
  EXPECT_EQ(coordinator_->state().balance("t"), 0);
}

TEST_F(CoordinatorRuntimeTest, AHeldCoordinatorHearsOfATopicThatWasDeletedAndMadeAnewWhenItServes) {
  deposit("t", 5);
  flush();
  coordinator_.reset();
  make();
  coordinator_->hold([](bool) {});
  coordinator_->load();
  ASSERT_TRUE(world_.run_until([&] { return coordinator_->loaded(); }));
  coordinator_->image_changed({image_, image_, {{"t", {}}}});
  EXPECT_EQ(coordinator_->state().balance("t"), 5);
  coordinator_->release();
  EXPECT_EQ(coordinator_->state().balance("t"), 0);
}

}  // namespace
}  // namespace weir::coordination
