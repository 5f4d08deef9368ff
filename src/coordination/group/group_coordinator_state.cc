#include "coordination/group/group_coordinator_state.h"

#include <fmt/format.h>

#include <utility>
#include <variant>

#include "base/counted.h"

namespace weir::coordination {
namespace {

template <typename... Cases>
struct ByType : Cases... {
  using Cases::operator()...;
};

}  // namespace

// --- the log --------------------------------------------------------------------------------------------------------

Result<void> GroupCoordinatorState::replay(int64_t /*offset*/, const Origin& origin, Bytes key, std::optional<Bytes> value) {
  auto record = parse_group_record(key, value);
  if (!record) return std::unexpected(record.error());
  context_.apply(std::move(*record), origin);
  return {};
}

void GroupCoordinatorState::replay_marker(int64_t /*offset*/, const TransactionMarker& marker) { context_.apply(marker); }

void GroupCoordinatorState::loaded(const ImagePtr& image, Instant now, Effects& effects) {
  context_.image = image;
  // Offsets before a tombstone of their group still belong to a group without members.
  for (const auto& [group_id, offsets] : context_.offsets.groups()) {
    if (context_.groups.find(group_id) == nullptr) context_.groups.find_or_make_classic(group_id);
  }
  for (const auto& [of, producers] : context_.pending.partitions()) {
    if (context_.groups.find(of.group_id) == nullptr) context_.groups.find_or_make_classic(of.group_id);
  }
  for (auto& [group_id, group] : context_.groups.all()) {
    std::visit(ByType{[&](ClassicGroup& classic) { classic_.loaded(classic, now, effects); },
                      [&](ConsumerGroup& consumer) { consumer_.loaded(consumer, now, effects); }},
               group);
  }
  sweep_.loaded(now);
}

void GroupCoordinatorState::image_changed(const ImageChange& change, Instant now, Effects& /*effects*/) {
  context_.image = change.after;
  consumer_.image_changed(change);
  sweep_.topics_deleted(change.deleted, now);
}

// Only expressions of consumer groups are looked for elsewhere.
void GroupCoordinatorState::arrived(const Token& token, std::any result, Instant now, Effects& effects) {
  consumer_.arrived(token, std::move(result), now, effects);
}

std::vector<CoordinatorRecord> GroupCoordinatorState::snapshot() const {
  std::vector<CoordinatorRecord> records;
  for (const auto& [id, group] : context_.groups.all()) {
    for (const GroupRecord& record : stored_records(group)) records.push_back(encode(record));
  }
  for (const auto& [id, topics] : context_.offsets.groups()) {
    for (const auto& [topic, partitions] : topics) {
      for (const auto& [partition, offset] : partitions) records.push_back(encode(OffsetEntry{id, topic, partition, offset}));
    }
  }
  for (const auto& [producer_id, offsets] : context_.pending.producers()) {
    for (const auto& [of, offset] : offsets) records.push_back(pending_record(producer_id, of, offset));
  }
  return records;
}

CoordinatorRecord GroupCoordinatorState::pending_record(int64_t producer_id, const GroupTopicPartition& of,
                                                        const CommittedOffset& offset) const {
  int older = 0;
  const auto look_at = [&](const CommittedOffset* other) {
    if (other != nullptr && other->log_order < offset.log_order) ++older;
  };
  const GroupTopicPartitionView view{of.group_id, of.topic, of.partition};
  look_at(context_.offsets.find(of.group_id, of.topic, of.partition));
  for (const int64_t other : context_.pending.partitions().find(view)->second) look_at(context_.pending.find(other, view));
  CoordinatorRecord record = encode(OffsetEntry{of.group_id, of.topic, of.partition, offset});
  record.key.insert(0, fmt::format("pending of producer {}, newer than {}: ", producer_id, older));
  return record;
}

std::string GroupCoordinatorState::summary() const {
  if (group_count() == 0) return {};
  std::string line = fmt::format("{} with {}", counted(group_count(), "group"), counted(offset_count(), "offset"));
  if (pending_offset_count() > 0) line += fmt::format(" and {} of open transactions", pending_offset_count());
  return line;
}

// --- time -----------------------------------------------------------------------------------------------------------

void GroupCoordinatorState::tick(Instant now, Effects& effects) {
  while (const auto due = context_.deadlines.pop(now.monotonic_ms)) {
    if (due->kind == DeadlineKind::kOffsetCheck) {
      sweep_.check(now);
    } else if (due->kind == DeadlineKind::kSweep) {
      sweep_.slice(now, effects);
    } else if (Group* group = context_.groups.find(due->group_id); group != nullptr && !context_.is_kept_back(due->group_id)) {
      std::visit(ByType{[&](ClassicGroup& classic) { classic_.due(classic, *due, now, effects); },
                        [&](ConsumerGroup& consumer) { consumer_.due(consumer, *due, now, effects); }},
                 *group);
    }
  }
}

void GroupCoordinatorState::abandon(ErrorCode error, Effects& effects) {
  for (auto& [group_id, group] : context_.groups.all()) {
    if (auto* classic = std::get_if<ClassicGroup>(&group)) classic_.abandon(*classic, error, effects);
  }
}

// --- members --------------------------------------------------------------------------------------------------------

ConsumerGroup* GroupCoordinatorState::find_consumer_with_members(std::string_view group_id) {
  ConsumerGroup* group = context_.groups.find_consumer(group_id);
  return group != nullptr && !group->is_empty() ? group : nullptr;
}

void GroupCoordinatorState::join(JoinRequest request, JoinReply reply, Instant now, Effects& effects) {
  ConsumerGroup* consumer = find_consumer_with_members(request.group_id);
  if (consumer != nullptr) consumer_.join(*consumer, std::move(request), std::move(reply), now, effects);
  else classic_.join(std::move(request), std::move(reply), now, effects);
}

void GroupCoordinatorState::sync(SyncRequest request, SyncReply reply, Instant now, Effects& effects) {
  ConsumerGroup* consumer = find_consumer_with_members(request.group_id);
  if (consumer != nullptr) consumer_.sync(*consumer, request, std::move(reply), now, effects);
  else classic_.sync(std::move(request), std::move(reply), now, effects);
}

void GroupCoordinatorState::heartbeat(const HeartbeatRequest& request, HeartbeatReply reply, Instant now, Effects& effects) {
  ConsumerGroup* consumer = find_consumer_with_members(request.group_id);
  if (consumer != nullptr) consumer_.classic_heartbeat(*consumer, request, std::move(reply), now, effects);
  else classic_.heartbeat(request, std::move(reply), now, effects);
}

void GroupCoordinatorState::leave(const LeaveRequest& request, LeaveReply reply, Instant now, Effects& effects) {
  ConsumerGroup* consumer = context_.groups.find_consumer(request.group_id);
  if (consumer != nullptr) consumer_.leave(*consumer, request, std::move(reply), now, effects);
  else classic_.leave(request, std::move(reply), now, effects);
}

void GroupCoordinatorState::consumer_heartbeat(ConsumerHeartbeatRequest request, ConsumerHeartbeatReply reply, Instant now,
                                               Effects& effects) {
  consumer_.heartbeat(std::move(request), std::move(reply), now, effects);
}

// --- offsets --------------------------------------------------------------------------------------------------------

namespace {

// Whoever names no generation makes a group that has offsets only.
ErrorCode may_commit_to_no_group(const OffsetCommitRequest& request) {
  if (request.generation < 0) return ErrorCode::kNone;
  return request.group_not_found_known ? ErrorCode::kGroupIdNotFound : ErrorCode::kIllegalGeneration;
}

void refuse(const OffsetCommitRequest& request, OffsetCommitReply reply, ErrorCode error, Effects& effects) {
  OffsetCommitResult refused;
  refused.error = error;
  refused.items.assign(request.items.size(), error);
  effects.answer(std::move(reply), std::move(refused));
}

}  // namespace

ErrorCode GroupCoordinatorState::may_commit(const OffsetCommitRequest& request, Instant now) {
  Group* group = context_.groups.find(request.group_id);
  if (group == nullptr) return may_commit_to_no_group(request);
  return std::visit(ByType{[&](ClassicGroup& classic) { return classic_.may_commit(classic, request, now); },
                           [&](ConsumerGroup& consumer) { return consumer_.may_commit(consumer, request); }},
                    *group);
}

ErrorCode GroupCoordinatorState::may_commit_in_transaction(const TxnOffsetCommitRequest& request) const {
  const Group* group = context_.groups.find(request.group_id);
  if (group == nullptr) return may_commit_to_no_group(request);
  return std::visit(ByType{[&](const ClassicGroup& classic) { return classic.may_commit_in_transaction(request); },
                           [&](const ConsumerGroup& consumer) { return consumer_.may_commit_in_transaction(consumer, request); }},
                    *group);
}

void GroupCoordinatorState::commit_offsets(const OffsetCommitRequest& request, OffsetCommitReply reply, Instant now,
                                           Effects& effects) {
  const ErrorCode error = may_commit(request, now);
  if (error != ErrorCode::kNone) return refuse(request, std::move(reply), error, effects);
  offsets_.commit(request, {}, std::move(reply), now, effects);
}

void GroupCoordinatorState::commit_transactional_offsets(const TxnOffsetCommitRequest& request, OffsetCommitReply reply,
                                                         Instant now, Effects& effects) {
  const ErrorCode error = may_commit_in_transaction(request);
  if (error != ErrorCode::kNone) return refuse(request, std::move(reply), error, effects);
  offsets_.commit(request, {request.producer_id, request.producer_epoch, true}, std::move(reply), now, effects);
}

void GroupCoordinatorState::end_transaction(const TransactionMarker& marker, MarkerReply reply, Instant /*now*/,
                                            Effects& effects) {
  context_.emit(marker, effects);
  effects.answer(std::move(reply), MarkerResult());
}

void GroupCoordinatorState::fetch_offsets(const OffsetFetchRequest& request, OffsetFetchReply reply, Effects& effects) {
  const ConsumerGroup* consumer = context_.groups.find_consumer(request.group_id);
  const ErrorCode error = consumer != nullptr ? ConsumerGroups::may_fetch(*consumer, request) : ErrorCode::kNone;
  if (error == ErrorCode::kNone) return offsets_.fetch(request, std::move(reply), effects);
  OffsetFetchResult refused;
  refused.error = error;
  effects.answer(std::move(reply), std::move(refused));
}

void GroupCoordinatorState::delete_offsets(const OffsetDeleteRequest& request, OffsetDeleteReply reply, Instant now,
                                           Effects& effects) {
  offsets_.remove(request, std::move(reply), now, effects);
}

// --- administration -------------------------------------------------------------------------------------------------

void GroupCoordinatorState::describe(const std::string& group_id, DescribeReply reply, Effects& effects) {
  GroupDescription result;
  if (const Group* group = context_.groups.find(group_id)) {
    result = coordination::describe(*group);
  } else {
    result.group_id = group_id;
    result.error = ErrorCode::kGroupIdNotFound;
  }
  if (result.error == ErrorCode::kGroupIdNotFound) result.error_message = why_not_found(group_id, "classic");
  effects.answer(std::move(reply), std::move(result));
}

std::string GroupCoordinatorState::why_not_found(const std::string& group_id, std::string_view type) const {
  const bool other = context_.groups.all().contains(group_id);
  return other ? fmt::format("Group {} is not a {} group.", group_id, type) : fmt::format("Group {} not found.", group_id);
}

void GroupCoordinatorState::describe_consumer(const std::string& group_id, ConsumerDescribeReply reply, Effects& effects) {
  ConsumerGroupDescription result;
  if (const ConsumerGroup* group = context_.groups.find_consumer(group_id)) {
    result = group->describe_consumer(consumer_.default_assignor(), *context_.image);
  } else {
    result.group_id = group_id;
    result.error = ErrorCode::kGroupIdNotFound;
    result.error_message = why_not_found(group_id, "consumer");
  }
  effects.answer(std::move(reply), std::move(result));
}

void GroupCoordinatorState::list(ListReply reply, Effects& effects) {
  ListResult result;
  for (const auto& [id, group] : context_.groups.all()) {
    result.groups.push_back({id, std::string(protocol_type(group)), state_name(group), type_name(group)});
  }
  effects.answer(std::move(reply), std::move(result));
}

void GroupCoordinatorState::delete_group(const std::string& group_id, const std::string& from, DeleteGroupReply reply,
                                         Instant now, Effects& effects) {
  DeleteGroupResult result;
  const Group* group = context_.groups.find(group_id);
  if (group == nullptr) {
    result.error = ErrorCode::kGroupIdNotFound;
  } else if (!is_empty(*group)) {
    result.error = ErrorCode::kNonEmptyGroup;
  } else {
    offsets_.remove_all(group_id, effects);
    context_.remove(group_id, "is deleted by " + from, now, effects);
  }
  effects.answer(std::move(reply), result);
}

// --- memory ---------------------------------------------------------------------------------------------------------

int64_t GroupCoordinatorState::memory_bytes() const {
  int64_t bytes = context_.offsets.memory_bytes() + context_.pending.memory_bytes();
  for (const auto& [id, group] : context_.groups.all()) bytes += coordination::memory_bytes(group);
  return bytes;
}

std::string_view GroupCoordinatorState::type_of(std::string_view group_id) const {
  const auto group = context_.groups.all().find(group_id);
  return group == context_.groups.all().end() ? std::string_view() : type_name(group->second);
}

int64_t GroupCoordinatorState::counted_memory_bytes() const {
  int64_t bytes = context_.offsets.memory_bytes() + context_.pending.counted_memory_bytes();
  for (const auto& [id, group] : context_.groups.all()) bytes += coordination::counted_memory_bytes(group);
  return bytes;
}

}  // namespace weir::coordination
