// Transactions by the requests of their coordinators: InitProducerId, AddPartitionsToTxn, EndTxn and WriteTxnMarkers, through a
// whole broker.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "broker/handlers/transactions_fixture.h"
#include "broker/metadata/features.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/find_coordinator.h"
#include "protocol/messages/list_transactions.h"
#include "protocol/messages/update_features.h"
#include "protocol/messages/write_txn_markers.h"

namespace weir::broker {
namespace {

using namespace protocol;
using coordination::TransactionTopic;
using protocol::ErrorCode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class TransactionApisTest : public TransactionsTest {
 protected:
  Answer<InitProducerIdResponse> ask_init(InitProducerIdRequest request, int16_t version = 5) {
    return call<InitProducerIdResponse>(version, request);
  }
  static InitProducerIdRequest init_request(std::string_view id, int32_t timeout_ms = 60'000) {
    InitProducerIdRequest request;
    request.transactional_id = id;
    request.transaction_timeout_ms = timeout_ms;
    return request;
  }
  ErrorCode init_error(const InitProducerIdRequest& request, int16_t version = 5) {
    const auto answer = ask_init(request, version);
    EXPECT_EQ(answer->producer_id == -1, answer->error_code != 0);
    EXPECT_EQ(answer->producer_epoch == -1, answer->error_code != 0);
    return error_of(answer->error_code);
  }
  Answer<EndTxnResponse> ask_end(const Producer& producer, bool commit, int16_t version) {
    EndTxnRequest request;
    request.transactional_id = producer.transactional_id;
    request.producer_id = producer.id;
    request.producer_epoch = producer.epoch;
    request.committed = commit;
    return call<EndTxnResponse>(version, request);
  }

  struct Marker {
    int64_t producer_id = -1;
    int16_t producer_epoch = -1;
    bool commit = false;
    int32_t coordinator_epoch = 0;
    int8_t transaction_version = 0;
  };
  ErrorCode write_marker(const std::string& topic, int32_t partition, const Marker& marker, int16_t version = 2) {
    WriteTxnMarkersRequest::WritableTxnMarkerTopic asked;
    asked.name = topic;
    asked.partition_indexes = {&partition, 1};
    WriteTxnMarkersRequest::WritableTxnMarker written;
    written.producer_id = marker.producer_id;
    written.producer_epoch = marker.producer_epoch;
    written.transaction_result = marker.commit;
    written.coordinator_epoch = marker.coordinator_epoch;
    written.transaction_version = marker.transaction_version;
    written.topics = {&asked, 1};
    WriteTxnMarkersRequest request;
    request.markers = {&written, 1};
    const auto answer = call<WriteTxnMarkersResponse>(version, request);
    EXPECT_EQ(answer->markers[0].producer_id, marker.producer_id);
    EXPECT_EQ(answer->markers[0].topics[0].name, topic);
    EXPECT_EQ(answer->markers[0].topics[0].partitions[0].partition_index, partition);
    return error_of(answer->markers[0].topics[0].partitions[0].error_code);
  }

  // A request of a broker about one transaction.
  std::vector<ErrorCode> ask_as_broker(const Producer& producer, std::vector<int32_t> partitions, bool verify_only) {
    AddPartitionsToTxnRequest::AddPartitionsToTxnTopic topic;
    topic.name = "t";
    topic.partitions = partitions;
    AddPartitionsToTxnRequest::AddPartitionsToTxnTransaction transaction;
    transaction.transactional_id = producer.transactional_id;
    transaction.producer_id = producer.id;
    transaction.producer_epoch = producer.epoch;
    transaction.verify_only = verify_only;
    transaction.topics = {&topic, 1};
    AddPartitionsToTxnRequest request;
    request.transactions = {&transaction, 1};
    const auto answer = call<AddPartitionsToTxnResponse>(5, request);
    EXPECT_EQ(answer->error_code, 0);
    EXPECT_EQ(answer->results_by_transaction[0].transactional_id, producer.transactional_id);
    std::vector<ErrorCode> errors;
    for (const auto& result : answer->results_by_transaction[0].topic_results[0].results_by_partition) {
      errors.push_back(error_of(result.partition_error_code));
    }
    return errors;
  }
  void set_level(int16_t level) {
    UpdateFeaturesRequest::FeatureUpdateKey update;
    update.feature = kTransactionVersion;
    update.max_version_level = level;
    update.upgrade_type = 2;
    UpdateFeaturesRequest request;
    request.feature_updates = {&update, 1};
    request.timeout_ms = 10'000;
    EXPECT_EQ(call<UpdateFeaturesResponse>(2, request)->error_code, 0);
  }
};

// --- the topic ------------------------------------------------------------------------------------------------------

class NoTransactionsYetTest : public BrokerTest {};

TEST_F(NoTransactionsYetTest, TheFirstClientMakesTheTopic) {
  InitProducerIdRequest init;
  init.transactional_id = "x";
  init.transaction_timeout_ms = 1000;
  EXPECT_EQ(call<InitProducerIdResponse>(5, init)->error_code, code(ErrorCode::kNotCoordinator));
  EXPECT_EQ(call<ListTransactionsResponse>(2, ListTransactionsRequest())->error_code, 0);
  std::string_view keys[] = {"x", "y"};
  FindCoordinatorRequest find;
  find.key_type = 1;
  find.coordinator_keys = keys;
  const auto found = call<FindCoordinatorResponse>(6, find);
  for (const auto& coordinator : found->coordinators) {
    EXPECT_EQ(coordinator.error_code, 0);
    EXPECT_EQ(coordinator.node_id, broker_->shard(0).image->self().id);
    EXPECT_EQ(coordinator.host, "broker.example");
    EXPECT_EQ(coordinator.port, 9092);
  }
  const Topic* topic = broker_->shard(0).image->find("__transaction_state");
  ASSERT_NE(topic, nullptr);
  EXPECT_EQ(topic->partition_count(), 50);
  EXPECT_TRUE(topic->internal);
  EXPECT_EQ(topic->record.configs.at("cleanup.policy"), "compact");
  EXPECT_EQ(topic->record.configs.at("compression.type"), "uncompressed");
  EXPECT_EQ(topic->record.configs.at("segment.bytes"), "104857600");
  EXPECT_EQ(broker_->shard(0).image->find("__consumer_offsets"), nullptr) << "nobody asked for groups";
  const auto answer = call<InitProducerIdResponse>(5, init);
  EXPECT_EQ(answer->error_code, 0);
  EXPECT_EQ(answer->producer_epoch, 0);
}

TEST_F(NoTransactionsYetTest, TheSettingsOfTheTopicAreTaken) {
  set("transaction.state.log.num.partitions", "7");
  set("transaction.state.log.segment.bytes", "33554432");
  restart(false);
  FindCoordinatorRequest find;
  find.key = "x";
  find.key_type = 1;
  EXPECT_EQ(call<FindCoordinatorResponse>(3, find)->error_code, 0);
  const Topic* topic = broker_->shard(0).image->find("__transaction_state");
  EXPECT_EQ(topic->partition_count(), 7);
  EXPECT_EQ(topic->record.configs.at("segment.bytes"), "33554432");
}

// --- producers ------------------------------------------------------------------------------------------------------

TEST_F(TransactionApisTest, EveryVersionOfInitProducerIdRaisesTheEpoch) {
  int64_t id = -1;
  for (int16_t version = 0; version <= 5; ++version) {
    const auto answer = ask_init(init_request("x"), version);
    EXPECT_EQ(answer->error_code, 0);
    EXPECT_EQ(answer->producer_epoch, version);
    EXPECT_EQ(std::exchange(id, answer->producer_id), version == 0 ? -1 : answer->producer_id);
  }
}

TEST_F(TransactionApisTest, AWrongInitProducerIdIsRefused) {
  EXPECT_EQ(init_error(init_request("")), ErrorCode::kInvalidRequest);
  EXPECT_EQ(init_error(init_request("x", 0)), ErrorCode::kInvalidTransactionTimeout);
  EXPECT_EQ(init_error(init_request("x", 900'001)), ErrorCode::kInvalidTransactionTimeout);
  EXPECT_EQ(init_error(init_request("x", 900'000)), ErrorCode::kNone);
  auto half = init_request("x");
  half.producer_id = 5;
  EXPECT_EQ(init_error(half), ErrorCode::kInvalidRequest);
  auto other = init_request("x");
  other.producer_id = 5;
  other.producer_epoch = 0;
  EXPECT_EQ(init_error(other, 5), ErrorCode::kProducerFenced);
  EXPECT_EQ(init_error(other, 3), ErrorCode::kInvalidProducerEpoch) << "it knows no other";
}

TEST_F(TransactionApisTest, TheLongestTimeoutIsASetting) {
  set("transaction.max.timeout.ms", "1000");
  restart_and_load(false);
  EXPECT_EQ(init_error(init_request("x", 1001)), ErrorCode::kInvalidTransactionTimeout);
  EXPECT_EQ(init_error(init_request("x", 1000)), ErrorCode::kNone);
}

TEST_F(TransactionApisTest, AnUnusedIdIsForgotten) {
  set("transactional.id.expiration.ms", "60000");
  set("transaction.remove.expired.transaction.cleanup.interval.ms", "30000");
  restart_and_load(false);
  Producer idle = init("idle");
  sim_.run_for(50 * runtime::kSecond);
  init("busy");
  sim_.run_for(45 * runtime::kSecond);
  EXPECT_EQ(describe("idle").error, ErrorCode::kTransactionalIdNotFound);
  EXPECT_EQ(describe("busy").error, ErrorCode::kNone);
  EXPECT_EQ(add_partition(idle, "t", 0), ErrorCode::kInvalidProducerIdMapping);
}

// --- one transaction ------------------------------------------------------------------------------------------------

TEST_F(TransactionApisTest, ATransactionBeginsWithItsPartitionsAndEndsWithMarkers) {
  for (const bool commit : {true, false}) {
    for (const int16_t of : {kFirst, kSecond}) {
      const std::string id = std::string(commit ? "commit" : "abort") + std::to_string(of);
      Producer producer = init(id);
      const int16_t epoch = producer.epoch;
      for (int32_t partition = 0; partition < 3; ++partition) {
        EXPECT_EQ(write(of, producer, partition, {id}), ErrorCode::kNone);
        EXPECT_TRUE(in_transaction("t", partition));
      }
      EXPECT_EQ(describe(id).state, "Ongoing");
      EXPECT_THAT(describe(id).topics, ElementsAre(TransactionTopic{"t", {0, 1, 2}}));
      EXPECT_EQ(end(of, producer, commit), ErrorCode::kNone);
      settle(producer);
      EXPECT_EQ(describe(id).state, commit ? "CompleteCommit" : "CompleteAbort");
      EXPECT_EQ(producer.epoch, of == kSecond ? epoch + 1 : epoch);
      for (int32_t partition = 0; partition < 3; ++partition) {
        EXPECT_FALSE(in_transaction("t", partition));
        EXPECT_EQ(read("t", partition).back() == id, commit) << id;
      }
    }
  }
}

TEST_F(TransactionApisTest, ErrorsOfEndTxnFitTheVersion) {
  Producer producer = init("x");
  Producer stale = producer;
  --stale.epoch;
  for (int16_t version = 0; version <= 5; ++version) {
    EXPECT_EQ(error_of(ask_end(stale, true, version)->error_code),
              version < 2 ? ErrorCode::kInvalidProducerEpoch : ErrorCode::kProducerFenced);
    stale.id = producer.id + 1;
    EXPECT_EQ(error_of(ask_end(stale, true, version)->error_code), ErrorCode::kInvalidProducerIdMapping);
    stale.id = producer.id;
    EXPECT_EQ(error_of(ask_end(producer, true, version)->error_code), ErrorCode::kInvalidTxnState) << "nothing was begun";
    Producer unknown{"unknown", 1, 0};
    EXPECT_EQ(error_of(ask_end(unknown, true, version)->error_code), ErrorCode::kInvalidProducerIdMapping);
  }
  const auto aborted = ask_end(producer, false, 5);
  EXPECT_EQ(aborted->error_code, 0) << "a client of version 2 may abort before it wrote anything";
  EXPECT_EQ(aborted->producer_id, producer.id);
  EXPECT_EQ(aborted->producer_epoch, producer.epoch + 1);
}

TEST_F(TransactionApisTest, AnOpenTransactionOutlivesARestart) {
  for (const int16_t of : {kFirst, kSecond}) {
    Producer producer = init("x" + std::to_string(of));
    EXPECT_EQ(write(of, producer, 0, {"before"}), ErrorCode::kNone);
    restart_and_load(true);
    EXPECT_TRUE(in_transaction("t", 0));
    EXPECT_EQ(describe(producer.transactional_id).state, "Ongoing");
    EXPECT_EQ(write(of, producer, 0, {"after"}), ErrorCode::kNone);
    EXPECT_EQ(end(of, producer, true), ErrorCode::kNone);
    settle(producer);
  }
  EXPECT_THAT(read("t", 0), ElementsAre("before", "after", "before", "after"));
}

// Whatever was decided is carried out, wherever the broker died.
TEST_F(TransactionApisTest, WhileItsCoordinatorLoadsAClientIsToldSo) {
  Producer producer = init("x");
  EXPECT_EQ(write(kSecond, producer, 0, {"v"}), ErrorCode::kNone);
  restart(true);
  EXPECT_EQ(error_of(ask_end(producer, true, 5)->error_code), ErrorCode::kCoordinatorLoadInProgress);
  sim_.run_for(runtime::kSecond);
  EXPECT_EQ(end(kSecond, producer, true), ErrorCode::kNone);
}

TEST_F(TransactionApisTest, ADecisionOutlivesARestart) {
  for (int64_t run_ns = 0; run_ns < 4'000'000; run_ns += 200'000) {
    Producer producer = init("x" + std::to_string(run_ns));
    const std::string value = producer.transactional_id;
    for (int32_t partition = 0; partition < 3; ++partition) {
      EXPECT_EQ(write(kSecond, producer, partition, {value}), ErrorCode::kNone);
    }
    EndTxnRequest request;
    request.transactional_id = producer.transactional_id;
    request.producer_id = producer.id;
    request.producer_epoch = producer.epoch;
    request.committed = true;
    FakePeer& client = connect(0);
    send(client, 5, request);
    sim_.run_for(run_ns);
    const bool answered = has_response(client);
    restart_and_load(true);
    const std::string state(describe(value).state);
    if (answered) {
      EXPECT_NE(state, "Ongoing");
    }
    if (state == "Ongoing") {
      EXPECT_EQ(end(kSecond, producer, true), ErrorCode::kNone);
    }
    settle(producer);
    for (int32_t partition = 0; partition < 3; ++partition) {
      EXPECT_FALSE(in_transaction("t", partition));
      EXPECT_EQ(read("t", partition).back(), value);
    }
  }
}

TEST_F(TransactionApisTest, ATransactionThatTakesTooLongIsAborted) {
  Producer producer = init("x", 10'000);
  EXPECT_EQ(write(kSecond, producer, 1, {"late"}), ErrorCode::kNone);
  sim_.run_for(9 * runtime::kSecond);
  EXPECT_TRUE(in_transaction("t", 1));
  sim_.run_for(2 * runtime::kSecond);
  EXPECT_FALSE(in_transaction("t", 1));
  EXPECT_THAT(read("t", 1), IsEmpty());
  EXPECT_EQ(describe("x").state, "CompleteAbort");
}

TEST_F(TransactionApisTest, ATopicThatIsDeletedDoesNotHoldUpTheEnd) {
  create_topic("gone", 1);
  Producer producer = init("x");
  EXPECT_EQ(write(producer, "gone", 0, {"v"}, 13), ErrorCode::kNone);
  EXPECT_EQ(write(producer, "t", 0, {"v"}, 13), ErrorCode::kNone);
  DeleteTopicsRequest deletion;
  std::string_view name = "gone";
  deletion.topic_names = {&name, 1};
  deletion.timeout_ms = 10'000;
  EXPECT_EQ(call<DeleteTopicsResponse>(3, deletion)->responses[0].error_code, 0);
  EXPECT_EQ(end(kSecond, producer, true), ErrorCode::kNone);
  settle(producer);
  EXPECT_THAT(read("t", 0), ElementsAre("v"));
}

// --- AddPartitionsToTxn ---------------------------------------------------------------------------------------------

TEST_F(TransactionApisTest, OnePartitionThatCannotBeAddedRefusesAll) {
  Producer producer = init("x");
  for (int16_t version = 0; version <= 3; ++version) {
    int32_t known[] = {0, 7}, internal[] = {0}, absent[] = {0};
    AddPartitionsToTxnRequest::AddPartitionsToTxnTopic topics[3];
    topics[0].name = "t";
    topics[0].partitions = known;
    topics[1].name = "__consumer_offsets";
    topics[1].partitions = internal;
    topics[2].name = "absent";
    topics[2].partitions = absent;
    AddPartitionsToTxnRequest request;
    request.v3_and_below_transactional_id = producer.transactional_id;
    request.v3_and_below_producer_id = producer.id;
    request.v3_and_below_producer_epoch = producer.epoch;
    request.v3_and_below_topics = topics;
    const auto answer = call<AddPartitionsToTxnResponse>(version, request);
    const auto error = [&](size_t topic, size_t partition = 0) {
      return error_of(answer->results_by_topic_v3_and_below[topic].results_by_partition[partition].partition_error_code);
    };
    EXPECT_EQ(error(0, 0), ErrorCode::kOperationNotAttempted);
    EXPECT_EQ(error(0, 1), ErrorCode::kUnknownTopicOrPartition);
    EXPECT_EQ(error(1), ErrorCode::kTopicAuthorizationFailed);
    EXPECT_EQ(error(2), ErrorCode::kUnknownTopicOrPartition);
    EXPECT_EQ(describe("x").state, "Empty");
  }
  Producer stale = producer;
  --stale.epoch;
  EXPECT_EQ(add_partition(stale, "t", 0, 1), ErrorCode::kInvalidProducerEpoch);
  EXPECT_EQ(add_partition(stale, "t", 0, 2), ErrorCode::kProducerFenced);
  for (int16_t version = 0; version <= 3; ++version)
    EXPECT_EQ(add_partition(producer, "t", version % 3, version), ErrorCode::kNone);
  EXPECT_THAT(describe("x").topics, ElementsAre(TransactionTopic{"t", {0, 1, 2}}));
}

TEST_F(TransactionApisTest, BrokersAskForPartitionsOfTransactions) {
  Producer producer = init("x");
  EXPECT_THAT(ask_as_broker(producer, {0}, true), ElementsAre(ErrorCode::kTransactionAbortable));
  EXPECT_THAT(ask_as_broker(producer, {0, 2}, false), ElementsAre(ErrorCode::kNone, ErrorCode::kNone));
  EXPECT_THAT(ask_as_broker(producer, {2, 1, 0}, true),
              ElementsAre(ErrorCode::kNone, ErrorCode::kTransactionAbortable, ErrorCode::kNone));
  EXPECT_THAT(ask_as_broker(producer, {0, 9}, true),
              ElementsAre(ErrorCode::kOperationNotAttempted, ErrorCode::kUnknownTopicOrPartition));
  EXPECT_THAT(describe("x").topics, ElementsAre(TransactionTopic{"t", {0, 2}}));
  Producer other = producer;
  ++other.id;
  EXPECT_THAT(ask_as_broker(other, {0}, true), ElementsAre(ErrorCode::kInvalidProducerIdMapping));
}

// --- WriteTxnMarkers ------------------------------------------------------------------------------------------------

TEST_F(TransactionApisTest, AMarkerEndsATransactionInOnePartition) {
  for (int16_t version = 1; version <= 2; ++version) {
    Producer producer = init("x");
    EXPECT_EQ(write(kSecond, producer, 0, {"v"}), ErrorCode::kNone);
    EXPECT_EQ(write_marker("t", 0, {producer.id, producer.epoch}, version), ErrorCode::kNone);
    EXPECT_FALSE(in_transaction("t", 0));
    EXPECT_THAT(read("t", 0), IsEmpty());
    EXPECT_EQ(describe("x").state, "Ongoing") << "its coordinator was not asked";
  }
}

TEST_F(TransactionApisTest, AMarkerThatCannotBeIsRefused) {
  init("x");
  Producer producer = init("x");
  EXPECT_EQ(write(kSecond, producer, 0, {"v"}), ErrorCode::kNone);
  const Marker marker{producer.id, producer.epoch};
  EXPECT_EQ(write_marker("t", 9, marker), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(write_marker("absent", 0, marker), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(write_marker("t", 0, {-1, producer.epoch}), ErrorCode::kInvalidRequest);
  EXPECT_EQ(write_marker("t", 0, {producer.id, static_cast<int16_t>(producer.epoch - 1)}), ErrorCode::kInvalidProducerEpoch);
  EXPECT_EQ(write_marker("t", 0, {producer.id, producer.epoch, false, 0, 2}), ErrorCode::kInvalidProducerEpoch)
      << "under version 2 the epoch of a marker is the next one";
  EXPECT_TRUE(in_transaction("t", 0));
  EXPECT_EQ(write_marker("t", 0, {producer.id, producer.epoch, false, 0}), ErrorCode::kNone);
  EXPECT_EQ(write_marker("t", 0, {producer.id, producer.epoch, false, -1}), ErrorCode::kTransactionCoordinatorFenced);
}

// A tool took the epoch from somewhere else.
TEST_F(TransactionApisTest, AMarkerOfAnEpochThatNoCoordinatorHasDoesNotHoldUpTheCoordinator) {
  for (const int16_t version : {kFirst, kSecond}) {
    SCOPED_TRACE(version);
    Producer producer = init("x");
    EXPECT_EQ(write(version, producer, 0, {"v"}), ErrorCode::kNone);
    EXPECT_EQ(write_marker("t", 0, {producer.id, producer.epoch, false, 1'000}), ErrorCode::kNone);
    EXPECT_FALSE(in_transaction("t", 0));
    EXPECT_EQ(end(version, producer, true), ErrorCode::kNone);
    run_until([&] { return describe("x").state == "CompleteCommit"; });
  }
}

TEST_F(TransactionApisTest, ManyMarkersAreWrittenInSlices) {
  std::vector<int32_t> indexes;
  for (int32_t i = 0; i < 4'000; ++i) indexes.push_back(i % 3);
  WriteTxnMarkersRequest::WritableTxnMarkerTopic topic;
  topic.name = "t";
  topic.partition_indexes = indexes;
  WriteTxnMarkersRequest::WritableTxnMarker marker;
  marker.producer_id = 7;
  marker.topics = {&topic, 1};
  WriteTxnMarkersRequest request;
  request.markers = {&marker, 1};
  const auto answer = call<WriteTxnMarkersResponse>(2, request);
  const auto& answered = answer->markers[0].topics[0].partitions;
  ASSERT_EQ(answered.size(), indexes.size());
  for (size_t i = 0; i < indexes.size(); ++i) {
    EXPECT_EQ(answered[i].partition_index, indexes[i]);
    EXPECT_EQ(error_of(answered[i].error_code), ErrorCode::kNone);
  }
}

// --- levels of the feature ------------------------------------------------------------------------------------------

TEST_F(TransactionApisTest, TheLevelOfTheFeatureDecidesTheFormatOfRecords) {
  const auto format = [&](const std::string& id) {
    init(id);
    const auto& partition = partition_of("__transaction_state", coordinator_hash(id) % 3);
    const storage::TailBatch& last = partition.tail().back();
    protocol::RecordIterator records(protocol::BatchHeader::parse(last.bytes.bytes().data()),
                                     last.bytes.bytes().subspan(protocol::BatchHeader::kSize));
    protocol::Record record;
    int16_t version = -1;
    while (records.next(record)) version = load_be<int16_t>(record.value->data());
    return version;
  };
  EXPECT_EQ(format("x"), 1);
  set_level(1);
  EXPECT_EQ(format("x"), 1);
  set_level(0);
  EXPECT_EQ(format("x"), 0);
  EXPECT_EQ(format("y"), 0);
  restart_and_load(true);
  for (const char* id : {"x", "y"}) EXPECT_EQ(describe(id).error, ErrorCode::kNone);
  EXPECT_EQ(format("y"), 0) << "the level is durable";
}

}  // namespace
}  // namespace weir::broker
