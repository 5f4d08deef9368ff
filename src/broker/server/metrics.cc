#include "broker/server/metrics.h"

#include <fmt/format.h>

#include <iterator>
#include <limits>

#include "base/check.h"
#include "base/utf8.h"

namespace weir::broker {

void append_label_value(std::string& out, std::string_view value) {
  while (!value.empty()) {
    const std::string_view character = take_character(value);
    if (character == "\\" || character == "\"") out += '\\';
    out += character == "\n" ? "\\n" : character;
  }
}

namespace {

std::string render_labels(const MetricLabels& labels) {
  std::string out;
  for (const auto& [name, value] : labels) {
    if (!out.empty()) out += ',';
    out += name;
    out += "=\"";
    append_label_value(out, value);
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

void append_histogram(std::string& out, std::string_view name, const std::string& labels, const Histogram::Snapshot& snapshot) {
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

// Groups the reports of collectors by family, as the text format asks for.
class TextSink : public MetricsRegistry::Sink {
 public:
  void gauge(std::string_view name, std::string_view help, const MetricLabels& labels, double value) override {
    add(name, help, "gauge", labels, value);
  }
  void counter(std::string_view name, std::string_view help, const MetricLabels& labels, double value) override {
    add(name, help, "counter", labels, value);
  }
  void histogram(std::string_view name, std::string_view help, std::string_view suffix, const MetricLabels& labels,
                 double value) override {
    find(name, help, "histogram");
    append_value(last_->second, fmt::format("{}{}", name, suffix), render_labels(labels), value);
  }
  void append_to(std::string& out) const {
    for (const auto& [_, text] : families_) out += text;
  }

 private:
  void add(std::string_view name, std::string_view help, const char* type, const MetricLabels& labels, double value) {
    find(name, help, type);
    append_value(last_->second, name, render_labels(labels), value);
  }
  // Makes the family the last one. Collectors report a family's values one after the other.
  void find(std::string_view name, std::string_view help, const char* type) {
    if (last_ != nullptr && last_->first == name) return;
    for (auto& family : families_) {
      if (family.first == name) {
        last_ = &family;
        return;
      }
    }
    last_ = &families_.emplace_back(std::string(name), std::string());
    append_head(last_->second, name, help, type);
  }

  std::deque<std::pair<std::string, std::string>> families_;
  std::pair<std::string, std::string>* last_ = nullptr;
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

Histogram::Snapshot Histogram::Snapshot::since(const Snapshot& earlier) const {
  Snapshot result = *this;
  for (size_t i = 0; i < kBuckets; ++i) result.buckets[i] -= earlier.buckets[i];
  result.sum_ns -= earlier.sum_ns;
  result.count -= earlier.count;
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

ShardedValue& MetricsRegistry::value(std::string_view name, std::string_view help, MetricLabels labels, Kind kind, Form form) {
  ShardedValue& added = values_.emplace_back(shards_);
  family(name, help, kind).series.push_back({render_labels(labels), &added, nullptr, form});
  return added;
}

Counter& MetricsRegistry::counter(std::string_view name, std::string_view help, MetricLabels labels) {
  return value(name, help, std::move(labels), Kind::kCounter, Form::kTotal);
}

Gauge& MetricsRegistry::gauge(std::string_view name, std::string_view help, MetricLabels labels) {
  return value(name, help, std::move(labels), Kind::kGauge, Form::kTotal);
}

Counter& MetricsRegistry::rare_counter(std::string_view name, std::string_view help, MetricLabels labels) {
  return value(name, help, std::move(labels), Kind::kCounter, Form::kTotalUnlessZero);
}

Counter& MetricsRegistry::shard_counter(std::string_view name, std::string_view help, MetricLabels labels) {
  return value(name, help, std::move(labels), Kind::kCounter, Form::kByShard);
}

Gauge& MetricsRegistry::shard_gauge(std::string_view name, std::string_view help, MetricLabels labels) {
  return value(name, help, std::move(labels), Kind::kGauge, Form::kByShard);
}

Histogram& MetricsRegistry::histogram(std::string_view name, std::string_view help, MetricLabels labels) {
  Histogram& value = histograms_.emplace_back(shards_);
  family(name, help, Kind::kHistogram).series.push_back({render_labels(labels), nullptr, &value, Form::kTotal});
  return value;
}

void MetricsRegistry::append_series(std::string& out, const Family& family, const Series& series) const {
  if (series.histogram) {
    const Histogram::Snapshot snapshot = series.histogram->snapshot();
    if (snapshot.count > 0) append_histogram(out, family.name, series.labels, snapshot);
    return;
  }
  if (series.form == Form::kByShard) {
    for (unsigned shard = 0; shard < shards_; ++shard) {
      append_value(out, family.name, fmt::format("{},networkProcessor=\"{}\"", series.labels, shard),
                   static_cast<double>(series.value->of(shard)));
    }
    return;
  }
  const int64_t total = series.value->total();
  if (total == 0 && series.form == Form::kTotalUnlessZero) return;
  append_value(out, family.name, series.labels, static_cast<double>(total));
}

std::string MetricsRegistry::scrape(const std::function<void(Sink&)>& more) const {
  std::string out;
  for (const Family& known : families_) {
    std::string body;
    for (const Series& series : known.series) append_series(body, known, series);
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
