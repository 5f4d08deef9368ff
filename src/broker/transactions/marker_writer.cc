#include "broker/transactions/marker_writer.h"

#include "storage/log/log_shard.h"

namespace weir::broker {

using protocol::ErrorCode;

void MarkerWriter::write(const storage::PartitionId& to, const storage::MarkerAppend& marker, Written done) {
  const Topic* topic = image_->find(to.topic);
  if (topic == nullptr || !topic->has_partition(to.index)) return done(ErrorCode::kNone);
  auto counted = [this, done = std::move(done)](ErrorCode error) mutable {
    if (error == ErrorCode::kNone) ++written_;
    done(error);
  };
  if (topic->name() == offsets_topic_) return group_step_(to, marker, std::move(counted));
  storage::Partition* partition = log_.find(to);
  if (partition == nullptr) return counted(ErrorCode::kNotLeaderOrFollower);
  log_.append_marker(*partition, marker,
                     [counted = std::move(counted)](const storage::AppendResult& result) mutable { counted(result.error); });
}

}  // namespace weir::broker
