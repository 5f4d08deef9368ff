// Moves groups whose records are in the wrong partition. adopt() copies them into the right one. Once that is durable, they are
// forgotten in the wrong one. Each part may be repeated. Part of a group coordinator's state: each change is within a step.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "coordination/group/classic/classic_groups.h"
#include "coordination/group/group_context.h"

namespace weir::coordination {

class GroupMove {
 public:
  using HomeOf = std::function<int32_t(std::string_view group_id)>;  // the index of a group's partition
  struct Slice {
    std::vector<CoordinatorRecord> records;  // all of groups that belong to partition `to`
    int32_t to = -1;
    std::string next_group;  // the next slice begins here, once the records were forgotten
    bool finished = false;   // nothing comes after this slice
  };

  GroupMove(GroupContext& context, ClassicGroups& classic) : context_(context), classic_(classic) {}

  Slice misplaced(const std::string& from_group, int32_t own, const HomeOf& home_of) const;
  void adopt(const std::vector<CoordinatorRecord>& records, Instant now, Effects& effects);  // records that are not newer here
  void forget(const std::vector<CoordinatorRecord>& records, Effects& effects);

 private:
  bool wanted(const OffsetEntry& offset) const;
  bool wanted(const GroupMetadataEntry& moved) const;

  GroupContext& context_;
  ClassicGroups& classic_;
};

}  // namespace weir::coordination
