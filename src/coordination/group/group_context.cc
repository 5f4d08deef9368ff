#include "coordination/group/group_context.h"

#include <fmt/format.h>

#include <utility>
#include <variant>

#include "base/check.h"
#include "base/counted.h"
#include "base/log.h"
#include "base/printable.h"

namespace weir::coordination {
namespace {

class Apply {
 public:
  Apply(GroupContext& context, const Origin& origin) : context_(context), origin_(origin) {}

  // Tombstones of groups that are not there, or are of another type, are old.
  void operator()(GroupMetadataEntry& entry) const {
    if (!entry.value) {
      if (context_.groups.find_classic(entry.group_id) != nullptr) context_.groups.erase(entry.group_id);
      return;
    }
    context_.groups.find_or_make_classic(entry.group_id).apply(std::move(*entry.value));
  }
  void operator()(OffsetEntry& entry) const {
    if (!entry.value) {
      context_.pending.erase({entry.group_id, entry.topic, entry.partition});
      return context_.offsets.erase(entry.group_id, entry.topic, entry.partition);
    }
    entry.value->log_order = context_.next_log_order++;
    if (!origin_.transactional) return put(context_, entry.group_id, entry.topic, entry.partition, std::move(*entry.value));
    if (context_.groups.find(entry.group_id) == nullptr) context_.groups.find_or_make_classic(entry.group_id);
    context_.pending.put(origin_.producer_id, {std::move(entry.group_id), std::move(entry.topic), entry.partition},
                         std::move(*entry.value));
  }
  void operator()(ConsumerGroupEntry& entry) const {
    if (entry.value) return context_.groups.find_or_make_consumer(entry.group_id).apply(*entry.value);
    if (context_.groups.find_consumer(entry.group_id) != nullptr) context_.groups.erase(entry.group_id);
  }
  void operator()(ConsumerPartitionMetadataEntry& entry) const { to_consumer_group(entry, !entry.tombstone); }
  void operator()(ConsumerMemberEntry& entry) const { to_consumer_group(entry, entry.value.has_value()); }
  void operator()(TargetAssignmentEntry& entry) const { to_consumer_group(entry, entry.value.has_value()); }
  void operator()(TargetAssignmentMemberEntry& entry) const { to_consumer_group(entry, entry.value.has_value()); }
  void operator()(CurrentAssignmentEntry& entry) const { to_consumer_group(entry, entry.value.has_value()); }
  void operator()(ResolvedRegexEntry& entry) const { to_consumer_group(entry, entry.value.has_value()); }
  void operator()(UnknownEntry& /*entry*/) const {}

  static void put(GroupContext& context, const std::string& group_id, const std::string& topic, int32_t partition,
                  CommittedOffset offset) {
    const bool first = context.offsets.put(group_id, topic, partition, std::move(offset));
    if (first && context.groups.find(group_id) == nullptr) context.groups.find_or_make_classic(group_id);
  }

 private:
  template <typename Entry>
  void to_consumer_group(Entry& entry, bool makes_group) const {
    const std::string group_id = entry.group_id;
    ConsumerGroup* group =
        makes_group ? &context_.groups.find_or_make_consumer(group_id) : context_.groups.find_consumer(group_id);
    if (group != nullptr) group->apply(std::move(entry));
  }

  GroupContext& context_;
  const Origin& origin_;
};

}  // namespace

void GroupContext::apply(GroupRecord record, const Origin& origin) { std::visit(Apply(*this, origin), record); }

// When records of a partition were committed decides, not when transactions ended: compaction keeps the last record.
void GroupContext::apply(const TransactionMarker& marker) {
  PendingOffsets::OfProducer ended = pending.take(marker.producer_id);
  if (!marker.commit) return;
  for (auto& [of, offset] : ended) {
    const CommittedOffset* stored = offsets.find(of.group_id, of.topic, of.partition);
    if (stored != nullptr && stored->log_order > offset.log_order) continue;
    Apply::put(*this, of.group_id, of.topic, of.partition, std::move(offset));
  }
}

void GroupContext::emit(GroupRecord record, Effects& effects, const Origin& origin) {
  effects.append(encode(record), origin);
  apply(std::move(record), origin);
}

void GroupContext::emit(const TransactionMarker& marker, Effects& effects) {
  effects.append(marker);
  apply(marker);
}

void GroupChange::emit(GroupRecord record) {
  if (begun_) effects_.append_joined(encode(record));
  else effects_.append(encode(record));
  begun_ = true;
  context_.apply(std::move(record));
}

void GroupContext::remove(const std::string& group_id, std::string_view why, Instant now, Effects& effects) {
  WEIR_CHECK(!pending.contains(group_id));
  GroupChange change(*this, effects);
  replace(group_id, why, now, change);
}

void GroupContext::replace(const std::string& group_id, std::string_view why, Instant now, GroupChange& change) {
  const Group* group = groups.find(group_id);
  WEIR_CHECK(group != nullptr && is_empty(*group));
  lines.tell(group_id, why, now);
  if (const auto* classic = std::get_if<ClassicGroup>(group)) {
    for (const std::string& id : classic->pending_members()) deadlines.cancel({DeadlineKind::kMember, group_id, id});
  }
  for (GroupRecord& tombstone : tombstones(*group)) change.emit(std::move(tombstone));
}

void GroupContext::warn_of_memory(Instant now) {
  if (!memory.refused(now.monotonic_ms)) return;
  log_warn("groups",
           "Groups hold {} of {} MiB: new offsets, groups or members are asked to try again later. Delete groups that are not "
           "needed, or raise weir.max.memory.bytes.",
           memory.used_bytes() >> 20, memory.limit_bytes() >> 20);
}

void GroupLines::tell(std::string_view group_id, std::string_view what, Instant now, RateLimit& limit) {
  uint64_t suppressed = 0;
  if (!log_enabled(LogLevel::kInfo) || !limit.admit(now.monotonic_ms, suppressed)) return;
  log_info("groups", "Group {} {}{}", quoted(group_id, 256), what,
           suppressed ? fmt::format(" ({} about groups unreported)", counted(suppressed, "more line")) : std::string());
}

namespace {

std::string about_member(std::string_view member_id, std::string_view client_id, std::string_view host, std::string_view what) {
  if (host.starts_with('/')) host.remove_prefix(1);  // as Java writes an address; other lines do not
  return fmt::format("member {} of client {} at {} {}", quoted(member_id, 128), quoted(client_id), host, what);
}

}  // namespace

void GroupLines::tell_member(const ClassicGroup& group, const std::string& member_id, std::string_view what, Instant now) {
  if (!log_enabled(LogLevel::kInfo)) return;
  const auto member = group.members().find(member_id);
  if (member == group.members().end()) {
    return tell(group.id(), fmt::format("has member {} that {}", quoted(member_id, 128), what), now, member_lines_);
  }
  const std::string line = about_member(member_id, member->second->client_id, member->second->client_host, what);
  tell(group.id(), fmt::format("(generation {}): {}", group.generation(), line), now, member_lines_);
}

void GroupLines::tell_member(const ConsumerGroup& group, const ConsumerMember& member, std::string_view what, Instant now) {
  if (!log_enabled(LogLevel::kInfo)) return;
  const ConsumerMemberMetadata metadata = member.metadata.value_or(ConsumerMemberMetadata());
  const std::string line = about_member(member.id, metadata.client_id, metadata.client_host, what);
  tell(group.id(), fmt::format("(epoch {}): {}", group.epoch(), line), now, member_lines_);
}

}  // namespace weir::coordination
