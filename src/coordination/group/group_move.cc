#include "coordination/group/group_move.h"

#include <utility>
#include <variant>

#include "base/check.h"

namespace weir::coordination {
namespace {

constexpr size_t kRecordsPerSlice = 512;
constexpr size_t kGroupsPerSlice = 4096;

// Whether the group has more than committed offsets.
bool has_metadata(const ClassicGroup& group) { return group.generation() > 0 || group.protocol_type(); }

GroupRecord parse(const CoordinatorRecord& record, std::optional<Bytes> value) {
  auto entry = parse_group_record(as_bytes(record.key), value);
  WEIR_CHECK(entry.has_value());
  return std::move(*entry);
}

}  // namespace

// A group's own record comes behind its offsets: while some of them are left, so is the group.
GroupMove::Slice GroupMove::misplaced(const std::string& from_group, int32_t own, const HomeOf& home_of) const {
  Slice slice;
  const Groups::Map& all_groups = context_.groups.all();
  const CommittedOffsets::Groups& all_offsets = context_.offsets.groups();
  auto group = all_groups.lower_bound(from_group);
  auto offsets = all_offsets.lower_bound(from_group);
  for (size_t looked = 0;; ++looked) {
    const bool more_groups = group != all_groups.end();
    const bool more_offsets = offsets != all_offsets.end();
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
            slice.records.push_back(encode(OffsetEntry{id, topic, partition, offset}));
          }
        }
      }
      if (const auto* classic = take_group ? std::get_if<ClassicGroup>(&group->second) : nullptr) {
        slice.records.push_back(encode(GroupMetadataEntry{id, classic->metadata()}));
      }
    }
    if (take_group) ++group;
    if (take_offsets) ++offsets;
  }
}

bool GroupMove::wanted(const OffsetEntry& offset) const {
  const CommittedOffset* have = context_.offsets.find(offset.group_id, offset.topic, offset.partition);
  return have == nullptr || have->commit_timestamp_ms < offset.value->commit_timestamp_ms;
}

bool GroupMove::wanted(const GroupMetadataEntry& moved) const {
  const Group* there = context_.groups.find(moved.group_id);
  if (there == nullptr) return true;
  const auto* have = std::get_if<ClassicGroup>(there);
  const bool says_more = moved.value->generation > 0 || !moved.value->protocol_type.empty();
  if (have == nullptr || !says_more) return false;
  if (has_metadata(*have)) {
    const bool settled = have->in(ClassicGroupState::kEmpty) || have->in(ClassicGroupState::kStable);
    if (!settled || have->state_timestamp_ms() >= moved.value->state_timestamp_ms) return false;
  }
  return have->pending_members().empty();
}

void GroupMove::adopt(const std::vector<CoordinatorRecord>& records, Instant now, Effects& effects) {
  for (const CoordinatorRecord& record : records) {
    GroupRecord entry = parse(record, as_bytes(*record.value));
    if (auto* offset = std::get_if<OffsetEntry>(&entry)) {
      if (wanted(*offset)) context_.emit(std::move(entry), effects);
    } else if (auto* moved = std::get_if<GroupMetadataEntry>(&entry)) {
      if (!wanted(*moved)) continue;
      const std::string id = moved->group_id;
      context_.emit(std::move(entry), effects);
      classic_.expect_heartbeats(*context_.groups.find_classic(id), now);
    }
  }
}

void GroupMove::forget(const std::vector<CoordinatorRecord>& records, Effects& effects) {
  for (const CoordinatorRecord& record : records) context_.emit(parse(record, std::nullopt), effects);
}

}  // namespace weir::coordination
