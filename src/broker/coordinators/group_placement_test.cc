// Groups that an earlier version put into another partition than Kafka does, through a whole broker.
#include "broker/broker.h"
#include "broker/coordinators/group_coordinators.h"
#include "broker/handlers/broker_fixture.h"
#include "broker/metadata/group_placement_record.h"
#include "coordination/group/group_records.h"
#include "coordination/group/group_world.h"
#include "protocol/messages/find_coordinator.h"
#include "protocol/messages/list_groups.h"
#include "protocol/messages/offset_fetch.h"
#include "storage/log/offline_markers.h"

namespace weir::broker {
namespace {

using namespace protocol;
using protocol::ErrorCode;

constexpr const char* kGroup = "group-15838";  // in 19 of 50 partitions; before it was 29
constexpr int32_t kRight = 19, kWrong = 29;

class GroupPlacementTest : public BrokerTest {
 protected:
  void SetUp() override {
    BrokerTest::SetUp();
    FindCoordinatorRequest request;
    request.key = "g";
    EXPECT_EQ(call<FindCoordinatorResponse>(3, request)->error_code, 0);
    create_topic("t", 600);
  }
  void write(int32_t index, const std::vector<coordination::CoordinatorRecord>& records) {
    RecordBatchBuilder builder;
    for (const auto& record : records) builder.append(1, as_bytes(record.key), as_bytes(*record.value));
    ProduceRequest::PartitionProduceData data;
    data.index = index;
    data.records.data = builder.finish();
    ProduceRequest::TopicProduceData topic;
    topic.name = GroupCoordinators::kTopic;
    topic.partition_data = {&data, 1};
    ProduceRequest request;
    request.acks = -1;
    request.timeout_ms = 1000;
    request.topic_data = {&topic, 1};
    send(peer(0), 9, request, "__admin_client");
    run_until([&] { return has_response(peer(0)); });
    EXPECT_EQ(take<ProduceResponse>(peer(0), 9)->responses[0].partition_responses[0].error_code, 0);
  }
  static coordination::CoordinatorRecord offset(const std::string& group, int32_t partition, int64_t offset, int64_t at_ms) {
    coordination::CommittedOffset value;
    value.offset = offset;
    value.commit_timestamp_ms = at_ms;
    return encode(coordination::OffsetEntry{group, "t", partition, value});
  }
  int64_t fetch(const std::string& group, int32_t partition = 0) {
    OffsetFetchRequest::OffsetFetchRequestTopic asked;
    asked.name = "t";
    asked.partition_indexes = {&partition, 1};
    OffsetFetchRequest request;
    request.group_id = group;
    request.topics = {&asked, 1};
    const auto answer = call<OffsetFetchResponse>(7, request);
    EXPECT_EQ(answer->error_code, 0);
    return answer->error_code == 0 ? answer->topics[0].partitions[0].committed_offset : -2;
  }
  ErrorCode refusal(const std::string& group) {
    OffsetFetchRequest request;
    request.group_id = group;
    return static_cast<ErrorCode>(call<OffsetFetchResponse>(7, request)->error_code);
  }
  bool noted() { return !meta_.range_blocking(std::string(GroupPlacementRecord::kKey))->entries.empty(); }
  int64_t now_ms() { return sim_.clock().wall_ms(); }
};

TEST_F(GroupPlacementTest, GroupsMoveAtTheFirstStart) {
  std::vector<coordination::CoordinatorRecord> records;
  for (int32_t i = 0; i < 600; ++i) records.push_back(offset(kGroup, i, 100 + i, now_ms()));
  write(kWrong, records);
  EXPECT_FALSE(noted());
  for (int start = 0; start < 2; ++start) {
    restart(false);
    run_until([&] { return noted(); });
    sim_.run_for(runtime::kSecond);
    for (int32_t i : {0, 511, 512, 599}) EXPECT_EQ(fetch(kGroup, i), 100 + i);
    const auto listed = call<ListGroupsResponse>(4, ListGroupsRequest());
    ASSERT_EQ(listed->groups.size(), 1u);
    EXPECT_EQ(listed->groups[0].group_id, kGroup);
  }
}

TEST_F(GroupPlacementTest, NobodyIsServedBeforeTheMove) {
  write(kWrong, {offset(kGroup, 0, 7, now_ms())});
  stop();
  frontend_metrics_.reset();
  registry_.reset();
  start(false);
  int served = 0;
  groups_->call<coordination::OffsetFetchResult>(
      0, kGroup,
      [&](coordination::OffsetFetchResult result) {
        ++served;
        EXPECT_NE(result.error, ErrorCode::kNone);
      },
      [&](auto&, auto, auto, auto&) {
        ++served;
        ADD_FAILURE();
      });
  sim_.run_for(2 * runtime::kSecond);
  EXPECT_EQ(served, 1);
  EXPECT_EQ(fetch(kGroup), 7);
}

// The partition serves its own groups. It does not answer for groups that the other one may hold.
TEST_F(GroupPlacementTest, APartitionServesWhatCannotBeInACounterpartThatCannotBeRead) {
  ASSERT_NE(group_hash(kGroup), group_hash_before(kGroup));
  const auto name_in = [](int32_t index, bool negative) {
    for (int i = 0;; ++i) {
      std::string name = "g" + std::to_string(i);
      if (group_hash(name) % 50 == index && (group_hash(name) != group_hash_before(name)) == negative) return name;
    }
  };
  const std::string served = name_in(kRight, false), unreadable = name_in(kWrong, false), misplaced = name_in(kWrong, true);
  write(kRight, {offset(served, 0, 7, now_ms()), offset(kGroup, 0, 8, now_ms()), offset(misplaced, 0, 9, now_ms())});
  write(kWrong, {offset(kGroup, 1, 10, now_ms()), offset(unreadable, 0, 11, now_ms())});
  const TopicId topic = broker_->shard(0).image->find(GroupCoordinators::kTopic)->id();
  storage::OfflineMarkers markers(sim_.disk(), "/data");
  stop();
  ASSERT_TRUE(markers.put({topic, kWrong}, "damaged by this test"));
  restart(false);
  sim_.run_for(10 * runtime::kSecond);
  const auto refused = [&] {
    for (const std::string& group : {std::string(kGroup), unreadable, misplaced, name_in(kRight, true)}) {
      EXPECT_EQ(refusal(group), ErrorCode::kNotCoordinator) << group;
    }
  };
  EXPECT_EQ(fetch(served), 7);
  refused();
  sim_.run_for(int64_t{14 * 24 * 3600} * runtime::kSecond);  // retention does not take what nobody could renew
  refused();
  EXPECT_FALSE(noted());

  stop();
  ASSERT_TRUE(markers.remove({topic, kWrong}));
  restart(false);
  run_until([&] { return noted(); });
  EXPECT_EQ(fetch(kGroup, 0), 8);
  EXPECT_EQ(fetch(kGroup, 1), 10);
  EXPECT_EQ(fetch(unreadable), 11);
  EXPECT_EQ(fetch(misplaced), 9);
}

// However long it takes until it serves: nobody could send heartbeats before.
TEST_F(GroupPlacementTest, MembersDoNotExpireBeforeTheirPartitionServes) {
  coordination::GroupWorld before;
  const auto joined = before.join("");
  before.advance(3'000);
  before.sync(joined->member_id, joined->generation, {{joined->member_id, "assigned"}});
  const auto moved = before.state->move().misplaced("", 0, [](std::string_view) { return 1; });
  ASSERT_EQ(moved.records.size(), 1u);

  const storage::PartitionId id{create_topic("c", 1, {{"cleanup.policy", "compact"}}), 0};
  const unsigned shard = broker_->owner(id);
  coordination::GroupMemory memory(1 << 20);
  coordination::TestServices services(sim_.loop(shard));
  const coordination::GroupConfig config;
  coordination::GroupPartition partition(
      {sim_.pool(), sim_.loop(shard), *logs_[shard], services}, id, {"c", "groups"},
      [&] { return std::make_unique<coordination::GroupCoordinatorState>(config, sim_.loop(shard).random(), memory); },
      std::make_shared<coordination::TestImage>());
  const auto on_loop = [&](auto change) {
    bool done = false;
    sim_.loop(shard).post([&] {
      change();
      done = true;
    });
    run_until([&] { return done; });
  };
  on_loop([&] {
    partition.hold([](bool) {});
    partition.load();
    partition.run([&](auto& state, auto now, auto& effects) { state.move().adopt(moved.records, now, effects); });
  });
  sim_.run_for(60 * runtime::kSecond);
  coordination::Pending<coordination::HeartbeatResult> answer;
  on_loop([&] {
    partition.run([](auto&, auto, auto&) {});
    partition.release();
    partition.run([&](auto& state, auto now, auto& effects) {
      state.heartbeat({"g", joined->generation, joined->member_id, {}}, answer.reply(), now, effects);
    });
  });
  run_until([&] { return answer.answered(); });
  EXPECT_EQ(answer->error, ErrorCode::kNone);
  sim_.run_for(60 * runtime::kSecond);
  EXPECT_EQ(partition.state().state_counts()[static_cast<size_t>(coordination::ClassicGroupState::kEmpty)], 1)
      << "now it expires";
  on_loop([&] { partition.stop(); });
}

TEST_F(GroupPlacementTest, TheNewerCommitStays) {
  const int64_t at = now_ms();
  write(kWrong, {offset(kGroup, 0, 10, at - 1000), offset(kGroup, 1, 11, at), offset(kGroup, 2, 12, at - 500)});
  write(kRight, {offset(kGroup, 0, 20, at), offset(kGroup, 1, 21, at - 1000)});
  restart(false);
  run_until([&] { return noted(); });
  sim_.run_for(runtime::kSecond);
  EXPECT_EQ(fetch(kGroup, 0), 20);
  EXPECT_EQ(fetch(kGroup, 1), 11);
  EXPECT_EQ(fetch(kGroup, 2), 12);
}

TEST_F(GroupPlacementTest, AMoveThatWasCutShortIsRepeated) {
  std::vector<coordination::CoordinatorRecord> records;
  for (int32_t i = 0; i < 600; ++i) records.push_back(offset(kGroup, i, 100 + i, now_ms()));
  write(kWrong, records);
  // Longer each time: every stage of the move is cut once. Requests come in between and must not be served less.
  for (int64_t run_ns = 0; run_ns < 3'000'000; run_ns += 150'000) {
    restart(true);
    sim_.run_for(run_ns);
  }
  restart(true);
  run_until([&] { return noted(); });
  sim_.run_for(runtime::kSecond);
  for (int32_t i = 0; i < 600; i += 37) EXPECT_EQ(fetch(kGroup, i), 100 + i);
}

}  // namespace
}  // namespace weir::broker
