#include "group_record_target.h"

#include <algorithm>
#include <functional>
#include <variant>
#include <vector>

#include "base/check.h"
#include "coordination/group/group_records.h"

namespace weir::fuzz {
namespace {

using namespace weir::coordination;

template <typename T, typename Projection = std::identity>
void check_ascending(const std::vector<T>& all, Projection projection = {}) {
  WEIR_CHECK(std::ranges::adjacent_find(all, std::ranges::greater_equal(), projection) == all.end());
}

// What the header of the records promises.
struct CheckPromises {
  void operator()(const auto&) const {}
  void operator()(const ConsumerMemberEntry& entry) const {
    if (entry.value) check_ascending(entry.value->subscribed_topics);
  }
  void operator()(const TargetAssignmentMemberEntry& entry) const {
    if (!entry.value) return;
    check_ascending(*entry.value, &TopicPartitions::topic_id);
    for (const TopicPartitions& list : *entry.value) check_partitions(list.partitions);
  }
  void operator()(const CurrentAssignmentEntry& entry) const {
    if (!entry.value) return;
    for (const auto* lists : {&entry.value->assigned, &entry.value->pending_revocation}) {
      check_ascending(*lists, &OwnedTopicPartitions::topic_id);
      for (const OwnedTopicPartitions& list : *lists) {
        check_partitions(list.partitions);
        WEIR_CHECK(list.assignment_epochs.size() == list.partitions.size());
      }
    }
  }
  void operator()(const ResolvedRegexEntry& entry) const {
    if (entry.value) check_ascending(entry.value->topics);
  }

  static void check_partitions(const std::vector<int32_t>& partitions) {
    check_ascending(partitions);
    WEIR_CHECK(!partitions.empty() && partitions.front() >= 0);
  }
};

Result<GroupRecord> parse(const CoordinatorRecord& record) {
  return parse_group_record(as_bytes(record.key), record.value ? std::optional(as_bytes(*record.value)) : std::nullopt);
}

}  // namespace

bool fuzz_group_record(Bytes input) {
  if (input.size() < 2) return false;
  const Bytes rest = input.subspan(2);
  const Bytes key = rest.first(std::min<size_t>(load_be<uint16_t>(input.data()), rest.size()));
  const Bytes value = rest.subspan(key.size());
  const auto record = parse_group_record(key, value.empty() ? std::nullopt : std::optional(value));
  if (!record) {
    WEIR_CHECK(record.error().code == weir::ErrorCode::kCorrupt);
    return false;
  }
  std::visit(CheckPromises(), *record);
  if (std::holds_alternative<UnknownEntry>(*record)) return false;
  // What was read can be written, and is then a fixed point.
  const CoordinatorRecord written = encode(*record);
  const auto again = parse(written);
  WEIR_CHECK(again && again->index() == record->index() && encode(*again) == written);
  return true;
}

}  // namespace weir::fuzz
