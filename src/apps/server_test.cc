#include "apps/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "apps/ready_line.h"
#include "base/log.h"
#include "protocol/messages/api_versions.h"
#include "testing/sim_runtime.h"

namespace weir::apps {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using testing::Death;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::SimRuntime;

// Sends bytes and collects what comes back.
class Client : public runtime::Socket::Handler {
 public:
  Client(SimRuntime& sim, const runtime::Endpoint& address) {
    sim.client_loop().connect(address, [this](Result<std::unique_ptr<runtime::Socket>> socket) {
      if (!socket) {
        closed = true;
        return;
      }
      socket_ = std::move(*socket);
      socket_->set_handler(this);
    });
    sim.run_until([&] { return socket_ != nullptr || closed; }, runtime::kSecond);
  }
  void on_readable() override {
    for (;;) {
      uint8_t bytes[4096];
      const runtime::IoResult result = socket_->read(bytes);
      if (result.status == runtime::IoResult::Status::kClosed || result.status == runtime::IoResult::Status::kError) {
        closed = true;
      }
      if (result.status != runtime::IoResult::Status::kOk || result.bytes == 0) return;
      received.append(reinterpret_cast<char*>(bytes), result.bytes);
    }
  }
  void on_writable() override {
    while (!unsent_.empty()) {
      const iovec piece{unsent_.data(), unsent_.size()};
      const runtime::IoResult result = socket_->write({&piece, 1});
      if (result.status != runtime::IoResult::Status::kOk) return;
      unsent_.erase(0, result.bytes);
    }
  }
  void send(const std::string& bytes) {
    unsent_ += bytes;
    on_writable();
  }

  std::string received;
  bool closed = false;

 private:
  std::unique_ptr<runtime::Socket> socket_;
  std::string unsent_;
};

class ServerTest : public ::testing::Test {
 protected:
  static ServerOptions options(std::vector<std::string> settings = {}) {
    ServerOptions result;
    result.data_dir = "/data";
    settings.insert(settings.begin(), {"listeners=PLAINTEXT://127.0.0.1:9092", "http.listener=127.0.0.1:8080"});
    for (const std::string& setting : settings) EXPECT_TRUE(result.config.add_setting(setting)) << setting;
    return result;
  }
  void start(ServerOptions with) {
    auto started = Server::start(sim_.runtime(), std::move(with));
    ASSERT_TRUE(started) << started.error().message;
    server_ = std::move(*started);
    Result<void> outcome = fail(ErrorCode::kUnknown, "not ready in time");
    server_->when_ready([&](Result<void> ready) { outcome = std::move(ready); });
    sim_.run_until([&] { return server_->ready() || outcome; }, 10 * runtime::kSecond);
    ASSERT_TRUE(outcome) << outcome.error().message;
  }
  void stop() {
    bool stopped = false;
    server_->stop([&] { stopped = true; });
    ASSERT_EQ(sim_.run_until([&] { return stopped; }, 5 * runtime::kSecond), SimRuntime::Stop::kDone);
    const auto finished = server_->finish();
    EXPECT_TRUE(finished) << finished.error().message;
    end(Death::kKill);
  }
  void end(Death death) {
    sim_.end_server(death);
    server_.reset();
    sim_.start_server();
  }
  std::string ask_http(const std::string& path) {
    Client client(sim_, {"127.0.0.1", 8080});
    client.send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n");
    sim_.run_for(runtime::kSecond);
    return client.received;
  }

  SimRuntime sim_{7, {.loops = 2}};
  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, AFolderWithoutItsMetadataIsRefusedAndLeftAsItIs) {
  start(options());
  bool stopped = false;
  server_->stop([&] { stopped = true; });
  sim_.run_until([&] { return stopped; }, 5 * runtime::kSecond);
  ASSERT_TRUE(server_->finish());
  server_.reset();  // in order: the databases are closed
  end(Death::kKill);
  ASSERT_TRUE(sim_.disk().remove("/data/meta.db"));
  for (int i = 0; i < 2; ++i) {
    const auto refused = Server::start(sim_.runtime(), options());
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("/data/meta.db is gone"));
    EXPECT_FALSE(sim_.disk().has("/data/meta.db"));
  }
}

TEST_F(ServerTest, APortInUseLeavesACleanEnd) {
  start(options());
  stop();
  auto taken = sim_.client_loop().listen({"127.0.0.1", 9092}, [](std::unique_ptr<runtime::Socket>) {});
  ASSERT_TRUE(taken);
  const auto refused = Server::start(sim_.runtime(), options());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("9092"));
  end(Death::kKill);
  taken->reset();
  start(options());
  EXPECT_TRUE(server_->recovery().clean);
}

TEST_F(ServerTest, ATakenHttpPortIsReplacedWhereNobodyAskedForIt) {
  auto taken = sim_.client_loop().listen({"127.0.0.1", 8080}, [](std::unique_ptr<runtime::Socket>) {});
  auto usual = sim_.client_loop().listen({"127.0.0.1", 9644}, [](std::unique_ptr<runtime::Socket>) {});
  ASSERT_TRUE(taken && usual);
  const auto refused = Server::start(sim_.runtime(), options());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, AllOf(HasSubstr("http.listener"), HasSubstr("8080")));
  end(Death::kKill);
  ServerOptions unasked;
  unasked.data_dir = "/data";
  unasked.disk_reserve = false;
  std::string warnings;
  set_log_sink([&](LogLevel level, std::string_view, std::string_view message) {
    if (level == LogLevel::kWarn) warnings += message;
  });
  start(unasked);
  set_log_sink({});
  ASSERT_TRUE(server_->http_address());
  EXPECT_NE(server_->http_address()->port, 9644);
  EXPECT_THAT(warnings, HasSubstr("127.0.0.1:9644, where they are by default, is in use"));
}

TEST_F(ServerTest, SeveralLogDirectoriesBelongTogether) {
  auto several = options();
  several.more_dirs = {"/more"};
  start(several);
  EXPECT_EQ(server_->more_dirs(), several.more_dirs);
  EXPECT_TRUE(sim_.disk().has("/more/meta.properties"));
  EXPECT_TRUE(sim_.disk().has("/more/.lock"));
  end(Death::kKill);
  auto swapped = options();
  swapped.data_dir = "/more";
  swapped.more_dirs = {"/data"};
  const auto refused = Server::start(sim_.runtime(), swapped);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("/more is a further log directory"));
  start(several);
  end(Death::kPowerCut);
  start(options());  // nothing is in it yet
}

TEST_F(ServerTest, AnswersApiVersionsOverTheNetwork) {
  start(options());
  Client client(sim_, {"127.0.0.1", 9092});
  client.send(std::string("\0\0\0\x0a\0\x12\0\0\0\0\0\x2a\xff\xff", 14));
  sim_.run_until([&] { return !client.received.empty(); }, runtime::kSecond);
  ASSERT_GT(client.received.size(), 14u);
  const auto* bytes = reinterpret_cast<const uint8_t*>(client.received.data());
  EXPECT_EQ(load_be<int32_t>(bytes + 4), 42);
  protocol::Arena arena;
  protocol::Reader reader({bytes + 8, client.received.size() - 8}, arena);
  protocol::ApiVersionsResponse response;
  ASSERT_TRUE(response.decode(reader, 0));
  EXPECT_EQ(response.error_code, 0);
  bool produce = false;
  for (const auto& api : response.api_keys) {
    if (api.api_key == 0) {
      produce = true;
      EXPECT_EQ(api.min_version, 0) << "librdkafka concludes from it that compression works";
    }
  }
  EXPECT_TRUE(produce);
  stop();
}

TEST_F(ServerTest, TellsOfSettingsWithoutEffect) {
  std::vector<std::string> lines;
  set_log_sink([&](LogLevel level, std::string_view, std::string_view message) {
    lines.push_back((level == LogLevel::kWarn ? "warning: " : "") + std::string(message));
  });
  start(options({"num.io.threads=8", "offsets.topic.replication.factor=1", "log.flush.interval.ms=1000", "num.partitions=2",
                 "listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093", "controller.listener.names=CONTROLLER",
                 "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"}));
  set_log_sink({});
  const auto about = [&](std::string_view key) {
    return std::count_if(lines.begin(), lines.end(),
                         [&](const std::string& line) { return line.find(key) != std::string::npos; });
  };
  EXPECT_EQ(about("warning: log.flush.interval.ms has no effect"), 1);
  EXPECT_THAT(lines, Contains(AllOf(HasSubstr("2 settings have no effect here"),
                                    HasSubstr("num.io.threads, offsets.topic.replication.factor"))));
  EXPECT_EQ(about("num.io.threads"), 1);
  EXPECT_EQ(about("num.partitions"), 0);
  EXPECT_THAT(lines, Contains("Listener CONTROLLER is not opened: there is no controller quorum to serve"));
  ASSERT_EQ(server_->listeners().size(), 1u);
  stop();
}

// As Kafka's own config/server.properties is without its last lines.
TEST_F(ServerTest, AListenerOfControllersNeedsNoProtocol) {
  start(options({"process.roles=broker,controller", "listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093",
                 "controller.listener.names=controller"}));
  ASSERT_EQ(server_->listeners().size(), 1u);
  EXPECT_EQ(server_->listeners()[0].name, "PLAINTEXT");
  stop();
}

TEST_F(ServerTest, SaysHowLargeARequestMayBeWhereTheMemoryBoundsIt) {
  const auto lines_with = [&](const std::string& memory) {
    std::vector<std::string> lines;
    set_log_sink([&](LogLevel, std::string_view, std::string_view message) {
      if (message.find("socket.request.max.bytes") != std::string_view::npos) lines.emplace_back(message);
    });
    start(options({"weir.max.memory.bytes=" + memory}));
    set_log_sink({});
    stop();
    return lines;
  };
  const auto small = lines_with("67108864");
  ASSERT_EQ(small.size(), 1u);
  EXPECT_TRUE(small[0].starts_with("Requests of more than 8388608 bytes are refused")) << small[0];
  EXPECT_EQ(lines_with("1073741824").size(), 0u);
}

TEST_F(ServerTest, CreatesTopicsOnceAndKeepsThemOverACleanEnd) {
  ServerOptions with = options();
  with.topics.push_back(*parse_topic_argument("orders:6,cleanup.policy=compact"));
  start(with);
  const std::string cluster = server_->cluster_id();
  EXPECT_EQ(cluster.size(), 22u);
  EXPECT_EQ(server_->topic_count(), 1u);
  EXPECT_TRUE(server_->first_start());
  stop();
  start(with);
  EXPECT_FALSE(server_->first_start());
  EXPECT_EQ(server_->cluster_id(), cluster);
  EXPECT_EQ(server_->topic_count(), 1u);
  EXPECT_TRUE(server_->recovery().clean);
  stop();
}

TEST_F(ServerTest, TellsThatAnExistingTopicIsLeftAsItIs) {
  ServerOptions with = options();
  with.topics.push_back(*parse_topic_argument("orders:2,retention.ms=1000"));
  start(with);
  stop();
  std::vector<std::string> lines;
  set_log_event_sink([&](LogLevel, std::string_view, const LogEvent& event) { lines.emplace_back(event.what); });
  for (const char* same : {"orders", "orders:2", "orders:2,retention.ms=1000"}) {
    with.topics = {*parse_topic_argument(same)};
    start(with);
    stop();
  }
  EXPECT_THAT(lines, Each(Not(HasSubstr("--topic")))) << "nothing differs";
  lines.clear();
  with.topics = {*parse_topic_argument("orders:5")};
  start(with);
  stop();
  EXPECT_THAT(lines, Contains(HasSubstr("orders: the topic exists with 2 partitions, and is left as it is")));
  lines.clear();
  with.topics = {*parse_topic_argument("orders:2,retention.ms=2000")};
  start(with);
  stop();
  EXPECT_THAT(lines, Contains(HasSubstr("2 partitions and other configs")));
  set_log_event_sink({});
}

TEST_F(ServerTest, TheReadyLineNamesWhatIsBoundAndWhatIsAdvertised) {
  start(options({"listeners=A://127.0.0.1:9092,B://0.0.0.0:9095,C://[::]:9096,D://:9097",
                 "advertised.listeners=A://broker.example:19092",
                 "listener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT,C:PLAINTEXT,D:PLAINTEXT"}));
  const std::string line = ready_line(*server_, 42);
  EXPECT_THAT(line, HasSubstr(R"({"name":"A","host":"broker.example","port":19092,"bound":{"host":"127.0.0.1","port":9092},)"
                              R"("advertised":{"host":"broker.example","port":19092}})"));
  EXPECT_THAT(line,
              HasSubstr(R"({"name":"B","host":"127.0.0.1","port":9095,"bound":{"host":"::","port":9095},"advertised":null})"));
  EXPECT_THAT(line,
              HasSubstr(R"({"name":"C","host":"127.0.0.1","port":9096,"bound":{"host":"::","port":9096},"advertised":null})"));
  EXPECT_THAT(line,
              HasSubstr(R"({"name":"D","host":"127.0.0.1","port":9097,"bound":{"host":"::","port":9097},"advertised":null})"));
  EXPECT_THAT(line, HasSubstr(R"("http":{"host":"127.0.0.1","port":8080})"));
  EXPECT_THAT(line, HasSubstr(R"("pid":42})"));
  stop();
}

TEST_F(ServerTest, SettingsThatAreWrongAreFoundWithoutStarting) {
  for (const char* wrong : {"listeners=nonsense", "listeners=SSL://127.0.0.1:9093", "listeners=PLAINTEXT://h:99999",
                            "advertised.listeners=OTHER://h:1", "http.listener=nonsense", "controller.listener.names=PLAINTEXT",
                            "weir.max.memory.bytes=1000", "weir.max.memory.bytes=16777215"}) {
    EXPECT_FALSE(Server::check(options({wrong}).config)) << wrong;
  }
  for (const char* right : {"http.listener=off", "weir.max.memory.bytes=0", "weir.max.memory.bytes=16777216"}) {
    EXPECT_TRUE(Server::check(options({right}).config)) << right;
  }
  EXPECT_THAT(Server::check(options({"weir.max.memory.bytes=1"}).config).error().message, HasSubstr("at least 16777216"));
}

TEST_F(ServerTest, StartsAfterAPowerCut) {
  ServerOptions with = options();
  with.topics.push_back(*parse_topic_argument("orders:6"));
  start(with);
  end(Death::kPowerCut);
  start(with);
  EXPECT_EQ(server_->topic_count(), 1u);
  EXPECT_FALSE(server_->recovery().clean);
  stop();
}

TEST_F(ServerTest, ABadTopicNameFailsTheStart) {
  ServerOptions with = options();
  with.topics.push_back({"no spaces please", 1, {}});
  auto started = Server::start(sim_.runtime(), with);
  ASSERT_TRUE(started);
  server_ = std::move(*started);
  std::string message;
  server_->when_ready([&](Result<void> ready) { message = ready ? "ready" : ready.error().message; });
  sim_.run_until([&] { return !message.empty(); }, runtime::kSecond);
  EXPECT_THAT(message, HasSubstr("no spaces please"));
  EXPECT_FALSE(server_->ready());
  stop();
}

TEST_F(ServerTest, ReportsHealthReadinessAndMetrics) {
  start(options());
  EXPECT_THAT(ask_http("/health"), HasSubstr("\"status\":\"pass\""));
  EXPECT_THAT(ask_http("/ready"), HasSubstr("{\"ready\":true}"));
  const std::string metrics = ask_http("/metrics");
  EXPECT_THAT(metrics, HasSubstr("kafka_server_replicamanager_partitioncount 0\n"));
  EXPECT_THAT(metrics, HasSubstr("weir_memory_limit_bytes{share=\"requests\"}"));
  stop();
}

TEST_F(ServerTest, ExplainsWhatItCannotDo) {
  const auto tls = Server::start(sim_.runtime(), options({"listeners=SSL://127.0.0.1:9093"}));
  ASSERT_FALSE(tls);
  EXPECT_THAT(tls.error().message, HasSubstr("SSL is not available"));
  start(options());
  const auto second = Server::start(sim_.runtime(), options({"listeners=PLAINTEXT://127.0.0.1:9099"}));
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr("in use by another process"));
  stop();
}

TEST_F(ServerTest, TakesTheConfigurationOfAKafkaBrokerThatIsAControllerAsWell) {
  start(options({"process.roles=broker,controller", "controller.listener.names=CONTROLLER",
                 "controller.quorum.voters=1@localhost:9093", "listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093",
                 "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"}));
  ASSERT_EQ(server_->listeners().size(), 1u);
  EXPECT_EQ(server_->listeners()[0].name, "PLAINTEXT");
  stop();
}

TEST_F(ServerTest, AClientThatStaysConnectedDoesNotHoldUpTheEnd) {
  start(options());
  Client idle(sim_, {"127.0.0.1", 9092});
  Client half(sim_, {"127.0.0.1", 9092});
  half.send(std::string("\0\0\1", 3));
  sim_.run_for(runtime::kSecond);
  stop();
}

}  // namespace
}  // namespace weir::apps
