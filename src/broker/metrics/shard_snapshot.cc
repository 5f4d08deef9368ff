#include "broker/metrics/shard_snapshot.h"

#include <algorithm>

#include "broker/coordinators/group_coordinators.h"
#include "broker/coordinators/transaction_coordinators.h"
#include "broker/telemetry/client_telemetry.h"
#include "runtime/homebound.h"

namespace weir::broker {

namespace {

constexpr size_t kPartitionsPerSlice = 256;

// One shard's snapshot in the making; on that shard's loop.
class Collection final : public runtime::Homebound {
 public:
  Collection(const Coordinators& coordinators, BrokerShard& shard, SnapshotDetail detail, Function<void(ShardSnapshot)> done)
      : Homebound(shard.loop), coordinators_(coordinators), shard_(shard), detail_(detail), done_(std::move(done)) {}

  void begin() {
    slice_began_ns_ = shard_.loop.clock().monotonic_ns();
    take_shard();
    ids_.reserve(shard_.log.partition_count());
    shard_.log.for_each([this](storage::Partition& partition) { ids_.push_back(partition.id()); });
    if (detail_ == SnapshotDetail::kPartitions) snapshot_.rows.reserve(ids_.size());
    slice();
  }

 private:
  void take_shard() {
    storage::LogShard& log = shard_.log;
    snapshot_.taken_ns = shard_.loop.clock().monotonic_ns();
    snapshot_.image = shard_.image;
    snapshot_.log_failed = log.failed();
    snapshot_.partitions = log.partition_count();
    snapshot_.dirty_bytes = log.dirty_bytes();
    snapshot_.tail_cache_bytes = log.tail_cache_bytes();
    snapshot_.pending_appends = log.pending_appends();
    snapshot_.held_appends = log.held_appends();
    snapshot_.producers = log.producers();
    snapshot_.producers_evicted = log.producers_evicted();
    snapshot_.checkpoints = log.checkpoint_totals();
    snapshot_.disk_full = log.lacks_space();
    snapshot_.checkpoint_failing = log.checkpoint_failing();
    snapshot_.unreadable_segments = log.unreadable_segments();
    snapshot_.unreadable = log.list_unreadable();
    snapshot_.failing_reads = log.failing_reads().partitions();
    snapshot_.read_failures = log.failing_reads().failures();
    snapshot_.failing = log.list_failing_reads();
    snapshot_.wal = log.wal().measures();
    snapshot_.idle_ns = shard_.loop.idle_ns();
    snapshot_.waiting_fetches = shard_.waiting_fetches;
    snapshot_.fetch_sessions = shard_.fetch_sessions.size();
    snapshot_.fetch_session_evictions = shard_.fetch_sessions.evictions();
    snapshot_.client_metrics = coordinators_.broker.telemetry(shard_.index())
                                   .metrics()
                                   .snapshot(shard_.loop.clock().monotonic_ns() / runtime::kMillisecond);
    take_groups();
    take_transactions();
    const MetadataImage& image = *shard_.image;
    shard_.traffic.forget_unless([&](const TopicId& topic) { return image.find(topic) != nullptr; });
    snapshot_.topics.assign(shard_.traffic.by_topic().begin(), shard_.traffic.by_topic().end());
    snapshot_.gone_topics = shard_.traffic.gone();
    snapshot_.gone_partitions = log.dropped_traffic();
  }
  static void add(auto& counts, const auto& more) {
    for (size_t i = 0; i < counts.size(); ++i) counts[i] += more[i];
  }
  void take_groups() {
    const GroupCoordinators& groups = coordinators_.groups;
    snapshot_.coordinators = groups.count(shard_.index());
    groups.for_each_state(shard_.index(), [this](const coordination::GroupCoordinatorState& state) {
      snapshot_.group_offsets += state.offset_count();
      snapshot_.pending_offsets += state.pending_offset_count();
      add(snapshot_.classic_groups, state.state_counts());
      add(snapshot_.consumer_groups, state.consumer_state_counts());
      snapshot_.group_totals += state.totals();
    });
  }
  void take_transactions() {
    const TransactionCoordinators& transactions = coordinators_.transactions;
    snapshot_.transaction_coordinators = transactions.count(shard_.index());
    snapshot_.markers_written = transactions.markers(shard_.index()).written();
    transactions.for_each_state(shard_.index(), [this](const coordination::TransactionCoordinatorState& state) {
      snapshot_.transactions += state.totals();
    });
    const int64_t start_ms = snapshot_.transactions.oldest_open_start_ms;
    if (start_ms >= 0) snapshot_.oldest_transaction_ms = std::max<int64_t>(shard_.loop.clock().wall_ms() - start_ms, 0);
    if (shard_.index() != 0) return;
    snapshot_.verification_times = transactions.verifications().times.snapshot();
    snapshot_.verifications_refused = transactions.verifications().refused.total();
    snapshot_.transaction_memory_bytes = transactions.memory().used_bytes();
    snapshot_.orphan_transactions = transactions.orphans().orphans();
    snapshot_.orphans_aborted = transactions.orphans().aborted();
    snapshot_.late_partitions = transactions.orphans().late_partitions();
  }

  // Partitions may come and go between two slices. The next snapshot has a lost one in the total of gone partitions.
  void slice() {
    for (const size_t end = std::min(ids_.size(), next_ + kPartitionsPerSlice); next_ < end; ++next_) {
      storage::Partition* const partition = shard_.log.find(ids_[next_]);
      if (partition == nullptr) continue;
      if (partition->offline()) ++snapshot_.offline_partitions;
      if (detail_ == SnapshotDetail::kPartitions) add(*partition);
    }
    snapshot_.pause_ns = std::max(snapshot_.pause_ns, shard_.loop.clock().monotonic_ns() - slice_began_ns_);
    if (next_ == ids_.size()) return done_(std::move(snapshot_));
    shard_.loop.post([self = runtime::HomeRef(this), this] {
      slice_began_ns_ = shard_.loop.clock().monotonic_ns();
      slice();
    });
  }

  void add(const storage::Partition& partition) {
    PartitionSnapshot& row = snapshot_.rows.emplace_back();
    row.id = partition.id();
    row.size_bytes = partition.size_bytes();
    row.log_start_offset = partition.log_start_offset();
    row.high_watermark = partition.high_watermark();
    row.segments = static_cast<uint32_t>(partition.manifest().segments.size());
    row.offline = partition.offline();
    row.traffic = partition.traffic();
  }

  const Coordinators& coordinators_;
  BrokerShard& shard_;
  const SnapshotDetail detail_;
  Function<void(ShardSnapshot)> done_;
  ShardSnapshot snapshot_;
  std::vector<storage::PartitionId> ids_;
  size_t next_ = 0;
  int64_t slice_began_ns_ = 0;
};

}  // namespace

void take_snapshots(const Coordinators& coordinators, unsigned home, SnapshotDetail detail,
                    Function<void(std::vector<ShardSnapshot>)> done) {
  struct Round final : runtime::Homebound {
    Round(runtime::Loop& on, size_t shards, Function<void(std::vector<ShardSnapshot>)> end)
        : Homebound(on), snapshots(shards), left(shards), done(std::move(end)) {}
    std::vector<ShardSnapshot> snapshots;
    size_t left;
    Function<void(std::vector<ShardSnapshot>)> done;
  };
  Broker& broker = coordinators.broker;
  const unsigned count = broker.shard_count();
  auto round = runtime::make_homebound<Round>(broker.shard(home).loop, count, std::move(done));
  for (unsigned i = 0; i < count; ++i) {
    broker.run_on(i, [&coordinators, &broker, round, i, home, detail] {
      auto arrived = [&broker, round, i, home](ShardSnapshot snapshot) {
        broker.run_on(home, [round, i, arrived = std::move(snapshot)]() mutable {
          round->snapshots[i] = std::move(arrived);
          if (--round->left == 0) round->done(std::move(round->snapshots));
        });
      };
      runtime::make_homebound<Collection>(coordinators, broker.shard(i), detail, std::move(arrived))->begin();
    });
  }
}

}  // namespace weir::broker
