// Damage of every kind to the two databases and their logs before a start of the whole broker. The broker shows exactly the
// same as without the damage, or refuses and changes nothing. Every build runs a sample. WEIR_EVERY_BYTE=1 runs every byte (an
// hour).
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "apps/server.h"
#include "base/bytes.h"
#include "base/log.h"
#include "protocol/messages/produce.h"
#include "simulation/kafka_client.h"
#include "simulation/log_clients.h"
#include "storage/sqlite/database.h"

namespace weir::simulation {
namespace {

using testing::SeededRandom;
using testing::SimRuntime;

// A data folder, file by file.
using Files = std::map<std::string, std::vector<uint8_t>>;

Files files_of(SimRuntime& sim) {
  Files files;
  for (const std::string& path : sim.disk().all_files()) files[path] = sim.disk().contents(path);
  return files;
}

void put(SimRuntime& sim, const Files& files) {
  constexpr size_t kBlock = 4096;
  for (const auto& [path, contents] : files) {
    ASSERT_TRUE(sim.disk().create_directories(path.substr(0, path.rfind('/'))));
    auto file = sim.disk().open(path, {.write = true, .create = true});
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->truncate(contents.size()));
    for (size_t at = 0; at < contents.size(); at += kBlock) {
      const Bytes block = Bytes(contents).subspan(at, std::min(kBlock, contents.size() - at));
      if (std::ranges::all_of(block, [](uint8_t byte) { return byte == 0; })) continue;
      ASSERT_TRUE((*file)->write_at(at, block));
    }
    ASSERT_TRUE((*file)->sync());
  }
  ASSERT_TRUE(sim.disk().sync_file_system("/"));
}

apps::ServerOptions server_options() {
  apps::ServerOptions options;
  options.data_dir = "/data";
  options.disk_reserve = false;
  options.max_memory_bytes = 64 << 20;
  for (const char* setting : {"listeners=PLAINTEXT://127.0.0.1:9092", "http.listener=off", "weir.dirty.bytes.max=8388608"}) {
    EXPECT_TRUE(options.config.add_setting(setting)) << setting;
  }
  return options;
}

// Rows of the databases that a start does not change, or changes in the same way each time.
std::string rows_of(SimRuntime& sim, const std::string& path, const std::string& sql) {
  auto database = storage::Database::open(sim.disk(), path, {});
  if (!database) return "cannot be read: " + database.error().message;
  auto statement = (*database)->prepare(sql);
  if (!statement) return "cannot be read: " + statement.error().message;
  std::string rows;
  while (true) {
    auto row = statement->step();
    if (!row) return "cannot be read: " + row.error().message;
    if (!*row) return rows;
    for (int i = 0; i < statement->columns(); ++i) rows += std::string(as_string(statement->blob(i))) + "|";
    rows += "\n";
  }
}

// Everything that a broker shows of its data.
std::string shown(SimRuntime& sim, apps::Server& server) {
  std::string all;
  const broker::MetadataImage& image = *server.broker().shard(0).image;
  for (const broker::TopicPtr& topic : image.sorted_by_name()) {
    all += fmt::format("{} {} {}", topic->name(), topic->id().to_string(), topic->partition_count());
    for (const auto& [name, value] : topic->record.configs) all += fmt::format(" {}={}", name, value);
    for (int32_t i = 0; i < topic->partition_count(); ++i) {
      const storage::PartitionId id = topic->partition(i);
      const storage::Partition* partition = server.broker().shard(server.broker().owner(id)).log.find(id);
      if (!partition) continue;
      all +=
          fmt::format("\n  {}: {} to {}, epoch {}, {} segments{}", i, partition->log_start_offset(), partition->high_watermark(),
                      partition->leader_epoch(), partition->manifest().segments.size(), partition->offline_reason());
    }
    all += "\n";
  }
  all += rows_of(sim, "/data/meta.db", "SELECT key, value, create_revision, mod_revision FROM entries ORDER BY key");
  for (const char* table :
       {"format", "partitions", "segments", "producers", "wal_files", "wal_guests", "directories", "places"}) {
    all += table + std::string("\n") + rows_of(sim, "/data/manifest.db", fmt::format("SELECT * FROM {} ORDER BY 1, 2", table));
  }
  return all;
}

// A broker whose life leaves rows of all kinds.
class World {
 public:
  World() : client_(sim.client_loop()) { start(); }
  ~World() {
    client_.drop();
    sim.end_server(testing::Death::kKill);
  }

  void start() {
    auto started = apps::Server::start(sim.runtime(), server_options());
    ASSERT_TRUE(started) << started.error().message;
    server = std::move(*started);
    bool ready = false;
    server->when_ready([&](Result<void> done) { ready = done.has_value(); });
    run_until([&] { return ready; });
  }
  void restart(bool orderly) {
    client_.drop();
    if (orderly) {
      bool stopped = false;
      server->stop([&] { stopped = true; });
      run_until([&] { return stopped; });
      ASSERT_TRUE(server->finish());
      server.reset();
    }
    sim.end_server(testing::Death::kKill);
    server.reset();
    files = files_of(sim);
    sim.start_server();
  }
  void create(const std::string& name, int32_t partitions, broker::ConfigOverrides configs = {}) {
    change([&](broker::Controller::Done done) {
      server->broker().create_topics(0, {{name, partitions, std::move(configs)}}, std::move(done));
    });
  }
  void remove(const std::string& name) {
    change([&](broker::Controller::Done done) { server->broker().delete_topics(0, {find(name).id()}, std::move(done)); });
  }
  void produce(const std::string& name, int32_t index, int count) {
    for (int i = 0; i < count; ++i) {
      const std::vector<uint8_t> bytes =
          LogProducer::plain(find(name).partition(index), random_, sent_, sim.clock().wall_ms()).bytes;
      protocol::ProduceRequest::PartitionProduceData data;
      data.index = index;
      data.records.data = bytes;
      protocol::ProduceRequest::TopicProduceData topic;
      topic.topic_id = find(name).id();
      topic.partition_data = {&data, 1};
      protocol::ProduceRequest request;
      request.acks = -1;
      request.timeout_ms = 30'000;
      request.topic_data = {&topic, 1};
      bool done = false;
      client_.call<protocol::ProduceResponse>(13, request, [&](const auto* response) {
        ASSERT_TRUE(response && response->responses[0].partition_responses[0].error_code == 0);
        done = true;
      });
      run_until([&] { return done; });
    }
  }
  void checkpoint() {
    for (unsigned i = 0; i < 2; ++i) {
      bool done = false;
      sim.loop(i).post([&, i] {
        server->broker().shard(i).log.checkpoint_all([&](Result<void> checkpointed) {
          EXPECT_TRUE(checkpointed);
          done = true;
        });
      });
      run_until([&] { return done; });
    }
  }
  void take_producer_id() {
    bool done = false;
    sim.loop(0).post([&] {
      server->broker().next_producer_id(0, [&](Result<int64_t> id) {
        EXPECT_TRUE(id);
        done = true;
      });
    });
    run_until([&] { return done; });
  }

  SimRuntime sim{5, {.loops = 2}};
  std::unique_ptr<apps::Server> server;
  Files files;  // as the last end left them

 private:
  const broker::Topic& find(const std::string& name) { return *server->broker().shard(0).image->find(name); }
  void change(const std::function<void(broker::Controller::Done)>& ask) {
    bool done = false;
    sim.loop(0).post([&] {
      ask([&](broker::Controller::Outcomes outcomes) {
        EXPECT_EQ(static_cast<int>(outcomes[0].error), 0) << outcomes[0].message;
        done = true;
      });
    });
    run_until([&] { return done; });
  }
  void run_until(const std::function<bool()>& condition) {
    ASSERT_EQ(sim.run_until(condition, 60 * runtime::kSecond), SimRuntime::Stop::kDone);
  }

  KafkaClient client_;
  SeededRandom random_{1, 2};
  Oracle sent_;
};

const char* const kDatabases[] = {"/data/meta.db", "/data/manifest.db"};

class DatabaseDamageTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    set_log_level(LogLevel::kError);
    World world;
    world.create("orders", 3, {{"retention.ms", "-1"}});
    world.create("gone", 2);
    world.produce("orders", 0, 5);
    world.produce("gone", 1, 5);
    world.take_producer_id();
    world.checkpoint();
    world.restart(false);
    early_ = world.files;
    world.start();
    world.remove("gone");
    world.create("payments", 2, {{"retention.bytes", "1000000"}});
    world.produce("orders", 1, 5);
    world.checkpoint();
    world.produce("orders", 0, 3);
    world.create("newest", 1);
    world.restart(false);
    killed_ = world.files;
    world.start();
    world.produce("newest", 0, 1);
    world.checkpoint();
    world.restart(false);
    checkpointed_ = world.files;
    world.start();
    world.produce("payments", 0, 3);
    world.restart(true);
    ended_ = world.files;
  }
  static void TearDownTestSuite() {
    set_log_level(LogLevel::kInfo);
    early_ = killed_ = checkpointed_ = ended_ = {};
  }

  static bool every_byte() { return std::getenv("WEIR_EVERY_BYTE") != nullptr; }

  // Starts a broker over `files`. Returns everything that it shows, or nothing if it refuses.
  std::optional<std::string> start(const Files& files) {
    SimRuntime sim(9, {.loops = 2});
    put(sim, files);
    auto server = apps::Server::start(sim.runtime(), server_options());
    std::optional<std::string> result;
    if (server) {
      result = shown(sim, **server);
    } else {
      why_ = server.error().message;
      Files after = files_of(sim);
      std::erase_if(after, [&](const auto& file) { return !files.contains(file.first) && file.second.empty(); });
      EXPECT_TRUE(after == files) << "a refusal changes nothing: " << why_;
    }
    sim.end_server(testing::Death::kKill);
    return result;
  }

  void sweep(const Files& sound) {
    sound_ = &sound;
    const auto expected = start(sound);
    ASSERT_TRUE(expected) << why_;
    expected_ = *expected;
    for (const char* database : kDatabases) {
      pages(database);
      log(std::string(database) + "-wal");
      whole(database);
    }
    fmt::print("{} starts: {} refused\n", starts_, refused_);
    EXPECT_GT(refused_, starts_ / 4);
  }

  void expect_refused_or_exact(const std::string& what, const Files& files) {
    if (HasFailure()) return;
    SCOPED_TRACE(what);
    ++starts_;
    const auto found = start(files);
    if (!found) {
      ++refused_;
    } else {
      EXPECT_EQ(*found, expected_);
    }
  }
  void expect_refused(const std::string& what, const Files& files) {
    if (HasFailure()) return;
    SCOPED_TRACE(what);
    ++starts_;
    ++refused_;
    EXPECT_FALSE(start(files)) << "a start over it";
    EXPECT_NE(why_.find("/data/"), std::string::npos) << why_;
  }
  // Only the note in the other database shows the loss.
  void expect_end_missed(const std::string& database, Files files) {
    auto& log = files[database + "-wal"];
    const size_t frame = 24 + load_be<uint32_t>(&log[8]);
    const size_t frames = (log.size() - 32) / frame;
    ASSERT_GT(frames, 4u);
    log.resize(32 + frames / 2 * frame);
    expect_refused(database, files);
    EXPECT_NE(why_.find(database + " went back"), std::string::npos) << why_;
  }
  void flip(const std::string& path, size_t at) {
    Files files = *sound_;
    files[path][at] ^= static_cast<uint8_t>(1 << random_.below(8));
    expect_refused_or_exact(fmt::format("{}: byte {}", path, at), files);
  }
  // Flips every byte of [begin, end), or `some` of them.
  void flips(const std::string& path, size_t begin, size_t end, size_t some) {
    if (every_byte() || end - begin <= some) {
      for (size_t at = begin; at < end; ++at) flip(path, at);
    } else {
      for (size_t i = 0; i < some; ++i) flip(path, begin + random_.below(end - begin));
    }
  }

  // Damages the headers of the file and of its pages, pointers to cells, cells (they fill a page from its end), free pages and
  // unused bytes.
  void pages(const std::string& path) {
    const auto& file = sound_->at(path);
    const size_t page = load_be<uint16_t>(&file[16]);
    flips(path, 0, 100, 100);
    for (size_t at = 0; at < file.size(); at += page) {
      const size_t header = at == 0 ? 100 : at;
      flips(path, header, header + 12, 12);
      flips(path, header + 12, header + 20, 2);
      flips(path, header + 20, at + page, 3);
      flips(path, at + page - 200, at + page, 4);
      Files zeroed = *sound_;
      std::fill_n(zeroed[path].begin() + static_cast<ptrdiff_t>(at), page, uint8_t{0});
      expect_refused_or_exact(fmt::format("{}: zeros at {}", path, at), zeroed);
      // A write that never reached the device.
      if (early_[path].size() < at + page) continue;
      Files stale = *sound_;
      std::copy_n(early_[path].begin() + static_cast<ptrdiff_t>(at), page, stale[path].begin() + static_cast<ptrdiff_t>(at));
      expect_refused_or_exact(fmt::format("{}: earlier page at {}", path, at), stale);
    }
    for (size_t length = 0; length < file.size(); length += every_byte() ? 512 : page) {
      for (const size_t cut : {length, std::min(length + page, file.size()) - 1}) {
        Files files = *sound_;
        files[path].resize(cut);
        expect_refused_or_exact(fmt::format("{}: cut to {}", path, cut), files);
      }
    }
  }

  // Damages the log's header, the frames' headers and their pages, and cuts the log within and between frames and at the last
  // byte.
  void log(const std::string& path) {
    const auto& file = sound_->at(path);
    if (file.empty()) return;
    const size_t frame = 24 + load_be<uint32_t>(&file[8]);
    flips(path, 0, 32, 32);
    for (size_t at = 32; at + frame <= file.size(); at += frame) {
      flips(path, at, at + 24, 3);
      flips(path, at + 24, at + frame, 2);
      for (const size_t cut : {at, at + 1, at + 24, at + frame / 2, at + frame - 1}) {
        if (!every_byte() && cut != at && cut + 1 != at + frame && random_.below(3) != 0) continue;
        Files files = *sound_;
        files[path].resize(cut);
        // The database may have held the transactions already that the cut takes from the log.
        expect_refused_or_exact(fmt::format("{}: cut to {}", path, cut), files);
      }
    }
  }

  // Replaces files by those of another time, or removes them.
  void whole(const std::string& path) {
    const std::string log = path + "-wal", mark = path + "-wal-in-use";
    for (const auto& names : {std::set{path}, std::set{log}, std::set{mark}, std::set{path, log}, std::set{path, log, mark}}) {
      Files earlier = *sound_, missing = *sound_;
      for (const std::string& name : names) {
        missing.erase(name);
        earlier.erase(name);
        if (early_.contains(name)) earlier[name] = early_[name];
      }
      const std::string what = fmt::format("{} and {} more", *names.begin(), names.size() - 1);
      // An earlier database alone may differ in nothing that is not in its log as well.
      if (names.contains(path)) expect_refused("without " + what, missing);
      else expect_refused_or_exact("without " + what, missing);
      if (names.contains(path) && names.contains(log)) expect_refused("earlier " + what, earlier);
      else expect_refused_or_exact("earlier " + what, earlier);
    }
  }

  static Files early_, killed_, checkpointed_, ended_;
  const Files* sound_ = nullptr;
  std::string expected_, why_;
  SeededRandom random_{3, 4};
  uint64_t starts_ = 0, refused_ = 0;
};

Files DatabaseDamageTest::early_, DatabaseDamageTest::killed_, DatabaseDamageTest::checkpointed_, DatabaseDamageTest::ended_;

TEST_F(DatabaseDamageTest, AfterAKilledProcess) { sweep(killed_); }
TEST_F(DatabaseDamageTest, AfterAnOrderlyEnd) { sweep(ended_); }

// Cuts the log in half. Somebody was told of the transactions in its second half.
TEST_F(DatabaseDamageTest, TheLossOfTheLatestTransactionsIsNoticed) {
  sound_ = &killed_;  // metadata changed last
  expect_end_missed("/data/meta.db", killed_);
  sound_ = &checkpointed_;  // manifests changed last
  expect_end_missed("/data/manifest.db", checkpointed_);
}

}  // namespace
}  // namespace weir::simulation
