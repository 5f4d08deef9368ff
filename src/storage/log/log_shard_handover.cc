// LogShard: partitions that come from another owner and go to one, while all others are served.
#include <algorithm>
#include <memory>
#include <utility>

#include "storage/log/log_shard.h"

namespace weir::storage {

Partition& LogShard::add_recovered(PartitionSnapshot snapshot, const LogConfig& config, int32_t leader_epoch,
                                   RecoveredTail tail) {
  return add(recovered_partition(std::move(snapshot), config, leader_epoch, std::move(tail), options_.producers_max));
}

void LogShard::acquire(PartitionSnapshot snapshot, const LogConfig& config, int32_t leader_epoch,
                       Function<void(Result<Partition*>)> done) {
  auto noted = std::make_shared<Result<void>>();
  const WalGuest guest{static_cast<uint32_t>(loop_.index()), snapshot.manifest.partition};
  runtime_.pool->submit([&store = store_, noted, guest] { *noted = store.note_wal_guest(guest); }, loop_,
                        [this, alive = lifetime_.observe(), noted, snapshot = std::move(snapshot), config, leader_epoch,
                         done = std::move(done)]() mutable {
                          if (!alive) return;
                          if (!*noted) return done(std::unexpected(noted->error()));
                          done(&add_recovered(std::move(snapshot), config, leader_epoch, {}));
                        });
}

void LogShard::release(const PartitionId& id, Function<void(Result<PartitionSnapshot>)> done) {
  Partition* const partition = find(id);
  if (!partition) return done(fail(weir::ErrorCode::kNotFound, "the partition is not here"));
  if (partition->of_shard.releasing) return done(fail(weir::ErrorCode::kExists, "the partition is being released already"));
  if (partition->offline()) return done(fail(weir::ErrorCode::kInvalid, "the partition is offline"));
  if (wal_->ended()) return done(fail(weir::ErrorCode::kIo, "the log is offline"));
  partition->of_shard.releasing = true;
  releases_.push_back({partition, std::move(done)});
  admission_.released(*partition);
  guards_.forget(id);
  wal_->flush_now();
  report_pressure();
  advance_releases();
}

// Returns true if neither this shard nor the store on its behalf will change the partition any more. Otherwise asks for the
// checkpoint that is missing.
bool LogShard::settled(Partition& partition) {
  if (partition.last_append_chunk() > wal_->durable() || answers_.holds(partition)) return false;
  if (partition.of_shard.store_changes > 0) return false;
  const bool checkpointed = !partition.has_dirty_batches() && partition.expired_producers().empty() &&
                            partition.pending_log_start() <= partition.manifest().log_start_offset;
  if (checkpointed) return true;
  partition.of_shard.checkpoint_early = true;
  checkpointer_.make_early();
  checkpointer_.changed(partition);
  return false;
}

// A caller that is told may begin or end other releases. So it takes one release at a time, until all that are left wait.
void LogShard::advance_releases() {
  if (releases_.empty()) return;
  for (size_t i = 0; i < releases_.size();) {
    Partition& partition = *releases_[i].partition;
    if (!partition.offline() && !settled(partition)) {
      ++i;
      continue;
    }
    if (partition.offline()) {
      fail_release(partition, {weir::ErrorCode::kInvalid, partition.offline_reason()});
    } else {
      auto done = std::move(releases_[i].done);
      releases_.erase(releases_.begin() + static_cast<ptrdiff_t>(i));
      done(let_go(partition));
    }
    i = 0;
  }
  checkpointer_.look();
}

PartitionSnapshot LogShard::let_go(Partition& partition) {
  PartitionSnapshot snapshot = snapshot_of(partition);
  moving_.erase(partition.id());
  forget(partition);
  tail_cache_.evict();  // last, for it may end the partition
  return snapshot;
}

void LogShard::fail_release(const Partition& partition, const Error& error) {
  const auto found = std::ranges::find(releases_, &partition, &Release::partition);
  if (found == releases_.end()) return;
  Release failed = std::move(*found);
  releases_.erase(found);
  failed.partition->of_shard.releasing = false;
  failed.done(std::unexpected(error));
}

}  // namespace weir::storage
