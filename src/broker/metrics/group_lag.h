// The lag of groups by group, topic and partition: in records, and in seconds since the first uncommitted record was made. It is
// computed at each scrape, from the committed offsets and the partitions. Groups cost nothing in between.
//
// The age needs a record's timestamp. A compressed batch gives that of its first record. Timestamps are remembered from scrape to
// scrape, so a group that stands still is read for once. The pool reads records that are not in memory, kReadsPerScrape at most.
// Other ages are left out until a later scrape.
//
// collect() and the destructor on loop `home`; the rest runs on the shards. One collect() at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/function.h"
#include "broker/broker.h"
#include "broker/coordinators/group_coordinators.h"
#include "runtime/homebound.h"

namespace weir::broker {

struct GroupLag {
  std::string group;
  std::string_view type;  // of the group, as Kafka's tools show it
  TopicPtr topic;
  int32_t partition = 0;
  int64_t committed = 0;
  int64_t lag = -1;     // records; -1: the partition is not there
  int64_t lag_ms = -1;  // -1: not known
};

struct GroupLags {
  std::vector<GroupLag> rows;
  uint64_t unlisted = 0;  // committed offsets beyond the bound
  int64_t memory_bytes = 0;
};

class GroupLagCollector {
 public:
  static constexpr size_t kListedMax = 10'000;
  static constexpr size_t kReadsPerScrape = 256;

  // The coordinators and the pool outlive the collector, and the loops stop before it goes.
  GroupLagCollector(GroupCoordinators& groups, runtime::Pool& pool);
  ~GroupLagCollector();

  void collect(unsigned home, Function<void(GroupLags)> done);

 private:
  struct Shard;  // the remembered timestamps of a shard's partitions; on its loop only
  struct Round;  // one collect()
  class Lookup;  // rows of one shard's partitions being filled in

  void list(unsigned shard, Round& round) const;
  void listed(runtime::HomeRef<Round> round);

  GroupCoordinators& groups_;
  Broker& broker_;  // that they belong to
  runtime::Pool& pool_;
  std::vector<std::unique_ptr<Shard>> shards_;
};

// As text for /metrics.
void append_group_lags(std::string& out, const GroupLags& lags);

}  // namespace weir::broker
