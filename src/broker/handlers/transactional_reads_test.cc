// The view of transactions that readers have, and tools that look at partitions.
#include <gmock/gmock.h>

#include "broker/handlers/transactions_fixture.h"
#include "protocol/messages/describe_producers.h"

namespace weir::broker {
namespace {

using namespace protocol;
using protocol::ErrorCode;
using ::testing::ElementsAre;

using TransactionalReadsTest = TransactionsTest;

TEST_F(TransactionalReadsTest, ReadersHearOfAbortedTransactionsAndEndAtTheOpenOne) {
  Producer producer = init("id"), other = init("other");
  const int64_t aborted = producer.id;
  ASSERT_EQ(write(kSecond, producer, 0, {"no"}), ErrorCode::kNone);  // 0
  ASSERT_EQ(write(kSecond, other, 0, {"yes"}), ErrorCode::kNone);    // 1
  ASSERT_EQ(end(kSecond, producer, false), ErrorCode::kNone);        // 2
  settle(producer);
  produce("t", 0, {"plain"});  // 3
  auto committed = call<FetchResponse>(12, committed_request(0));
  EXPECT_THAT(offsets(partition(committed)), ElementsAre(0));
  EXPECT_EQ(partition(committed).last_stable_offset, 1) << "the other one's is open";
  ASSERT_EQ(end(kSecond, other, true), ErrorCode::kNone);  // 4
  settle(other);
  ASSERT_EQ(write(kSecond, producer, 0, {"open"}), ErrorCode::kNone);  // 5
  produce("t", 0, {"plain"});                                          // 6
  committed = call<FetchResponse>(12, committed_request(0));
  EXPECT_THAT(offsets(partition(committed)), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_EQ(partition(committed).last_stable_offset, 5);
  EXPECT_EQ(partition(committed).high_watermark, 7);
  ASSERT_TRUE(partition(committed).aborted_transactions.has_value());
  ASSERT_EQ(partition(committed).aborted_transactions->size(), 1u);
  EXPECT_EQ((*partition(committed).aborted_transactions)[0].producer_id, aborted);
  EXPECT_EQ((*partition(committed).aborted_transactions)[0].first_offset, 0);
  const auto behind = call<FetchResponse>(12, committed_request(3));
  ASSERT_TRUE(partition(behind).aborted_transactions.has_value());
  EXPECT_TRUE(partition(behind).aborted_transactions->empty());
  const auto all = call<FetchResponse>(12, request({{"t", 0, 0}}));
  EXPECT_EQ(offsets(partition(all)).size(), 7u);
  EXPECT_EQ(partition(all).last_stable_offset, 5);
  EXPECT_FALSE(partition(all).aborted_transactions.has_value());
}

TEST_F(TransactionalReadsTest, ReadersWaitForTheEndOfATransaction) {
  Producer producer = init("id");
  ASSERT_EQ(write(kSecond, producer, 0, {"in"}), ErrorCode::kNone);
  FakePeer& consumer = peer(1);
  send(consumer, 12, committed_request(0, 30'000));
  sim_.run_for(runtime::kSecond);
  produce("t", 0, {"plain"});
  sim_.run_for(runtime::kSecond);
  EXPECT_FALSE(has_response(consumer));
  ASSERT_EQ(end(kSecond, producer, true), ErrorCode::kNone);
  run_until([&] { return has_response(consumer); }, runtime::kSecond);
  EXPECT_THAT(offsets(partition(take<FetchResponse>(consumer, 12))), ElementsAre(0, 1, 2));
}

// A record that is not committed has no time yet.
TEST_F(TransactionalReadsTest, OffsetsByTimeAreThoseOfCommittedRecords) {
  Producer producer = init("id");
  ASSERT_EQ(write(kSecond, producer, 0, {"x"}), ErrorCode::kNone);
  const auto offset_of = [&](int64_t timestamp, int8_t isolation_level) {
    ListOffsetsRequest::ListOffsetsPartition asked;
    asked.timestamp = timestamp;
    ListOffsetsRequest::ListOffsetsTopic topic;
    topic.name = "t";
    topic.partitions = {&asked, 1};
    ListOffsetsRequest list;
    list.replica_id = -1;
    list.isolation_level = isolation_level;
    list.topics = {&topic, 1};
    return call<ListOffsetsResponse>(11, list)->topics[0].partitions[0].offset;
  };
  for (const int64_t timestamp : {int64_t{0}, int64_t{-3}}) {
    EXPECT_EQ(offset_of(timestamp, 0), 0) << timestamp;
    EXPECT_EQ(offset_of(timestamp, 1), -1) << timestamp;
  }
  ASSERT_EQ(end(kSecond, producer, true), ErrorCode::kNone);
  settle(producer);
  EXPECT_EQ(offset_of(0, 1), 0);
}

TEST_F(TransactionalReadsTest, ToolsSeeTheOpenTransaction) {
  Producer producer = init("id");
  ASSERT_EQ(write(kSecond, producer, 0, {"a", "b"}), ErrorCode::kNone);
  const auto described = [&] {
    int32_t index = 0;
    DescribeProducersRequest::TopicRequest asked;
    asked.name = "t";
    asked.partition_indexes = {&index, 1};
    DescribeProducersRequest describe_producers;
    describe_producers.topics = {&asked, 1};
    const auto answer = call<DescribeProducersResponse>(0, describe_producers);
    return answer->topics[0].partitions[0].active_producers[0];
  };
  auto state = described();
  EXPECT_EQ(state.producer_id, producer.id);
  EXPECT_EQ(state.producer_epoch, producer.epoch);
  EXPECT_EQ(state.last_sequence, 1);
  EXPECT_EQ(state.coordinator_epoch, -1);
  EXPECT_EQ(state.current_txn_start_offset, 0);
  ASSERT_EQ(end(kSecond, producer, true), ErrorCode::kNone);
  settle(producer);
  state = described();
  EXPECT_EQ(state.producer_epoch, producer.epoch) << "the marker raised it";
  EXPECT_EQ(state.current_txn_start_offset, -1);
  EXPECT_GE(state.coordinator_epoch, 0);
}

}  // namespace
}  // namespace weir::broker
