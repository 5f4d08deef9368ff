// Counters, gauges and histograms, written by the shards without locks and merged when they are scraped.
//
// A metric is registered before the shards run, and has one cell per shard. Only that shard writes its cell (a plain add, no
// locked instruction). Any thread may read. Collectors give values that live elsewhere, at each scrape.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::broker {

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

// Appends the value of a label, any text, in the form that the text format has between quotes.
void append_label_value(std::string& out, std::string_view value);

// A sum over the shards: counts events, or holds a level (add may be negative).
class ShardedValue {
 public:
  explicit ShardedValue(unsigned shards) : cells_(std::make_unique<Cell[]>(shards)), shards_(shards) {}
  // On the shard's thread only.
  void add(unsigned shard, int64_t n = 1) {
    std::atomic<int64_t>& cell = cells_[shard].value;
    cell.store(cell.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void set(unsigned shard, int64_t n) { cells_[shard].value.store(n, std::memory_order_relaxed); }
  int64_t of(unsigned shard) const { return cells_[shard].value.load(std::memory_order_relaxed); }
  int64_t total() const {
    int64_t sum = 0;
    for (unsigned i = 0; i < shards_; ++i) sum += cells_[i].value.load(std::memory_order_relaxed);
    return sum;
  }

 private:
  struct alignas(64) Cell {
    std::atomic<int64_t> value{0};
  };
  std::unique_ptr<Cell[]> cells_;
  unsigned shards_;
};
using Counter = ShardedValue;
using Gauge = ShardedValue;

// Durations in buckets that grow by half an octave from 16 µs to about a minute.
class Histogram {
 public:
  static constexpr size_t kBuckets = 46;

  explicit Histogram(unsigned shards) : cells_(std::make_unique<Cells[]>(shards)), shards_(shards) {}
  // On the shard's thread only.
  void observe_ns(unsigned shard, int64_t duration_ns) {
    Cells& cells = cells_[shard];
    bump(cells.buckets[bucket_of(duration_ns)], 1);
    bump(cells.sum_ns, duration_ns);
  }

  struct Snapshot {
    std::array<int64_t, kBuckets> buckets{};
    int64_t sum_ns = 0;
    int64_t count = 0;
    // Upper bound of the bucket that holds the quantile (0 < q <= 1); 0 without observations.
    int64_t quantile_ns(double q) const;
    // The observations after `earlier`.
    Snapshot since(const Snapshot& earlier) const;
  };
  Snapshot snapshot() const;

  static size_t bucket_of(int64_t duration_ns) {
    const uint64_t units = duration_ns <= 0 ? 0 : static_cast<uint64_t>(duration_ns - 1) >> 13;  // of 8.192 µs
    if (units < 2) return 0;
    const int octave = std::bit_width(units) - 1;
    const size_t bucket = static_cast<size_t>(2 * (octave - 1)) + ((units >> (octave - 1)) & 1) + 1;
    return bucket < kBuckets ? bucket : kBuckets - 1;
  }
  static int64_t upper_bound_ns(size_t bucket);  // inclusive; the last bucket has none and returns INT64_MAX

 private:
  struct alignas(64) Cells {
    std::array<std::atomic<int64_t>, kBuckets> buckets{};
    std::atomic<int64_t> sum_ns{0};
  };
  static void bump(std::atomic<int64_t>& cell, int64_t n) {
    cell.store(cell.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  std::unique_ptr<Cells[]> cells_;
  unsigned shards_;
};

class MetricsRegistry {
 public:
  explicit MetricsRegistry(unsigned shards) : shards_(shards) {}
  unsigned shards() const { return shards_; }

  // Before the shards run. References stay valid for the registry's life. The same name with other labels is another
  // series of the same family.
  Counter& counter(std::string_view name, std::string_view help, MetricLabels labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, MetricLabels labels = {});
  Histogram& histogram(std::string_view name, std::string_view help, MetricLabels labels = {});
  // Series that are left out while they are 0: one for each of many labels, of which few are ever used.
  Counter& rare_counter(std::string_view name, std::string_view help, MetricLabels labels);
  // One series for each shard, told apart by the label networkProcessor, as Kafka's of its network threads.
  Counter& shard_counter(std::string_view name, std::string_view help, MetricLabels labels);
  Gauge& shard_gauge(std::string_view name, std::string_view help, MetricLabels labels);

  // A collector writes its values to it.
  class Sink {
   public:
    virtual ~Sink() = default;
    virtual void gauge(std::string_view name, std::string_view help, const MetricLabels& labels, double value) = 0;
    virtual void counter(std::string_view name, std::string_view help, const MetricLabels& labels, double value) = 0;
    // One series of a histogram: `suffix` is _bucket, _sum or _count.
    virtual void histogram(std::string_view name, std::string_view help, std::string_view suffix, const MetricLabels& labels,
                           double value) = 0;
  };
  // Called on the thread that scrapes; must be thread-safe against the shards.
  void collect(std::function<void(Sink&)> collector) { collectors_.push_back(std::move(collector)); }

  // Prometheus text format 0.0.4. Histograms without observations are left out. `more` is one more collector.
  std::string scrape(const std::function<void(Sink&)>& more = {}) const;

 private:
  enum class Kind { kCounter, kGauge, kHistogram };
  enum class Form { kTotal, kTotalUnlessZero, kByShard };
  struct Series {
    std::string labels;  // rendered: a="b",c="d"
    ShardedValue* value = nullptr;
    Histogram* histogram = nullptr;
    Form form = Form::kTotal;
  };
  struct Family {
    std::string name;
    std::string help;
    Kind kind;
    std::vector<Series> series;
  };
  Family& family(std::string_view name, std::string_view help, Kind kind);
  ShardedValue& value(std::string_view name, std::string_view help, MetricLabels labels, Kind kind, Form form);
  void append_series(std::string& out, const Family& family, const Series& series) const;

  unsigned shards_;
  std::deque<ShardedValue> values_;
  std::deque<Histogram> histograms_;
  std::vector<Family> families_;
  std::vector<std::function<void(Sink&)>> collectors_;
};

}  // namespace weir::broker
