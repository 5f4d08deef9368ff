// Moves the groups of a `__consumer_offsets` topic to the partitions of Kafka's hash, at the first start of a version that uses
// it. Earlier versions hashed negative numbers differently: with n partitions a group is in its own partition p or in (2^31 - p)
// mod n. So a partition serves when its counterpart is loaded as well and neither has groups of the other any more. While the
// counterpart cannot be read, a partition serves the groups that cannot be in it.
//
// Records are copied, a slice at a time. Newer records of the right partition stay. When the copy is durable the wrong partition
// gets tombstones. A start after a crash repeats some of it. In the end `/groups/placement` notes that all is done. Lives on
// shard 0: loop thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include "base/function.h"
#include "base/lifetime.h"
#include "coordination/group/group_partition.h"

namespace weir::broker {

class GroupPlacement {
 public:
  static constexpr int64_t kRetryDelayNs = runtime::kSecond;

  // `with_partition(index, use)` calls `use` on the owner's loop, with nullptr if there is no such partition any more.
  // `home(task)` runs a task on shard 0. `finished` is called there when every partition was released.
  struct Ways {
    std::function<void(int32_t index, Function<void(coordination::GroupPartition*)> use)> with_partition;
    std::function<void(runtime::Task task)> home;
    Function<void()> finished;
  };
  using HomeOf = coordination::GroupMove::HomeOf;
  // `before`: a group's partition in earlier versions. Both may be called on any loop.
  GroupPlacement(runtime::Loop& loop, int32_t partition_count, HomeOf home_of, HomeOf before, Ways ways);
  ~GroupPlacement() { lifetime_.end(); }
  GroupPlacement(const GroupPlacement&) = delete;

  void loaded(int32_t index);
  void failed(int32_t index);  // to load; it goes on trying

 private:
  using MoveSlice = coordination::GroupMove::Slice;
  using Change = Function<void(coordination::GroupCoordinatorState&, coordination::Instant, coordination::Effects&)>;
  int32_t counterpart(int32_t index) const;
  void move(int32_t from, std::string cursor);
  void move_slice(int32_t from, std::shared_ptr<const MoveSlice> slice);
  void forget(int32_t from, std::shared_ptr<const MoveSlice> slice);
  // Changes partition `index`. `then` follows when the change is durable. If the change fails, `from` is tried again.
  void write(int32_t index, int32_t from, Change change, runtime::Task then);
  void retry(int32_t from);
  // `index` is loaded, its counterpart cannot be read.
  void serve_in_part(int32_t index);
  bool moved_both(int32_t index) const { return moved_.contains(index) && moved_.contains(counterpart(index)); }
  void moved_all(int32_t from);

  runtime::Loop& loop_;
  const int32_t partition_count_;
  const HomeOf home_of_, before_;
  Ways ways_;
  std::set<int32_t> loaded_;
  std::set<int32_t> failed_;
  std::set<int32_t> moved_;  // they have no group that belongs elsewhere
  size_t records_moved_ = 0;
  Lifetime lifetime_;
};

}  // namespace weir::broker
