#include "broker/server/metrics.h"

#include <fmt/format.h>

#include <iterator>
#include <limits>

#include "base/check.h"

namespace weir::broker {

namespace {

std::string render_labels(const MetricLabels& labels) {
  std::string out;
  for (const auto& [name, value] : labels) {
    if (!out.empty()) out += ',';
    out += name;
    out += "=\"";
    for (const char c : value) {
      if (c == '\\' || c == '"') out += '\\';
      if (c == '\n') {
        out += "\\n";
      } else {
        out += c;
      }
    }
    out += '"';
  }
  return out;
}

void append_value(std::string& out, std::string_view name, std::string_view labels, double value) {
  auto to = std::back_inserter(out);
  if (labels.empty()) {
    fmt::format_to(to, "{} {}\n", name, value);
  } else {
    fmt::format_to(to, "{}{{{}}} {}\n", name, labels, value);
  }
}

void append_histogram(std::string& out, std::string_view name, const std::string& labels,
                      const Histogram::Snapshot& snapshot) {
  auto to = std::back_inserter(out);
  const char* comma = labels.empty() ? "" : ",";
  int64_t cumulative = 0;
  for (size_t i = 0; i + 1 < Histogram::kBuckets; ++i) {
    cumulative += snapshot.buckets[i];
    fmt::format_to(to, "{}_bucket{{{}{}le=\"{}\"}} {}\n", name, labels, comma,
                   static_cast<double>(Histogram::upper_bound_ns(i)) / 1e9, cumulative);
  }
  fmt::format_to(to, "{}_bucket{{{}{}le=\"+Inf\"}} {}\n", name, labels, comma, snapshot.count);
  append_value(out, fmt::format("{}_sum", name), labels, static_cast<double>(snapshot.sum_ns) / 1e9);
  append_value(out, fmt::format("{}_count", name), labels, static_cast<double>(snapshot.count));
}

void append_head(std::string& out, std::string_view name, std::string_view help, std::string_view type) {
  fmt::format_to(std::back_inserter(out), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

// Groups what collectors report by family, as the text format asks for.
class TextSink : public MetricsRegistry::Sink {
 public:
  void gauge(std::string_view name, std::string_view help, const MetricLabels& labels, double value) override {
    add(name, help, "gauge", labels, value);
  }
  void counter(std::string_view name, std::string_view help, const MetricLabels& labels, double value) override {
    add(name, help, "counter", labels, value);
  }
  void append_to(std::string& out) const {
    for (const auto& [_, text] : families_) out += text;
  }

 private:
  void add(std::string_view name, std::string_view help, const char* type, const MetricLabels& labels, double value) {
    for (auto& [known, text] : families_) {
      if (known == name) return append_value(text, name, render_labels(labels), value);
    }
    auto& [_, text] = families_.emplace_back(std::string(name), std::string());
    append_head(text, name, help, type);
    append_value(text, name, render_labels(labels), value);
  }

  std::vector<std::pair<std::string, std::string>> families_;
};

}  // namespace

int64_t Histogram::upper_bound_ns(size_t bucket) {
  if (bucket + 1 >= kBuckets) return std::numeric_limits<int64_t>::max();
  // In units of 8.192 µs: 2, 3, 4, 6, 8, 12, 16, ...
  const int64_t units = (bucket % 2 == 0 ? 2ll : 3ll) << (bucket / 2);
  return units << 13;
}

Histogram::Snapshot Histogram::snapshot() const {
  Snapshot result;
  for (unsigned shard = 0; shard < shards_; ++shard) {
    for (size_t i = 0; i < kBuckets; ++i) {
      const int64_t n = cells_[shard].buckets[i].load(std::memory_order_relaxed);
      result.buckets[i] += n;
      result.count += n;
    }
    result.sum_ns += cells_[shard].sum_ns.load(std::memory_order_relaxed);
  }
  return result;
}

int64_t Histogram::Snapshot::quantile_ns(double q) const {
  if (count == 0) return 0;
  const auto rank = static_cast<int64_t>(q * static_cast<double>(count) + 0.9999999);
  int64_t seen = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    seen += buckets[i];
    if (seen >= rank) return upper_bound_ns(i);
  }
  return upper_bound_ns(kBuckets - 1);
}

MetricsRegistry::Family& MetricsRegistry::family(std::string_view name, std::string_view help, Kind kind) {
  for (Family& known : families_) {
    if (known.name == name) {
      WEIR_CHECK(known.kind == kind);
      return known;
    }
  }
  return families_.emplace_back(Family{std::string(name), std::string(help), kind, {}});
}

Counter& MetricsRegistry::counter(std::string_view name, std::string_view help, MetricLabels labels) {
  ShardedValue& value = values_.emplace_back(shards_);
  family(name, help, Kind::kCounter).series.push_back({render_labels(labels), &value, nullptr});
  return value;
}

Gauge& MetricsRegistry::gauge(std::string_view name, std::string_view help, MetricLabels labels) {
  ShardedValue& value = values_.emplace_back(shards_);
  family(name, help, Kind::kGauge).series.push_back({render_labels(labels), &value, nullptr});
  return value;
}

Histogram& MetricsRegistry::histogram(std::string_view name, std::string_view help, MetricLabels labels) {
  Histogram& value = histograms_.emplace_back(shards_);
  family(name, help, Kind::kHistogram).series.push_back({render_labels(labels), nullptr, &value});
  return value;
}

std::string MetricsRegistry::scrape(const std::function<void(Sink&)>& more) const {
  std::string out;
  for (const Family& known : families_) {
    std::string body;
    for (const Series& series : known.series) {
      if (series.value) {
        append_value(body, known.name, series.labels, static_cast<double>(series.value->total()));
        continue;
      }
      const Histogram::Snapshot snapshot = series.histogram->snapshot();
      if (snapshot.count > 0) append_histogram(body, known.name, series.labels, snapshot);
    }
    if (body.empty()) continue;
    const char* type = known.kind == Kind::kCounter ? "counter" : known.kind == Kind::kGauge ? "gauge" : "histogram";
    append_head(out, known.name, known.help, type);
    out += body;
  }
  TextSink sink;
  for (const auto& collector : collectors_) collector(sink);
  if (more) more(sink);
  sink.append_to(out);
  return out;
}

}  // namespace weir::broker
