// The metrics that clients push (KIP-714), as /metrics shows them: the last value of each series of a client, until the
// client says goodbye or stays away for a few of its intervals.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "base/uuid.h"
#include "broker/server/metrics.h"

namespace weir::broker {

struct ClientSeries {
  std::string name;     // as Prometheus writes names
  MetricLabels labels;  // the point's attributes
  double value = 0;
  bool counter = false;
  bool delta = false;  // to be added to the known value
};

struct ClientMetrics {
  std::string client_id;
  std::string instance_id;
  int64_t fresh_until_ms = 0;
  std::map<std::string, ClientSeries> series;  // by name and labels
};
using ClientMetricsPtr = std::shared_ptr<const ClientMetrics>;

// The content of a push, decompressed and decoded by a pool thread.
struct DecodedPush {
  bool valid = false;  // it could be decoded; otherwise there is no series
  std::vector<ClientSeries> series;
  size_t dropped = 0;  // points without a place here: too many, no number, a name of the broker's own
};
DecodedPush decode_push(int8_t compression, Bytes data, size_t bytes_max);

// The metrics of one shard's clients. Loop thread only. The results of snapshot() may go to other threads.
class ClientMetricsStore {
 public:
  static constexpr size_t kSeriesMax = 4'000;  // of all clients; further ones find no place
  static constexpr size_t kSeriesPerClientMax = 500;

  // Returns how many series found no place.
  size_t merge(const Uuid& client, std::string_view client_id, std::vector<ClientSeries> pushed, int64_t now_ms,
               int64_t fresh_for_ms);
  void remove(const Uuid& client);
  // Without clients that have grown too old. In no order.
  std::vector<ClientMetricsPtr> snapshot(int64_t now_ms);
  size_t series_count() const { return series_count_; }

 private:
  void drop_old(int64_t now_ms);

  std::unordered_map<Uuid, ClientMetricsPtr> clients_;
  size_t series_count_ = 0;
  int64_t next_sweep_ms_ = 0;
};

}  // namespace weir::broker
