// Files of the write-ahead log are lost after partitions were handed over. The start suspects the partitions that may have had
// batches there.
#include "storage/log/log_on_disk_fixture.h"
#include "storage/log/log_salvage.h"

namespace weir::storage::testing {
namespace {

class LogSuspicionTest : public LogOnDisk {
 protected:
  // Hands the partition over from the shard of its hash to the other one.
  Partition& hand_over(const PartitionId& id) {
    LogShard& next = *shards_[1 - shard_of(id, 2)];
    Partition* acquired = nullptr;
    shard(id).release(id, [&](Result<PartitionSnapshot> released) {
      ASSERT_TRUE(released) << released.error().message;
      next.acquire(std::move(*released), config_, 0, [&](Result<Partition*> result) { acquired = result.value(); });
    });
    sim_.run_until([&] { return acquired != nullptr; }, 60 * runtime::kSecond);
    return *acquired;
  }
  void put_at(LogShard& owner, Partition& partition, size_t bytes) {
    bool done = false;
    owner.append(partition, make_batch(partition.id(), {.value_bytes = bytes}).bytes, true, [&](AppendResult result) {
      EXPECT_EQ(result.error, protocol::ErrorCode::kNone) << result.message;
      done = true;
    });
    ASSERT_EQ(sim_.run_until([&] { return done; }, 60 * runtime::kSecond), SimRuntime::Stop::kDone);
  }
  // Adds a partition of the shard. Called before the start.
  PartitionId of_shard(unsigned shard) {
    uint64_t topic = 30;
    while (shard_of(partition_id(topic), 2) != shard) ++topic;
    topics_.push_back(partition_id(topic));
    return topics_.back();
  }
  void give_up_newest_files_of(const PartitionId& id) {
    const auto files = wal_files(id);
    for (size_t i = 1; i < files.size(); ++i) {
      lose(files[i]);
      give_up(files[i]);
    }
  }
};

TEST_F(LogSuspicionTest, AGuestIsSuspectedWithTheLogThatItWasIn) {
  const PartitionId moved = of_shard(0), resident = of_shard(1);
  ASSERT_EQ(open(), "");
  Partition& guest = hand_over(moved);
  begin_second_file(resident);
  put_at(shard(resident), guest, 100);  // acknowledged, and lost
  end(Death::kKill);
  give_up_newest_files_of(resident);
  ASSERT_EQ(open(), "");
  auto suspects = all_of_the_shard_of(resident);
  suspects.insert(moved);
  EXPECT_EQ(offline(), suspects);
}

TEST_F(LogSuspicionTest, AGuestIsSuspectedWithTheLogOfItsHashAsWell) {
  const PartitionId moved = of_shard(0);
  ASSERT_EQ(open(), "");
  (void)hand_over(moved);
  const auto others = three();  // of shard 0
  ASSERT_EQ(restart(), "");
  begin_second_file(others[0]);
  end(Death::kKill);
  give_up_newest_files_of(others[0]);
  ASSERT_EQ(open(), "");
  EXPECT_EQ(offline(), all_of_the_shard_of(moved));
}

// The guest's session has no file any more, so no batch of the guest can be missing.
TEST_F(LogSuspicionTest, AGuestIsForgottenWithTheFilesOfItsSession) {
  const PartitionId moved = of_shard(0), resident = of_shard(1);
  ASSERT_EQ(open(), "");
  Partition& guest = hand_over(moved);
  put_at(shard(resident), guest, 100);
  ASSERT_EQ(restart(), "");
  EXPECT_EQ(store_->wal_guests()->size(), 1u) << "its batch is still in the log";
  put(resident, 100);
  checkpoint_all(resident);
  sim_.run_for(runtime::kSecond);
  ASSERT_EQ(restart(), "");
  EXPECT_EQ(store_->wal_guests()->size(), 0u);
  EXPECT_EQ(shard(moved).find(moved)->high_watermark(), 1);
}

TEST_F(LogSuspicionTest, SalvageDoesNotKnowTheEndOfAGuest) {
  const PartitionId moved = of_shard(0), resident = of_shard(1);
  ASSERT_EQ(open(), "");
  Partition& guest = hand_over(moved);
  put_at(shard(resident), guest, 100);
  begin_second_file(resident);
  put_at(shard(resident), guest, 100);
  end(Death::kKill);
  give_up_newest_files_of(resident);
  auto manifests = ManifestDatabase::open_damaged(sim_.disk(), "/log/manifest.db", nullptr, nullptr);
  ASSERT_TRUE(manifests) << manifests.error().message;
  LogSalvage salvage(sim_.disk(), sim_.clock(), **manifests, "/log",
                     [this](const PartitionId&) { return std::optional(KnownPartition{config_, 0}); });
  const auto report = salvage.look();
  ASSERT_TRUE(report) << report.error().message;
  const auto told = std::ranges::find(report->partitions, moved, &SalvagedPartition::partition);
  ASSERT_NE(told, report->partitions.end());
  EXPECT_TRUE(told->end_unknown);
}

}  // namespace
}  // namespace weir::storage::testing
