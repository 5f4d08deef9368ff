// Every API answers any request in each advertised version, and the answer can be read in that version.
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

  // Makes a frame of random values. Most of them are wrong: unknown names, impossible numbers.
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

  // Creates missing topics and returns their ids. Requests delete and create topics.
  std::vector<TopicId> ids_of(std::span<const std::string_view> names) {
    std::vector<TopicId> ids;
    for (const std::string_view name : names) {
      if (broker_->shard(0).image->find(name) == nullptr) create_topic(std::string(name), 3);
      ids.push_back(broker_->shard(0).image->find(name)->id());
    }
    return ids;
  }

  // Checks that the answer can be read in this version, to its last byte. Returns the fields that all answers share.
  AnswerFields check_answer(FakePeer& from, int16_t key, int16_t version) {
    AnswerFields fields;
    throttle_time_ms_.reset();
    const MessageType* type = message(MessageKind::kResponse, key);
    if (type == nullptr) ADD_FAILURE() << key;
    if (type == nullptr) return fields;
    protocol::Arena arena;
    protocol::Reader reader(as_bytes(from.received).subspan(4), arena);
    EXPECT_EQ(reader.i32(), correlation_);
    if (protocol::response_header_version(static_cast<protocol::ApiKey>(key), version) >= 1) reader.uvarint();
    protocol::Writer again;
    again.observe(&fields);
    EXPECT_TRUE(type->recode(reader, again, version)) << (reader.error() == nullptr ? "" : reader.error());
    EXPECT_TRUE(reader.remaining().empty());
    if (fields.throttle_position()) throttle_time_ms_ = load_be<int32_t>(again.bytes().data() + *fields.throttle_position());
    return fields;
  }
  // Sends a random request on a connection of its own. Returns false if the broker closed the connection.
  bool ask(const ApiRoute& route, int16_t version, AnswerFields& fields, uint64_t seed = 1) {
    const auto key = static_cast<int16_t>(route.key);
    FakePeer& peer = connect(0);
    const std::string bytes = frame_of(*message(MessageKind::kRequest, key), version, seed);
    sim_.loop(0).post([&peer, bytes] { peer.send(bytes); });
    sim_.run_until([&] { return peer.closed || has_response(peer); }, 2 * runtime::kSecond);
    const bool answered = has_response(peer);
    if (answered) fields = check_answer(peer, key, version);
    peer.finish();
    return answered;
  }

  std::optional<int32_t> throttle_time_ms_;  // of the answer that was checked last
};

class NobodyMay final : public security::Authorizer {
 public:
  bool allowed(const security::Principal&, std::string_view, security::AclOperation, const security::Resource&) const override {
    return false;
  }
  bool allowed_with_any(const security::Principal&, std::string_view, security::AclOperation,
                        security::ResourceType) const override {
    return false;
  }
};

class ThrottlesAll final : public ClientQuotas {
 public:
  int32_t count(const QuotaUse&) override { return 777; }
};

TEST_F(EveryApiTest, SaysWhatItNeeds) {
  using protocol::ApiKey;
  for (const ApiRoute* route : dispatcher_->routes()) {
    SCOPED_TRACE(protocol::api_name(route->key));
    const ApiNeeds& needs = route->needs;
    const bool nothing = needs.topic == security::AclOperation::kNone && needs.group == security::AclOperation::kNone &&
                         needs.transactional_id == security::AclOperation::kNone &&
                         needs.cluster == security::AclOperation::kNone;
    const bool for_everybody = route->key == ApiKey::kApiVersions || route->key == ApiKey::kDescribeCluster ||
                               route->key == ApiKey::kGetTelemetrySubscriptions || route->key == ApiKey::kPushTelemetry;
    EXPECT_EQ(nothing, for_everybody);
    EXPECT_EQ(needs.cluster == security::AclOperation::kNone, needs.cluster_right == ClusterRight::kNone);
    EXPECT_EQ(route->before_authentication, route->key == ApiKey::kApiVersions);
  }
}

TEST_F(EveryApiTest, DeniesInItsOwnForm) {
  const NobodyMay nobody_may;
  dispatcher_->set_authorizer(&nobody_may);
  size_t denied = 0;
  for (const ApiRoute* route : dispatcher_->routes()) {
    if (route->needs.cluster_right != ClusterRight::kRequired) continue;
    ++denied;
    int64_t errors = 0;
    for (int16_t version = route->min_version; version <= route->max_version; ++version) {
      SCOPED_TRACE(std::string(protocol::api_name(route->key)) + " version " + std::to_string(version));
      for (uint64_t seed = 0; seed < 4; ++seed) {
        AnswerFields fields;
        ASSERT_TRUE(ask(*route, version, fields, seed));
        for (const auto& [code, count] : fields.errors()) {
          EXPECT_EQ(code, protocol::code(protocol::ErrorCode::kClusterAuthorizationFailed));
          errors += count;
        }
      }
    }
    EXPECT_GT(errors, 0) << protocol::api_name(route->key);
  }
  EXPECT_EQ(denied, 16u);
}

TEST_F(EveryApiTest, TellsForHowLongItIsThrottled) {
  ThrottlesAll throttles_all;
  dispatcher_->set_quotas(&throttles_all);
  for (const ApiRoute* route : dispatcher_->routes()) {
    for (int16_t version = route->min_version; version <= route->max_version; ++version) {
      SCOPED_TRACE(std::string(protocol::api_name(route->key)) + " version " + std::to_string(version));
      AnswerFields fields;
      for (uint64_t seed = 0; seed < 8 && !ask(*route, version, fields, seed); ++seed) {
      }
      EXPECT_EQ(throttle_time_ms_.value_or(777), 777);
      // All answers have the field, apart from the oldest versions, DescribeQuorum and WriteTxnMarkers.
      const bool newest = version == route->max_version;
      const bool without = route->key == protocol::ApiKey::kDescribeQuorum || route->key == protocol::ApiKey::kWriteTxnMarkers;
      EXPECT_TRUE(!newest || throttle_time_ms_.has_value() != without);
    }
  }
}

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
        // Produce without an answer can tell of a fault in no other way. Metadata cannot name a topic that has no name.
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
  // Other clients are served.
  create_topic("served", 5);
  EXPECT_EQ(produce("served", 4, {"x"})->responses[0].partition_responses[0].error_code, 0);
}

}  // namespace
}  // namespace weir::broker
