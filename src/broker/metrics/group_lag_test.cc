#include "broker/metrics/group_lag.h"

#include <gmock/gmock.h>

#include "broker/handlers/broker_fixture.h"
#include "protocol/messages/find_coordinator.h"
#include "protocol/messages/offset_commit.h"

namespace weir::broker {
namespace {

class GroupLagTest : public BrokerTest {
 protected:
  static constexpr int64_t kRecordMs = 1'735'689'600'000;  // of the first record that batch() makes

  void SetUp() override {
    BrokerTest::SetUp();
    collector_ = std::make_unique<GroupLagCollector>(*groups_, sim_.pool());
    protocol::FindCoordinatorRequest request;
    request.key = "g";
    EXPECT_EQ(call<protocol::FindCoordinatorResponse>(3, request)->error_code, 0);
  }
  void commit(const std::string& group, const std::string& topic, int32_t partition, int64_t offset) {
    protocol::OffsetCommitRequest::OffsetCommitRequestPartition item;
    item.partition_index = partition;
    item.committed_offset = offset;
    item.committed_metadata = "";
    protocol::OffsetCommitRequest::OffsetCommitRequestTopic asked;
    asked.name = topic;
    asked.partitions = {&item, 1};
    protocol::OffsetCommitRequest request;
    request.group_id = group;
    request.topics = {&asked, 1};
    EXPECT_EQ(call<protocol::OffsetCommitResponse>(8, request)->topics[0].partitions[0].error_code, 0);
  }
  GroupLags collect() {
    std::optional<GroupLags> lags;
    sim_.loop(0).post([&] { collector_->collect(0, [&](GroupLags found) { lags = std::move(found); }); });
    run_until([&] { return lags.has_value(); });
    return std::move(*lags);
  }
  // Returns the milliseconds by which the lag in time differs from the record's age.
  int64_t off_by(const GroupLag& row, int64_t record_ms) { return sim_.loop(0).clock().wall_ms() - record_ms - row.lag_ms; }
  void checkpoint() {
    size_t checkpointed = 0;
    for (unsigned i = 0; i < kShards; ++i) {
      sim_.loop(i).post([&, i] { logs_[i]->checkpoint_all([&](Result<void> result) { checkpointed += result ? 1 : 0; }); });
    }
    run_until([&] { return checkpointed == kShards; });
  }

  std::unique_ptr<GroupLagCollector> collector_;
};

TEST_F(GroupLagTest, CountsRecordsAndTheAgeOfTheFirst) {
  create_topic("t", 4);
  for (int32_t partition = 0; partition < 4; ++partition) {
    produce("t", partition, {"a", "b", "c"});
    commit("g", "t", partition, partition);
  }
  const GroupLags lags = collect();
  ASSERT_EQ(lags.rows.size(), 4u);
  for (const GroupLag& row : lags.rows) {
    EXPECT_EQ(row.lag, 3 - row.partition);
    if (row.partition == 3) EXPECT_EQ(row.lag_ms, 0);
    else EXPECT_LE(std::abs(off_by(row, kRecordMs + row.partition)), 50);
  }
  EXPECT_GT(lags.memory_bytes, 0);
  std::string text;
  append_group_lags(text, lags);
  EXPECT_THAT(text,
              ::testing::HasSubstr("weir_consumer_group_lag{group=\"g\",type=\"classic\",topic=\"t\",partition=\"1\"} 2\n"));
  EXPECT_THAT(text, ::testing::HasSubstr(
                        "weir_consumer_group_lag_seconds{group=\"g\",type=\"classic\",topic=\"t\",partition=\"3\"} 0\n"));
  EXPECT_THAT(text, ::testing::HasSubstr("weir_unlisted_group_offsets 0\n"));
}

TEST_F(GroupLagTest, AgesComeFromSegmentsToo) {
  create_topic("t", 1);
  produce("t", 0, {"a", "b", "c"});
  commit("g", "t", 0, 1);
  commit("odd \"group\"", "t", 0, 2);
  checkpoint();
  restart(false);
  collector_ = std::make_unique<GroupLagCollector>(*groups_, sim_.pool());
  sim_.run_for(runtime::kSecond);
  for (int scrape = 0; scrape < 2; ++scrape) {  // read, then remembered
    const GroupLags lags = collect();
    ASSERT_EQ(lags.rows.size(), 2u);
    for (const GroupLag& row : lags.rows) EXPECT_LE(std::abs(off_by(row, kRecordMs + row.committed)), 50);
    std::string text;
    append_group_lags(text, lags);
    EXPECT_THAT(text, ::testing::HasSubstr("group=\"odd \\\"group\\\"\""));
  }
}

TEST_F(GroupLagTest, WhatIsThereAndWhatIsListedHaveBounds) {
  create_topic("t", 2'000);
  for (int group = 0; group < 6; ++group) {
    std::vector<protocol::OffsetCommitRequest::OffsetCommitRequestPartition> items(2'000);
    for (int32_t i = 0; i < 2'000; ++i) {
      items[static_cast<size_t>(i)].partition_index = i;
      items[static_cast<size_t>(i)].committed_metadata = "";
    }
    protocol::OffsetCommitRequest::OffsetCommitRequestTopic asked;
    asked.name = "t";
    asked.partitions = items;
    const std::string name = "g" + std::to_string(group);
    protocol::OffsetCommitRequest request;
    request.group_id = name;
    request.topics = {&asked, 1};
    call<protocol::OffsetCommitResponse>(8, request);
  }
  const GroupLags lags = collect();
  EXPECT_LE(lags.rows.size(), GroupLagCollector::kListedMax);
  EXPECT_EQ(lags.rows.size() + lags.unlisted, 12'000u);
  for (const GroupLag& row : lags.rows) EXPECT_EQ(row.lag, 0);
}

}  // namespace
}  // namespace weir::broker
