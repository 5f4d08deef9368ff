// Requests about committed offsets, for groups of all types. The type has checked the right to commit before. Part of a group
// coordinator's state: each call is within a step.
#pragma once

#include <string>

#include "coordination/group/group_context.h"
#include "coordination/group/group_messages.h"

namespace weir::coordination {

class GroupOffsets {
 public:
  explicit GroupOffsets(GroupContext& context) : context_(context) {}

  void commit(const OffsetCommitRequest& request, OffsetCommitReply reply, Instant now, Effects& effects);
  void fetch(const OffsetFetchRequest& request, OffsetFetchReply reply, Effects& effects);
  void remove(const OffsetDeleteRequest& request, OffsetDeleteReply reply, Instant now, Effects& effects);
  // Of a group that is deleted.
  void remove_all(const std::string& group_id, Effects& effects);

 private:
  ErrorCode check(const OffsetCommitRequest& request, const OffsetCommitRequest::Item& item, Instant now);

  GroupContext& context_;
};

}  // namespace weir::coordination
