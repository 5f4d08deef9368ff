// Checkpoints, reads, searches and drops on the production pool and real files, all at once.
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "runtime/posix_file_system.h"
#include "runtime/thread_pool.h"
#include "storage/metadata/sqlite_meta_store.h"
#include "storage/segment/local_segment_store.h"
#include "storage/segment/test_batches.h"
#include "testing/fake_clock.h"
#include "testing/temp_dir.h"

namespace weir::storage {
namespace {

using namespace storage::testing;

// The test's own thread as an executor.
class Inbox final : public runtime::Executor {
 public:
  void post(runtime::Task task) override {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
    posted_.notify_one();
  }
  void run_one() {
    std::unique_lock lock(mutex_);
    posted_.wait(lock, [&] { return !tasks_.empty(); });
    runtime::Task task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
  }

 private:
  std::mutex mutex_;
  std::condition_variable posted_;
  std::deque<runtime::Task> tasks_;
};

class SegmentThreadsTest : public ::testing::Test {
 protected:
  SegmentThreadsTest() { pool_.start(); }
  ~SegmentThreadsTest() override { pool_.stop(); }

  weir::testing::TempDir folder_;
  runtime::PosixFileSystem files_{runtime::FlushEngineKind::kThread};
  weir::testing::FakeClock clock_;
  Inbox inbox_;
  runtime::ThreadPool pool_{4};
};

TEST_F(SegmentThreadsTest, ReadsRunBesideCheckpoints) {
  SegmentReader::Options reading;
  reading.open_files = 3;
  reading.index_bytes = 2000;
  reading.spacing = {.entry_bytes = 4000, .write_bytes = 20'000};
  auto opened = LocalSegmentStore::open(files_, pool_, clock_, {.log_dir = folder_.path(), .reading = reading});
  ASSERT_TRUE(opened) << opened.error().message;
  LocalSegmentStore& store = **opened;
  ASSERT_TRUE(store.load());

  constexpr int kPartitions = 3, kCheckpoints = 40;
  std::vector<int64_t> ends(kPartitions);
  std::vector<PartitionManifest> manifests(kPartitions);
  int running = 0, reads = 0;
  const auto read_somewhere = [&](const PartitionManifest& manifest, int64_t offset) {
    ++running;
    store.read(manifest, offset, 10'000, inbox_, [&, offset](Result<SegmentRead> read) {
      --running;
      ++reads;
      ASSERT_TRUE(read) << read.error().message;
      const auto bytes = bytes_of(read->bytes);
      protocol::BatchSplitter batches{Bytes(bytes)};
      while (batches.next()) EXPECT_TRUE(protocol::crc_matches(batches.header(), batches.batch()));
      EXPECT_TRUE(batches.rest().empty());
      EXPECT_TRUE(read->first_offset <= offset && offset < read->next_offset);
    });
    ++running;
    store.find_timestamp(manifest, 1000 + offset, inbox_, [&, offset](Result<TimestampPosition> found) {
      --running;
      ASSERT_TRUE(found) << found.error().message;
      EXPECT_EQ(found->offset, offset);
    });
  };
  for (int round = 0; round < kCheckpoints; ++round) {
    std::vector<CheckpointPartition> cycle;
    for (int i = 0; i < kPartitions; ++i) {
      auto& end = ends[static_cast<size_t>(i)];
      cycle.push_back(make_checkpoint(partition_id(1, i), end, 5,
                                      {.records = 4, .value_bytes = round % 4 == 0 ? 6000u : 100u, .timestamp = 1000 + end}));
      cycle.back().segment_bytes = 300'000;
    }
    bool checkpointed = false;
    store.checkpoint(std::move(cycle), inbox_, [&](Result<std::vector<PartitionManifest>> after) {
      ASSERT_TRUE(after) << after.error().message;
      manifests = std::move(*after);
      checkpointed = true;
    });
    for (const auto& manifest : manifests) {
      for (int64_t offset = round % 7; offset < manifest.end_offset; offset += manifest.end_offset / 3 + 1) {
        read_somewhere(manifest, offset);
      }
    }
    while (!checkpointed) inbox_.run_one();
  }
  while (running > 0) inbox_.run_one();
  bool dropped = false;
  store.drop(partition_id(1, 0), 0, inbox_, [&](Result<void> done) { dropped = done.has_value(); });
  bool maintained = false;
  store.maintain(inbox_, [&] { maintained = true; });
  while (!maintained) inbox_.run_one();
  EXPECT_TRUE(dropped);
  EXPECT_GT(reads, 100);
}

TEST_F(SegmentThreadsTest, MetadataFromManyThreads) {
  auto opened = SqliteMetaStore::open(files_, pool_, {.path = folder_ / "meta.db"});
  ASSERT_TRUE(opened) << opened.error().message;
  SqliteMetaStore& store = **opened;
  constexpr int kThreads = 4, kEach = 50;
  std::vector<std::thread> threads;
  std::atomic<int> done{0};
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        MetaTransaction put;
        put.operations.push_back({MetaOperation::Kind::kPut, std::to_string(t) + "/" + std::to_string(i), "v"});
        store.transact(std::move(put), inbox_, [&](Result<MetaOutcome> outcome) { done += outcome && outcome->succeeded; });
        if (i % 10 == 0) {
          EXPECT_TRUE(store.range_blocking(std::to_string(t)));
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  while (done < kThreads * kEach) inbox_.run_one();
  EXPECT_EQ(store.range_blocking("")->revision, 1 + kThreads * kEach);
  EXPECT_LT(store.syncs(), 20 + kThreads * kEach);
}

}  // namespace
}  // namespace weir::storage
