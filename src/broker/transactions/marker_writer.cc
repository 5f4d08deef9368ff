#include "broker/transactions/marker_writer.h"

#include <utility>

#include "storage/log/log_shard.h"

namespace weir::broker {

using protocol::ErrorCode;

storage::MarkerAppend marker_append(const coordination::WriteMarker& marker) {
  return {.producer_id = marker.marker.producer_id,
          .producer_epoch = marker.marker.producer_epoch,
          .coordinator_epoch = marker.marker.coordinator_epoch,
          .commit = marker.marker.commit,
          .transaction_version = static_cast<int16_t>(marker.version)};
}

void MarkerWriter::write(const storage::PartitionId& to, const coordination::WriteMarker& marker, Written done) {
  const Topic* topic = image_->find(to.topic);
  if (topic == nullptr || !topic->has_partition(to.index)) return done(ErrorCode::kNone);
  auto counted = [this, done = std::move(done)](ErrorCode error) mutable {
    if (error == ErrorCode::kNone) ++written_;
    done(error);
  };
  if (topic->name() == offsets_topic_) return group_step_(to, marker, std::move(counted));
  storage::Partition* partition = log_.find(to);
  if (partition == nullptr) return done(ErrorCode::kNotLeaderOrFollower);
  log_.append_marker(*partition, marker_append(marker), [counted = std::move(counted)](const storage::AppendResult& result) mutable {
    counted(result.error);
  });
}

}  // namespace weir::broker
