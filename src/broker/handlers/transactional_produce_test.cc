// Produce in transactions, from the first request to what readers of committed records see.
#include <gmock/gmock.h>

#include <optional>
#include <string>
#include <vector>

#include "broker/coordinators/verification.h"
#include "broker/handlers/transactions_fixture.h"
#include "protocol/compressed_batch_fixture.h"

namespace weir::broker {
namespace {

using namespace protocol;
using protocol::ErrorCode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Values = std::vector<std::string>;

class TransactionalProduceTest : public TransactionsTest {
 protected:
  // Producers of one request each, sent before any is answered.
  std::vector<ErrorCode> write_at_once(FakePeer& to, const std::vector<ProduceRequest*>& requests, int16_t version) {
    for (const ProduceRequest* one : requests) send(to, version, *one);
    std::vector<ErrorCode> errors;
    for (size_t i = 0; i < requests.size(); ++i) {
      run_until([&] { return has_response(to) || to.closed; });
      errors.push_back(error_of(written(take<ProduceResponse>(to, version)).error_code));
    }
    return errors;
  }
  int64_t end_offset(const std::string& topic, int32_t index, int8_t isolation_level) {
    ListOffsetsRequest::ListOffsetsPartition asked;
    asked.partition_index = index;
    asked.timestamp = -1;
    ListOffsetsRequest::ListOffsetsTopic topics;
    topics.name = topic;
    topics.partitions = {&asked, 1};
    ListOffsetsRequest list;
    list.replica_id = -1;
    list.isolation_level = isolation_level;
    list.topics = {&topics, 1};
    return call<ListOffsetsResponse>(11, list)->topics[0].partitions[0].offset;
  }
  size_t guards() const {
    size_t count = 0;
    for (const auto& log : logs_) count += log->guards();
    return count;
  }
  std::vector<std::string> parts(const std::string& transactional_id) {
    std::vector<std::string> names;
    for (const auto& topic : describe(transactional_id).topics) {
      for (const int32_t index : topic.indexes) names.push_back(topic.name + "-" + std::to_string(index));
    }
    return names;
  }
};

// --- whole transactions ---------------------------------------------------------------------------------------------

TEST_F(TransactionalProduceTest, RecordsCountOnceTheirTransactionIsCommitted) {
  for (const int16_t client : {kFirst, kSecond}) {
    SCOPED_TRACE(client);
    create_topic("topic" + std::to_string(client), 2);
    const std::string topic = "topic" + std::to_string(client);
    Producer producer = init("id" + std::to_string(client));
    const int16_t version = client == kFirst ? 11 : 12;
    for (const int32_t partition : {0, 1}) {
      if (client == kFirst) {
        ASSERT_EQ(add_partition(producer, topic, partition), ErrorCode::kNone);
      }
      ASSERT_EQ(write(producer, topic, partition, {"a", "b"}, version), ErrorCode::kNone);
      ASSERT_EQ(write(producer, topic, partition, {"c"}, version), ErrorCode::kNone);
      EXPECT_THAT(read(topic, partition), IsEmpty());
      EXPECT_THAT(read(topic, partition, false), ElementsAre("a", "b", "c"));
      EXPECT_EQ(end_offset(topic, partition, 0), 3);
      EXPECT_EQ(end_offset(topic, partition, 1), 0);
    }
    EXPECT_THAT(parts(producer.transactional_id), ElementsAre(topic + "-0", topic + "-1"));
    ASSERT_EQ(end(client, producer, true), ErrorCode::kNone);
    for (const int32_t partition : {0, 1}) {
      EXPECT_THAT(read_settled(topic, partition), ElementsAre("a", "b", "c"));
      EXPECT_EQ(end_offset(topic, partition, 1), 4);
    }
    // The next one is aborted, the one after that is not.
    if (client == kFirst) {
      settle(producer);
      ASSERT_EQ(add_partition(producer, topic, 0), ErrorCode::kNone);
    }
    ASSERT_EQ(write(producer, topic, 0, {"no"}, version), ErrorCode::kNone);
    ASSERT_EQ(end(client, producer, false), ErrorCode::kNone);
    EXPECT_THAT(read_settled(topic, 0), ElementsAre("a", "b", "c"));
    if (client == kFirst) {
      settle(producer);
      ASSERT_EQ(add_partition(producer, topic, 0), ErrorCode::kNone);
    }
    ASSERT_EQ(write(producer, topic, 0, {"d"}, version), ErrorCode::kNone);
    ASSERT_EQ(end(client, producer, true), ErrorCode::kNone);
    EXPECT_THAT(read_settled(topic, 0), ElementsAre("a", "b", "c", "d"));
    EXPECT_THAT(read(topic, 0, false), ElementsAre("a", "b", "c", "no", "d"));
  }
  EXPECT_EQ(guards(), 0u);
}

TEST_F(TransactionalProduceTest, ItGoesOnAfterARestartAtEachStep) {
  for (const bool unclean : {false, true}) {
    for (const int16_t client : {kFirst, kSecond}) {
      SCOPED_TRACE(std::to_string(client) + (unclean ? " unclean" : " clean"));
      const std::string topic = "t" + std::to_string(client) + (unclean ? "u" : "c");
      create_topic(topic, 1);
      const int16_t version = client == kFirst ? 11 : 12;
      Producer producer = init("id" + topic);
      restart_and_load(unclean);
      if (client == kFirst) {
        ASSERT_EQ(add_partition(producer, topic, 0), ErrorCode::kNone);
        restart_and_load(unclean);
      }
      ASSERT_EQ(write(producer, topic, 0, {"a"}, version), ErrorCode::kNone);
      restart_and_load(unclean);
      EXPECT_THAT(read(topic, 0), IsEmpty());
      ASSERT_EQ(write(producer, topic, 0, {"b"}, version), ErrorCode::kNone) << "no question any more: it is open";
      ASSERT_EQ(end(client, producer, true), ErrorCode::kNone);
      restart_and_load(unclean);
      EXPECT_THAT(read_settled(topic, 0), ElementsAre("a", "b"));
    }
  }
}

// The client of the second version begins its next transaction before the last one's markers are written.
TEST_F(TransactionalProduceTest, TheNextTransactionWaitsForTheEndOfTheLast) {
  Producer producer = init("id");
  Values expected;
  for (int i = 0; i < 20; ++i) {
    const std::string value = std::to_string(i);
    ASSERT_EQ(write(producer, "t", i % 3, {value}, 12), ErrorCode::kNone) << "not CONCURRENT_TRANSACTIONS";
    ASSERT_EQ(end(kSecond, producer, i % 5 != 4), ErrorCode::kNone);
    if (i % 3 == 0 && i % 5 != 4) expected.push_back(value);
  }
  settle(producer);
  EXPECT_EQ(read_settled("t", 0), expected);
}

// --- verification ---------------------------------------------------------------------------------------------------

TEST_F(TransactionalProduceTest, ABatchOfNoTransactionIsRefusedByVersion) {
  Producer producer = init("id");
  for (int16_t version = 3; version <= 13; ++version) {
    SCOPED_TRACE(version);
    create_topic("v" + std::to_string(version), 1);
    const std::string topic = "v" + std::to_string(version);
    auto& asked = produce_request("id", {{topic, 0, next_batch(producer, topic, 0, {"x"})}});
    const auto answer = call<ProduceResponse>(version, asked);
    const Written& partition = written(answer);
    if (version >= 12) {
      EXPECT_EQ(error_of(partition.error_code), ErrorCode::kNone) << "it is added";
      continue;
    }
    EXPECT_EQ(error_of(partition.error_code), version == 11 ? ErrorCode::kTransactionAbortable : ErrorCode::kInvalidTxnState);
    EXPECT_EQ(partition.base_offset, -1);
    if (version >= 8 && version < 11) {
      EXPECT_EQ(partition.error_message, "Partition was not added to the transaction");
    }
    EXPECT_EQ(partition_of(topic, 0).log_end_offset(), 0);
  }
  EXPECT_THAT(parts("id"), ElementsAre("v12-0", "v13-0"));
}

TEST_F(TransactionalProduceTest, PartitionsOfOneRequestAreAskedAboutAlone) {
  Producer producer = init("id");
  ASSERT_EQ(add_partition(producer, "t", 1), ErrorCode::kNone);
  auto& asked = produce_request("id", {{"t", 0, next_batch(producer, "t", 0, {"x"})},
                                       {"t", 1, next_batch(producer, "t", 1, {"y"})},
                                       {"t", 2, next_batch(producer, "t", 2, {"z"})}});
  const auto answer = call<ProduceResponse>(11, asked);
  ASSERT_EQ(answer->responses.size(), 3u);
  EXPECT_EQ(error_of(written(answer, 0).error_code), ErrorCode::kTransactionAbortable);
  EXPECT_EQ(error_of(written(answer, 1).error_code), ErrorCode::kNone);
  EXPECT_EQ(error_of(written(answer, 2).error_code), ErrorCode::kTransactionAbortable);
}

TEST_F(TransactionalProduceTest, ErrorsOfTheCoordinatorAreToldAsProducersKnowThem) {
  const auto told = [](int16_t version, ErrorCode error) {
    return verification_answer(error, VerifiedRequest::produce(version)).error;
  };
  for (int16_t version = 3; version <= 13; ++version) {
    SCOPED_TRACE(version);
    EXPECT_EQ(told(version, ErrorCode::kNone), ErrorCode::kNone);
    EXPECT_EQ(told(version, ErrorCode::kProducerFenced), ErrorCode::kInvalidProducerEpoch);
    EXPECT_EQ(told(version, ErrorCode::kInvalidProducerIdMapping), ErrorCode::kInvalidProducerIdMapping);
    EXPECT_EQ(told(version, ErrorCode::kInvalidTxnState), ErrorCode::kInvalidTxnState);
    for (const ErrorCode passing :
         {ErrorCode::kCoordinatorLoadInProgress, ErrorCode::kCoordinatorNotAvailable, ErrorCode::kNotCoordinator}) {
      EXPECT_EQ(told(version, passing), ErrorCode::kNotEnoughReplicas);
    }
    EXPECT_EQ(told(version, ErrorCode::kConcurrentTransactions),
              version < 12 ? ErrorCode::kNotEnoughReplicas : ErrorCode::kConcurrentTransactions);
    EXPECT_EQ(told(version, ErrorCode::kTransactionAbortable),
              version < 11 ? ErrorCode::kInvalidTxnState : ErrorCode::kTransactionAbortable);
  }
  EXPECT_EQ(verification_answer(ErrorCode::kNotCoordinator, VerifiedRequest::produce(9)).message,
            "Unable to verify the partition has been added to the transaction. Underlying error: NOT_COORDINATOR");
}

TEST_F(TransactionalProduceTest, WithoutACoordinatorTheProducerTriesAgain) {
  Producer producer = init("id");
  restart_while_loading();
  auto& asked = produce_request("id", {{"t", 0, next_batch(producer, "t", 0, {"x"})}});
  const auto answer = call<ProduceResponse>(12, asked);
  EXPECT_EQ(error_of(written(answer).error_code), ErrorCode::kNotEnoughReplicas);
  EXPECT_EQ(written(answer).error_message,
            "Unable to verify the partition has been added to the transaction. Underlying error: COORDINATOR_LOAD_IN_PROGRESS");
  EXPECT_EQ(written(answer).log_start_offset, -1);
  sim_.run_for(runtime::kSecond);
  EXPECT_EQ(error_of(written(call<ProduceResponse>(12, asked)).error_code), ErrorCode::kNone);
  EXPECT_EQ(guards(), 0u);
}

TEST_F(TransactionalProduceTest, AnIdThatNobodyHasIsRefused) {
  Producer nobody{"nobody", 4711, 0};
  EXPECT_EQ(write(nobody, "t", 0, {"x"}, 12), ErrorCode::kInvalidProducerIdMapping);
  EXPECT_EQ(write(nobody, "t", 0, {"x"}, 11), ErrorCode::kInvalidProducerIdMapping);
  Producer producer = init("id");
  Producer other{"id", producer.id + 1, producer.epoch};
  EXPECT_EQ(write(other, "t", 0, {"x"}, 12), ErrorCode::kInvalidProducerIdMapping);
  EXPECT_EQ(partition_of("t", 0).log_end_offset(), 0);
}

TEST_F(TransactionalProduceTest, VerificationOfOlderClientsMayBeOff) {
  set("transaction.partition.verification.enable", "false");
  restart_and_load(false);
  Producer first = init("first");
  EXPECT_EQ(write(first, "t", 0, {"x"}, 11), ErrorCode::kNone) << "as the coordinator does not know of the partition";
  EXPECT_THAT(parts("first"), IsEmpty());
  Producer second = init("second");
  EXPECT_EQ(write(second, "t", 1, {"x"}, 12), ErrorCode::kNone);
  EXPECT_THAT(parts("second"), ElementsAre("t-1"));
}

// --- requests that are refused as a whole ---------------------------------------------------------------------------

TEST_F(TransactionalProduceTest, BatchesOfATransactionNeedItsId) {
  Producer producer = init("id");
  for (const int16_t version : {3, 11, 12, 13}) {
    auto& asked = produce_request(std::nullopt, {{"t", 0, next_batch(producer, "t", 0, {"x"})}, {"t", 1, batch({"plain"})}});
    const auto answer = call<ProduceResponse>(version, asked);
    for (const size_t topic : {0, 1}) {
      EXPECT_EQ(error_of(written(answer, topic).error_code), ErrorCode::kTransactionalIdAuthorizationFailed);
      EXPECT_FALSE(written(answer, topic).error_message.has_value());
    }
  }
  EXPECT_EQ(partition_of("t", 1).log_end_offset(), 0);
}

// A transactional producer may write outside of transactions, as far as the broker is concerned.
TEST_F(TransactionalProduceTest, OtherBatchesAreNoPartOfATransaction) {
  Producer producer = init("id");
  const auto idempotent = batch({"x"}, {.producer_id = 7, .producer_epoch = 0, .base_sequence = 0});
  for (const std::string id : {"id", "unheard"}) {
    auto& asked = produce_request(id, {{"t", 0, batch({"plain"})}});
    EXPECT_EQ(error_of(written(call<ProduceResponse>(12, asked)).error_code), ErrorCode::kNone);
  }
  EXPECT_EQ(error_of(written(call<ProduceResponse>(12, produce_request("id", {{"t", 0, idempotent}}))).error_code),
            ErrorCode::kNone);
  EXPECT_THAT(parts("id"), IsEmpty());
  EXPECT_THAT(read("t", 0), ElementsAre("plain", "plain", "x"));
  // Beside a batch that is part of one.
  auto& mixed = produce_request("id", {{"t", 1, batch({"plain"})}, {"t", 2, next_batch(producer, "t", 2, {"in"})}});
  const auto answer = call<ProduceResponse>(12, mixed);
  EXPECT_EQ(error_of(written(answer, 0).error_code), ErrorCode::kNone);
  EXPECT_EQ(error_of(written(answer, 1).error_code), ErrorCode::kNone);
  EXPECT_THAT(parts("id"), ElementsAre("t-2"));
}

TEST_F(TransactionalProduceTest, ARequestHasTheBatchesOfOneProducer) {
  Producer producer = init("id"), other = init("other");
  Producer raised = producer;
  ++raised.epoch;
  for (Producer* second : {&other, &raised}) {
    auto& asked = produce_request("id", {{"t", 0, next_batch(producer, "t", 0, {"x"})},
                                         {"t", 1, next_batch(*second, "t", 1, {"y"})},
                                         {"t", 2, batch({"plain"})},
                                         {"absent", 0, batch({"plain"})}});
    const auto answer = call<ProduceResponse>(12, asked);
    ASSERT_EQ(answer->responses.size(), 4u);
    for (size_t topic = 0; topic < 4; ++topic) {
      EXPECT_EQ(error_of(written(answer, topic).error_code), ErrorCode::kInvalidProducerIdMapping);
      EXPECT_EQ(written(answer, topic).error_message, "Transactional records contained more than one producer ID");
    }
  }
  for (const int32_t partition : {0, 1, 2}) EXPECT_EQ(partition_of("t", partition).log_end_offset(), 0);
  EXPECT_EQ(guards(), 0u);
  // Of a partition that cannot be had it does not matter whose batch it is.
  Producer again = init("id");
  auto& asked =
      produce_request("id", {{"t", 0, next_batch(again, "t", 0, {"x"})}, {"absent", 0, next_batch(other, "absent", 0, {"y"})}});
  const auto answer = call<ProduceResponse>(12, asked);
  EXPECT_EQ(error_of(written(answer, 0).error_code), ErrorCode::kNone);
  EXPECT_EQ(error_of(written(answer, 1).error_code), ErrorCode::kUnknownTopicOrPartition);
}

TEST_F(TransactionalProduceTest, WithoutAcksAFailureClosesTheConnection) {
  Producer producer = init("id");
  auto& good = produce_request("id", {{"t", 0, next_batch(producer, "t", 0, {"x"})}});
  good.acks = 0;
  FakePeer& silent = peer(1);
  send(silent, 12, good);
  run_until([&] { return partition_of("t", 0).high_watermark() == 1; });
  EXPECT_FALSE(silent.closed);
  auto& bad = produce_request("id", {{"t", 1, next_batch(producer, "t", 1, {"x"})}});
  bad.acks = 0;
  send(silent, 11, bad);
  run_until([&] { return silent.closed; });
  EXPECT_FALSE(has_response(silent));
}

// --- order ----------------------------------------------------------------------------------------------------------

TEST_F(TransactionalProduceTest, BatchesBehindTheFirstWaitWithItInTheirOrder) {
  for (const int16_t version : {11, 12}) {
    SCOPED_TRACE(version);
    Producer producer = init("id" + std::to_string(version));
    const int32_t partition = version - 11;
    if (version == 11) {
      ASSERT_EQ(add_partition(producer, "t", partition), ErrorCode::kNone);
    }
    std::vector<ProduceRequest*> requests;
    for (int i = 0; i < 5; ++i) {
      auto records = next_batch(producer, "t", partition, {"value"});
      if (i == 1) records = compressed_batch(records, CompressionType::kGzip);  // waits for the pool as well
      requests.push_back(&produce_request(producer.transactional_id, {{"t", partition, records}}));
    }
    EXPECT_THAT(write_at_once(peer(0), requests, version), ::testing::Each(ErrorCode::kNone));
    EXPECT_EQ(partition_of("t", partition).log_end_offset(), 5);
    ASSERT_EQ(end(version == 11 ? kFirst : kSecond, producer, true), ErrorCode::kNone);
    run_until([&] { return !in_transaction("t", partition); });
    std::vector<int64_t> sequences;
    const auto answer = call<FetchResponse>(12, request({{"t", partition, 0}}));
    for (BatchSplitter batches(answer->responses[0].partitions[0].records.data); batches.next();) {
      sequences.push_back(batches.header().base_sequence);
    }
    EXPECT_THAT(sequences, ElementsAre(0, 1, 2, 3, 4, -1));
  }
}

TEST_F(TransactionalProduceTest, OtherProducersDoNotWait) {
  Producer producer = init("id");
  auto& first = produce_request("id", {{"t", 0, next_batch(producer, "t", 0, {"in"})}});
  auto& plain = produce_request(std::nullopt, {{"t", 0, batch({"plain"})}});
  EXPECT_THAT(write_at_once(peer(0), {&first, &plain}, 12), ElementsAre(ErrorCode::kNone, ErrorCode::kNone));
  EXPECT_THAT(read("t", 0, false), ElementsAre("plain", "in")) << "the first one waits for its coordinator";
}

// The first batch has to be sent again: those behind it are not taken in its place.
TEST_F(TransactionalProduceTest, LaterBatchesAreNotTakenBeforeTheFirst) {
  Producer producer = init("id");
  restart_while_loading();
  auto& first = produce_request("id", {{"t", 0, next_batch(producer, "t", 0, {"0"})}});
  auto& second = produce_request("id", {{"t", 0, next_batch(producer, "t", 0, {"1"})}});
  const auto errors = write_at_once(peer(0), {&first, &second}, 12);
  ASSERT_EQ(errors[0], ErrorCode::kNotEnoughReplicas);
  EXPECT_EQ(errors[1], ErrorCode::kNotEnoughReplicas);
  sim_.run_for(runtime::kSecond);
  EXPECT_EQ(error_of(written(call<ProduceResponse>(12, second)).error_code), ErrorCode::kOutOfOrderSequenceNumber);
  EXPECT_EQ(error_of(written(call<ProduceResponse>(12, first)).error_code), ErrorCode::kNone);
  EXPECT_EQ(error_of(written(call<ProduceResponse>(12, second)).error_code), ErrorCode::kNone);
  EXPECT_THAT(read("t", 0, false), ElementsAre("0", "1"));
}

TEST_F(TransactionalProduceTest, ABatchThatIsSentAgainHasItsOffset) {
  Producer producer = init("id");
  auto& asked = produce_request("id", {{"t", 0, next_batch(producer, "t", 0, {"x", "y"})}});
  EXPECT_EQ(written(call<ProduceResponse>(12, asked)).base_offset, 0);
  ASSERT_EQ(write(producer, "t", 0, {"z"}, 12), ErrorCode::kNone);
  EXPECT_EQ(written(call<ProduceResponse>(12, asked)).base_offset, 0);
  EXPECT_EQ(partition_of("t", 0).log_end_offset(), 3);
}

// --- zombies --------------------------------------------------------------------------------------------------------

TEST_F(TransactionalProduceTest, AProducerThatWasReplacedIsRefused) {
  for (const int16_t client : {kFirst, kSecond}) {
    SCOPED_TRACE(client);
    const int16_t version = client == kFirst ? 11 : 12;
    Producer zombie = init("id" + std::to_string(client));
    Producer producer = init(zombie.transactional_id);
    EXPECT_EQ(producer.epoch, zombie.epoch + 1);
    EXPECT_EQ(write(zombie, "t", 0, {"no"}, version), ErrorCode::kInvalidProducerEpoch) << "says the coordinator";
    if (client == kFirst) {
      ASSERT_EQ(add_partition(producer, "t", 0), ErrorCode::kNone);
    }
    ASSERT_EQ(write(producer, "t", 0, {"yes"}, version), ErrorCode::kNone);
    EXPECT_EQ(write(zombie, "t", 0, {"no"}, version), ErrorCode::kInvalidProducerEpoch) << "says the log";
    ASSERT_EQ(end(client, producer, true), ErrorCode::kNone);
    settle(producer);
    EXPECT_EQ(write(zombie, "t", 0, {"no"}, version), ErrorCode::kInvalidProducerEpoch);
    EXPECT_EQ(end(client, zombie, true), ErrorCode::kProducerFenced);
  }
  EXPECT_THAT(read("t", 0), ElementsAre("yes", "yes"));
}

// Its open transaction is aborted, and it cannot go on with it.
TEST_F(TransactionalProduceTest, AProducerThatIsReplacedLosesItsTransaction) {
  for (const int16_t client : {kFirst, kSecond}) {
    SCOPED_TRACE(client);
    Producer zombie = init("id" + std::to_string(client));
    ASSERT_EQ(write(client, zombie, client, {"no"}), ErrorCode::kNone);
    Producer producer = init(zombie.transactional_id);
    EXPECT_EQ(write(client, producer, client, {"yes"}), ErrorCode::kNone);
    EXPECT_EQ(write(zombie, "t", client, {"no"}, client == kFirst ? 11 : 12), ErrorCode::kInvalidProducerEpoch);
    ASSERT_EQ(end(client, producer, true), ErrorCode::kNone);
    settle(producer);
    EXPECT_THAT(read_settled("t", client), ElementsAre("yes"));
  }
}

TEST_F(TransactionalProduceTest, ATransactionThatTakesTooLongIsAborted) {
  for (const int16_t client : {kFirst, kSecond}) {
    SCOPED_TRACE(client);
    Producer producer = init("id" + std::to_string(client), 5'000);
    ASSERT_EQ(write(client, producer, client, {"no"}), ErrorCode::kNone);
    sim_.run_for(6 * runtime::kSecond);
    EXPECT_THAT(read_settled("t", client), IsEmpty());
    EXPECT_EQ(write(producer, "t", client, {"no"}, client == kFirst ? 11 : 12), ErrorCode::kInvalidProducerEpoch);
  }
}

// After its transaction has ended, a late batch of it begins no new one.
TEST_F(TransactionalProduceTest, ALateBatchOfAnEndedTransactionIsRefused) {
  Producer first = init("first");
  ASSERT_EQ(write(kFirst, first, 0, {"a"}), ErrorCode::kNone);
  ASSERT_EQ(end(kFirst, first, true), ErrorCode::kNone);
  settle(first);
  EXPECT_EQ(write(first, "t", 0, {"late"}, 11), ErrorCode::kTransactionAbortable);
  Producer second = init("second"), late = second;
  ASSERT_EQ(write(kSecond, second, 1, {"a"}), ErrorCode::kNone);
  late.sequences = second.sequences;
  ASSERT_EQ(end(kSecond, second, true), ErrorCode::kNone);
  settle(second);
  EXPECT_EQ(write(late, "t", 1, {"late"}, 12), ErrorCode::kInvalidProducerEpoch);
  EXPECT_THAT(read_settled("t", 0), ElementsAre("a"));
  EXPECT_THAT(read_settled("t", 1), ElementsAre("a"));
}

}  // namespace
}  // namespace weir::broker
