// A request of any API can multiply its elements only within the memory that is reserved for it.
#include <fmt/format.h>
#include <malloc.h>

#include <cstdlib>

#include "broker/handlers/broker_fixture.h"
#include "protocol/catalog/message_catalog.h"
#include "protocol/messages/api_versions.h"
#include "protocol/messages/describe_configs.h"
#include "protocol/messages/find_coordinator.h"
#include "protocol/messages/metadata.h"
#include "protocol/messages/offset_commit.h"
#include "protocol/messages/offset_fetch.h"
#include "testing/peak_memory.h"

namespace weir::broker {
namespace {

using protocol::DescribeConfigsRequest;
using protocol::DescribeConfigsResponse;
using protocol::MessageKind;
using protocol::MessageType;

class MultipliedRequestsTest : public BrokerTest {
 protected:
  static const MessageType& request_of(int16_t key) {
    for (const MessageType& type : protocol::message_catalog()) {
      if (type.kind == MessageKind::kRequest && type.api_key == key) return type;
    }
    std::abort();
  }
  // Makes a request that names one element again and again. Empty if the API has no array so deep.
  std::string frame_of(const MessageType& type, int16_t version, const protocol::Filler::Repetition& repetition) {
    protocol::Arena arena;
    protocol::Filler filler(1, arena);
    filler.repeat(repetition);
    protocol::Writer body;
    type.round_trip(filler, body, version);
    if (body.size() < repetition.count) return {};
    return request_frame(type.api_key, version, body.bytes());
  }
  void expect_bounded(const std::string& bytes, size_t count) {
    constexpr uint64_t kSlack = 24 << 20;  // buffers, stacks, and memory of earlier requests
    FakePeer& peer = connect(0);
    malloc_trim(0);
    const weir::testing::PeakMemory peak;
    sim_.loop(0).post([&peer, &bytes] { peer.send(bytes); });
    sim_.run_until([&] { return peer.closed || has_response(peer); }, 30 * runtime::kSecond);
    const uint64_t grown = peak.grown_bytes();
    // The frame lies in the socket and in the broker, the answer in the client as well.
    const uint64_t allowed = count * RequestContext::kElementBytes + 4 * bytes.size() + peer.received.size() + kSlack;
    EXPECT_LT(grown, allowed);
    peer.finish();
    peer.received = {};
    run_until([&] { return peer.closed; });
    sim_.run_for(runtime::kSecond);
    EXPECT_EQ(budget_.used(MemoryShare::kAnswers), 0u);
    EXPECT_EQ(budget_.waiting(MemoryShare::kAnswers), 0u);
  }
  Answer<DescribeConfigsResponse> describe(std::vector<DescribeConfigsRequest::DescribeConfigsResource> resources) {
    DescribeConfigsRequest request;
    request.resources = resources;
    return call<DescribeConfigsResponse>(4, request);
  }
};

TEST_F(MultipliedRequestsTest, RepetitionCostsNoMoreThanIsReserved) {
  constexpr size_t kCount = 20'000;
  create_topic("t", 50);
  const std::string long_text(30'000, 'n');
  const std::vector<std::pair<int, std::string_view>> values = {{0, "t"}, {1, "t"}, {2, "t"}, {0, long_text}};
  for (const ApiRoute* route : dispatcher_->routes()) {
    const MessageType& request = request_of(static_cast<int16_t>(route->key));
    for (const int depth : {0, 1, 2}) {
      for (const auto& [number, text] : values) {
        SCOPED_TRACE(fmt::format("{} version {}, depth {}, number {}, text of {}", request.name, route->max_version, depth,
                                 number, text.size()));
        const size_t one = frame_of(request, route->max_version, {depth, 1, number, text}).size();
        const size_t two = frame_of(request, route->max_version, {depth, 2, number, text}).size();
        if (two > one + 1000) continue;  // a long text in each
        const std::string bytes = frame_of(request, route->max_version, {depth, kCount, number, text});
        if (!bytes.empty()) expect_bounded(bytes, kCount);
      }
    }
  }
  EXPECT_EQ(produce("t", 4, {"x"})->responses[0].partition_responses[0].error_code, 0) << "others are served";
}

TEST_F(MultipliedRequestsTest, MoreThingsThanOneRequestMayNameEndItsConnection) {
  const MessageType& request = request_of(protocol::FindCoordinatorRequest::kApiKey);
  const std::string bytes = frame_of(request, 4, {0, RequestContext::kMaxElements + 1, 0, ""});
  FakePeer& peer = connect(0);
  sim_.loop(0).post([&peer, &bytes] { peer.send(bytes); });
  run_until([&] { return peer.closed; });
  EXPECT_EQ(peer.received, "");
}

TEST_F(MultipliedRequestsTest, AResourceIsDescribedOnce) {
  create_topic("t", 1);
  DescribeConfigsRequest::DescribeConfigsResource topic;
  topic.resource_type = 2;
  topic.resource_name = "t";
  topic.configuration_keys = std::nullopt;
  const auto answer = describe(std::vector(5000, topic));
  ASSERT_EQ(answer->results.size(), 1u);
  EXPECT_GT(answer->results[0].configs.size(), 20u);
}

TEST_F(MultipliedRequestsTest, ALongAnswerIsMadeInSlices) {
  constexpr size_t kGroups = 3000;
  std::deque<std::string> names;
  std::vector<DescribeConfigsRequest::DescribeConfigsResource> resources(kGroups);
  for (size_t i = 0; i < kGroups; ++i) {
    resources[i].resource_type = 32;  // groups need not exist
    resources[i].resource_name = names.emplace_back("group-" + std::to_string(i));
    resources[i].configuration_keys = std::nullopt;
  }
  DescribeConfigsRequest request;
  request.resources = resources;
  FakePeer& asks = connect(0);
  FakePeer& other = connect(0);
  send(asks, 4, request);
  protocol::ApiVersionsRequest versions;
  versions.client_software_name = versions.client_software_version = "x";
  send(other, 3, versions);
  run_until([&] { return has_response(other); });
  EXPECT_FALSE(has_response(asks)) << "who came later was served in between";
  run_until([&] { return has_response(asks); });
  EXPECT_EQ(take<DescribeConfigsResponse>(asks, 4)->results.size(), kGroups);
}

// A few bytes ask for all topics. The answers to clients that do not read are bounded as well.
TEST_F(MultipliedRequestsTest, AnswersThatAreNotReadStayWithinTheBudget) {
  for (int i = 0; i < 4; ++i) create_topic("topic-" + std::to_string(i), 4000);
  protocol::MetadataRequest all;
  all.topics = std::nullopt;
  std::vector<FakePeer*> peers;
  for (int i = 0; i < 100; ++i) {
    peers.push_back(&connect(static_cast<unsigned>(i) % kShards));
    peers.back()->room = 1000;
    send(*peers.back(), 12, all);
    send(*peers.back(), 12, all);
  }
  FakePeer& reads = connect(0);
  send(reads, 12, all);
  uint64_t most = 0;
  sim_.run_until(
      [&] {
        most = std::max(most, budget_.used(MemoryShare::kAnswers));
        return has_response(reads);
      },
      60 * runtime::kSecond);
  ASSERT_TRUE(has_response(reads)) << "those who do not read have to go";
  EXPECT_LE(most, budget_.limit(MemoryShare::kAnswers));
  EXPECT_GT(most, budget_.limit(MemoryShare::kAnswers) / 2) << "the case is none";
  EXPECT_EQ(take<protocol::MetadataResponse>(reads, 12)->topics.size(), 4u);
}

TEST_F(MultipliedRequestsTest, AnOffsetIsFetchedOnceHoweverOftenItIsNamed) {
  create_topic("t", 2);
  protocol::FindCoordinatorRequest find;
  find.key = "g";
  ASSERT_EQ(call<protocol::FindCoordinatorResponse>(3, find)->error_code, 0);
  sim_.run_for(runtime::kSecond);
  protocol::OffsetCommitRequest commit;
  protocol::OffsetCommitRequest::OffsetCommitRequestPartition committed;
  const std::string metadata(4000, 'm');
  committed.committed_offset = 7;
  committed.committed_metadata = metadata;
  protocol::OffsetCommitRequest::OffsetCommitRequestTopic commit_topic;
  commit_topic.name = "t";
  commit_topic.partitions = {&committed, 1};
  commit.group_id = "g";
  commit.generation_id_or_member_epoch = -1;
  commit.topics = {&commit_topic, 1};
  ASSERT_EQ(call<protocol::OffsetCommitResponse>(8, commit)->topics[0].partitions[0].error_code, 0);

  std::vector<int32_t> partitions(1000, 0);
  partitions.push_back(1);
  protocol::OffsetFetchRequest::OffsetFetchRequestTopics topic;
  topic.name = "t";
  topic.partition_indexes = partitions;
  protocol::OffsetFetchRequest::OffsetFetchRequestGroup group;
  group.group_id = "g";
  group.topics = std::span(&topic, 1);
  std::vector groups(3, group);
  protocol::OffsetFetchRequest fetch;
  fetch.groups = groups;
  const auto answer = call<protocol::OffsetFetchResponse>(9, fetch);
  ASSERT_EQ(answer->groups.size(), 1u);
  ASSERT_EQ(answer->groups[0].topics[0].partitions.size(), 2u);
  EXPECT_EQ(answer->groups[0].topics[0].partitions[0].committed_offset, 7);
  EXPECT_EQ(answer->groups[0].topics[0].partitions[1].committed_offset, -1);
}

}  // namespace
}  // namespace weir::broker
