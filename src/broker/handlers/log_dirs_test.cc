// AlterReplicaLogDirs and DescribeLogDirs with one log directory and with several.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "broker/handlers/broker_fixture.h"
#include "protocol/messages/alter_replica_log_dirs.h"
#include "protocol/messages/describe_log_dirs.h"
#include "storage/log/log_dir_mover.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;

class LogDirsTest : public BrokerTest {
 protected:
  ErrorCode move(std::string_view path, std::string_view topic, int32_t partition) {
    protocol::AlterReplicaLogDirsRequest::AlterReplicaLogDirTopic topics;
    topics.name = topic;
    topics.partitions = {&partition, 1};
    protocol::AlterReplicaLogDirsRequest::AlterReplicaLogDir dir;
    dir.path = path;
    dir.topics = {&topics, 1};
    protocol::AlterReplicaLogDirsRequest request;
    request.dirs = {&dir, 1};
    const auto answer = call<protocol::AlterReplicaLogDirsResponse>(2, request);
    EXPECT_EQ(answer->results.size(), 1u);
    EXPECT_EQ(answer->results[0].topic_name, topic);
    EXPECT_EQ(answer->results[0].partitions[0].partition_index, partition);
    return static_cast<ErrorCode>(answer->results[0].partitions[0].error_code);
  }
  struct Replica {
    std::string dir;
    int64_t size = 0;
    int64_t lag = 0;
    bool future = false;
  };
  // Returns replicas by "topic-partition", in the order of the directories.
  std::map<std::string, std::vector<Replica>> describe() {
    protocol::DescribeLogDirsRequest request;
    request.topics = std::nullopt;
    const auto answer = call<protocol::DescribeLogDirsResponse>(5, request);
    std::map<std::string, std::vector<Replica>> replicas;
    EXPECT_EQ(answer->results.size(), 1 + more_dirs_.size());
    for (const auto& dir : answer->results) {
      EXPECT_EQ(dir.error_code, 0);
      EXPECT_GT(dir.usable_bytes, 0);
      for (const auto& topic : dir.topics) {
        for (const auto& one : topic.partitions) {
          replicas[std::string(topic.name) + "-" + std::to_string(one.partition_index)].push_back(
              {std::string(dir.log_dir), one.partition_size, one.offset_lag, one.is_future_key});
        }
      }
    }
    return replicas;
  }
  void checkpoint_all() {
    size_t left = logs_.size();
    for (auto& log : logs_) log->checkpoint_all([&](Result<void>) { --left; });
    run_until([&] { return left == 0; });
  }
};

TEST_F(LogDirsTest, OneFolderKeepsAll) {
  create_topic("a", 1);
  EXPECT_EQ(move("/data", "a", 0), ErrorCode::kNone);
  EXPECT_EQ(move("/data", "a", 1), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(move("/data", "b", 0), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(move("/elsewhere", "a", 0), ErrorCode::kLogDirNotFound);
  EXPECT_EQ(move("data", "a", 0), ErrorCode::kLogDirNotFound);
}

class SeveralLogDirsTest : public LogDirsTest {
 protected:
  void SetUp() override {
    more_dirs_ = {"/more", "/most"};
    start();
    start_mover();
  }
  void TearDown() override {
    stop_mover();
    stop();
  }
  void start_mover() {
    std::vector<storage::LogShard*> logs;
    for (auto& log : logs_) logs.push_back(log.get());
    cleaner_ = std::make_unique<storage::LogCleaner>(runtime_, logs, *segments_, storage::LogCleanerOptions{});
    mover_ = std::make_unique<storage::LogDirMover>(runtime_, logs, *segments_, *cleaner_,
                                                    storage::LogDirMoverOptions{.directories = segments_.get()});
    mover_->start();
  }
  void stop_mover() {
    mover_.reset();
    cleaner_.reset();
  }
  std::unique_ptr<storage::LogCleaner> cleaner_;
  std::unique_ptr<storage::LogDirMover> mover_;
};

TEST_F(SeveralLogDirsTest, NewPartitionsAreSpread) {
  create_topic("a", 6);
  std::map<std::string, int> count;
  for (const auto& [partition, replicas] : describe()) {
    ASSERT_EQ(replicas.size(), 1u) << partition;
    EXPECT_FALSE(replicas[0].future);
    ++count[replicas[0].dir];
  }
  EXPECT_EQ(count, (std::map<std::string, int>{{"/data", 2}, {"/more", 2}, {"/most", 2}}));
}

TEST_F(SeveralLogDirsTest, APartitionIsInBothWhileItMovesAndThenInTheNewOne) {
  create_topic("a", 1);
  const auto records = batch({"one", "two"});
  produce(peer(0), "a", 0, records);
  checkpoint_all();
  const std::string from = describe().at("a-0")[0].dir;
  const std::string to = from == "/most" ? "/more" : "/most";
  stop_mover();
  EXPECT_EQ(move(to, "a", 0), ErrorCode::kNone);
  auto replicas = describe().at("a-0");
  ASSERT_EQ(replicas.size(), 2u);
  for (const Replica& replica : replicas) {
    EXPECT_EQ(replica.future, replica.dir == to);
    EXPECT_EQ(replica.size, replica.future ? 0 : static_cast<int64_t>(records.size()));
    EXPECT_EQ(replica.lag, replica.future ? 2 : 0);
  }
  start_mover();
  run_until([&] { return describe().at("a-0").size() == 1; });
  replicas = describe().at("a-0");
  EXPECT_EQ(replicas[0].dir, to);
  EXPECT_FALSE(replicas[0].future);
  EXPECT_EQ(replicas[0].size, static_cast<int64_t>(records.size()));
  EXPECT_EQ(move(to, "a", 0), ErrorCode::kNone) << "it is there already";
  EXPECT_EQ(describe().at("a-0").size(), 1u);
  stop_mover();
  restart(false);
  start_mover();
  EXPECT_EQ(describe().at("a-0")[0].dir, to);
}

TEST_F(SeveralLogDirsTest, AWishForATopicToComeIsRemembered) {
  EXPECT_EQ(move("/most", "later", 1), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(move("/nowhere", "later", 0), ErrorCode::kLogDirNotFound);
  create_topic("later", 2);
  EXPECT_EQ(describe().at("later-1")[0].dir, "/most");
}

TEST_F(SeveralLogDirsTest, OfAPartitionNamedTwiceTheLastCounts) {
  create_topic("a", 1);
  int32_t zero = 0;
  protocol::AlterReplicaLogDirsRequest::AlterReplicaLogDirTopic topic;
  topic.name = "a";
  topic.partitions = {&zero, 1};
  protocol::AlterReplicaLogDirsRequest::AlterReplicaLogDir dirs[2];
  dirs[0].path = "/more";
  dirs[1].path = "/most";
  for (auto& dir : dirs) dir.topics = {&topic, 1};
  protocol::AlterReplicaLogDirsRequest request;
  request.dirs = dirs;
  const auto answer = call<protocol::AlterReplicaLogDirsResponse>(2, request);
  ASSERT_EQ(answer->results.size(), 1u);
  ASSERT_EQ(answer->results[0].partitions.size(), 1u);
  EXPECT_EQ(answer->results[0].partitions[0].error_code, 0);
  EXPECT_EQ(describe().at("a-0")[0].dir, "/most");
}

}  // namespace
}  // namespace weir::broker
