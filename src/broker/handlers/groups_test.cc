// Groups through a whole broker in simulation, from requests on connections of different shards to the log and back.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <map>

#include "broker/coordinators/group_coordinators.h"
#include "broker/handlers/broker_fixture.h"
#include "protocol/messages/delete_groups.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/describe_groups.h"
#include "protocol/messages/find_coordinator.h"
#include "protocol/messages/heartbeat.h"
#include "protocol/messages/join_group.h"
#include "protocol/messages/list_groups.h"
#include "protocol/messages/offset_commit.h"
#include "protocol/messages/offset_fetch.h"
#include "protocol/messages/sync_group.h"
#include "storage/log/log_cleaner.h"
#include "storage/segment/segment_names.h"

namespace weir::broker {
namespace {

using namespace protocol;
using protocol::ErrorCode;

class GroupsTest : public BrokerTest {
 protected:
  void SetUp() override {
    set("group.initial.rebalance.delay.ms", "1000");
    BrokerTest::SetUp();
  }
  void restart_and_load(bool unclean) {
    restart(unclean);
    sim_.run_for(runtime::kSecond);
  }
  void find_coordinator() {
    FindCoordinatorRequest request;
    request.key = "g";
    EXPECT_EQ(call<FindCoordinatorResponse>(3, request)->error_code, 0);
  }
  JoinGroupRequest join_request(const std::string& member_id) {
    JoinGroupRequest request;
    request.group_id = "g";
    request.session_timeout_ms = 10'000;
    request.rebalance_timeout_ms = 20'000;
    member_id_ = member_id;
    request.member_id = member_id_;
    request.protocol_type = "connect";
    protocol_.name = "p";
    protocol_.metadata = as_bytes("metadata");
    request.protocols = {&protocol_, 1};
    return request;
  }
  int16_t commit(const std::string& group, const std::string& topic, int64_t offset, unsigned shard = 0,
                 std::string_view note = "note") {
    OffsetCommitRequest::OffsetCommitRequestPartition partition;
    partition.committed_offset = offset;
    partition.committed_metadata = note;
    OffsetCommitRequest::OffsetCommitRequestTopic asked;
    asked.name = topic;
    asked.partitions = {&partition, 1};
    OffsetCommitRequest request;
    request.group_id = group;
    request.topics = {&asked, 1};
    return call<OffsetCommitResponse>(peer(shard), 8, request)->topics[0].partitions[0].error_code;
  }
  int64_t fetch(const std::string& group, const std::string& topic, int16_t version = 7) {
    int32_t index = 0;
    OffsetFetchRequest::OffsetFetchRequestTopic asked;
    asked.name = topic;
    asked.partition_indexes = {&index, 1};
    OffsetFetchRequest request;
    request.group_id = group;
    std::span<OffsetFetchRequest::OffsetFetchRequestTopic> topics{&asked, 1};
    request.topics = topics;
    const auto answer = call<OffsetFetchResponse>(version, request);
    EXPECT_EQ(answer->error_code, 0);
    return answer->topics[0].partitions[0].committed_offset;
  }
  int16_t fetch_error(const std::string& group) {
    OffsetFetchRequest request;
    request.group_id = group;
    return call<OffsetFetchResponse>(7, request)->error_code;
  }
  void checkpoint() {
    size_t checkpointed = 0;
    for (unsigned shard = 0; shard < kShards; ++shard) {
      sim_.loop(shard).post(
          [&, shard] { logs_[shard]->checkpoint_all([&](Result<void> result) { checkpointed += result ? 1 : 0; }); });
    }
    run_until([&] { return checkpointed == kShards; });
  }
  void delete_topic(const std::string& name) {
    std::string_view view = name;
    DeleteTopicsRequest request;
    request.topic_names = {&view, 1};
    EXPECT_EQ(call<DeleteTopicsResponse>(5, request)->responses[0].error_code, 0);
  }

  std::string member_id_;
  JoinGroupRequest::JoinGroupRequestProtocol protocol_;
};

TEST_F(GroupsTest, TheHashIsJavas) {
  EXPECT_EQ(group_hash(""), 0);
  EXPECT_EQ(group_hash("a"), 97);
  EXPECT_EQ(group_hash("console-consumer-12345") % 50, 6);
  EXPECT_EQ(group_hash("\xc3\xa9"), 0xe9);
  EXPECT_EQ(group_hash("\xf0\x9f\x98\x80"), 1772899);
  EXPECT_EQ(group_hash("group-15838") % 50, 19);
  EXPECT_EQ(group_hash("ключ-потребителя"), 1691518349);
  EXPECT_EQ(group_hash("消費者グループ-七"), 250982018);
  EXPECT_EQ(group_hash("team-\xf0\x9f\x9a\x80-rocket"), 260858510);
  EXPECT_EQ(group_hash("polygenelubricants"), 0);  // the smallest integer has no absolute value
}

// Java replaces bytes that are no UTF-8.
TEST_F(GroupsTest, TheHashOfBrokenTextIsJavas) {
  EXPECT_EQ(group_hash("g\xff"), 68726);
  EXPECT_EQ(group_hash("\xc0\xaf"), 2097056);
  EXPECT_EQ(group_hash("\xc3"
                       "A"),
            2031588);
  EXPECT_EQ(group_hash("\xe0\xa0"), 65533);
  EXPECT_EQ(group_hash("\xe0\x80\x80"), 65074269);
  EXPECT_EQ(group_hash("\xe2\x82"
                       "A"),
            2031588);
  EXPECT_EQ(group_hash("\xed\xa0\x80"), 65533);
  EXPECT_EQ(group_hash("\xf0\x9f\x98"
                       "A"),
            2031588);
  EXPECT_EQ(group_hash("\xf0\x80\x80\xaf"), 2017367872);
  EXPECT_EQ(group_hash("\xf4\x90\x80\x80"), 2017367872);
  EXPECT_EQ(group_hash("\xed\xb0\x80"
                       "A"),
            2031588);
}

TEST_F(GroupsTest, CoordinatorIsNoneBeforeTheTopicExists) {
  HeartbeatRequest beat;
  beat.group_id = "g";
  EXPECT_EQ(call<HeartbeatResponse>(4, beat)->error_code, code(ErrorCode::kNotCoordinator));
  find_coordinator();
  EXPECT_EQ(call<HeartbeatResponse>(4, beat)->error_code, code(ErrorCode::kUnknownMemberId));
}

TEST_F(GroupsTest, MembersOnEveryShardShareAGroup) {
  find_coordinator();
  std::vector<std::string> ids;
  for (unsigned shard = 0; shard < kShards; ++shard) {
    const auto answer = call<JoinGroupResponse>(peer(shard), 9, join_request(""));
    EXPECT_EQ(answer->error_code, code(ErrorCode::kMemberIdRequired));
    ids.emplace_back(answer->member_id);
  }
  for (unsigned shard = 0; shard < kShards; ++shard) send(peer(shard), 9, join_request(ids[shard]));
  int32_t generation = 0;
  std::string leader;
  for (unsigned shard = 0; shard < kShards; ++shard) {
    run_until([&] { return has_response(peer(shard)); });
    const auto answer = take<JoinGroupResponse>(peer(shard), 9);
    EXPECT_EQ(answer->error_code, 0);
    generation = answer->generation_id;
    leader = answer->leader;
    EXPECT_EQ(answer->members.size(), leader == ids[shard] ? 3u : 0u);
  }
  std::vector<SyncGroupRequest::SyncGroupRequestAssignment> assignments;
  for (const std::string& id : ids) assignments.push_back({id, as_bytes(id)});
  for (unsigned shard = 0; shard < kShards; ++shard) {
    SyncGroupRequest request;
    request.group_id = "g";
    request.generation_id = generation;
    request.member_id = ids[shard];
    request.protocol_type = "connect";
    request.protocol_name = "p";
    if (ids[shard] == leader) request.assignments = assignments;
    send(peer(shard), 5, request);
  }
  for (unsigned shard = 0; shard < kShards; ++shard) {
    run_until([&] { return has_response(peer(shard)); });
    const auto answer = take<SyncGroupResponse>(peer(shard), 5);
    EXPECT_EQ(answer->error_code, 0);
    EXPECT_EQ(as_string(answer->assignment), ids[shard]);
  }
  restart_and_load(true);
  std::string_view name = "g";
  DescribeGroupsRequest describe;
  describe.groups = {&name, 1};
  const auto answer = call<DescribeGroupsResponse>(5, describe);
  EXPECT_EQ(answer->groups[0].group_state, "Stable");
  EXPECT_EQ(answer->groups[0].members.size(), 3u);
  sim_.run_for(15 * runtime::kSecond);
  EXPECT_EQ(call<DescribeGroupsResponse>(5, describe)->groups[0].group_state, "Empty");
}

TEST_F(GroupsTest, OffsetsSurviveRestarts) {
  create_topic("t", 1);
  find_coordinator();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(commit("g" + std::to_string(i), "t", i, static_cast<unsigned>(i) % kShards), 0);
  EXPECT_EQ(commit("g", "missing", 1), code(ErrorCode::kUnknownTopicOrPartition));
  for (const bool unclean : {true, false}) {
    restart_and_load(unclean);
    for (int i = 0; i < 20; ++i) EXPECT_EQ(fetch("g" + std::to_string(i), "t"), i);
  }
  EXPECT_EQ(call<ListGroupsResponse>(5, ListGroupsRequest())->groups.size(), 20u);
  std::string_view name = "g3";
  DeleteGroupsRequest remove;
  remove.groups_names = {&name, 1};
  EXPECT_EQ(call<DeleteGroupsResponse>(2, remove)->results[0].error_code, 0);
  EXPECT_EQ(call<DeleteGroupsResponse>(2, remove)->results[0].error_code, code(ErrorCode::kGroupIdNotFound));
  EXPECT_EQ(fetch("g3", "t"), -1);
  EXPECT_EQ(call<ListGroupsResponse>(5, ListGroupsRequest())->groups.size(), 19u);
}

TEST_F(GroupsTest, OffsetsOfARecreatedTopicAreAbsent) {
  create_topic("t", 1);
  find_coordinator();
  commit("g", "t", 5);
  delete_topic("t");
  EXPECT_EQ(fetch("g", "t"), -1);
  create_topic("t", 1);
  EXPECT_EQ(fetch("g", "t"), -1);
  commit("g", "t", 6);
  EXPECT_EQ(fetch("g", "t"), 6);
}

// Offsets come from segments, from the tail, and from both.
TEST_F(GroupsTest, OffsetsAreLoadedFromCheckpointedSegments) {
  create_topic("t", 1);
  find_coordinator();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(commit("g" + std::to_string(i), "t", i), 0);
  checkpoint();
  restart_and_load(false);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(fetch("g" + std::to_string(i), "t"), i);
  for (int i = 0; i < 20; i += 2) EXPECT_EQ(commit("g" + std::to_string(i), "t", i + 100), 0);
  restart_and_load(true);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(fetch("g" + std::to_string(i), "t"), i % 2 == 0 ? i + 100 : i);
  checkpoint();
  restart_and_load(true);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(fetch("g" + std::to_string(i), "t"), i % 2 == 0 ? i + 100 : i);
}

// Only the broker reads this topic, so no client's checksum finds the damage. A client that waited for the load would wait for
// ever.
TEST_F(GroupsTest, DamagedOffsetsAreNotServedAndClientsAreSentAway) {
  create_topic("t", 1);
  find_coordinator();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(commit("g", "t", 100 + i), 0);
  checkpoint();
  const TopicId topic = broker_->shard(0).image->find(GroupCoordinators::kTopic)->id();
  stop();
  frontend_metrics_.reset();
  registry_.reset();
  const std::string folder = storage::partition_folder_name({topic, group_hash("g") % 50});
  std::string segment;
  for (const std::string& path : sim_.disk().all_files()) {
    if (path.find(folder) != std::string::npos && path.ends_with(".log")) segment = path;
  }
  const std::vector<uint8_t> bytes = sim_.disk().contents(segment);
  std::vector<size_t> batches;
  for (size_t at = 0; at < bytes.size(); at += BatchHeader::parse(bytes.data() + at).size()) batches.push_back(at);
  ASSERT_EQ(batches.size(), 3u);
  ASSERT_EQ(bytes.size() - batches[2], batches[1]) << "they are alike";
  struct Damage {
    const char* what;
    size_t at;
    uint8_t mask;
  };
  for (const Damage& damage : {Damage{"a value", bytes.size() - 30, 1}, Damage{"a key", batches[1] + BatchHeader::kSize + 8, 16},
                               Damage{"an offset beyond the high watermark", batches[2] + 2, 8},
                               Damage{"an offset that goes back", batches[1] + 7, 1}}) {
    sim_.disk().flip_bits(segment, damage.at, damage.mask);
    start();
    sim_.run_for(runtime::kSecond);
    EXPECT_EQ(fetch_error("g"), code(ErrorCode::kNotCoordinator)) << damage.what;
    EXPECT_EQ(fetch_error("another"), 0) << damage.what;
    CoordinatorCounts counts;
    for (unsigned shard = 0; shard < kShards; ++shard) {
      const CoordinatorCounts more = groups_->count(shard);
      counts.failed += more.failed;
      counts.loading += more.loading;
      counts.active += more.active;
      for (const auto& failed : more.some_failed) EXPECT_THAT(failed.partition, ::testing::StartsWith("__consumer_offsets-"));
    }
    EXPECT_EQ(counts.failed, 1u) << damage.what;
    EXPECT_EQ(counts.loading, 0u) << damage.what;
    EXPECT_EQ(counts.active, 49u) << damage.what;
    sim_.disk().flip_bits(segment, damage.at, damage.mask);
    sim_.run_for(20 * runtime::kSecond);  // longer than the longest pause between two loads
    EXPECT_EQ(fetch("g", "t"), 102) << damage.what;
    stop();
    frontend_metrics_.reset();
    registry_.reset();
  }
  start();
}

TEST_F(GroupsTest, TheOffsetsTopicIsCompactedAndLoadedFromWhatIsLeft) {
  set("offsets.topic.segment.bytes", "1048576");
  restart(false);
  create_topic("t", 1);
  find_coordinator();
  const std::string note(4000, 'n');
  for (int i = 0; i < 10; ++i) EXPECT_EQ(commit("quiet" + std::to_string(i), "t", i), 0);
  for (int i = 0; i < 800; ++i) ASSERT_EQ(commit("busy", "t", i, 0, note), 0);
  const auto size = [&] {
    uint64_t bytes = 0;
    for (auto& log : logs_) log->for_each([&](storage::Partition& partition) { bytes += partition.size_bytes(); });
    return bytes;
  };
  EXPECT_GT(size(), 3'000'000u);
  std::vector<storage::LogShard*> logs;
  for (auto& log : logs_) logs.push_back(log.get());
  storage::LogCleaner cleaner(runtime_, logs, *segments_, {.backoff_ms = 1000});
  cleaner.start();
  run_until([&] { return cleaner.stats().runs > 0; });
  cleaner.stop();
  EXPECT_LT(size(), 1'500'000u);
  for (const bool unclean : {false, true}) {
    restart_and_load(unclean);
    EXPECT_EQ(fetch("busy", "t"), 799);
    for (int i = 0; i < 10; ++i) EXPECT_EQ(fetch("quiet" + std::to_string(i), "t"), i);
  }
}

TEST_F(GroupsTest, MarkersAndProducersAreReplayed) {
  const storage::PartitionId id{create_topic("c", 1), 0};
  const unsigned shard = broker_->owner(id);
  int appended = 0;
  const auto append = [&](const protocol::BatchOptions& options, std::optional<bool> commit) {
    protocol::RecordBatchBuilder builder(options);
    const std::string key = "k";
    if (commit) builder.append_end_marker(1000, *commit, 4);
    else builder.append(1000, as_bytes(key), std::nullopt);
    sim_.loop(shard).post([&, records = Slice::copy_of(builder.finish())] {
      logs_[shard]->append(*logs_[shard]->find(id), records, false, [&](storage::AppendResult result) {
        EXPECT_EQ(result.error, ErrorCode::kNone) << result.message;
        ++appended;
      });
    });
  };
  append({.producer_id = 7, .producer_epoch = 2, .base_sequence = 0, .transactional = true}, {});
  append({.producer_id = 7, .producer_epoch = 2, .transactional = true, .control = true}, true);
  append({.producer_id = 7, .producer_epoch = 2, .base_sequence = 1, .transactional = true}, {});
  append({.producer_id = 7, .producer_epoch = 3, .transactional = true, .control = true}, false);
  append({}, {});
  run_until([&] { return appended == 5; });
  using coordination::LogReplay;
  std::vector<std::string> seen;
  bool done = false;
  LogReplay replay(sim_.pool(), sim_.loop(shard), *logs_[shard], id,
                   {.record =
                        [&](const coordination::Origin& origin, const protocol::Record& record) {
                          seen.push_back(fmt::format("{}: {}/{}{}", record.offset, origin.producer_id, origin.producer_epoch,
                                                     origin.transactional ? " in a transaction" : ""));
                        },
                    .marker =
                        [&](int64_t offset, const coordination::TransactionMarker& marker) {
                          seen.push_back(fmt::format("{}: {}/{} {} by {}", offset, marker.producer_id, marker.producer_epoch,
                                                     marker.commit ? "commit" : "abort", marker.coordinator_epoch));
                        },
                    .done = [&](LogReplay::Outcome, const std::string&) { done = true; }});
  sim_.loop(shard).post([&] { replay.start(); });
  run_until([&] { return done; });
  EXPECT_THAT(seen, ::testing::ElementsAre("0: 7/2 in a transaction", "1: 7/2 commit by 4", "2: 7/2 in a transaction",
                                           "3: 7/3 abort by 4", "4: -1/-1"));
}

// A client that asks for stable offsets learns which partitions have offsets of open transactions.
TEST_F(GroupsTest, OffsetsOfOpenTransactionsAreUnstable) {
  create_topic("t", 2);
  find_coordinator();
  EXPECT_EQ(commit("g", "t", 5), 0);
  using coordination::OffsetCommitResult, coordination::MarkerResult;
  coordination::TxnOffsetCommitRequest request;
  request.group_id = "g";
  request.producer_id = 7;
  request.producer_epoch = 2;
  request.items.push_back({"t", {}, 0, 8, -1, ""});
  std::optional<ErrorCode> committed;
  sim_.loop(0).post([&] {
    groups_->call<OffsetCommitResult>(
        0, "g", [&](OffsetCommitResult result) { committed = result.items.at(0); },
        [&](auto& state, auto reply, auto now, auto& effects) {
          state.commit_transactional_offsets(request, std::move(reply), now, effects);
        });
  });
  run_until([&] { return committed.has_value(); });
  EXPECT_EQ(committed, ErrorCode::kNone);

  std::vector<int32_t> indexes{0, 1};
  OffsetFetchRequest::OffsetFetchRequestTopic asked;
  asked.name = "t";
  asked.partition_indexes = indexes;
  OffsetFetchRequest::OffsetFetchRequestTopics named;
  named.name = "t";
  named.partition_indexes = indexes;
  std::span<OffsetFetchRequest::OffsetFetchRequestTopic> topics{&asked, 1};
  std::span<OffsetFetchRequest::OffsetFetchRequestTopics> of_group{&named, 1};
  const auto told = [&](int16_t version, bool require_stable, bool all) {
    OffsetFetchRequest fetch_request;
    OffsetFetchRequest::OffsetFetchRequestGroup group;
    group.group_id = "g";
    if (version < 8) fetch_request.group_id = "g";
    group.topics = std::nullopt;
    if (!all) group.topics = of_group;
    if (version < 8 && all) fetch_request.topics = std::nullopt;
    else if (version < 8) fetch_request.topics = topics;
    if (version >= 8) fetch_request.groups = {&group, 1};
    fetch_request.require_stable = require_stable;
    const auto answer = call<OffsetFetchResponse>(version, fetch_request);
    std::string text;
    const auto add = [&](const auto& partitions) {
      for (const auto& partition : partitions) {
        text += fmt::format("{}:{}:{} ", partition.partition_index, partition.error_code, partition.committed_offset);
      }
    };
    if (version >= 8) add(answer->groups[0].topics[0].partitions);
    else add(answer->topics[0].partitions);
    return text;
  };
  for (int life = 0; life < 2; ++life) {
    for (const int16_t version : {7, 8, 9}) {
      EXPECT_EQ(told(version, true, false), "0:88:-1 1:0:-1 ") << version;
      EXPECT_EQ(told(version, true, true), "0:88:-1 ") << version;
      EXPECT_EQ(told(version, false, false), "0:0:5 1:0:-1 ") << version;
      EXPECT_EQ(told(version, false, true), "0:0:5 ") << version;
    }
    EXPECT_EQ(told(6, false, false), "0:0:5 1:0:-1 ");
    restart_and_load(false);
  }

  std::optional<ErrorCode> ended;
  sim_.loop(0).post([&] {
    groups_->call<MarkerResult>(
        0, "g", [&](MarkerResult result) { ended = result.error; },
        [](auto& state, auto reply, auto now, auto& effects) {
          state.end_transaction({7, 2, 0, true}, std::move(reply), now, effects);
        });
  });
  run_until([&] { return ended.has_value(); });
  EXPECT_EQ(ended, ErrorCode::kNone);
  EXPECT_EQ(told(9, true, false), "0:0:8 1:0:-1 ");
}

TEST_F(GroupsTest, CompressedBatchesAreReplayed) {
  const TopicId topic = create_topic("c", 1, {{"compression.type", "gzip"}});
  // The batch has more than one window, and a record that is larger than a window.
  std::vector<std::string> first(1'000, std::string(200, 'r'));
  first[500] = std::string(300'000, 'l');
  const std::vector<std::string> second{"a", "b"};
  produce("c", 0, first);
  produce("c", 0, second);
  const storage::PartitionId id{topic, 0};
  const unsigned shard = broker_->owner(id);
  std::vector<std::string> values;
  std::optional<coordination::LogReplay::Outcome> outcome;
  coordination::LogReplay replay(
      sim_.pool(), sim_.loop(shard), *logs_[shard], id,
      {.record = [&](const coordination::Origin&,
                     const protocol::Record& record) { values.emplace_back(as_string(*record.value)); },
       .marker = [](int64_t, const coordination::TransactionMarker&) {},
       .done = [&](coordination::LogReplay::Outcome found, const std::string&) { outcome = found; }});
  sim_.loop(shard).post([&] { replay.start(); });
  run_until([&] { return outcome.has_value(); });
  EXPECT_EQ(*outcome, coordination::LogReplay::Outcome::kComplete);
  ASSERT_EQ(values.size(), 1'002u);
  EXPECT_EQ(std::vector(values.begin(), values.begin() + 1'000), first);
  EXPECT_EQ(values[1001], "b");
  EXPECT_EQ(replay.next_offset(), 1'002);
}

TEST_F(GroupsTest, DeletingATopicRemovesItsOffsets) {
  create_topic("t", 1);
  create_topic("u", 1);
  find_coordinator();
  for (int i = 0; i < 20; ++i) {
    const std::string group = "g" + std::to_string(i);
    EXPECT_EQ(commit(group, "t", i), 0);
    EXPECT_EQ(commit(group, "u", i), 0);
  }
  const auto count = [&] {
    size_t offsets = 0;
    for (unsigned shard = 0; shard < kShards; ++shard) {
      groups_->for_each_state(shard, [&](const auto& state) { offsets += state.offset_count(); });
    }
    return offsets;
  };
  EXPECT_EQ(count(), 40u);
  delete_topic("t");
  run_until([&] { return count() == 20; });
  restart_and_load(true);
  EXPECT_EQ(count(), 20u);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(fetch("g" + std::to_string(i), "u"), i);
}

TEST_F(GroupsTest, RequestsAreToldThatTheCoordinatorLoads) {
  create_topic("t", 1);
  find_coordinator();
  EXPECT_EQ(commit("g", "t", 5), 0);
  restart(true);
  EXPECT_EQ(commit("g", "t", 6), code(ErrorCode::kCoordinatorLoadInProgress));
  sim_.run_for(runtime::kSecond);
  EXPECT_EQ(commit("g", "t", 6), 0);
}

TEST_F(GroupsTest, WhatCouldNotBeStoredIsNotThere) {
  create_topic("t", 1);
  find_coordinator();
  EXPECT_EQ(commit("g", "t", 5), 0);
  sim_.disk().inject({.pattern = "*.wal", .operation = weir::testing::DiskOperation::kDurableWriteEnd});
  EXPECT_EQ(commit("g", "t", 6), code(ErrorCode::kNotCoordinator));
  EXPECT_EQ(commit("g", "t", 7), code(ErrorCode::kCoordinatorLoadInProgress));
  sim_.run_for(3 * runtime::kSecond);
  EXPECT_EQ(fetch("g", "t"), 5);
  EXPECT_EQ(commit("g", "t", 8), code(ErrorCode::kNotCoordinator)) << "a failed flush ends the shard's session";
  // A log that failed cannot be closed cleanly.
  frontends_.clear();
  dispatcher_.reset();
  broker_.reset();
  logs_.clear();
  segments_.reset();
}

TEST_F(GroupsTest, WaitingMembersDoNotHoldUpTheEnd) {
  find_coordinator();
  set("group.initial.rebalance.delay.ms", "60000");
  restart_and_load(false);
  send(peer(1), 3, join_request(""));
  sim_.run_for(runtime::kSecond);
  EXPECT_FALSE(has_response(peer(1)));
  bool stopped = false;
  broker_->stop([&] { stopped = true; });
  run_until([&] { return stopped && has_response(peer(1)); });
  EXPECT_EQ(take<JoinGroupResponse>(peer(1), 3)->error_code, code(ErrorCode::kNotCoordinator));
}

}  // namespace
}  // namespace weir::broker
