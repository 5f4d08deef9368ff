// Commits offsets to groups without members, and asks for them after a restart. They are committed by topic id and asked for by
// name: a name that went to another topic must not bring its offsets along.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "protocol/errors.h"
#include "simulation/kafka_client.h"
#include "simulation/oracle.h"
#include "storage/types.h"

namespace weir::simulation {

class GroupOffsets {
 public:
  static constexpr uint64_t kGroups = 3;
  // Nothing: the connection broke.
  using Done = Function<void(std::optional<protocol::ErrorCode>)>;

  explicit GroupOffsets(Oracle& oracle) : oracle_(oracle) {}

  void commit(KafkaClient& connection, uint64_t group, const storage::PartitionId& partition, Done done);
  // A deletion of the topic was requested: its offsets go with it.
  void topic_may_go(const Uuid& topic, int32_t partitions);
  // Reads an offset while others may commit it.
  void look(KafkaClient& connection, uint64_t group, const storage::PartitionId& partition, Done done);
  // The commit that was sent last. It may still be on its way.
  struct Place {
    uint64_t group = 0;
    storage::PartitionId partition;
  };
  const std::optional<Place>& last_commit() const { return last_commit_; }
  // Has the oracle judge the offsets of all groups for the topics. Unless all groups answer, it judges none of them.
  using Names = std::vector<std::pair<storage::PartitionId, std::string>>;
  void check(KafkaClient& connection, const Names& partitions, Done done);
  // True for errors that say where the coordinator is not, or not yet.
  static bool retriable(protocol::ErrorCode error);
  static void find_coordinator(KafkaClient& connection, Done done);

 private:
  std::string key(uint64_t group, const storage::PartitionId& partition) const;
  Oracle& oracle_;
  int64_t next_offset_ = 1;
  std::optional<Place> last_commit_;
};

}  // namespace weir::simulation
