// The walk over all groups that removes offsets whose time is over or whose topic is gone, and groups without anything left. It
// goes in slices, a millisecond apart, so a coordinator with very many offsets holds up nobody. Part of a group coordinator's
// state: each call is within a step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "coordination/group/group_context.h"

namespace weir::coordination {

class OffsetSweep {
 public:
  explicit OffsetSweep(GroupContext& context) : context_(context) {}

  // Looks for expired offsets from now on, every offsets.retention.check.interval.ms. It also looks for offsets of topics that
  // were deleted while no coordinator was there.
  void loaded(Instant now);
  void topics_deleted(const std::vector<ImageChange::Topic>& topics, Instant now);
  // Deadlines kOffsetCheck and kSweep.
  void check(Instant now);
  void slice(Instant now, Effects& effects);

 private:
  struct Sweep {
    std::string next_group;
    bool expire = false;
    std::map<std::string, std::vector<Uuid>> deleted;  // name -> ids
    std::optional<int64_t> loaded_wall_ms;             // offsets that are older go if their topic does not exist
  };
  Sweep& begin(Instant now);
  bool has_offsets() const { return context_.offsets.count() + context_.pending.count() > 0; }
  bool is_unused(const Group& group) const;
  size_t sweep_group(const Group& group, Instant now, Effects& effects);
  bool topic_gone(const std::string& topic, const CommittedOffset& offset) const;
  bool pending_ones_gone(GroupTopicPartitionView of) const;
  bool expired(const Group& group, const CommittedOffset& offset, int64_t wall_ms) const;

  GroupContext& context_;
  std::optional<Sweep> sweep_;
};

}  // namespace weir::coordination
