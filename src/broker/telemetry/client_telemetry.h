// One shard's knowledge of the clients that push metrics (KIP-714): the metrics that each was asked for, and the time of its last
// request. A client that comes back on another shard starts over, as it would with another broker. Bounded: the client that was
// quiet longest is forgotten. Loop thread only, except the totals.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/uuid.h"
#include "broker/config/resource_config.h"
#include "broker/metadata/metadata_image.h"
#include "broker/telemetry/client_metrics.h"
#include "protocol/errors.h"
#include "runtime/clock.h"

namespace weir::broker {

// The properties of a client that subscriptions match.
struct TelemetryClient {
  Uuid instance_id;
  std::string_view client_id;
  std::string_view software_name;
  std::string_view software_version;
  std::string_view address;
  uint16_t port = 0;
};

class ClientTelemetry {
 public:
  static constexpr size_t kMaxClients = 16'384;  // as Kafka

  struct Subscription {
    int32_t id = 0;
    int32_t push_interval_ms = 300'000;
    std::vector<std::string> metrics;  // prefixes, sorted; "*" alone: all
  };
  struct Answer {
    protocol::ErrorCode error{};
    const Subscription* subscription = nullptr;  // until the next call
  };
  // Any thread may read.
  struct Totals {
    std::atomic<int64_t> pushes{0};
    std::atomic<int64_t> bytes{0};
    std::atomic<int64_t> refused{0};
    std::atomic<int64_t> clients{0};
    std::atomic<int64_t> dropped_series{0};
  };

  ClientTelemetry(const runtime::Clock& clock, runtime::Random& random) : clock_(clock), random_(random) {}

  Uuid new_instance_id() { return random_.uuid(); }
  // The metrics asked of the client, by the subscriptions of `image`. Refused if the client calls too often.
  Answer subscription(const TelemetryClient& client, const MetadataImage& image);

  struct Push {
    int32_t subscription_id = 0;
    bool terminating = false;
    int8_t compression = 0;
    size_t bytes = 0;
  };
  protocol::ErrorCode push(const TelemetryClient& client, const Push& push, size_t max_bytes, const MetadataImage& image);

  // Takes the content of an accepted push. Returns false if it could not be decoded: then nothing was taken.
  bool take(const TelemetryClient& client, DecodedPush push, bool terminating);

  ClientMetricsStore& metrics() { return metrics_; }
  const Totals& totals() const { return totals_; }

 private:
  struct Client {
    Uuid id;
    Subscription subscription;
    // Compared by identity: a subscription that changes is another record.
    std::vector<std::shared_ptr<const ConfigRecord>> made_of;
    int64_t last_get_ms = kNever;
    int64_t last_push_ms = kNever;
    bool terminating = false;
    protocol::ErrorCode last_error{};
  };
  struct Matcher {
    std::shared_ptr<const ConfigRecord> record;
    std::vector<ClientMatch> matches;
  };
  static constexpr int64_t kNever = INT64_MIN / 2;

  int64_t now_ms() const { return clock_.monotonic_ns() / 1'000'000; }
  Client& find(const TelemetryClient& client, const MetadataImage& image);
  void refresh_matchers(const MetadataImage& image);
  void subscribe(Client& client, const TelemetryClient& info);
  protocol::ErrorCode check_push(const Client& client, const Push& push, size_t max_bytes, bool in_time) const;

  const runtime::Clock& clock_;
  runtime::Random& random_;
  std::vector<Matcher> matchers_;
  std::vector<std::shared_ptr<const ConfigRecord>> records_;  // of matchers_, by name
  std::list<Client> clients_;                                 // latest first
  std::unordered_map<Uuid, std::list<Client>::iterator> by_id_;
  ClientMetricsStore metrics_;
  Totals totals_;
};

}  // namespace weir::broker
