// Offsets of groups that are committed in transactions: AddOffsetsToTxn, TxnOffsetCommit, and what others see of them.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <optional>
#include <string>
#include <vector>

#include "broker/handlers/transactions_fixture.h"
#include "protocol/messages/delete_groups.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/describe_producers.h"
#include "protocol/messages/join_group.h"
#include "protocol/messages/offset_commit.h"
#include "protocol/messages/offset_delete.h"
#include "protocol/messages/sync_group.h"

namespace weir::broker {
namespace {

using namespace protocol;
using protocol::ErrorCode;
using ::testing::Each;
using ::testing::ElementsAre;

class TransactionalOffsetsTest : public TransactionsTest {
 protected:
  struct Commit {
    std::string group = "g";
    std::vector<std::string> topics = {"t"};
    std::vector<int32_t> partitions = {0};  // of each
    int64_t offset = 5;
    int32_t generation = -1;
    std::string member = "";
    std::optional<std::string> instance = {};
    std::string metadata = "";
  };
  // The errors of all partitions.
  std::vector<ErrorCode> commit(const Producer& producer, const Commit& commit, int16_t version) {
    std::vector<TxnOffsetCommitRequest::TxnOffsetCommitRequestPartition> partitions(commit.partitions.size());
    for (size_t i = 0; i < partitions.size(); ++i) {
      partitions[i].partition_index = commit.partitions[i];
      partitions[i].committed_offset = commit.offset;
      partitions[i].committed_metadata = commit.metadata;
    }
    std::vector<TxnOffsetCommitRequest::TxnOffsetCommitRequestTopic> topics(commit.topics.size());
    for (size_t i = 0; i < topics.size(); ++i) {
      topics[i].name = commit.topics[i];
      const Topic* topic = broker_->shard(0).image->find(commit.topics[i]);
      topics[i].topic_id = topic != nullptr ? topic->id() : Uuid::from_random(3, 4);
      topics[i].partitions = partitions;
    }
    TxnOffsetCommitRequest request;
    request.transactional_id = producer.transactional_id;
    request.producer_id = producer.id;
    request.producer_epoch = producer.epoch;
    request.group_id = commit.group;
    request.topics = topics;
    if (version >= 3) {
      request.generation_id_or_member_epoch = commit.generation;
      request.member_id = commit.member;
      if (commit.instance) request.group_instance_id = *commit.instance;
    }
    const auto answer = call<TxnOffsetCommitResponse>(version, request);
    std::vector<ErrorCode> errors;
    for (const auto& topic : answer->topics) {
      for (const auto& partition : topic.partitions) errors.push_back(error_of(partition.error_code));
    }
    return errors;
  }
  ErrorCode add_offsets(const Producer& producer, const std::string& group, int16_t version = 4) {
    AddOffsetsToTxnRequest request;
    request.transactional_id = producer.transactional_id;
    request.producer_id = producer.id;
    request.producer_epoch = producer.epoch;
    request.group_id = group;
    return error_of(call<AddOffsetsToTxnResponse>(version, request)->error_code);
  }
  // As a client of that transaction.version does it.
  ErrorCode commit_as(int16_t client, const Producer& producer, const Commit& offsets) {
    if (client == kFirst) {
      const ErrorCode error = add_offsets(producer, offsets.group);
      if (error != ErrorCode::kNone) return error;
    }
    return commit(producer, offsets, client == kFirst ? int16_t{4} : int16_t{6}).at(0);
  }
  ErrorCode commit_outside(const std::string& group, int64_t offset, int32_t index = 0) {
    OffsetCommitRequest::OffsetCommitRequestPartition partition;
    partition.partition_index = index;
    partition.committed_offset = offset;
    OffsetCommitRequest::OffsetCommitRequestTopic asked;
    asked.name = "t";
    asked.partitions = {&partition, 1};
    OffsetCommitRequest request;
    request.group_id = group;
    request.topics = {&asked, 1};
    return error_of(call<OffsetCommitResponse>(8, request)->topics[0].partitions[0].error_code);
  }
  // "partition:error:offset" of partitions 0 and 1, or of all that the group has.
  std::string told(const std::string& group, bool require_stable, int16_t version = 9, bool all = false) {
    std::vector<int32_t> indexes{0, 1};
    OffsetFetchRequest::OffsetFetchRequestTopic older;
    older.name = "t";
    older.partition_indexes = indexes;
    std::span<OffsetFetchRequest::OffsetFetchRequestTopic> older_topics{&older, 1};
    OffsetFetchRequest::OffsetFetchRequestTopics named;
    named.name = "t";
    named.topic_id = broker_->shard(0).image->find("t")->id();
    named.partition_indexes = indexes;
    std::span<OffsetFetchRequest::OffsetFetchRequestTopics> topics{&named, 1};
    OffsetFetchRequest::OffsetFetchRequestGroup asked;
    asked.group_id = group;
    OffsetFetchRequest request;
    if (version >= 8) {
      asked.topics = std::nullopt;
      if (!all) asked.topics = topics;
      request.groups = {&asked, 1};
    } else {
      request.group_id = group;
      request.topics = std::nullopt;
      if (!all) request.topics = older_topics;
    }
    request.require_stable = require_stable;
    const auto answer = call<OffsetFetchResponse>(version, request);
    std::string text;
    const auto add = [&](const auto& partitions) {
      for (const auto& partition : partitions) {
        text += fmt::format("{}:{}:{} ", partition.partition_index, partition.error_code, partition.committed_offset);
      }
    };
    if (version >= 8) {
      if (!answer->groups[0].topics.empty()) add(answer->groups[0].topics[0].partitions);
    } else if (!answer->topics.empty()) {
      add(answer->topics[0].partitions);
    }
    return text;
  }
  // Of the partition 0, once no transaction holds it up.
  std::string stable(const std::string& group) {
    std::string found;
    run_until([&] {
      found = told(group, true);
      return found.find(":88:") == std::string::npos;
    });
    return found;
  }
  ErrorCode delete_offset(const std::string& group) {
    OffsetDeleteRequest::OffsetDeleteRequestPartition partition;
    OffsetDeleteRequest::OffsetDeleteRequestTopic asked;
    asked.name = "t";
    asked.partitions = {&partition, 1};
    OffsetDeleteRequest request;
    request.group_id = group;
    request.topics = {&asked, 1};
    return error_of(call<OffsetDeleteResponse>(0, request)->topics[0].partitions[0].error_code);
  }
  ErrorCode delete_group(std::string_view group) {
    DeleteGroupsRequest request;
    request.groups_names = {&group, 1};
    return error_of(call<DeleteGroupsResponse>(2, request)->results[0].error_code);
  }
  // A member of the group, in its first generation.
  std::string join(const std::string& group, std::optional<std::string> instance = {}) {
    JoinGroupRequest::JoinGroupRequestProtocol protocol;
    protocol.name = "p";
    JoinGroupRequest request;
    request.group_id = group;
    request.session_timeout_ms = request.rebalance_timeout_ms = 300'000;
    if (instance) request.group_instance_id = *instance;
    request.protocol_type = "connect";
    request.protocols = {&protocol, 1};
    auto joined = call<JoinGroupResponse>(5, request);
    const std::string member(joined->member_id);
    if (!instance) {
      request.member_id = member;
      EXPECT_EQ(call<JoinGroupResponse>(5, request)->generation_id, 1);
    }
    SyncGroupRequest sync;
    sync.group_id = group;
    sync.generation_id = 1;
    sync.member_id = member;
    EXPECT_EQ(call<SyncGroupResponse>(3, sync)->error_code, 0);
    return member;
  }
  std::string group_partition(const std::string& group) { return "__consumer_offsets-" + std::to_string(group_hash(group) % 3); }
  std::vector<std::string> parts(const std::string& transactional_id) {
    std::vector<std::string> names;
    for (const auto& topic : describe(transactional_id).topics) {
      for (const int32_t index : topic.indexes) names.push_back(topic.name + "-" + std::to_string(index));
    }
    return names;
  }
};

// --- whole transactions ---------------------------------------------------------------------------------------------

TEST_F(TransactionalOffsetsTest, OffsetsCountOnceTheirTransactionIsCommitted) {
  for (const int16_t client : {kFirst, kSecond}) {
    SCOPED_TRACE(client);
    const std::string group = "g" + std::to_string(client);
    Producer producer = init("id" + std::to_string(client));
    ASSERT_EQ(commit_as(client, producer, {.group = group, .partitions = {0, 1}, .offset = 7}), ErrorCode::kNone);
    EXPECT_THAT(parts(producer.transactional_id), ElementsAre(group_partition(group)));
    EXPECT_EQ(told(group, false), "0:0:-1 1:0:-1 ");
    EXPECT_EQ(told(group, true), "0:88:-1 1:88:-1 ");
    ASSERT_EQ(end(client, producer, true), ErrorCode::kNone);
    EXPECT_EQ(stable(group), "0:0:7 1:0:7 ");
    settle(producer);
    ASSERT_EQ(commit_as(client, producer, {.group = group, .offset = 8}), ErrorCode::kNone);
    EXPECT_EQ(told(group, false), "0:0:7 1:0:7 ");
    ASSERT_EQ(end(client, producer, false), ErrorCode::kNone);
    EXPECT_EQ(stable(group), "0:0:7 1:0:7 ");
    for (const bool unclean : {false, true}) {
      restart_and_load(unclean);
      EXPECT_EQ(told(group, true), "0:0:7 1:0:7 ");
    }
  }
}

// Records and the offsets that they were made of, together or not at all.
TEST_F(TransactionalOffsetsTest, TheyCountWithTheRecordsOfTheTransaction) {
  Producer producer = init("id");
  for (const bool commits : {false, true}) {
    ASSERT_EQ(write(kSecond, producer, 0, {commits ? "yes" : "no"}), ErrorCode::kNone);
    ASSERT_EQ(commit_as(kSecond, producer, {.offset = commits ? 2 : 1}), ErrorCode::kNone);
    EXPECT_THAT(parts("id"), ElementsAre(group_partition("g"), "t-0"));
    ASSERT_EQ(end(kSecond, producer, commits), ErrorCode::kNone);
    settle(producer);
  }
  EXPECT_THAT(read("t", 0), ElementsAre("yes"));
  EXPECT_EQ(told("g", true), "0:0:2 1:0:-1 ");
}

TEST_F(TransactionalOffsetsTest, ItGoesOnAfterARestartAtEachStep) {
  for (const bool unclean : {false, true}) {
    for (const int16_t client : {kFirst, kSecond}) {
      SCOPED_TRACE(std::to_string(client) + (unclean ? " unclean" : " clean"));
      const std::string group = "g" + std::to_string(client) + (unclean ? "u" : "c");
      Producer producer = init("id" + group);
      if (client == kFirst) {
        ASSERT_EQ(add_offsets(producer, group), ErrorCode::kNone);
        restart_and_load(unclean);
      }
      const int16_t version = client == kFirst ? 4 : 5;
      ASSERT_THAT(commit(producer, {.group = group, .offset = 7}, version), ElementsAre(ErrorCode::kNone));
      restart_and_load(unclean);
      EXPECT_EQ(told(group, true), "0:88:-1 1:0:-1 ");
      ASSERT_THAT(commit(producer, {.group = group, .offset = 8}, version), ElementsAre(ErrorCode::kNone));
      ASSERT_EQ(end(client, producer, true), ErrorCode::kNone);
      restart_and_load(unclean);
      EXPECT_EQ(stable(group), "0:0:8 1:0:-1 ");
    }
  }
}

// A client that asks for stable offsets learns, partition by partition, which ones open transactions have committed.
TEST_F(TransactionalOffsetsTest, OffsetsOfOpenTransactionsAreUnstable) {
  ASSERT_EQ(commit_outside("g", 5), ErrorCode::kNone);
  Producer producer = init("id");
  ASSERT_EQ(commit_as(kSecond, producer, {.offset = 8}), ErrorCode::kNone);
  for (int life = 0; life < 2; ++life) {
    for (const int16_t version : {7, 8, 9, 10}) {
      EXPECT_EQ(told("g", true, version), "0:88:-1 1:0:-1 ") << version;
      EXPECT_EQ(told("g", true, version, true), "0:88:-1 ") << version;
      EXPECT_EQ(told("g", false, version), "0:0:5 1:0:-1 ") << version;
      EXPECT_EQ(told("g", false, version, true), "0:0:5 ") << version;
    }
    EXPECT_EQ(told("g", false, 6), "0:0:5 1:0:-1 ");
    restart_and_load(false);
  }
  ASSERT_EQ(end(kSecond, producer, true), ErrorCode::kNone);
  EXPECT_EQ(stable("g"), "0:0:8 1:0:-1 ");
}

// --- the requests ---------------------------------------------------------------------------------------------------

TEST_F(TransactionalOffsetsTest, APartitionThatWasNotAddedIsRefusedByVersion) {
  for (int16_t version = 0; version <= 6; ++version) {
    SCOPED_TRACE(version);
    Producer producer = init("id" + std::to_string(version));
    const auto errors = commit(producer, {.topics = {"t"}, .partitions = {0, 1}}, version);
    EXPECT_EQ(errors.size(), 2u);
    EXPECT_THAT(errors, Each(version >= 5   ? ErrorCode::kNone
                             : version == 4 ? ErrorCode::kTransactionAbortable
                                            : ErrorCode::kInvalidTxnState));
  }
}

TEST_F(TransactionalOffsetsTest, VerificationOfOlderClientsMayBeOff) {
  set("transaction.partition.verification.enable", "false");
  restart_and_load(false);
  Producer producer = init("id");
  EXPECT_THAT(commit(producer, {}, 3), ElementsAre(ErrorCode::kNone));
  EXPECT_THAT(parts("id"), ::testing::IsEmpty());
  EXPECT_THAT(commit({"id", -1, 0}, {}, 3), ElementsAre(ErrorCode::kInvalidProducerIdMapping));
  EXPECT_THAT(commit({"id", producer.id, -1}, {}, 3), ElementsAre(ErrorCode::kInvalidProducerEpoch));
  EXPECT_EQ(commit_outside("g", 7), ErrorCode::kNone) << "what the log would refuse did not end the state of its coordinator";
}

TEST_F(TransactionalOffsetsTest, PartitionsThatDoNotExistAreToldAlone) {
  Producer producer = init("id");
  for (int16_t version = 5; version <= 6; ++version) {
    const auto errors = commit(producer, {.topics = {"t", "absent"}, .partitions = {0, 9}}, version);
    const ErrorCode absent = version == 6 ? ErrorCode::kUnknownTopicId : ErrorCode::kUnknownTopicOrPartition;
    EXPECT_THAT(errors, ElementsAre(ErrorCode::kNone, ErrorCode::kUnknownTopicOrPartition, absent, absent));
  }
  EXPECT_THAT(commit(producer, {.topics = {"absent"}}, 5), ElementsAre(ErrorCode::kUnknownTopicOrPartition));
}

TEST_F(TransactionalOffsetsTest, AGroupHasAName) {
  Producer producer = init("id");
  EXPECT_THAT(commit(producer, {.group = ""}, 5), ElementsAre(ErrorCode::kInvalidGroupId));
  EXPECT_THAT(parts("id"), ::testing::IsEmpty());
}

TEST_F(TransactionalOffsetsTest, LongMetadataIsRefusedAlone) {
  Producer producer = init("id");
  EXPECT_THAT(commit(producer, {.metadata = std::string(5000, 'x')}, 5), ElementsAre(ErrorCode::kOffsetMetadataTooLarge));
  EXPECT_THAT(commit(producer, {.offset = 3}, 5), ElementsAre(ErrorCode::kNone));
  ASSERT_EQ(end(kSecond, producer, true), ErrorCode::kNone);
  EXPECT_EQ(stable("g"), "0:0:3 1:0:-1 ");
}

TEST_F(TransactionalOffsetsTest, MembersAreCheckedIfTheyAreNamed) {
  const std::string member = join("g");
  const std::string fixed = join("static", "instance");
  Producer producer = init("id");
  const auto error = [&](const Commit& offsets, int16_t version = 6) { return commit(producer, offsets, version).at(0); };
  EXPECT_EQ(error({.generation = 1, .member = member}), ErrorCode::kNone);
  EXPECT_EQ(error({}), ErrorCode::kNone) << "nobody is named";
  EXPECT_EQ(error({}, 2), ErrorCode::kNone) << "versions below 3 name nobody";
  EXPECT_EQ(error({.generation = 2, .member = member}), ErrorCode::kIllegalGeneration);
  EXPECT_EQ(error({.generation = 1, .member = "nobody"}), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(error({.group = "static", .generation = 1, .member = fixed, .instance = "instance"}), ErrorCode::kNone);
  EXPECT_EQ(error({.group = "static", .generation = 1, .member = "other", .instance = "instance"}), ErrorCode::kFencedInstanceId);
  EXPECT_EQ(error({.group = "absent", .generation = 1, .member = member}, 6), ErrorCode::kGroupIdNotFound);
  EXPECT_EQ(error({.group = "absent", .generation = 1, .member = member}, 5), ErrorCode::kIllegalGeneration);
}

// --- coordinators ---------------------------------------------------------------------------------------------------

TEST_F(TransactionalOffsetsTest, ACoordinatorThatLoadsIsToldByVersion) {
  Producer producer = init("id");
  ASSERT_EQ(add_offsets(producer, "g"), ErrorCode::kNone);
  for (int16_t version = 0; version <= 3; ++version) {
    SCOPED_TRACE(version);
    restart_while_loading();
    const ErrorCode first = commit(producer, {}, version).at(0);
    EXPECT_EQ(first, version < 2 ? ErrorCode::kCoordinatorNotAvailable : ErrorCode::kCoordinatorLoadInProgress);
    sim_.run_for(runtime::kSecond);
    EXPECT_THAT(commit(producer, {}, version), ElementsAre(ErrorCode::kNone));
  }
}

TEST_F(TransactionalOffsetsTest, AnIdThatNobodyHasIsRefused) {
  Producer nobody{"nobody", 4711, 0};
  EXPECT_EQ(add_offsets(nobody, "g"), ErrorCode::kInvalidProducerIdMapping);
  EXPECT_THAT(commit(nobody, {}, 3), ElementsAre(ErrorCode::kInvalidProducerIdMapping));
  EXPECT_THAT(commit(nobody, {}, 5), ElementsAre(ErrorCode::kInvalidProducerIdMapping));
  EXPECT_EQ(told("g", true), "0:0:-1 1:0:-1 ");
}

TEST_F(TransactionalOffsetsTest, TheTopicOfOffsetsIsCreatedWhenOneIsAdded) {
  DeleteTopicsRequest deletion;
  std::string_view topic = GroupCoordinators::kTopic;
  deletion.topic_names = {&topic, 1};
  ASSERT_EQ(error_of(call<DeleteTopicsResponse>(5, deletion)->responses[0].error_code), ErrorCode::kNone);
  Producer producer = init("id");
  EXPECT_THAT(commit(producer, {}, 5), ElementsAre(ErrorCode::kNotCoordinator)) << "clients look for it, and make it";
  ASSERT_EQ(add_offsets(producer, "g"), ErrorCode::kNone);
  EXPECT_THAT(parts("id"), ElementsAre(group_partition("g")));
  sim_.run_for(runtime::kSecond);
  EXPECT_THAT(commit(producer, {}, 4), ElementsAre(ErrorCode::kNone));
}

// --- zombies --------------------------------------------------------------------------------------------------------

TEST_F(TransactionalOffsetsTest, AProducerThatWasReplacedIsRefused) {
  for (const int16_t client : {kFirst, kSecond}) {
    SCOPED_TRACE(client);
    const std::string group = "g" + std::to_string(client);
    const int16_t version = client == kFirst ? 4 : 5;
    Producer zombie = init("id" + std::to_string(client));
    Producer producer = init(zombie.transactional_id);
    for (int16_t old = 0; old <= 4; ++old) {
      EXPECT_EQ(add_offsets(zombie, group, old), old < 2 ? ErrorCode::kInvalidProducerEpoch : ErrorCode::kProducerFenced);
    }
    EXPECT_THAT(commit(zombie, {.group = group}, version), ElementsAre(ErrorCode::kInvalidProducerEpoch)) << "the coordinator";
    ASSERT_EQ(commit_as(client, producer, {.group = group, .offset = 9}), ErrorCode::kNone);
    EXPECT_THAT(commit(zombie, {.group = group}, version), ElementsAre(ErrorCode::kInvalidProducerEpoch)) << "the log";
    EXPECT_EQ(commit_outside("other", 1), ErrorCode::kNone) << "coordinators are alive";
    ASSERT_EQ(end(client, producer, true), ErrorCode::kNone);
    EXPECT_EQ(stable(group), "0:0:9 1:0:-1 ");
    EXPECT_THAT(commit(zombie, {.group = group}, version), ElementsAre(ErrorCode::kInvalidProducerEpoch));
  }
}

TEST_F(TransactionalOffsetsTest, OffsetsOfAReplacedProducersTransactionAreDropped) {
  for (const int16_t client : {kFirst, kSecond}) {
    SCOPED_TRACE(client);
    const std::string group = "g" + std::to_string(client);
    Producer zombie = init("id" + std::to_string(client));
    ASSERT_EQ(commit_as(client, zombie, {.group = group, .offset = 9}), ErrorCode::kNone);
    Producer producer = init(zombie.transactional_id);
    EXPECT_EQ(stable(group), "0:0:-1 1:0:-1 ");
    EXPECT_THAT(commit(zombie, {.group = group}, client == kFirst ? int16_t{4} : int16_t{5}),
                ElementsAre(ErrorCode::kInvalidProducerEpoch));
  }
}

TEST_F(TransactionalOffsetsTest, OffsetsOfATransactionThatTakesTooLongAreDropped) {
  Producer producer = init("id", 5'000);
  ASSERT_EQ(commit_as(kSecond, producer, {.offset = 9}), ErrorCode::kNone);
  sim_.run_for(6 * runtime::kSecond);
  EXPECT_EQ(stable("g"), "0:0:-1 1:0:-1 ");
  EXPECT_THAT(commit(producer, {}, 5), ElementsAre(ErrorCode::kInvalidProducerEpoch));
}

// --- pending offsets and others -------------------------------------------------------------------------------------

TEST_F(TransactionalOffsetsTest, TheLaterCommitWinsWhateverEndsFirst) {
  Producer producer = init("id");
  ASSERT_EQ(commit_as(kSecond, producer, {.offset = 1}), ErrorCode::kNone);
  ASSERT_EQ(commit_outside("g", 2), ErrorCode::kNone);
  ASSERT_EQ(end(kSecond, producer, true), ErrorCode::kNone);
  EXPECT_EQ(stable("g"), "0:0:2 1:0:-1 ");
  restart_and_load(true);
  EXPECT_EQ(told("g", true), "0:0:2 1:0:-1 ");
}

TEST_F(TransactionalOffsetsTest, ADeletedOffsetDoesNotComeBackWithTheMarker) {
  Producer producer = init("id");
  ASSERT_EQ(commit_outside("g", 1, 1), ErrorCode::kNone);
  ASSERT_EQ(commit_as(kSecond, producer, {.offset = 5}), ErrorCode::kNone);
  ASSERT_EQ(delete_offset("g"), ErrorCode::kNone);
  EXPECT_EQ(told("g", true), "0:0:-1 1:0:1 ");
  ASSERT_EQ(end(kSecond, producer, true), ErrorCode::kNone);
  settle(producer);
  EXPECT_EQ(told("g", true), "0:0:-1 1:0:1 ");
}

TEST_F(TransactionalOffsetsTest, ADeletedGroupDoesNotComeBackWithTheMarker) {
  Producer producer = init("id");
  ASSERT_EQ(commit_as(kSecond, producer, {.offset = 5}), ErrorCode::kNone);
  ASSERT_EQ(commit_outside("g", 1, 1), ErrorCode::kNone);
  ASSERT_EQ(delete_group("g"), ErrorCode::kNone);
  EXPECT_EQ(delete_group("g"), ErrorCode::kGroupIdNotFound);
  ASSERT_EQ(end(kSecond, producer, true), ErrorCode::kNone);
  settle(producer);
  for (int life = 0; life < 2; ++life) {
    EXPECT_EQ(told("g", true), "0:0:-1 1:0:-1 ");
    EXPECT_EQ(delete_group("g"), ErrorCode::kGroupIdNotFound);
    restart_and_load(true);
  }
}

// An offset of an open transaction is not old, and neither is its group.
TEST_F(TransactionalOffsetsTest, PendingOffsetsDoNotExpire) {
  set("offsets.retention.minutes", "1");
  set("offsets.retention.check.interval.ms", "10000");
  set("transaction.max.timeout.ms", "3600000");
  restart_and_load(false);
  Producer producer = init("id", 3'600'000);
  ASSERT_EQ(commit_outside("expires", 1), ErrorCode::kNone);
  ASSERT_EQ(commit_outside("g", 1), ErrorCode::kNone);
  ASSERT_EQ(commit_as(kSecond, producer, {.offset = 2}), ErrorCode::kNone);
  sim_.run_for(300 * runtime::kSecond);
  EXPECT_EQ(told("expires", false), "0:0:-1 1:0:-1 ");
  EXPECT_EQ(told("g", false), "0:0:1 1:0:-1 ") << "the one that it may replace";
  ASSERT_EQ(end(kSecond, producer, false), ErrorCode::kNone);
  settle(producer);
  sim_.run_for(120 * runtime::kSecond);
  EXPECT_EQ(told("g", true), "0:0:-1 1:0:-1 ");
  EXPECT_EQ(delete_group("g"), ErrorCode::kGroupIdNotFound) << "went with its last offset";
}

TEST_F(TransactionalOffsetsTest, ToolsSeeTheOpenTransactionOfAGroup) {
  Producer producer = init("id");
  ASSERT_EQ(commit_outside("g", 1), ErrorCode::kNone);
  ASSERT_EQ(commit_as(kSecond, producer, {}), ErrorCode::kNone);
  int32_t index = group_hash("g") % 3;
  DescribeProducersRequest::TopicRequest asked;
  asked.name = GroupCoordinators::kTopic;
  asked.partition_indexes = {&index, 1};
  DescribeProducersRequest request;
  request.topics = {&asked, 1};
  const auto answer = call<DescribeProducersResponse>(0, request);
  const auto& partition = answer->topics[0].partitions[0];
  ASSERT_EQ(partition.error_code, 0);
  ASSERT_EQ(partition.active_producers.size(), 1u);
  EXPECT_EQ(partition.active_producers[0].producer_id, producer.id);
  EXPECT_EQ(partition.active_producers[0].current_txn_start_offset, 1);
}

}  // namespace
}  // namespace weir::broker
