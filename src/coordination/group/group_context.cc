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
  Apply(Groups& groups, CommittedOffsets& offsets) : groups_(groups), offsets_(offsets) {}

  void operator()(GroupMetadataEntry& entry) const {
    if (!entry.value) return groups_.erase(entry.group_id);
    groups_.find_or_make_classic(entry.group_id).apply(std::move(*entry.value));
  }
  void operator()(OffsetEntry& entry) const {
    if (!entry.value) return offsets_.erase(entry.group_id, entry.topic, entry.partition);
    const bool first = offsets_.put(entry.group_id, entry.topic, entry.partition, std::move(*entry.value));
    if (first && groups_.find(entry.group_id) == nullptr) groups_.find_or_make_classic(entry.group_id);
  }
  void operator()(UnknownEntry& /*entry*/) const {}

 private:
  Groups& groups_;
  CommittedOffsets& offsets_;
};

}  // namespace

void GroupContext::apply(GroupRecord record) { std::visit(Apply(groups, offsets), record); }

void GroupContext::emit(GroupRecord record, Effects& effects) {
  effects.append(encode(record));
  apply(std::move(record));
}

void GroupContext::remove(const std::string& group_id, std::string_view why, Instant now, Effects& effects) {
  const Group* group = groups.find(group_id);
  WEIR_CHECK(group != nullptr && is_empty(*group));
  lines.tell(group_id, why, now);
  if (const auto* classic = std::get_if<ClassicGroup>(group)) {
    for (const std::string& id : classic->pending_members()) deadlines.cancel({DeadlineKind::kMember, group_id, id});
  }
  for (GroupRecord& tombstone : tombstones(*group)) emit(std::move(tombstone), effects);
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

void GroupLines::tell_member(const ClassicGroup& group, const std::string& member_id, std::string_view what, Instant now) {
  if (!log_enabled(LogLevel::kInfo)) return;
  const auto member = group.members().find(member_id);
  if (member == group.members().end()) {
    return tell(group.id(), fmt::format("has member {} that {}", quoted(member_id, 128), what), now, member_lines_);
  }
  std::string_view host = member->second->client_host;
  if (host.starts_with('/')) host.remove_prefix(1);  // as Java writes an address; other lines do not
  tell(group.id(),
       fmt::format("(generation {}): member {} of client {} at {} {}", group.generation(), quoted(member_id, 128),
                   quoted(member->second->client_id), host, what),
       now, member_lines_);
}

}  // namespace weir::coordination
