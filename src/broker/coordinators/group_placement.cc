#include "broker/coordinators/group_placement.h"

#include <utility>

#include "base/counted.h"
#include "base/log.h"

namespace weir::broker {

using coordination::GroupPartition;
using coordination::MoveResult;
using protocol::ErrorCode;

GroupPlacement::GroupPlacement(runtime::Loop& loop, int32_t partition_count, HomeOf home_of, HomeOf before, Ways ways)
    : loop_(loop),
      partition_count_(partition_count),
      home_of_(std::move(home_of)),
      before_(std::move(before)),
      ways_(std::move(ways)) {}

int32_t GroupPlacement::counterpart(int32_t index) const {
  return static_cast<int32_t>(((int64_t{1} << 31) - index) % partition_count_);
}

// Called again when a partition had to be loaded anew. Its steps are then tried again.
void GroupPlacement::loaded(int32_t index) {
  failed_.erase(index);
  if (!loaded_.insert(index).second) return;
  const int32_t other = counterpart(index);
  if (loaded_.contains(other)) {
    move(index, "");
    if (other != index) move(other, "");
  } else if (failed_.contains(other)) {
    serve_in_part(index);
  }
}

void GroupPlacement::failed(int32_t index) {
  const int32_t other = counterpart(index);
  if (failed_.insert(index).second && other != index && loaded_.contains(other) && !moved_both(index)) serve_in_part(other);
}

// A group may be in either partition, by one hash or the other. Without the counterpart its records may be incomplete.
void GroupPlacement::serve_in_part(int32_t index) {
  log_warn("groups",
           "__consumer_offsets-{} cannot be read: groups that earlier versions had in it are not served by partition {} either",
           counterpart(index), index);
  ways_.with_partition(index, [index, home_of = home_of_, before = before_](GroupPartition* partition) {
    if (partition == nullptr) return;
    partition->release_but([=](std::string_view group) { return home_of(group) != index || before(group) != index; });
  });
}

void GroupPlacement::move(int32_t from, std::string cursor) {
  ways_.with_partition(from, [this, alive = lifetime_.observe(), home = ways_.home, home_of = home_of_, from,
                              cursor = std::move(cursor)](GroupPartition* partition) {
    if (partition == nullptr) return;  // the topic was deleted
    std::shared_ptr<const MoveSlice> slice;
    if (partition->loaded())
      slice = std::make_shared<const MoveSlice>(partition->state().move().misplaced(cursor, from, home_of));
    home([this, alive, from, slice = std::move(slice)] {
      if (!alive) return;
      if (!slice) return retry(from);
      if (!slice->records.empty()) return move_slice(from, slice);
      if (slice->finished) return moved_all(from);
      move(from, slice->next_group);
    });
  });
}

void GroupPlacement::move_slice(int32_t from, std::shared_ptr<const MoveSlice> slice) {
  write(
      slice->to, from,
      [slice](coordination::GroupCoordinatorState& state, coordination::Instant now, coordination::Effects& effects) {
        state.move().adopt(slice->records, now, effects);
      },
      [this, from, slice] { forget(from, slice); });
}

void GroupPlacement::forget(int32_t from, std::shared_ptr<const MoveSlice> slice) {
  write(
      from, from,
      [slice](coordination::GroupCoordinatorState& state, coordination::Instant, coordination::Effects& effects) {
        state.move().forget(slice->records, effects);
      },
      [this, from, slice] {
        records_moved_ += slice->records.size();
        move(from, slice->next_group);
      });
}

void GroupPlacement::write(int32_t index, int32_t from, Change change, runtime::Task then) {
  ways_.with_partition(index, [this, alive = lifetime_.observe(), home = ways_.home, from, change = std::move(change),
                               then = std::move(then)](GroupPartition* partition) mutable {
    if (partition == nullptr) return;
    if (!partition->loaded()) {
      return home([this, alive, from] {
        if (alive) retry(from);
      });
    }
    Function<void(MoveResult)> reply = [this, alive, home, from, then = std::move(then)](MoveResult result) mutable {
      home([this, alive, from, then = std::move(then), result]() mutable {
        if (!alive) return;
        if (result.error != ErrorCode::kNone) return retry(from);
        then();
      });
    };
    partition->run([&](coordination::GroupCoordinatorState& state, coordination::Instant now, coordination::Effects& effects) {
      change(state, now, effects);
      effects.answer(std::move(reply), MoveResult());
    });
  });
}

void GroupPlacement::retry(int32_t from) {
  loop_.schedule_after(kRetryDelayNs, [this, alive = lifetime_.observe(), from] {
    if (alive) move(from, "");
  });
}

void GroupPlacement::moved_all(int32_t from) {
  moved_.insert(from);
  const int32_t other = counterpart(from);
  if (!moved_both(from)) return;
  for (const int32_t index : std::set<int32_t>{from, other}) {
    ways_.with_partition(index, [](GroupPartition* partition) {
      if (partition != nullptr) partition->release();
    });
  }
  if (moved_.size() < static_cast<size_t>(partition_count_)) return;
  if (records_moved_ > 0) {
    log_info("groups", "{} of groups moved to the partitions of __consumer_offsets that Kafka's hash names",
             counted(records_moved_, "record"));
  }
  ways_.finished();
}

}  // namespace weir::broker
