// Every metric that docs/observability.md lists is exported, every one that is exported is listed, and every one that a
// dashboard asks for exists.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <regex>
#include <set>

#include "apps/process_metrics.h"
#include "apps/server.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/produce.h"
#include "protocol/record_batch_builder.h"
#include "testing/sim_runtime.h"

namespace weir::apps {
namespace {

using ::testing::HasSubstr;
using testing::SimRuntime;

std::string read_source(const std::string& name) {
  std::ifstream in(std::string(WEIR_SOURCE_DIR) + "/" + name);
  EXPECT_TRUE(in) << name;
  return {std::istreambuf_iterator<char>(in), {}};
}

class Peer : public runtime::Socket::Handler {
 public:
  Peer(SimRuntime& sim, uint16_t port) : sim_(sim) {
    sim.client_loop().connect({"127.0.0.1", port}, [this](Result<std::unique_ptr<runtime::Socket>> socket) {
      ASSERT_TRUE(socket);
      socket_ = std::move(*socket);
      socket_->set_handler(this);
    });
    sim.run_until([&] { return socket_ != nullptr; }, runtime::kSecond);
  }
  void on_readable() override {
    for (;;) {
      uint8_t bytes[65536];
      const runtime::IoResult result = socket_->read(bytes);
      if (result.status != runtime::IoResult::Status::kOk || result.bytes == 0) return;
      received_.append(reinterpret_cast<char*>(bytes), result.bytes);
    }
  }
  void on_writable() override {}
  std::string ask(std::string bytes) {
    received_.clear();
    const iovec piece{bytes.data(), bytes.size()};
    (void)socket_->write({&piece, 1});
    sim_.run_for(2 * runtime::kSecond);
    return received_;
  }
  template <typename Request>
  std::string ask_kafka(int16_t version, const Request& request) {
    protocol::Writer writer;
    const size_t frame = writer.begin_frame();
    writer.i16(Request::kApiKey);
    writer.i16(version);
    writer.i32(1);
    writer.nullable_string("tester", false);
    request.encode(writer, version);
    writer.end_frame(frame);
    return ask(std::string(as_string(writer.bytes())));
  }

 private:
  SimRuntime& sim_;
  std::unique_ptr<runtime::Socket> socket_;
  std::string received_;
};

// A broker with a topic that was written to and read, and what it exports.
class MetricsNamesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ServerOptions options;
    options.data_dir = "/data";
    for (const char* setting : {"listeners=PLAINTEXT://127.0.0.1:9092", "http.listener=127.0.0.1:8080"}) {
      ASSERT_TRUE(options.config.add_setting(setting));
    }
    options.topics.push_back(*parse_topic_argument("orders:3"));
    auto started = Server::start(sim_.runtime(), std::move(options));
    ASSERT_TRUE(started) << started.error().message;
    server_ = std::move(*started);
    server_->metrics().collect([](broker::MetricsRegistry::Sink& sink) { report_process({}, sink); });
    bool ready = false;
    server_->when_ready([&](Result<void> result) { ready = result.has_value(); });
    ASSERT_EQ(sim_.run_until([&] { return ready; }, 10 * runtime::kSecond), SimRuntime::Stop::kDone);
    Peer client(sim_, 9092);
    produce(client);
    fetch(client);
    text_ = Peer(sim_, 8080).ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  }
  void TearDown() override {
    sim_.end_server(testing::Death::kKill);
    server_.reset();
    sim_.start_server();
  }

  static void produce(Peer& client) {
    protocol::RecordBatchBuilder builder(protocol::BatchOptions{});
    builder.append(1'700'000'000'000, as_bytes("k"), as_bytes("v"));
    builder.append(1'700'000'000'001, as_bytes("k"), as_bytes("w"));
    protocol::ProduceRequest::PartitionProduceData data;
    data.index = 1;
    data.records.data = builder.finish();
    protocol::ProduceRequest::TopicProduceData topic;
    topic.name = "orders";
    topic.partition_data = {&data, 1};
    protocol::ProduceRequest request;
    request.acks = -1;
    request.timeout_ms = 1000;
    request.topic_data = {&topic, 1};
    EXPECT_FALSE(client.ask_kafka(7, request).empty());
  }
  static void fetch(Peer& client) {
    protocol::FetchRequest::FetchPartition partition;
    partition.partition = 1;
    partition.partition_max_bytes = 1 << 20;
    protocol::FetchRequest::FetchTopic topic;
    topic.topic = "orders";
    topic.partitions = {&partition, 1};
    protocol::FetchRequest request;
    request.max_wait_ms = 100;
    request.min_bytes = 1;
    request.max_bytes = 1 << 20;
    request.session_epoch = -1;
    request.topics = {&topic, 1};
    EXPECT_FALSE(client.ask_kafka(11, request).empty());
  }
  // Names of families.
  std::set<std::string> exported() const {
    std::set<std::string> names;
    const std::regex type("# TYPE ([a-z0-9_]+) ");
    for (std::sregex_iterator it(text_.begin(), text_.end(), type), end; it != end; ++it) names.insert((*it)[1]);
    return names;
  }
  // Names of series: with the suffixes of histograms.
  std::set<std::string> series() const {
    std::set<std::string> names;
    const std::regex line("\n([a-z][a-z0-9_]+)[{ ]");
    for (std::sregex_iterator it(text_.begin(), text_.end(), line), end; it != end; ++it) names.insert((*it)[1]);
    return names;
  }
  static std::set<std::string> documented() {
    const std::string text = read_source("docs/observability.md");
    const size_t begin = text.find("\n## Exported"), end = text.find("\n## Not exported");
    EXPECT_TRUE(begin != std::string::npos && end > begin);
    const std::string part = text.substr(begin, end - begin);
    std::set<std::string> names;
    const std::regex row("\n\\| (`[^|]*) \\|"), name("`([a-z0-9_]+)`");
    for (std::sregex_iterator it(part.begin(), part.end(), row), last; it != last; ++it) {
      const std::string cell = (*it)[1];
      for (std::sregex_iterator each(cell.begin(), cell.end(), name); each != last; ++each) {
        EXPECT_TRUE(names.insert((*each)[1]).second) << (*each)[1] << " is there twice";
      }
    }
    return names;
  }

  // Its row says what must have happened before: "once ...".
  static bool optional(const std::string& name) {
    const std::string text = read_source("docs/observability.md");
    const size_t row = text.find("| `" + name + "` |");
    return row != std::string::npos && text.substr(row, text.find('\n', row) - row).find("; once ") != std::string::npos;
  }

  SimRuntime sim_{11, {.loops = 2}};
  std::unique_ptr<Server> server_;
  std::string text_;
};

TEST_F(MetricsNamesTest, TheDocumentListsExactlyWhatIsExported) {
  const std::set<std::string> documents = documented();
  EXPECT_GT(documents.size(), 80u);
  const std::set<std::string> names = exported();
  for (const std::string& name : names) EXPECT_TRUE(documents.contains(name)) << name << " is not in the document";
  for (const std::string& name : documents) {
    EXPECT_TRUE(names.contains(name) || optional(name)) << name << " is in the document and is not exported";
  }
}

TEST_F(MetricsNamesTest, DashboardsAndRulesAskForWhatIsExported) {
  const std::set<std::string> known = series();
  const std::regex name("\\b(kafka|weir|process)_[a-z0-9_]+");
  for (const char* file : {"docs/dashboards/weir.json", "docs/dashboards/rules.yml"}) {
    const std::string text = read_source(file);
    size_t asked = 0;
    for (std::sregex_iterator it(text.begin(), text.end(), name), end; it != end; ++it) {
      ++asked;
      EXPECT_TRUE(known.contains(it->str()) || optional(it->str())) << it->str() << " is in " << file << " and is not exported";
    }
    EXPECT_GT(asked, 10u) << file;
  }
}

TEST_F(MetricsNamesTest, TheDocumentExplainsTheAlertsThatAreRules) {
  const std::string text = read_source("docs/observability.md"), rules = read_source("docs/dashboards/rules.yml");
  const size_t begin = text.find("\n## Alerts worth having"), end = text.find("\n## ", begin + 1);
  ASSERT_TRUE(begin != std::string::npos && end != std::string::npos);
  const std::string document = text.substr(begin, end - begin);
  const std::regex name("\\b(kafka|weir|process)_[a-z0-9_]+");
  const auto names_of = [&](const std::string& of) {
    return std::set<std::string>(std::sregex_token_iterator(of.begin(), of.end(), name), std::sregex_token_iterator());
  };
  EXPECT_EQ(names_of(document), names_of(rules));
}

// What the dashboards for Apache Kafka that Strimzi ships ask for: they work here as they are.
TEST_F(MetricsNamesTest, StrimzisDashboardsFindTheirNames) {
  const std::set<std::string> known = series();
  for (const char* name : {"kafka_cluster_partition_atminisr",
                           "kafka_cluster_partition_replicascount",
                           "kafka_cluster_partition_underminisr",
                           "kafka_controller_controllerstats_uncleanleaderelections_total",
                           "kafka_controller_kafkacontroller_activecontrollercount",
                           "kafka_controller_kafkacontroller_offlinepartitionscount",
                           "kafka_log_log_size",
                           "kafka_network_socketserver_networkprocessoravgidle_percent",
                           "kafka_server_brokertopicmetrics_bytesin_total",
                           "kafka_server_brokertopicmetrics_bytesout_total",
                           "kafka_server_brokertopicmetrics_failedfetchrequests_total",
                           "kafka_server_brokertopicmetrics_failedproducerequests_total",
                           "kafka_server_brokertopicmetrics_messagesin_total",
                           "kafka_server_brokertopicmetrics_totalfetchrequests_total",
                           "kafka_server_brokertopicmetrics_totalproducerequests_total",
                           "kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent",
                           "kafka_server_kafkaserver_linux_disk_read_bytes",
                           "kafka_server_kafkaserver_linux_disk_write_bytes",
                           "kafka_server_replicamanager_leadercount",
                           "kafka_server_replicamanager_partitioncount",
                           "kafka_server_replicamanager_underreplicatedpartitions",
                           "kafka_server_socket_server_metrics_connection_count",
                           "process_open_fds"}) {
    EXPECT_TRUE(known.contains(name)) << name;
  }
}

TEST_F(MetricsNamesTest, CountsWhatWentThroughATopic) {
  for (const char* line : {"kafka_server_brokertopicmetrics_messagesin_total 2\n",
                           "kafka_server_brokertopicmetrics_messagesin_total{topic=\"orders\"} 2\n",
                           "kafka_server_brokertopicmetrics_totalproducerequests_total{topic=\"orders\"} 1\n",
                           "kafka_server_brokertopicmetrics_failedproducerequests_total{topic=\"orders\"} 0\n",
                           "kafka_log_log_logendoffset{topic=\"orders\",partition=\"1\"} 2\n",
                           "kafka_log_log_logendoffset{topic=\"orders\",partition=\"2\"} 0\n",
                           "kafka_network_requestmetrics_requests_total{request=\"Produce\",version=\"7\"} 1\n",
                           "kafka_network_requestmetrics_totaltimems_count{request=\"FetchConsumer\"} 1\n",
                           "kafka_network_requestmetrics_errors_total{request=\"Produce\",error=\"NONE\"} 1\n",
                           "kafka_network_requestmetrics_errors_total{request=\"Fetch\",error=\"NONE\"} 2\n",
                           "kafka_server_replicamanager_leadercount 3\n"}) {
    EXPECT_THAT(text_, HasSubstr(line));
  }
  // What is in the tail counts as memory in use.
  EXPECT_THAT(text_, HasSubstr("weir_memory_used_bytes{share=\"tail\"}"));
  EXPECT_EQ(text_.find("weir_memory_used_bytes{share=\"tail\"} 0\n"), std::string::npos);
  // What came in went out: one batch, read once.
  const std::regex bytes("kafka_server_brokertopicmetrics_bytes(in|out)_total\\{topic=\"orders\"\\} (\\d+)\n");
  std::set<std::string> amounts;
  for (std::sregex_iterator it(text_.begin(), text_.end(), bytes), end; it != end; ++it) amounts.insert((*it)[2]);
  EXPECT_EQ(amounts.size(), 1u);
  EXPECT_FALSE(amounts.contains("0"));
}

}  // namespace
}  // namespace weir::apps
