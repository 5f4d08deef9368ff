#include "storage/segment/local_segment_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/segment/manifest_database.h"
#include "storage/segment/segment_names.h"
#include "storage/segment/test_batches.h"
#include "testing/fake_clock.h"
#include "testing/manual_loop.h"

namespace weir::storage {
namespace {

using namespace storage::testing;

class LocalSegmentStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(world_.files().create_directories("/log"));
    open();
  }
  void open(SegmentReader::Options reading = {}, const PartitionDeleted& deleted = {}) {
    store_.reset();
    auto opened = LocalSegmentStore::open(world_.files(), world_.pool(), clock_, {.log_dir = "/log", .reading = reading});
    ASSERT_TRUE(opened) << opened.error().message;
    store_ = std::move(*opened);
    auto loaded = store_->load(deleted);
    ASSERT_TRUE(loaded) << loaded.error().message;
    loaded_ = std::move(*loaded);
  }
  std::vector<PartitionManifest> checkpoint(std::vector<CheckpointPartition> partitions) {
    auto checkpointed = store_->checkpoint_now(partitions);
    EXPECT_TRUE(checkpointed) << checkpointed.error().message;
    return checkpointed ? std::move(*checkpointed) : std::vector<PartitionManifest>(partitions.size());
  }
  std::string path(const PartitionId& partition, int64_t base_offset) {
    return "/log/" + partition_folder_name(partition) + "/" + segment_file_name(base_offset);
  }
  // Returns all bytes from the log start on, read in steps.
  std::vector<uint8_t> read_all(const PartitionManifest& manifest, uint32_t max_bytes) {
    std::vector<uint8_t> all;
    int64_t offset = manifest.segments.empty() ? manifest.end_offset : manifest.segments.front().base_offset;
    while (offset < manifest.end_offset) {
      auto read = store_->read_now(manifest, offset, max_bytes);
      EXPECT_TRUE(read) << read.error().message;
      if (!read || read->next_offset <= offset) break;
      const auto bytes = bytes_of(read->bytes);
      EXPECT_EQ(bytes.size(), size_of(read->bytes));
      all.insert(all.end(), bytes.begin(), bytes.end());
      offset = read->next_offset;
    }
    return all;
  }

  weir::testing::ManualLoop world_;
  weir::testing::FakeClock clock_;
  std::unique_ptr<LocalSegmentStore> store_;
  std::vector<LoadedPartition> loaded_;
};

TEST_F(LocalSegmentStoreTest, CheckpointedBatchesAreReadBackAfterARestart) {
  const PartitionId a = partition_id(1), b = partition_id(1, 1);
  int64_t end_a = 0, end_b = 0;
  std::vector<uint8_t> wrote;
  PartitionManifest manifest;
  for (int round = 0; round < 5; ++round) {
    auto one = make_checkpoint(a, end_a, 3 + round, {.records = 2, .value_bytes = 50});
    const auto bytes = bytes_of(one.batches);
    wrote.insert(wrote.end(), bytes.begin(), bytes.end());
    const auto manifests = checkpoint(checkpoints(std::move(one), make_checkpoint(b, end_b, 1)));
    ASSERT_EQ(manifests.size(), 2u);
    manifest = manifests[0];
    EXPECT_EQ(manifest.end_offset, end_a);
    EXPECT_EQ(manifests[1].end_offset, end_b);
  }
  EXPECT_EQ(manifest.segments.size(), 1u);
  EXPECT_EQ(world_.disk().contents(path(a, 0)), wrote);
  EXPECT_EQ(read_all(manifest, 1), wrote);
  EXPECT_EQ(read_all(manifest, 500), wrote);
  EXPECT_EQ(read_all(manifest, 1 << 20), wrote);
  open();
  ASSERT_EQ(loaded_.size(), 2u);
  EXPECT_EQ(loaded_[0].manifest, manifest);
  EXPECT_EQ(read_all(loaded_[0].manifest, 300), wrote);
}

TEST_F(LocalSegmentStoreTest, LargeRunsEndWhereTheirLastBatchDoes) {
  const PartitionId a = partition_id(1);
  int64_t end = 0;
  std::vector<uint8_t> wrote;
  PartitionManifest manifest;
  for (const size_t value : {10u, 70'000u, 3'000'000u, 1u, 200'000u, 65'500u}) {
    auto one = make_checkpoint(a, end, 2, {.records = 3, .value_bytes = value});
    const auto bytes = bytes_of(one.batches);
    wrote.insert(wrote.end(), bytes.begin(), bytes.end());
    manifest = checkpoint(checkpoints(std::move(one)))[0];
    EXPECT_EQ(world_.disk().contents(path(a, 0)).size(), wrote.size());
  }
  EXPECT_EQ(world_.disk().contents(path(a, 0)), wrote);
  EXPECT_EQ(read_all(manifest, 100'000), wrote);
}

TEST_F(LocalSegmentStoreTest, SegmentsRollAndGoBelowTheLogStart) {
  const PartitionId a = partition_id(1);
  int64_t end = 0;
  auto one = make_checkpoint(a, end, 10, {.value_bytes = 1000});
  one.segment_bytes = 3000;
  auto manifest = checkpoint(checkpoints(std::move(one)))[0];
  ASSERT_EQ(manifest.segments.size(), 5u);
  EXPECT_EQ(manifest.segments[1].base_offset, 2);
  CheckpointPartition trim;
  trim.partition = a;
  trim.log_start_offset = 5;
  trim.epochs = {{0, 0}};
  manifest = checkpoint(checkpoints(std::move(trim)))[0];
  ASSERT_EQ(manifest.segments.size(), 3u);
  EXPECT_EQ(manifest.segments[0].base_offset, 4);
  EXPECT_EQ(manifest.log_start_offset, 5);
  EXPECT_FALSE(world_.disk().has(path(a, 0)));
  EXPECT_FALSE(world_.disk().has(path(a, 2)));
  EXPECT_TRUE(world_.disk().has(path(a, 4)));
  auto below = store_->read_now(manifest, 4, 100);
  ASSERT_FALSE(below);
  EXPECT_EQ(below.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(store_->read_now(manifest, 5, 1)->first_offset, 5);
  open();
  EXPECT_EQ(loaded_[0].manifest, manifest);
}

TEST_F(LocalSegmentStoreTest, AsynchronousCallsAnswerOnTheLoop) {
  const PartitionId a = partition_id(1);
  int64_t end = 0;
  PartitionManifest manifest;
  store_->checkpoint(checkpoints(make_checkpoint(a, end, 3)), world_.loop(),
                     [&](Result<std::vector<PartitionManifest>> checkpointed) {
                       ASSERT_TRUE(checkpointed);
                       manifest = (*checkpointed)[0];
                     });
  world_.run();
  ASSERT_EQ(manifest.end_offset, 3);
  int answers = 0;
  store_->read(manifest, 1, 1 << 20, world_.loop(), [&](Result<SegmentRead> read) {
    ASSERT_TRUE(read);
    EXPECT_EQ(read->first_offset, 1);
    EXPECT_EQ(read->next_offset, 3);
    ++answers;
  });
  store_->find_timestamp(manifest, 1001, world_.loop(), [&](Result<TimestampPosition> found) {
    ASSERT_TRUE(found);
    EXPECT_EQ(found->offset, 1);
    EXPECT_EQ(found->timestamp, 1001);
    ++answers;
  });
  world_.run();  // a drop might overtake the reads
  store_->drop(a, 0, world_.loop(), [&](Result<void> dropped) {
    EXPECT_TRUE(dropped);
    ++answers;
  });
  world_.run();
  EXPECT_EQ(answers, 3);
}

TEST_F(LocalSegmentStoreTest, ADroppedPartitionStaysForItsDelayAndIsForgotten) {
  const PartitionId a = partition_id(1), b = partition_id(2);
  int64_t end_a = 0, end_b = 0;
  const auto manifests = checkpoint(checkpoints(make_checkpoint(a, end_a, 3), make_checkpoint(b, end_b, 3)));
  auto open_range = store_->read_now(manifests[0], 0, 1000);
  ASSERT_TRUE(open_range);
  ASSERT_TRUE(store_->drop_now(a, 60'000));
  EXPECT_FALSE(world_.disk().has("/log/" + partition_folder_name(a)));
  EXPECT_EQ(bytes_of(open_range->bytes).size(), size_of(open_range->bytes));  // a response on its way
  EXPECT_FALSE(store_->read_now(manifests[0], 0, 1000));
  const auto folders = [&] { return world_.files().list("/log")->size(); };
  const size_t with_folder = folders();
  store_->maintain_now();
  EXPECT_EQ(folders(), with_folder);
  clock_.advance_ms(60'000);
  store_->maintain_now();
  EXPECT_EQ(folders(), with_folder - 1);
  // A new life under the same id starts from nothing.
  end_a = 0;
  EXPECT_EQ(checkpoint(checkpoints(make_checkpoint(a, end_a, 1)))[0].end_offset, 1);
  open();
  EXPECT_EQ(loaded_.size(), 2u);
}

TEST_F(LocalSegmentStoreTest, FoldersOfDeletedPartitionsGoButNeverWithoutTheDatabase) {
  int64_t end = 0;
  checkpoint(checkpoints(make_checkpoint(partition_id(1), end, 1)));
  const std::string stray = "/log/" + partition_folder_name(partition_id(9));
  ASSERT_TRUE(world_.files().create_directories(stray));
  ASSERT_TRUE(world_.files().create_directories("/log/lost+found"));
  open();
  EXPECT_TRUE(world_.disk().has(stray));  // nobody says that it was deleted
  open({}, [](const PartitionId& id) { return id == partition_id(9); });
  EXPECT_FALSE(world_.disk().has(stray));
  store_->maintain_now();
  EXPECT_EQ(world_.files().list("/log")->size(),
            4u);  // folder, lost+found, manifest.db and its write-ahead log
  store_.reset();
  ASSERT_TRUE(world_.files().remove("/log/manifest.db"));
  auto refused = LocalSegmentStore::open(world_.files(), world_.pool(), clock_, {.log_dir = "/log"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kCorrupt);
  EXPECT_TRUE(world_.disk().has(path(partition_id(1), 0)));
}

TEST_F(LocalSegmentStoreTest, WalSessionsAreReplacedAsAWhole) {
  using Session = WalSession;
  EXPECT_TRUE(store_->wal_sessions()->empty());
  const std::vector<Session> first = {{0, ~0ull - 5, 1, 9, true}, {0, 77, 10, 0, false}, {1, 3, 1, 0, false}};
  ASSERT_TRUE(store_->put_wal_sessions(first));
  ASSERT_TRUE(store_->put_wal_sessions(first));
  open();
  EXPECT_EQ(*store_->wal_sessions(), first);
  ASSERT_TRUE(store_->put_wal_sessions({first[1]}));
  EXPECT_EQ(*store_->wal_sessions(), std::vector{first[1]});

  using File = WalFile;
  ASSERT_TRUE(store_->put_wal_sessions_and_files(first, {{0, 1}, {1, 1}}));
  ASSERT_TRUE(store_->note_wal_file(0, 2));
  ASSERT_TRUE(store_->forget_wal_file(0, 1));
  ASSERT_TRUE(store_->forget_wal_file(0, 1));
  open();
  EXPECT_EQ(*store_->wal_sessions(), first);
  EXPECT_EQ(*store_->wal_files(), (std::vector<File>{{0, 2}, {1, 1}}));
  ASSERT_TRUE(store_->put_wal_sessions({first[1]}));
  EXPECT_EQ(store_->wal_files()->size(), 2u) << "are none of its business";
  ASSERT_TRUE(store_->put_wal_sessions_and_files({first[1]}, {}));
  EXPECT_TRUE(store_->wal_files()->empty());
}

TEST_F(LocalSegmentStoreTest, ACheckpointThatDoesNotContinueTheLogIsRefused) {
  const PartitionId a = partition_id(1);
  int64_t end = 0;
  checkpoint(checkpoints(make_checkpoint(a, end, 2)));
  int64_t back = 1;
  auto refused = store_->checkpoint_now(checkpoints(make_checkpoint(a, back, 1)));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalid);
  auto wrong_info = make_checkpoint(a, end, 1);
  wrong_info.batches[0].info.last_offset_delta = 5;
  EXPECT_FALSE(store_->checkpoint_now(checkpoints(std::move(wrong_info))));
  end = 2;
  EXPECT_EQ(checkpoint(checkpoints(make_checkpoint(a, end, 1)))[0].end_offset, 3);
}

TEST_F(LocalSegmentStoreTest, AFailedCheckpointChangesNothingAndSucceedsLater) {
  const PartitionId a = partition_id(1), b = partition_id(2);
  int64_t end = 0;
  const auto before = checkpoint(checkpoints(make_checkpoint(a, end, 2)));
  const auto size_before = world_.disk().contents(path(a, 0)).size();
  using weir::testing::DiskOperation;
  for (const auto operation :
       {DiskOperation::kWrite, DiskOperation::kSync, DiskOperation::kSyncDirectory, DiskOperation::kCreate}) {
    world_.disk().inject({.pattern = "*", .operation = operation, .times = 1, .os_errno = ENOSPC});
    int64_t next_a = end, next_b = 0;
    auto failed = store_->checkpoint_now(
        checkpoints(make_checkpoint(a, next_a, 1, {.value_bytes = 200'000}), make_checkpoint(b, next_b, 1)));
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, ErrorCode::kNoSpace) << failed.error().message;
    EXPECT_EQ(world_.disk().contents(path(a, 0)).size(), size_before);
    world_.disk().clear_faults();
    EXPECT_EQ(read_all(before[0], 1000), world_.disk().contents(path(a, 0)));
  }
  int64_t next_b = 0;
  const auto after = checkpoint(checkpoints(make_checkpoint(a, end, 1, {.value_bytes = 200'000}), make_checkpoint(b, next_b, 1)));
  EXPECT_EQ(after[0].end_offset, end);
  open();
  EXPECT_EQ(loaded_[0].manifest, after[0]);
  EXPECT_EQ(loaded_[1].manifest, after[1]);
}

TEST_F(LocalSegmentStoreTest, AnUncertainCommitIsUndoneBeforeTheNextCheckpoint) {
  const PartitionId a = partition_id(1);
  int64_t end = 0;
  const auto before = checkpoint(checkpoints(make_checkpoint(a, end, 2)));
  using weir::testing::DiskOperation;
  world_.disk().inject({.pattern = "*manifest.db*", .operation = DiskOperation::kSync, .times = 1000});
  int64_t next = end;
  EXPECT_FALSE(store_->checkpoint_now(checkpoints(make_checkpoint(a, next, 1))));
  next = end;
  EXPECT_FALSE(store_->checkpoint_now(checkpoints(make_checkpoint(a, next, 1))));
  world_.disk().clear_faults();
  const auto after = checkpoint(checkpoints(make_checkpoint(a, end, 1, {.fill = 'w'})));
  EXPECT_EQ(after[0].end_offset, 3);
  open();
  EXPECT_EQ(loaded_[0].manifest, after[0]);
  EXPECT_EQ(read_all(after[0], 1), world_.disk().contents(path(a, 0)));
}

// A full disk is emptied by deleting records, so that must not need space.
TEST_F(LocalSegmentStoreTest, AFullDiskCanStillBeTrimmed) {
  const PartitionId a = partition_id(1), b = partition_id(2);
  int64_t end_a = 0, end_b = 0;
  checkpoint(checkpoints(make_checkpoint(b, end_b, 1)));
  const auto trim = [&](int64_t log_start) {
    CheckpointPartition one;
    one.partition = a;
    one.log_start_offset = log_start;
    one.epochs = {{0, 0}};
    return checkpoints(std::move(one));
  };
  for (int round = 0; round < 3; ++round) {
    auto large = make_checkpoint(a, end_a, 20, {.value_bytes = 50'000});
    large.segment_bytes = 60'000;
    checkpoint(checkpoints(std::move(large)));
    if (round == 1) open();
    world_.disk().set_size_limit(world_.disk().used_bytes());
    int64_t next = end_a;
    auto full = store_->checkpoint_now(checkpoints(make_checkpoint(a, next, 5, {.value_bytes = 50'000})));
    ASSERT_FALSE(full);
    EXPECT_EQ(full.error().code, ErrorCode::kNoSpace) << full.error().message;
    const uint64_t used = world_.disk().used_bytes();
    for (int64_t start = end_a - 19; start < end_a; ++start) checkpoint(trim(start));
    ASSERT_TRUE(store_->drop_now(b, 0));
    EXPECT_LT(world_.disk().used_bytes(), used - 900'000);
    checkpoint(checkpoints(make_checkpoint(a, end_a, 5, {.value_bytes = 50'000})));
    world_.disk().set_size_limit(UINT64_MAX);
    end_b = 0;
    checkpoint(checkpoints(make_checkpoint(b, end_b, 1)));
  }
}

}  // namespace
}  // namespace weir::storage
