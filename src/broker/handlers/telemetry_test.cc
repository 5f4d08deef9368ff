// Client metrics (KIP-714): who is asked for what, and what of the pushes is accepted.
#include <gmock/gmock.h>

#include "broker/handlers/broker_fixture.h"
#include "broker/handlers/client_telemetry.h"
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
    return {static_cast<ErrorCode>(answer->error_code), answer->client_instance_id, answer->subscription_id, answer->push_interval_ms,
            {answer->requested_metrics.begin(), answer->requested_metrics.end()}};
  }
  ErrorCode push(const Subscribed& to, size_t bytes = 10, bool terminating = false, int8_t compression = 0) {
    const std::string metrics(bytes, 'm');
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
    for (const auto& api : call<protocol::ApiVersionsResponse>(3, request)->api_keys) {
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
  // It may ask at once what it should push now.
  set_subscription("a", {{"metrics", "x.,y."}});
  EXPECT_EQ(push(got), ErrorCode::kUnknownSubscriptionId);
  got = subscribe(got.instance);
  EXPECT_THAT(got.metrics, ElementsAre("x.", "y."));
  sim_.run_for(2 * runtime::kSecond);
  EXPECT_EQ(push(got), ErrorCode::kNone);
  got.instance = Uuid();
  EXPECT_EQ(push(got), ErrorCode::kInvalidRequest);
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
