#include "broker/telemetry/client_telemetry.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/crc32c.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;

void add(std::atomic<int64_t>& total, int64_t n) {
  // Only the shard's own thread writes.
  total.store(total.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

std::string value_of(const TelemetryClient& client, ClientParameter parameter) {
  switch (parameter) {
    case ClientParameter::kInstanceId:
      return client.instance_id.to_string();
    case ClientParameter::kClientId:
      return std::string(client.client_id);
    case ClientParameter::kSoftwareName:
      return std::string(client.software_name);
    case ClientParameter::kSoftwareVersion:
      return std::string(client.software_version);
    case ClientParameter::kSourceAddress:
      return std::string(client.address);
    case ClientParameter::kSourcePort:
      return std::to_string(client.port);
  }
  return {};
}

std::string_view override_of(const ConfigRecord& record, std::string_view name) {
  const auto it = record.overrides.find(name);
  return it == record.overrides.end() ? std::string_view() : std::string_view(it->second);
}

// Identifies the subscription, and changes with it.
int32_t subscription_id(const std::set<std::string>& metrics, int32_t interval_ms, const Uuid& client) {
  std::string text = std::to_string(interval_ms);
  for (const std::string& metric : metrics) text += "," + metric;
  return static_cast<int32_t>(crc32c(as_bytes(text)) ^ static_cast<uint32_t>(std::hash<Uuid>()(client)));
}

}  // namespace

void ClientTelemetry::refresh_matchers(const MetadataImage& image) {
  auto records = image.configs_of(ConfigResourceType::kClientMetrics);
  if (records == records_) return;
  records_ = std::move(records);
  matchers_.clear();
  for (const auto& record : records_) {
    Matcher& matcher = matchers_.emplace_back();
    matcher.record = record;
    for (const std::string& text : config_list_elements(override_of(*record, "match"))) {
      if (auto match = parse_client_match(text)) matcher.matches.push_back(std::move(*match));
    }
  }
}

void ClientTelemetry::subscribe(Client& client, const TelemetryClient& info) {
  std::set<std::string> metrics;
  int32_t interval_ms = 300'000;
  for (const Matcher& matcher : matchers_) {
    const bool matched = std::all_of(matcher.matches.begin(), matcher.matches.end(),
                                     [&](const ClientMatch& match) { return matches(match, value_of(info, match.parameter)); });
    if (!matched) continue;
    for (std::string& metric : config_list_elements(override_of(*matcher.record, "metrics"))) metrics.insert(std::move(metric));
    const std::string_view interval = override_of(*matcher.record, "interval.ms");
    if (!interval.empty()) interval_ms = std::min(interval_ms, static_cast<int32_t>(parse_config_integer(interval)));
  }
  if (metrics.contains("*")) metrics = {"*"};
  client.subscription.id = subscription_id(metrics, interval_ms, client.id);
  client.subscription.push_interval_ms = interval_ms;
  client.subscription.metrics.assign(metrics.begin(), metrics.end());
  client.made_of = records_;
}

ClientTelemetry::Client& ClientTelemetry::find(const TelemetryClient& info, const MetadataImage& image) {
  refresh_matchers(image);
  const auto known = by_id_.find(info.instance_id);
  if (known != by_id_.end()) {
    clients_.splice(clients_.begin(), clients_, known->second);
    Client& client = clients_.front();
    if (client.made_of != records_) {
      // The client is asked for other metrics by now: it may come at once.
      client.last_get_ms = client.last_push_ms = kNever;
      subscribe(client, info);
    }
    return client;
  }
  if (clients_.size() >= kMaxClients) {
    by_id_.erase(clients_.back().id);
    clients_.pop_back();
  }
  Client& client = clients_.emplace_front();
  client.id = info.instance_id;
  by_id_.emplace(client.id, clients_.begin());
  totals_.clients.store(static_cast<int64_t>(clients_.size()), std::memory_order_relaxed);
  subscribe(client, info);
  return client;
}

ClientTelemetry::Answer ClientTelemetry::subscription(const TelemetryClient& info, const MetadataImage& image) {
  Client& client = find(info, image);
  const int64_t now = now_ms();
  const bool in_time = now - std::max(client.last_get_ms, client.last_push_ms) >= client.subscription.push_interval_ms;
  if (in_time) client.last_get_ms = now;
  const bool may_ask_again =
      client.last_error == ErrorCode::kUnknownSubscriptionId || client.last_error == ErrorCode::kUnsupportedCompressionType;
  if (!in_time && !may_ask_again) {
    add(totals_.refused, 1);
    return {ErrorCode::kThrottlingQuotaExceeded, nullptr};
  }
  client.last_error = ErrorCode::kNone;
  return {ErrorCode::kNone, &client.subscription};
}

ErrorCode ClientTelemetry::check_push(const Client& client, const Push& push, size_t max_bytes, bool in_time) const {
  if (client.terminating) return ErrorCode::kInvalidRequest;
  if (!in_time && !push.terminating) return ErrorCode::kThrottlingQuotaExceeded;
  if (push.subscription_id != client.subscription.id) return ErrorCode::kUnknownSubscriptionId;
  if (push.compression < 0 || push.compression > 4) return ErrorCode::kUnsupportedCompressionType;
  if (push.bytes > max_bytes) return ErrorCode::kTelemetryTooLarge;
  return ErrorCode::kNone;
}

ErrorCode ClientTelemetry::push(const TelemetryClient& info, const Push& push, size_t max_bytes, const MetadataImage& image) {
  if (info.instance_id.is_zero()) return ErrorCode::kInvalidRequest;
  Client& client = find(info, image);
  const int64_t now = now_ms();
  // The first one after a subscription comes after half to one and a half intervals, as clients spread themselves.
  const bool in_time =
      client.last_get_ms > client.last_push_ms || now - client.last_push_ms >= client.subscription.push_interval_ms;
  if (in_time && !client.terminating) client.last_push_ms = now;
  client.last_error = check_push(client, push, max_bytes, in_time);
  client.terminating = push.terminating;
  if (client.last_error != ErrorCode::kNone) {
    add(totals_.refused, 1);
    return client.last_error;
  }
  add(totals_.pushes, 1);
  add(totals_.bytes, static_cast<int64_t>(push.bytes));
  return ErrorCode::kNone;
}

bool ClientTelemetry::take(const TelemetryClient& info, DecodedPush push, bool terminating) {
  constexpr int64_t kIntervalsMissed = 3;  // until a client counts as gone
  if (!push.valid) {
    add(totals_.refused, 1);
    return false;
  }
  if (terminating) {
    metrics_.remove(info.instance_id);
    return true;
  }
  const auto known = by_id_.find(info.instance_id);
  const int64_t interval_ms = known == by_id_.end() ? 300'000 : known->second->subscription.push_interval_ms;
  const size_t dropped = push.dropped + metrics_.merge(info.instance_id, info.client_id, std::move(push.series), now_ms(),
                                                       kIntervalsMissed * interval_ms);
  add(totals_.dropped_series, static_cast<int64_t>(dropped));
  return true;
}

}  // namespace weir::broker
