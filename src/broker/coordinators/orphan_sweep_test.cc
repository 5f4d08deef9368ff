// Open transactions that no coordinator knows, through a whole broker.
#include "broker/coordinators/orphan_sweep.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "base/log.h"
#include "broker/handlers/transactions_fixture.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "storage/log/offline_markers.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class OrphanSweepTest : public TransactionsTest {
 protected:
  static constexpr int64_t kOrphan = 4711;  // a producer id that nobody gave

  void SetUp() override {
    TransactionsTest::SetUp();
    set_log_event_sink([this](LogLevel, std::string_view, const LogEvent& event) {
      if (event.what.find("open transaction") != std::string_view::npos) lines_.emplace_back(event.what);
    });
  }
  void TearDown() override {
    set_log_event_sink({});
    TransactionsTest::TearDown();
  }
  // A batch that the log takes for verified, though no coordinator was asked.
  void write_orphan(int64_t producer_id, int32_t index, const std::string& topic = "t") {
    storage::Partition& partition = partition_of(topic, index);
    storage::LogShard& log = *logs_[broker_->owner(partition.id())];
    bool done = false;
    sim_.loop(broker_->owner(partition.id())).post([&] {
      const storage::Verification needed = log.check_producer(partition, {.producer_id = producer_id, .producer_epoch = 3});
      const auto records =
          batch({"orphan"}, {.producer_id = producer_id, .producer_epoch = 3, .base_sequence = 0, .transactional = true},
                sim_.clock().wall_ms());
      log.append(partition, Slice::copy_of(records), true,
                 [&](const storage::AppendResult& result) {
                   EXPECT_EQ(result.error, ErrorCode::kNone) << result.message;
                   done = true;
                 },
                 {.guard = needed.guard});
      log.verified(needed.guard, {});
    });
    run_until([&] { return done; });
  }
  const OrphanSweep& sweep() const { return transactions_->orphans(); }
  // The looks that follow the start are over: the next one is that of run_one_look().
  void pass_first_look() { sim_.run_for(10 * runtime::kSecond); }
  void run_one_look() { sim_.run_for(OrphanSweep::kIntervalNs + 10 * runtime::kSecond); }

  std::vector<std::string> lines_;
};

TEST_F(OrphanSweepTest, AnOrphanIsAbortedAfterTheStart) {
  write_orphan(kOrphan, 0);
  write_orphan(kOrphan, 1);
  write_orphan(kOrphan + 1, 1);
  EXPECT_EQ(produce("t", 0, {"behind"})->responses[0].partition_responses[0].error_code, 0);
  EXPECT_THAT(read("t", 0), IsEmpty());
  restart(true);
  sim_.run_for(10 * runtime::kSecond);
  EXPECT_EQ(sweep().orphans(), 3u);
  EXPECT_EQ(sweep().aborted(), 3u);
  for (int32_t partition : {0, 1}) EXPECT_FALSE(in_transaction("t", partition));
  EXPECT_THAT(read("t", 0), ElementsAre("behind"));
  ASSERT_EQ(lines_.size(), 1u);
  EXPECT_THAT(lines_[0], HasSubstr("3 open transactions"));
  EXPECT_THAT(lines_[0], HasSubstr("t-0 from offset 0 on (producer 4711, epoch 3)"));
  run_one_look();
  EXPECT_EQ(sweep().orphans(), 0u);
  EXPECT_EQ(lines_.size(), 1u);
}

TEST_F(OrphanSweepTest, AnOrphanIsAbortedWhileTheBrokerRuns) {
  pass_first_look();
  write_orphan(kOrphan, 2);
  EXPECT_TRUE(in_transaction("t", 2));
  run_one_look();
  EXPECT_FALSE(in_transaction("t", 2));
  EXPECT_EQ(sweep().aborted(), 1u);
}

TEST_F(OrphanSweepTest, WithoutCoordinatorsAllAreOrphans) {
  write_orphan(kOrphan, 0);
  protocol::DeleteTopicsRequest deletion;
  std::string_view name = TransactionCoordinators::kTopic;
  deletion.topic_names = {&name, 1};
  deletion.timeout_ms = 10'000;
  EXPECT_EQ(call<protocol::DeleteTopicsResponse>(3, deletion)->responses[0].error_code, 0);
  run_one_look();
  EXPECT_FALSE(in_transaction("t", 0));
}

TEST_F(OrphanSweepTest, TransactionsThatAreKnownGoOn) {
  pass_first_look();
  std::vector<Producer> open;
  for (int i = 0; i < 20; ++i) {
    Producer producer = init("x" + std::to_string(i), 900'000);
    for (int32_t partition = 0; partition < 3; ++partition) {
      EXPECT_EQ(write(i % 2 == 0 ? kFirst : kSecond, producer, partition, {std::to_string(i)}), ErrorCode::kNone);
    }
    open.push_back(producer);
  }
  write_orphan(kOrphan, 1);
  run_one_look();
  EXPECT_EQ(sweep().orphans(), 1u);
  restart(true);
  sim_.run_for(10 * runtime::kSecond);
  EXPECT_EQ(sweep().orphans(), 0u);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(end(i % 2 == 0 ? kFirst : kSecond, open[i], true), ErrorCode::kNone) << i;
  for (Producer& producer : open) settle(producer);
  for (int32_t partition = 0; partition < 3; ++partition) EXPECT_EQ(read("t", partition).size(), 20u);
}

TEST_F(OrphanSweepTest, OffsetsOfAnOrphanGo) {
  write_orphan(kOrphan, 0, "__consumer_offsets");
  EXPECT_TRUE(in_transaction("__consumer_offsets", 0));
  run_one_look();
  EXPECT_FALSE(in_transaction("__consumer_offsets", 0));
  EXPECT_EQ(sweep().aborted(), 1u);
}

TEST_F(OrphanSweepTest, OrphansAreKeptIfTheConfigurationSaysSo) {
  set("weir.transaction.abort.orphans", "false");
  restart(true);
  pass_first_look();
  write_orphan(kOrphan, 0);
  run_one_look();
  EXPECT_EQ(sweep().orphans(), 1u);
  EXPECT_EQ(sweep().aborted(), 0u);
  EXPECT_TRUE(in_transaction("t", 0));
  EXPECT_EQ(lines_.size(), 1u);
  protocol::IncrementalAlterConfigsRequest::AlterableConfig config;
  config.name = "weir.transaction.abort.orphans";
  config.value = "true";
  protocol::IncrementalAlterConfigsRequest::AlterConfigsResource resource;
  resource.resource_type = 4;
  resource.configs = {&config, 1};
  protocol::IncrementalAlterConfigsRequest request;
  request.resources = {&resource, 1};
  EXPECT_EQ(call<protocol::IncrementalAlterConfigsResponse>(1, request)->responses[0].error_code, 0);
  run_one_look();
  EXPECT_EQ(sweep().aborted(), 1u);
  EXPECT_FALSE(in_transaction("t", 0));
}

TEST_F(OrphanSweepTest, NothingIsAbortedWhileACoordinatorDoesNotServe) {
  Producer known = init("x", 900'000);
  EXPECT_EQ(write(kSecond, known, 0, {"v"}), ErrorCode::kNone);
  write_orphan(kOrphan, 1);
  const storage::PartitionId damaged = broker_->shard(0).image->find("__transaction_state")->partition(coordinator_hash("x") % 3);
  stop();
  storage::OfflineMarkers markers(sim_.disk(), "/data");
  ASSERT_TRUE(markers.put(damaged, "damaged by this test"));
  restart(true);
  sim_.run_for(60 * runtime::kSecond);
  for (int32_t partition : {0, 1}) EXPECT_TRUE(in_transaction("t", partition));
  EXPECT_EQ(sweep().aborted(), 0u);
  stop();
  ASSERT_TRUE(markers.remove(damaged));
  restart(true);
  sim_.run_for(10 * runtime::kSecond);
  EXPECT_TRUE(in_transaction("t", 0));
  EXPECT_FALSE(in_transaction("t", 1));
  EXPECT_EQ(sweep().aborted(), 1u);
}

TEST_F(OrphanSweepTest, PartitionsWithLateTransactionsAreCounted) {
  set("transaction.max.timeout.ms", "60000");
  set("weir.transaction.abort.orphans", "false");
  restart(true);
  pass_first_look();
  write_orphan(kOrphan, 0);
  write_orphan(kOrphan + 1, 0);
  write_orphan(kOrphan, 1);
  run_one_look();
  EXPECT_EQ(sweep().late_partitions(), 0u) << "a minute and five more";
  run_one_look();
  EXPECT_EQ(sweep().late_partitions(), 2u);
}

}  // namespace
}  // namespace weir::broker
