// Every API in every version that is advertised answers whatever it is asked, in a form that its version can read.
#include "broker/handlers/broker_fixture.h"
#include "protocol/catalog/message_catalog.h"
#include "protocol/messages/find_coordinator.h"

namespace weir::broker {
namespace {

using protocol::MessageKind;
using protocol::MessageType;

class EveryApiTest : public BrokerTest {
 protected:
  static const MessageType* message(MessageKind kind, int16_t key) {
    for (const MessageType& type : protocol::message_catalog()) {
      if (type.kind == kind && type.api_key == key) return &type;
    }
    return nullptr;
  }

  // Random values are mostly wrong ones: unknown names, impossible numbers.
  std::string frame_of(const MessageType& type, int16_t version, uint64_t seed, protocol::Filler::Known known = {}) {
    protocol::Arena arena;
    protocol::Filler filler(seed, arena, known);
    protocol::Writer body;
    const protocol::RoundTrip made = type.round_trip(filler, body, version);
    EXPECT_EQ(made.error, nullptr) << type.name << " " << version;
    return request_frame(type.api_key, version, body.bytes());
  }

  // Requests about groups stay on their shard until there are coordinators.
  void find_coordinators() {
    protocol::FindCoordinatorRequest request;
    request.key = "g";
    EXPECT_EQ(call<protocol::FindCoordinatorResponse>(3, request)->error_code, 0);
    sim_.run_for(runtime::kSecond);
  }

  // Of topics that are there from now on; requests delete and create them.
  std::vector<TopicId> ids_of(std::span<const std::string_view> names) {
    std::vector<TopicId> ids;
    for (const std::string_view name : names) {
      if (broker_->shard(0).image->find(name) == nullptr) create_topic(std::string(name), 3);
      ids.push_back(broker_->shard(0).image->find(name)->id());
    }
    return ids;
  }

  // Whether the answer can be read in this version, to its last byte.
  void check_answer(FakePeer& from, int16_t key, int16_t version) {
    const MessageType* type = message(MessageKind::kResponse, key);
    ASSERT_NE(type, nullptr);
    protocol::Arena arena;
    protocol::Reader reader(as_bytes(from.received).subspan(4), arena);
    EXPECT_EQ(reader.i32(), correlation_);
    if (protocol::response_header_version(static_cast<protocol::ApiKey>(key), version) >= 1) reader.uvarint();
    protocol::Writer again;
    EXPECT_TRUE(type->recode(reader, again, version)) << (reader.error() == nullptr ? "" : reader.error());
    EXPECT_TRUE(reader.remaining().empty());
  }
};

TEST_F(EveryApiTest, Answers) {
  constexpr uint64_t kSeeds = 8;
  create_topic("a", 2);
  for (const ApiRoute* route : dispatcher_->routes()) {
    const auto key = static_cast<int16_t>(route->key);
    const MessageType* request = message(MessageKind::kRequest, key);
    ASSERT_NE(request, nullptr) << key;
    for (int16_t version = route->min_version; version <= route->max_version; ++version) {
      SCOPED_TRACE(std::string(request->name) + " version " + std::to_string(version));
      uint64_t answered = 0;
      for (uint64_t seed = 0; seed < kSeeds; ++seed) {
        FakePeer& peer = connect(static_cast<unsigned>(seed % kShards));
        const std::string bytes = frame_of(*request, version, seed);
        sim_.loop(shard_of_peer_[&peer]).post([&peer, bytes] { peer.send(bytes); });
        // A long poll may wait for weeks if it is asked to.
        sim_.run_until([&] { return peer.closed || has_response(peer); }, 2 * runtime::kSecond);
        if (has_response(peer)) {
          ++answered;
          check_answer(peer, key, version);
        }
        // Produce without an answer can say what is wrong in no other way; Metadata cannot name a topic that has no name.
        EXPECT_TRUE(!peer.closed || route->key == protocol::ApiKey::kProduce ||
                    (route->key == protocol::ApiKey::kMetadata && version >= 10 && version <= 11))
            << "seed " << seed;
        peer.finish();
      }
      EXPECT_GT(answered, 0u);
    }
  }
}

// Answers cross the shards while their connections are closed or reset, or get more requests.
TEST_F(EveryApiTest, ConnectionsMayEndAtAnyMoment) {
  constexpr uint64_t kRounds = 24;
  constexpr std::string_view kNames[] = {"a", "b", "c", "g"};
  find_coordinators();
  for (const ApiRoute* route : dispatcher_->routes()) {
    const auto key = static_cast<int16_t>(route->key);
    const MessageType* request = message(MessageKind::kRequest, key);
    for (int16_t version = route->min_version; version <= route->max_version; ++version) {
      SCOPED_TRACE(std::string(request->name) + " version " + std::to_string(version));
      const std::vector<TopicId> ids = ids_of(kNames);
      for (uint64_t round = 0; round < kRounds; ++round) {
        const auto shard = static_cast<unsigned>(round % kShards);
        FakePeer& peer = connect(shard);
        std::string bytes = frame_of(*request, version, round, {kNames, ids});
        if (round % 4 == 3) bytes += frame_of(*request, version, round + kRounds, {kNames, ids});
        sim_.loop(shard).post([&peer, bytes, refuses = round % 5 == 4] {
          if (refuses) peer.room = 0;
          peer.send(bytes);
        });
        // Messages between shards take up to 30 us, reads and writes longer.
        sim_.run_for(static_cast<int64_t>(round % 8) * 12'000);
        sim_.loop(shard).post([&peer, resets = round % 7 > 3] { resets ? peer.reset() : peer.finish(); });
        if (round % 3 == 0) run_until([&] { return peer.closed; }, 10 * runtime::kSecond);
      }
      sim_.run_for(100 * runtime::kMillisecond);
    }
  }
  // Others are served.
  create_topic("served", 5);
  EXPECT_EQ(produce("served", 4, {"x"})->responses[0].partition_responses[0].error_code, 0);
}

}  // namespace
}  // namespace weir::broker
