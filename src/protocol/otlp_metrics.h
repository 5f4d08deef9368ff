// Metrics in OpenTelemetry's protobuf encoding (opentelemetry.proto.metrics.v1.MetricsData), as clients push them
// (KIP-714): gauges and sums of numbers with their attributes. Other kinds, and fields that are not known, are skipped.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace weir::protocol {

struct OtlpAttribute {
  std::string_view key;
  std::string value;  // numbers and booleans as text
};

struct OtlpPoint {
  std::string_view metric;
  bool sum = false;        // otherwise a gauge
  bool monotonic = false;  // of a sum: a counter
  bool delta = false;      // of a sum: what was added since the last push
  double value = 0;
  std::span<const OtlpAttribute> attributes;
};

constexpr size_t kOtlpAttributesMax = 8;  // of a point; more are left out

// Calls `visit` for every point, in order. A point lives as long as the call. Returns false if the bytes are not such a message;
// the points before the fault were visited. Takes memory for the attributes of one point only.
bool decode_otlp_metrics(Bytes data, const std::function<void(const OtlpPoint&)>& visit);

}  // namespace weir::protocol
