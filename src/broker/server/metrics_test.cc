#include "broker/server/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir::broker {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Metrics, SumsTheShardsAtScrape) {
  MetricsRegistry registry(3);
  Counter& produce = registry.counter("weir_requests_total", "Requests.", {{"api", "Produce"}});
  Counter& fetch = registry.counter("weir_requests_total", "Requests.", {{"api", "Fetch"}});
  produce.add(0);
  produce.add(2, 5);
  fetch.add(1);
  const std::string text = registry.scrape();
  EXPECT_THAT(text, HasSubstr("# TYPE weir_requests_total counter\n"
                              "weir_requests_total{api=\"Produce\"} 6\nweir_requests_total{api=\"Fetch\"} 1\n"));
}

TEST(Metrics, EscapesLabelsAndAsksCollectors) {
  MetricsRegistry registry(1);
  registry.collect([](MetricsRegistry::Sink& sink) {
    sink.gauge("a", "A.", {{"x", "q\"\\\n\xff\xc3\xa9"}}, 1.5);
    sink.gauge("b", "B.", {}, 2);
    sink.gauge("a", "A.", {{"x", "y"}}, 3);
  });
  EXPECT_EQ(registry.scrape(),
            "# HELP a A.\n# TYPE a gauge\na{x=\"q\\\"\\\\\\n\xef\xbf\xbd\xc3\xa9\"} 1.5\na{x=\"y\"} 3\n# HELP b B.\n# TYPE b "
            "gauge\nb 2\n");
}

TEST(Metrics, HistogramBucketsContainWhatTheyClaim) {
  for (int64_t d = 1; d < 100'000'000'000; d = d * 9 / 8 + 1) {
    const size_t bucket = Histogram::bucket_of(d);
    EXPECT_LE(d, Histogram::upper_bound_ns(bucket)) << d;
    if (bucket > 0) {
      EXPECT_GT(d, Histogram::upper_bound_ns(bucket - 1)) << d;
    }
  }
  EXPECT_EQ(Histogram::bucket_of(-5), 0u);
}

TEST(Metrics, HistogramQuantilesAndText) {
  MetricsRegistry registry(2);
  Histogram& latency = registry.histogram("t_seconds", "T.");
  EXPECT_THAT(registry.scrape(), Not(HasSubstr("t_seconds")));
  for (int i = 0; i < 99; ++i) latency.observe_ns(0, 100'000);
  latency.observe_ns(1, 1'000'000'000);
  const auto snapshot = latency.snapshot();
  EXPECT_EQ(snapshot.count, 100);
  EXPECT_NEAR(static_cast<double>(snapshot.quantile_ns(0.5)), 100'000, 50'000);
  EXPECT_LT(snapshot.quantile_ns(0.99), 150'000);
  EXPECT_GE(snapshot.quantile_ns(1.0), 1'000'000'000);
  const std::string text = registry.scrape();
  EXPECT_THAT(text, HasSubstr("t_seconds_bucket{le=\"+Inf\"} 100\n"));
  EXPECT_THAT(text, HasSubstr("t_seconds_count 100\n"));
}

}  // namespace
}  // namespace weir::broker
