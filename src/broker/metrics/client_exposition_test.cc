#include "broker/metrics/client_exposition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/telemetry/client_metrics.h"

namespace weir::broker {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const Uuid kFirst = Uuid::from_random(1, 1), kSecond = Uuid::from_random(2, 2);

ClientSeries gauge(const std::string& name, double value, MetricLabels labels = {}) {
  return {name, std::move(labels), value, false, false};
}
ClientSeries counted(const std::string& name, double value) { return {name, {}, value, true, true}; }

std::string text_of(ClientMetricsStore& store, int64_t now_ms) {
  std::vector<ShardSnapshot> shards(2);
  shards[1].client_metrics = store.snapshot(now_ms);
  std::string out;
  append_client_metrics(out, shards);
  return out;
}

TEST(ClientMetrics, TheLastValueOfAGaugeAndTheSumOfWhatWasAdded) {
  ClientMetricsStore store;
  EXPECT_EQ(store.merge(kFirst, "one", {gauge("a_b", 1, {{"node", "x\"y"}}), counted("c", 2)}, 0, 3000), 0u);
  EXPECT_EQ(store.merge(kSecond, "two", {gauge("a_b", 5)}, 0, 3000), 0u);
  EXPECT_EQ(store.merge(kFirst, "one", {gauge("a_b", 1.5, {{"node", "x\"y"}}), counted("c", 3)}, 1000, 3000), 0u);
  const std::string text = text_of(store, 1000);
  const std::string first = "client_id=\"one\",client_instance_id=\"" + kFirst.to_string() + "\"";
  EXPECT_THAT(text, HasSubstr("# TYPE a_b gauge\n"));
  EXPECT_THAT(text, HasSubstr("a_b{" + first + ",node=\"x\\\"y\"} 1.5\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE c counter\nc{" + first + "} 5\n"));
  EXPECT_EQ(text.find("# TYPE a_b"), text.rfind("# TYPE a_b")) << "one family of two clients";
  EXPECT_EQ(store.series_count(), 3u);
}

TEST(ClientMetrics, GoWithTheClientOrWithAge) {
  ClientMetricsStore store;
  store.merge(kFirst, "one", {gauge("a", 1)}, 0, 3000);
  store.merge(kSecond, "two", {gauge("a", 2)}, 2000, 3000);
  EXPECT_THAT(text_of(store, 2500), HasSubstr("one"));
  const std::string later = text_of(store, 4000);
  EXPECT_THAT(later, Not(HasSubstr("one")));
  EXPECT_THAT(later, HasSubstr("two"));
  store.remove(kSecond);
  store.remove(kSecond);
  EXPECT_EQ(text_of(store, 4000), "");
  EXPECT_EQ(store.series_count(), 0u);
}

TEST(ClientMetrics, AreBounded) {
  ClientMetricsStore store;
  size_t dropped = 0;
  for (uint64_t client = 1; client <= 10; ++client) {
    std::vector<ClientSeries> many;
    for (int i = 0; i < 600; ++i) many.push_back(gauge("m" + std::to_string(i), 1));
    dropped += store.merge(Uuid::from_random(client, client), "c", std::move(many), 0, 3000);
  }
  EXPECT_EQ(store.series_count(), ClientMetricsStore::kSeriesMax);
  EXPECT_EQ(dropped, 6000 - ClientMetricsStore::kSeriesMax);
  text_of(store, 10'000);
  EXPECT_EQ(store.series_count(), 0u);
}

}  // namespace
}  // namespace weir::broker
