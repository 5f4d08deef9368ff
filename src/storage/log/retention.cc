#include "storage/log/retention.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/buffer.h"
#include "base/log.h"

namespace weir::storage {

namespace {

// As Kafka's UnifiedLog.deleteOldSegments: the oldest segments go, first for the log's size, then for their time, and none that
// is not all durable. The active one may be among them. Returns where the log starts then.
int64_t retained_from(const Partition& partition, int64_t now_ms) {
  const LogConfig& config = partition.config();
  int64_t start = partition.log_start_offset();
  if (!config.cleanup_delete) return start;
  uint64_t size = partition.size_bytes();
  bool too_large = config.retention_bytes >= 0;
  partition.for_each_segment([&](const SegmentInfo& segment) {
    if (segment.next_offset > partition.high_watermark()) return false;
    too_large = too_large && size - segment.length >= static_cast<uint64_t>(config.retention_bytes);
    if (too_large) {
      size -= segment.length;
    } else if (config.retention_ms < 0 || !segment.has_age() ||
               ms_between(segment.largest_timestamp(), now_ms) <= config.retention_ms) {
      return false;
    }
    start = std::max(start, segment.next_offset);
    return true;
  });
  return start;
}

}  // namespace

bool Retention::retain(Partition& partition, int64_t now_ms) {
  const int64_t start = retained_from(partition, now_ms);
  if (start <= partition.pending_log_start()) return false;
  log_info("log", "Partition {}: retention moves the log start from {} to {}", shard_.text_of(partition.id()),
           partition.log_start_offset(), start);
  partition.move_log_start(start);
  shard_.log_start_moves(partition);
  return true;
}

void Retention::run() {
  Buffer::trim();  // memory kept after a burst goes back now and then
  if (wal_.ended() || std::exchange(running_, true)) return;
  constexpr size_t kExpiredAsOneLook = 16;
  auto changed = std::make_shared<bool>(false), more = std::make_shared<bool>(false);
  const int64_t now_ms = runtime_.clock->wall_ms(), idle_since = now_ms - producer_id_expiration_ms_;
  shard_.expire_guards(idle_since);
  const auto visit = [this, changed, more, now_ms, idle_since](Partition& partition) {
    if (partition.offline() || partition.of_shard.releasing) return size_t{0};
    const size_t expired = partition.expire_producers(idle_since);
    shard_.producers_forgotten(partition, expired);
    if (expired == ProducerState::kExpiredAtOnce) *more = true;
    if (retain(partition, now_ms) || expired > 0) *changed = true;
    return expired / kExpiredAsOneLook;
  };
  shard_.walk(visit, [this, changed, more] {
    running_ = false;
    if (*more) {
      loop_.post([this, alive = lifetime_.observe()] {
        if (alive) run();
      });
    }
    shard_.retained(*changed);
  });
}

void Retention::run_every(int64_t interval_ms) {
  timer_ = loop_.schedule_after(interval_ms * runtime::kMillisecond, [this, interval_ms] {
    run();
    run_every(interval_ms);
  });
}

}  // namespace weir::storage
