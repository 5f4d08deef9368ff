// Client metrics (KIP-714): which metrics a client is asked for, and which of its pushes the broker accepts.
#include <gmock/gmock.h>

#include "broker/handlers/broker_fixture.h"
#include "broker/telemetry/client_telemetry.h"
#include "protocol/compression.h"
#include "protocol/errors.h"
#include "protocol/messages/api_versions.h"
#include "protocol/messages/get_telemetry_subscriptions.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "protocol/messages/push_telemetry.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class TelemetryTest : public BrokerTest {
 protected:
  struct Subscribed {
    ErrorCode error{};
    Uuid instance;
    int32_t id = 0;
    int32_t interval_ms = 0;
    std::vector<std::string> metrics;
  };
  Subscribed subscribe(const Uuid& instance = {}) {
    protocol::GetTelemetrySubscriptionsRequest request;
    request.client_instance_id = instance;
    const auto answer = call<protocol::GetTelemetrySubscriptionsResponse>(0, request);
    return {static_cast<ErrorCode>(answer->error_code),
            answer->client_instance_id,
            answer->subscription_id,
            answer->push_interval_ms,
            {answer->requested_metrics.begin(), answer->requested_metrics.end()}};
  }
  ErrorCode push(const Subscribed& to, size_t bytes = 10, bool terminating = false, int8_t compression = 0) {
    // One field is unknown.
    const std::string metrics =
        bytes < 2 ? std::string() : std::string("\x7a") + static_cast<char>(bytes - 2) + std::string(bytes - 2, 'm');
    return push_bytes(to, metrics, terminating, compression);
  }
  ErrorCode push_bytes(const Subscribed& to, std::string_view metrics, bool terminating = false, int8_t compression = 0) {
    protocol::PushTelemetryRequest request;
    request.client_instance_id = to.instance;
    request.subscription_id = to.id;
    request.terminating = terminating;
    request.compression_type = compression;
    request.metrics = as_bytes(metrics);
    return static_cast<ErrorCode>(call<protocol::PushTelemetryResponse>(0, request)->error_code);
  }
  void set_subscription(std::string_view name, const std::vector<std::pair<std::string_view, std::string_view>>& values) {
    std::vector<protocol::IncrementalAlterConfigsRequest::AlterableConfig> configs;
    for (const auto& [key, value] : values) configs.push_back({key, 0, value});
    alter_subscription(name, configs);
  }
  void delete_subscription(std::string_view name, const std::vector<std::string_view>& keys) {
    std::vector<protocol::IncrementalAlterConfigsRequest::AlterableConfig> configs;
    for (const std::string_view key : keys) configs.push_back({key, 1, std::nullopt});
    alter_subscription(name, configs);
  }
  void alter_subscription(std::string_view name, std::span<protocol::IncrementalAlterConfigsRequest::AlterableConfig> configs) {
    protocol::IncrementalAlterConfigsRequest::AlterConfigsResource resource;
    resource.resource_type = 16;
    resource.resource_name = name;
    resource.configs = configs;
    protocol::IncrementalAlterConfigsRequest request;
    request.resources = {&resource, 1};
    EXPECT_EQ(call<protocol::IncrementalAlterConfigsResponse>(1, request)->responses[0].error_code, 0);
  }
  const ClientTelemetry::Totals& totals() { return broker_->telemetry(0).totals(); }
};

TEST_F(TelemetryTest, ItIsAdvertisedWhileThereAreSubscriptions) {
  const auto advertised = [&] {
    protocol::ApiVersionsRequest request;
    request.client_software_name = request.client_software_version = "a";
    std::vector<int16_t> found;
    const auto answer = call<protocol::ApiVersionsResponse>(3, request);
    for (const auto& api : answer->api_keys) {
      if (api.api_key == 71 || api.api_key == 72) found.push_back(api.api_key);
    }
    return found;
  };
  EXPECT_THAT(advertised(), IsEmpty());
  set_subscription("sub", {{"metrics", "*"}});
  set_subscription("sub", {{"interval.ms", "1000"}});
  set_subscription("other", {{"metrics", "*"}});
  EXPECT_THAT(advertised(), ElementsAre(71, 72));
  delete_subscription("other", {"metrics"});
  EXPECT_THAT(advertised(), ElementsAre(71, 72));
  delete_subscription("sub", {"metrics", "interval.ms"});
  EXPECT_THAT(advertised(), IsEmpty());
}

TEST_F(TelemetryTest, WithoutSubscriptionsNothingIsAskedFor) {
  const Subscribed none = subscribe();
  EXPECT_EQ(none.error, ErrorCode::kNone);
  EXPECT_FALSE(none.instance.is_zero());
  EXPECT_THAT(none.metrics, IsEmpty());
  EXPECT_EQ(none.interval_ms, 300'000);
}

TEST_F(TelemetryTest, SubscriptionsThatMatchAreAddedUp) {
  set_subscription("a", {{"metrics", "org.apache.kafka.producer.,x."}, {"interval.ms", "2000"}, {"match", "client_id=te.*"}});
  set_subscription("b", {{"metrics", "x.,y."}, {"interval.ms", "5000"}});
  set_subscription("c", {{"metrics", "z."}, {"interval.ms", "100"}, {"match", "client_id=te"}});  // all of the name must match
  set_subscription("d", {{"metrics", "z."}, {"match", "client_id=test,client_source_address=192.*"}});
  const Subscribed got = subscribe();
  EXPECT_THAT(got.metrics, ElementsAre("org.apache.kafka.producer.", "x.", "y."));
  EXPECT_EQ(got.interval_ms, 2000);
  set_subscription("e", {{"metrics", "*"}});
  EXPECT_THAT(subscribe(got.instance).metrics, ElementsAre("*"));
}

TEST_F(TelemetryTest, PushesComeInTheirTime) {
  set_subscription("a", {{"metrics", "x."}, {"interval.ms", "2000"}});
  const Subscribed got = subscribe();
  EXPECT_EQ(subscribe(got.instance).error, ErrorCode::kThrottlingQuotaExceeded);
  EXPECT_EQ(push(got, 10), ErrorCode::kNone);
  EXPECT_EQ(push(got, 10), ErrorCode::kThrottlingQuotaExceeded);
  sim_.run_for(3 * runtime::kSecond);
  EXPECT_EQ(push(got, 30), ErrorCode::kNone);
  EXPECT_EQ(totals().pushes.load(), 2);
  EXPECT_EQ(totals().bytes.load(), 40);
  EXPECT_EQ(totals().refused.load(), 2);
  EXPECT_EQ(totals().clients.load(), 1);
  EXPECT_EQ(push(got, 1, true), ErrorCode::kNone);
  sim_.run_for(3 * runtime::kSecond);
  EXPECT_EQ(push(got, 1), ErrorCode::kInvalidRequest);
}

TEST_F(TelemetryTest, PushesThatAreRefused) {
  set("telemetry.max.bytes", "100");
  restart(false);
  set_subscription("a", {{"metrics", "x."}, {"interval.ms", "1000"}});
  Subscribed got = subscribe();
  EXPECT_EQ(push(got, 101), ErrorCode::kTelemetryTooLarge);
  sim_.run_for(2 * runtime::kSecond);
  EXPECT_EQ(push(got, 10, false, 9), ErrorCode::kUnsupportedCompressionType);
  EXPECT_EQ(subscribe(got.instance).error, ErrorCode::kNone);
  Subscribed other = got;
  other.id += 1;
  sim_.run_for(2 * runtime::kSecond);
  EXPECT_EQ(push(other), ErrorCode::kUnknownSubscriptionId);
  // The client may ask at once which metrics to push now.
  set_subscription("a", {{"metrics", "x.,y."}});
  EXPECT_EQ(push(got), ErrorCode::kUnknownSubscriptionId);
  got = subscribe(got.instance);
  EXPECT_THAT(got.metrics, ElementsAre("x.", "y."));
  sim_.run_for(2 * runtime::kSecond);
  EXPECT_EQ(push(got), ErrorCode::kNone);
  got.instance = Uuid();
  EXPECT_EQ(push(got), ErrorCode::kInvalidRequest);
}

// MetricsData of one gauge x.y = 1.5 with the attribute a=b.
const std::string kGauge(
    "\x0a\x22\x12\x20\x12\x1e\x0a\x03x.y\x2a\x17\x0a\x15\x21\x00\x00\x00\x00\x00\x00\xf8\x3f\x3a\x0a\x0a\x01"
    "a\x12\x05\x0a\x03"
    "b\"c",
    36);

TEST_F(TelemetryTest, WhatClientsPushIsKeptUntilTheyGo) {
  set_subscription("a", {{"metrics", "x."}, {"interval.ms", "1000"}});
  const Subscribed got = subscribe();
  const auto kept = [&] { return broker_->telemetry(0).metrics().snapshot(sim_.clock().monotonic_ns() / runtime::kMillisecond); };
  EXPECT_EQ(push_bytes(got, kGauge), ErrorCode::kNone);
  ASSERT_EQ(kept().size(), 1u);
  EXPECT_EQ(kept()[0]->client_id, "test");
  EXPECT_EQ(kept()[0]->instance_id, got.instance.to_string());
  ASSERT_EQ(kept()[0]->series.size(), 1u);
  const ClientSeries& series = kept()[0]->series.begin()->second;
  EXPECT_EQ(series.name, "x_y");
  EXPECT_EQ(series.value, 1.5);
  EXPECT_EQ(series.labels, (MetricLabels{{"a", "b\"c"}}));
  sim_.run_for(2 * runtime::kSecond);
  for (int8_t compression = 1; compression <= 4; ++compression) {
    std::vector<uint8_t> packed;
    ASSERT_TRUE(protocol::compress(static_cast<protocol::CompressionType>(compression), as_bytes(kGauge), packed));
    EXPECT_EQ(push_bytes(got, as_string(packed), false, compression), ErrorCode::kNone) << int{compression};
    sim_.run_for(runtime::kSecond);
  }
  EXPECT_EQ(push_bytes(got, "", true), ErrorCode::kNone);
  EXPECT_TRUE(kept().empty());
}

TEST_F(TelemetryTest, ClientsThatStayAwayAreForgotten) {
  set_subscription("a", {{"metrics", "x."}, {"interval.ms", "1000"}});
  const Subscribed got = subscribe();
  EXPECT_EQ(push_bytes(got, kGauge), ErrorCode::kNone);
  const int64_t now_ms = sim_.clock().monotonic_ns() / runtime::kMillisecond;
  EXPECT_EQ(broker_->telemetry(0).metrics().snapshot(now_ms + 2500).size(), 1u);
  EXPECT_EQ(broker_->telemetry(0).metrics().snapshot(now_ms + 4500).size(), 0u);
}

TEST_F(TelemetryTest, DamagedAndSwollenPushesAreRefused) {
  set_subscription("a", {{"metrics", "x."}, {"interval.ms", "100"}});
  const Subscribed got = subscribe();
  const auto error = [&](std::string_view bytes, int8_t compression) {
    sim_.run_for(runtime::kSecond);
    return push_bytes(got, bytes, false, compression);
  };
  EXPECT_EQ(error(kGauge.substr(0, 20), 0), ErrorCode::kInvalidRecord);
  for (int8_t compression = 1; compression <= 4; ++compression) {
    EXPECT_EQ(error(kGauge, compression), ErrorCode::kInvalidRecord) << int{compression};
    std::vector<uint8_t> bomb;
    const std::string swollen(64 << 20, '\0');
    ASSERT_TRUE(protocol::compress(static_cast<protocol::CompressionType>(compression), as_bytes(swollen), bomb));
    if (bomb.size() > 1'000'000) continue;  // too large as it is
    EXPECT_EQ(error(as_string(bomb), compression), ErrorCode::kInvalidRecord) << int{compression};
  }
  EXPECT_TRUE(broker_->telemetry(0).metrics().snapshot(0).empty());
}

TEST_F(TelemetryTest, NamesOfTheBrokersOwnMetricsAreNotForClients) {
  std::string spoof = kGauge;
  spoof.replace(spoof.find("x.y"), 3, "__y");
  const DecodedPush decoded = decode_push(0, as_bytes(spoof), 1000);
  EXPECT_TRUE(decoded.valid);
  EXPECT_TRUE(decoded.series.empty());
  EXPECT_EQ(decoded.dropped, 1u);
}

TEST_F(TelemetryTest, TheQuietestClientIsForgotten) {
  const MetadataImagePtr image = broker_->shard(0).image;
  ClientTelemetry telemetry(sim_.clock(), sim_.loop(0).random());
  for (uint64_t i = 1; i <= ClientTelemetry::kMaxClients + 10; ++i) {
    TelemetryClient client;
    client.instance_id = Uuid::from_random(i, i);
    EXPECT_NE(telemetry.subscription(client, *image).subscription, nullptr);
  }
  EXPECT_EQ(telemetry.totals().clients.load(), static_cast<int64_t>(ClientTelemetry::kMaxClients));
}

}  // namespace
}  // namespace weir::broker
