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

  // `origin`: the transaction that they are committed in, if any.
  void commit(const OffsetCommitRequest& request, const Origin& origin, OffsetCommitReply reply, Instant now, Effects& effects);
  void fetch(const OffsetFetchRequest& request, OffsetFetchReply reply, Effects& effects);
  void remove(const OffsetDeleteRequest& request, OffsetDeleteReply reply, Instant now, Effects& effects);
  // Of a group that is deleted, pending ones too.
  void remove_all(const std::string& group_id, Effects& effects);

 private:
  ErrorCode check(const OffsetCommitRequest& request, const OffsetCommitRequest::Item& item, const Origin& origin, Instant now);
  bool has_room(const std::string& group_id, const OffsetCommitRequest::Item& item, const Origin& origin) const;

  GroupContext& context_;
};

}  // namespace weir::coordination
