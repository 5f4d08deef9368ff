#include "broker/telemetry/client_metrics.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "protocol/compression.h"
#include "protocol/otlp_metrics.h"

namespace weir::broker {
namespace {

constexpr size_t kNameSizeMax = 200;
constexpr size_t kValueSizeMax = 128;
constexpr int64_t kSweepIntervalMs = 1000;

bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool digit(char c) { return c >= '0' && c <= '9'; }

// Letters, digits and underscores, not a digit in front.
std::string prometheus_name(std::string_view text) {
  std::string name;
  if (!text.empty() && digit(text.front())) name += '_';
  for (const char c : text.substr(0, kNameSizeMax)) name += letter(c) || digit(c) ? c : '_';
  return name;
}

// Names of the broker's own metrics stay its own.
bool reserved(std::string_view name) {
  for (const std::string_view prefix : {"kafka_", "weir_", "process_", "__"}) {
    if (name.starts_with(prefix)) return true;
  }
  return name.empty();
}

std::string label_value(std::string_view text) {
  std::string value(text.substr(0, kValueSizeMax));
  std::replace_if(value.begin(), value.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return value;
}

MetricLabels labels_of(const protocol::OtlpPoint& point) {
  MetricLabels labels;
  for (const protocol::OtlpAttribute& attribute : point.attributes) {
    const std::string name = prometheus_name(attribute.key);
    if (name.empty() || name.starts_with("__") || name == "client_id" || name == "client_instance_id") continue;
    const bool known = std::any_of(labels.begin(), labels.end(), [&](const auto& label) { return label.first == name; });
    if (!known) labels.emplace_back(name, label_value(attribute.value));
  }
  std::sort(labels.begin(), labels.end());
  return labels;
}

std::string key_of(const ClientSeries& series) {
  std::string key = series.name;
  for (const auto& [name, value] : series.labels) key += "\n" + name + "=" + value;
  return key;
}

void add_point(const protocol::OtlpPoint& point, DecodedPush& push) {
  std::string name = prometheus_name(point.metric);
  if (reserved(name) || !std::isfinite(point.value) || push.series.size() >= ClientMetricsStore::kSeriesPerClientMax) {
    ++push.dropped;
    return;
  }
  push.series.push_back({std::move(name), labels_of(point), point.value, point.sum && point.monotonic, point.sum && point.delta});
}

}  // namespace

DecodedPush decode_push(int8_t compression, Bytes data, size_t bytes_max) {
  DecodedPush push;
  std::vector<uint8_t> plain;
  if (compression != 0) {
    protocol::Decompressor decompressor;
    const auto fault = decompressor.decompress(static_cast<protocol::CompressionType>(compression), data, bytes_max, plain);
    if (fault != protocol::CompressionFault::kNone) return push;
    data = plain;
  }
  push.valid = protocol::decode_otlp_metrics(data, [&](const protocol::OtlpPoint& point) { add_point(point, push); });
  if (!push.valid) push.series.clear();
  return push;
}

size_t ClientMetricsStore::merge(const Uuid& client, std::string_view client_id, std::vector<ClientSeries> pushed, int64_t now_ms,
                                 int64_t fresh_for_ms) {
  drop_old(now_ms);
  const auto known = clients_.find(client);
  // A snapshot may be in use elsewhere, so its objects do not change.
  auto next = known == clients_.end() ? std::make_shared<ClientMetrics>() : std::make_shared<ClientMetrics>(*known->second);
  next->client_id = label_value(client_id);
  next->instance_id = client.to_string();
  next->fresh_until_ms = now_ms + fresh_for_ms;
  size_t dropped = 0;
  for (ClientSeries& series : pushed) {
    std::string key = key_of(series);
    if (const auto at = next->series.find(key); at != next->series.end()) {
      at->second.value = series.delta ? at->second.value + series.value : series.value;
    } else if (series_count_ >= kSeriesMax || next->series.size() >= kSeriesPerClientMax) {
      ++dropped;
    } else {
      next->series.emplace(std::move(key), std::move(series));
      ++series_count_;
    }
  }
  clients_[client] = std::move(next);
  return dropped;
}

void ClientMetricsStore::remove(const Uuid& client) {
  const auto known = clients_.find(client);
  if (known == clients_.end()) return;
  series_count_ -= known->second->series.size();
  clients_.erase(known);
}

void ClientMetricsStore::drop_old(int64_t now_ms) {
  if (now_ms < next_sweep_ms_) return;
  next_sweep_ms_ = now_ms + kSweepIntervalMs;
  std::erase_if(clients_, [&](const auto& entry) {
    const bool old = entry.second->fresh_until_ms < now_ms;
    if (old) series_count_ -= entry.second->series.size();
    return old;
  });
}

std::vector<ClientMetricsPtr> ClientMetricsStore::snapshot(int64_t now_ms) {
  drop_old(now_ms);
  std::vector<ClientMetricsPtr> all;
  all.reserve(clients_.size());
  for (const auto& [id, metrics] : clients_) {
    if (!metrics->series.empty()) all.push_back(metrics);
  }
  return all;
}

}  // namespace weir::broker
