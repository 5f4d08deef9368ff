// Power cuts, dying processes and failing flushes at every write of a history of checkpoints, trims and drops.
// Afterwards the store loads, what was acknowledged is there byte for byte, and the history can go on.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/log.h"
#include "storage/segment/local_segment_store.h"
#include "storage/segment/segment_names.h"
#include "storage/segment/test_batches.h"
#include "testing/fake_clock.h"
#include "testing/sim_runtime.h"

namespace weir::storage {
namespace {

using namespace storage::testing;
using weir::testing::Death;
using weir::testing::SimRuntime;

constexpr int kPartitions = 3;

// Makes the batch that the write-ahead log would hold. The batch at an offset is always the same, however often it is
// checkpointed.
CheckpointPartition::Batch batch_at(const PartitionId& partition, int64_t offset) {
  const auto mixed = weir::testing::mix(static_cast<uint64_t>(offset) * 31 + static_cast<uint64_t>(partition.index));
  BatchShape shape;
  shape.base_offset = offset;
  shape.records = 1 + static_cast<int>(mixed % 3);
  shape.value_bytes = mixed % 5 == 0 ? 40'000 + mixed % 30'000 : mixed % 900;
  shape.timestamp = 1000 + offset;
  shape.fill = static_cast<uint8_t>(mixed >> 8);
  return make_batch(partition, shape);
}

// Aborted transactions end at some offsets.
std::optional<AbortedTransaction> aborted_at(int64_t offset) {
  const auto mixed = weir::testing::mix(static_cast<uint64_t>(offset) * 17 + 3);
  if (mixed % 3 != 0) return std::nullopt;
  const auto length = static_cast<int64_t>(mixed % 7);
  return AbortedTransaction{offset % 4, std::max<int64_t>(0, offset - length), offset,
                            std::max<int64_t>(0, offset - static_cast<int64_t>(mixed % 2))};
}

void add_batch(CheckpointPartition& checkpoint, int64_t& end) {
  auto batch = batch_at(checkpoint.partition, end);
  const auto aborted = batch.info.last_offset_delta == 0 ? aborted_at(end) : std::nullopt;
  end = batch.info.next_offset();
  if (aborted) add_abort(checkpoint, std::move(batch), *aborted);
  else checkpoint.batches.push_back(std::move(batch));
}

// The log of one partition as the caller knows it.
struct Known {
  int64_t end = 0;
  int64_t log_start = 0;
  bool dropped = false;
  bool operator==(const Known&) const = default;
};
using State = std::map<int, Known>;

class History {
 public:
  explicit History(uint64_t seed) : sim_(seed), random_(seed, 77) {
    set_log_level(LogLevel::kError);
    EXPECT_TRUE(sim_.disk().create_directories("/log"));
    EXPECT_TRUE(sim_.disk().sync_directory("/"));
  }
  SimRuntime& sim() { return sim_; }
  bool finished() const { return step_ >= kSteps; }

  bool open() {
    auto opened = LocalSegmentStore::open(sim_.disk(), sim_.pool(), clock_, {.log_dir = "/log"});
    if (!opened) return failed(opened.error());
    store_ = std::move(*opened);
    auto loaded = store_->load();
    if (!loaded) return failed(loaded.error());
    State found;
    manifests_.clear();
    for (auto& one : *loaded) {
      if (!one.has_row) continue;
      found[one.manifest.partition.index] = {one.manifest.end_offset, one.manifest.log_start_offset};
      manifests_[one.manifest.partition.index] = one.manifest;
    }
    EXPECT_TRUE(found == acknowledged_ || std::ranges::find(attempted_, found) != attempted_.end())
        << "neither what was acknowledged nor what was attempted";
    acknowledged(found);
    return true;
  }

  // Goes on until the disk dies or the history ends.
  bool run() {
    while (step_ < kSteps) {
      if (!next_step()) return false;
      ++step_;
    }
    return true;
  }

  void die(Death death) {
    sim_.disk().cut_at_write(0);
    sim_.end_server(death);
    store_.reset();
    sim_.disk().clear_faults();
    sim_.start_server();
  }

  // Every partition reads back as what was checkpointed.
  void verify() {
    for (auto& [index, manifest] : manifests_) {
      int64_t offset = manifest.segments.empty() ? manifest.end_offset : manifest.segments.front().base_offset;
      std::vector<uint8_t> expected, found;
      std::map<int64_t, AbortedTransaction> aborted, found_aborted;  // by marker
      for (int64_t at = offset; at < manifest.end_offset;) {
        const auto batch = batch_at(manifest.partition, at);
        expected.insert(expected.end(), batch.bytes.data, batch.bytes.data + batch.bytes.size);
        const auto ended = batch.info.last_offset_delta == 0 ? aborted_at(at) : std::nullopt;
        if (ended) aborted[at] = *ended;
        at = batch.info.next_offset();
      }
      // Batches below the log start are still in the first segment's file, but nobody may ask for them.
      manifest.log_start_offset = 0;
      while (offset < manifest.end_offset) {
        auto read = store_->read_now(manifest, offset, {30'000, INT64_MAX, true});
        ASSERT_TRUE(read) << read.error().message;
        const auto bytes = bytes_of(read->bytes);
        found.insert(found.end(), bytes.begin(), bytes.end());
        ASSERT_GT(read->next_offset, offset);
        offset = read->next_offset;
        for (const AbortedTransaction& each : read->aborted) found_aborted[each.last_offset] = each;
      }
      ASSERT_TRUE(found_aborted == aborted) << "partition " << index;
      ASSERT_EQ(found.size(), expected.size());
      ASSERT_TRUE(found == expected) << "partition " << index;
    }
  }

 private:
  static constexpr int kSteps = 14;

  void acknowledged(const State& state) {
    acknowledged_ = state;
    attempted_.clear();
  }

  bool failed(const Error& error) {
    EXPECT_TRUE(sim_.disk().dead()) << error.message;
    return false;
  }

  bool next_step() {
    if (random_.one_in(6) && !acknowledged_.empty()) return drop(acknowledged_.begin()->first);
    std::vector<CheckpointPartition> partitions;
    State after = acknowledged_;
    for (int index = 0; index < kPartitions; ++index) {
      if (random_.one_in(3)) continue;
      Known& known = after[index];
      CheckpointPartition checkpoint;
      checkpoint.partition = partition_id(1, index);
      checkpoint.epochs = {{0, 0}};
      checkpoint.segment_bytes = 60'000;
      for (uint64_t i = random_.below(5); i > 0; --i) add_batch(checkpoint, known.end);
      if (random_.one_in(3)) known.log_start = std::max(known.log_start, known.end / 2);
      checkpoint.log_start_offset = known.log_start;
      partitions.push_back(std::move(checkpoint));
    }
    attempted_.push_back(after);
    auto checkpointed = store_->checkpoint_now(partitions);
    if (!checkpointed) return after_failure(checkpointed.error());
    for (auto& manifest : *checkpointed) {
      const int index = manifest.partition.index;
      manifests_[index] = std::move(manifest);
    }
    store_->maintain_now();
    acknowledged(after);
    return true;
  }

  bool drop(int index) {
    State after = acknowledged_;
    after.erase(index);
    attempted_.push_back(after);
    auto dropped = store_->drop_now(partition_id(1, index), 0);
    if (!dropped) return after_failure(dropped.error());
    acknowledged(after);
    manifests_.erase(index);
    return true;
  }

  // An injected failure leaves everything as it was; the same life goes on.
  bool after_failure(const Error&) {
    if (sim_.disk().dead()) return false;
    verify();
    return true;
  }

  SimRuntime sim_;
  weir::testing::SeededRandom random_;
  weir::testing::FakeClock clock_;
  std::unique_ptr<LocalSegmentStore> store_;
  std::map<int, PartitionManifest> manifests_;
  State acknowledged_;
  std::vector<State> attempted_;  // failed since then; a power cut may bring one of them back
  int step_ = 0;
};

void survive_death(Death death, uint64_t every) {
  for (uint64_t cut = 1;; cut += every) {
    SCOPED_TRACE("cut at write " + std::to_string(cut));
    History history(cut % 5 + 1);
    history.sim().disk().cut_at_write(cut);
    const bool whole = history.open() && history.run();
    history.die(death);
    ASSERT_TRUE(history.open());
    if (death == Death::kKill) {
      // Records that a reader saw after the kill must survive a power cut.
      history.die(Death::kPowerCut);
      ASSERT_TRUE(history.open());
    }
    history.verify();
    if (::testing::Test::HasFatalFailure()) return;
    ASSERT_TRUE(history.run());
    history.verify();
    if (::testing::Test::HasFailure() || whole) return;
  }
}

TEST(SegmentPowerCutTest, SurvivesAPowerCutAtEveryWrite) { survive_death(Death::kPowerCut, 1); }
TEST(SegmentPowerCutTest, SurvivesAKillAtManyWrites) { survive_death(Death::kKill, 2); }

// A commit of manifests fails, its outcome stays open, and the power goes during a later checkpoint. If the open commit comes
// back, it must find its files untouched.
TEST(SegmentPowerCutTest, SurvivesAPowerCutAfterAnOpenCommit) {
  for (uint64_t skip = 4; skip < 24; ++skip) {
    for (uint64_t cut = 1; cut < 40; ++cut) {
      SCOPED_TRACE("skip " + std::to_string(skip) + " cut " + std::to_string(cut));
      History history(skip * 100 + cut);
      ASSERT_TRUE(history.open());
      history.sim().disk().inject({.pattern = "*manifest.db*",
                                   .operation = weir::testing::DiskOperation::kSync,
                                   .skip = skip % 8,
                                   .times = 2 + skip % 3});
      history.sim().disk().cut_at_write(skip + cut);
      history.run();
      history.die(Death::kPowerCut);
      ASSERT_TRUE(history.open());
      history.verify();
      ASSERT_FALSE(::testing::Test::HasFailure());
    }
  }
}

// A second death shortly after the first, while the store recovers and goes on.
TEST(SegmentPowerCutTest, SurvivesManyDeathsInARow) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    History history(seed);
    weir::testing::SeededRandom random(seed, 5);
    for (int life = 0; life < 200; ++life) {
      history.sim().disk().cut_at_write(1 + random.below(60));
      const bool whole = history.open() && history.run();
      if (whole && history.finished()) break;
      history.die(random.one_in(3) ? Death::kKill : Death::kPowerCut);
    }
    history.die(Death::kPowerCut);
    ASSERT_TRUE(history.open());
    history.verify();
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

// A sync or write fails, the process lives on, and later the power is cut.
TEST(SegmentPowerCutTest, SurvivesFailedOperationsFollowedByAPowerCut) {
  using weir::testing::DiskOperation;
  for (const auto operation : {DiskOperation::kSync, DiskOperation::kWrite, DiskOperation::kSyncDirectory,
                               DiskOperation::kTruncate, DiskOperation::kRename, DiskOperation::kRemove}) {
    for (uint64_t skip = 0; skip < 60; skip += 2) {
      SCOPED_TRACE("operation " + std::to_string(static_cast<int>(operation)) + " skip " + std::to_string(skip));
      History history(skip % 7 + 1);
      ASSERT_TRUE(history.open());
      history.sim().disk().inject(
          {.pattern = "*", .operation = operation, .skip = skip, .times = 1 + skip % 3, .os_errno = skip % 4 ? EIO : ENOSPC});
      history.sim().disk().cut_at_write(skip + 20 + skip * 37 % 50);
      history.run();
      history.die(Death::kPowerCut);
      ASSERT_TRUE(history.open());
      history.verify();
      ASSERT_FALSE(::testing::Test::HasFailure());
    }
  }
}

}  // namespace
}  // namespace weir::storage
