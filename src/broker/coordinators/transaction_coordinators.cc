#include "broker/coordinators/transaction_coordinators.h"

#include <algorithm>
#include <map>
#include <string>

#include "broker/broker.h"
#include "broker/metadata/features.h"

namespace weir::broker {

using coordination::MarkerWritten;
using coordination::TransactionVersion;
using protocol::ErrorCode;

namespace {

coordination::TransactionConfig transaction_config(const BrokerConfig& config) {
  coordination::TransactionConfig transactions;
  transactions.transaction_max_timeout_ms = static_cast<int32_t>(config.integer("transaction.max.timeout.ms"));
  transactions.transactional_id_expiration_ms = config.integer("transactional.id.expiration.ms");
  transactions.remove_expired_interval_ms = config.integer("transaction.remove.expired.transaction.cleanup.interval.ms");
  return transactions;
}

CoordinatorHost::InternalTopic state_topic(const BrokerConfig& config) {
  CoordinatorHost::InternalTopic topic;
  topic.name = TransactionCoordinators::kTopic;
  topic.kept = "transactions";
  topic.partition_count = static_cast<int32_t>(config.integer("transaction.state.log.num.partitions"));
  topic.compact("uncompressed", config.integer("transaction.state.log.segment.bytes"));
  return topic;
}

storage::MarkerAppend marker_append(const coordination::WriteMarker& written) {
  return {.producer_id = written.marker.producer_id,
          .producer_epoch = written.marker.producer_epoch,
          .coordinator_epoch = written.marker.coordinator_epoch,
          .commit = written.marker.commit,
          .transaction_version = static_cast<int16_t>(written.version)};
}

}  // namespace

TransactionCoordinators::TransactionCoordinators(Broker& broker, GroupCoordinators& groups, runtime::Pool& pool,
                                                 const BrokerConfig& config)
    : CoordinatorHost(broker, pool, state_topic(config)),
      config_(transaction_config(config)),
      memory_(static_cast<int64_t>(broker.budget().limit(MemoryShare::kIndexes) / 4)),
      verifications_(broker.shard_count()) {
  for (unsigned i = 0; i < broker.shard_count(); ++i) {
    BrokerShard& shard = broker.shard(i);
    markers_.push_back(std::make_unique<MarkerWriter>(
        shard.log, shard.image, GroupCoordinators::kTopic,
        [&groups, &shard](const storage::PartitionId& partition, const storage::MarkerAppend& marker,
                          MarkerWriter::Written done) { groups.end_transaction(shard, partition, marker, std::move(done)); }));
  }
  const auto take_level = [this](const MetadataImage& image) {
    level_.set(static_cast<TransactionVersion>(finalized_level(*image.features(), kTransactionVersion)));
  };
  take_level(*broker.shard(0).image);
  broker.follow_images([take_level](BrokerShard& shard, const MetadataChange& change) {
    if (shard.index() == 0) take_level(*change.image);
  });
  orphans_ = std::make_unique<OrphanSweep>(broker, *this, config_.transaction_max_timeout_ms);
  begin();
}

TransactionCoordinators::~TransactionCoordinators() { end(); }

std::unique_ptr<coordination::CoordinatorRuntime> TransactionCoordinators::make_partition(
    BrokerShard& shard, const coordination::CoordinatorRuntime::Surroundings& surroundings, const storage::PartitionId& id,
    coordination::ImagePtr image) {
  return std::make_unique<coordination::TransactionPartition>(
      surroundings, id, coordination::CoordinatorRuntime::Names{kTopic, "transactions"},
      [this, &shard, id] {
        const Topic* topic = shard.image->find(id.topic);
        const int32_t epoch = topic == nullptr ? 0 : shard.image->leader_epoch(*topic, id.index);
        return std::make_unique<coordination::TransactionCoordinatorState>(config_, epoch, level_, memory_);
      },
      std::move(image));
}

void TransactionCoordinators::deliver(BrokerShard& shard, const storage::PartitionId& to, std::any message,
                                      Function<void(std::any)> done) {
  markers(shard.index())
      .write(to, marker_append(std::any_cast<const coordination::WriteMarker&>(message)),
             [done = std::move(done)](ErrorCode error) mutable { done(MarkerWritten{error}); });
}

}  // namespace weir::broker
