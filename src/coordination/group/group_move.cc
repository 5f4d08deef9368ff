// GroupCoordinatorState: groups whose records are in another partition than the one they belong to. They are copied with
// adopt() into the right one and, once that is durable, forgotten in the wrong one. Each part may be repeated.
#include <utility>

#include "base/check.h"
#include "coordination/group/group_coordinator_state.h"

namespace weir::coordination {
namespace {

constexpr size_t kRecordsPerSlice = 512;
constexpr size_t kGroupsPerSlice = 4096;

// More than that there is somebody who committed offsets.
bool has_metadata(const ClassicGroup& group) { return group.generation() > 0 || group.protocol_type(); }

}  // namespace

// A group's own record comes behind its offsets: as long as some of them are left, the group is.
GroupCoordinatorState::MoveSlice GroupCoordinatorState::misplaced(const std::string& from_group, int32_t own,
                                                                  const HomeOf& home_of) const {
  MoveSlice slice;
  auto group = groups_.lower_bound(from_group);
  auto offsets = offsets_.groups().lower_bound(from_group);
  for (size_t looked = 0;; ++looked) {
    const bool more_groups = group != groups_.end();
    const bool more_offsets = offsets != offsets_.groups().end();
    if (!more_groups && !more_offsets) {
      slice.finished = true;
      return slice;
    }
    const bool take_group = more_groups && (!more_offsets || group->first <= offsets->first);
    const bool take_offsets = more_offsets && (!more_groups || offsets->first <= group->first);
    const std::string& id = take_group ? group->first : offsets->first;
    slice.next_group = id;
    if (looked == kGroupsPerSlice || slice.records.size() >= kRecordsPerSlice) return slice;
    const int32_t home = home_of(id);
    if (home != own) {
      if (!slice.records.empty() && slice.to != home) return slice;
      slice.to = home;
      if (take_offsets) {
        for (const auto& [topic, partitions] : offsets->second) {
          for (const auto& [partition, offset] : partitions) {
            if (slice.records.size() >= kRecordsPerSlice) return slice;
            slice.records.push_back(offset_commit_record(id, topic, partition, offset));
          }
        }
      }
      if (take_group) slice.records.push_back(group_metadata_record(*group->second));
    }
    if (take_group) ++group;
    if (take_offsets) ++offsets;
  }
}

void GroupCoordinatorState::adopt(const std::vector<CoordinatorRecord>& records, Instant now, Effects& effects) {
  for (const CoordinatorRecord& record : records) {
    const Bytes value = as_bytes(*record.value);
    auto entry = parse_group_record(as_bytes(record.key), value);
    WEIR_CHECK(entry.has_value());
    if (const auto* offset = std::get_if<OffsetEntry>(&*entry)) {
      const CommittedOffset* have = offsets_.find(offset->group_id, offset->topic, offset->partition);
      if (have != nullptr && have->commit_timestamp_ms >= offset->value->commit_timestamp_ms) continue;
      WEIR_CHECK(replay(-1, {}, as_bytes(record.key), value).has_value());
    } else if (const auto* moved = std::get_if<GroupMetadataEntry>(&*entry)) {
      const ClassicGroup* have = find(moved->group_id);
      const bool says_more = moved->value->generation > 0 || !moved->value->protocol_type.empty();
      if (have != nullptr && !says_more) continue;
      if (have != nullptr && has_metadata(*have)) {
        const bool settled = have->in(ClassicGroupState::kEmpty) || have->in(ClassicGroupState::kStable);
        if (!settled || have->state_timestamp_ms() >= moved->value->state_timestamp_ms) continue;
      }
      if (have != nullptr && !have->pending_members().empty()) continue;
      WEIR_CHECK(replay(-1, {}, as_bytes(record.key), value).has_value());
      const ClassicGroup* group = find(moved->group_id);
      for (const auto& [member_id, member] : group->members()) expect_heartbeat(*group, *member, now);
    }
    effects.append(record);
  }
}

void GroupCoordinatorState::forget(const std::vector<CoordinatorRecord>& records, Effects& effects) {
  for (const CoordinatorRecord& record : records) {
    WEIR_CHECK(replay(-1, {}, as_bytes(record.key), std::nullopt).has_value());
    effects.append({record.key, std::nullopt});
  }
}

}  // namespace weir::coordination
