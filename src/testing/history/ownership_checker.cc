#include "testing/history/ownership_checker.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>
#include <map>
#include <tuple>
#include <utility>

namespace weir::testing {

namespace {

class OwnershipChecker {
 public:
  OwnershipChecker(const History& history, Report& report) : history_(history), report_(report) {}

  void check() {
    for (OperationId id = 0; id < history_.operations.size(); ++id) {
      const Operation& operation = history_.operations[id];
      if (const auto* assigned = std::get_if<Assigned>(&operation.body)) assign(id, *assigned);
      if (const auto* revoked = std::get_if<Revoked>(&operation.body)) revoke(id, *revoked);
      if (const auto* kept = std::get_if<Kept>(&operation.body)) keep(id, *kept);
      if (const auto* commit = std::get_if<CommitOffsets>(&operation.body)) prove(id, *commit);
      if (const auto* sent = std::get_if<SendOffsets>(&operation.body)) prove(id, *sent);
    }
    for (auto& [place, intervals] : intervals_) check_intervals(place, intervals);
    for (auto& [whose, assignments] : assignments_) check_generations(whose.first, assignments);
  }

 private:
  struct Place {
    NameId group = kNoName;
    NameId partition = kNoName;
    auto operator<=>(const Place&) const = default;
  };
  struct Interval {
    uint32_t owner = 0;
    int32_t generation = -1;
    OperationId begin = kNoOperation;
    OperationId last = kNoOperation;  // at its invocation the member was the owner, as the coordinator took it
    uint64_t begin_time = 0;
    uint64_t end_time = 0;
    bool member_epoch = false;
    bool given_up = false;
  };

  void assign(OperationId id, const Assigned& assigned) {
    const Operation& operation = history_.operations[id];
    if (assigned.group == kNoName || operation.outcome != Outcome::kOk) return;
    assignments_[{assigned.group, assigned.member_epoch ? operation.client : kEverybody}].push_back(id);
    for (const NameId partition : assigned.partitions) {
      const Place place{assigned.group, partition};
      // The coordinator gave the partition to the member at some time in between.
      intervals_[place].push_back({.owner = operation.client,
                                   .generation = assigned.generation,
                                   .begin = id,
                                   .last = id,
                                   .begin_time = operation.completed,
                                   .end_time = operation.invoked,
                                   .member_epoch = assigned.member_epoch});
      held_[{operation.client, place}] = intervals_[place].size() - 1;
    }
  }

  void revoke(OperationId id, const Revoked& revoked) {
    const Operation& operation = history_.operations[id];
    for (const NameId partition : revoked.partitions) {
      const Place place{revoked.group, partition};
      if (operation.outcome == Outcome::kOk) extend(id, place, revoked.generation);
      const auto held = held_.find({operation.client, place});
      if (held == held_.end()) continue;
      intervals_[place][held->second].given_up = operation.outcome != Outcome::kFail;
      held_.erase(held);
    }
  }

  void keep(OperationId id, const Kept& kept) {
    if (history_.operations[id].outcome != Outcome::kOk) return;
    for (const NameId partition : kept.partitions) extend(id, {kept.group, partition}, kept.generation);
  }

  template <typename Commit>
  void prove(OperationId id, const Commit& commit) {
    if (commit.generation < 0 || history_.operations[id].outcome != Outcome::kOk) return;
    for (const auto& [partition, offset] : commit.offsets) extend(id, {commit.group, partition}, commit.generation);
  }

  void extend(OperationId id, const Place& place, int32_t generation) {
    const Operation& operation = history_.operations[id];
    const auto held = held_.find({operation.client, place});
    if (held == held_.end()) return;
    Interval& interval = intervals_[place][held->second];
    if (generation < interval.generation || operation.invoked < interval.end_time) return;
    interval.last = id;
    interval.end_time = operation.invoked;
  }

  std::string name(const Place& place) const {
    return fmt::format("group {}, {}", history_.names[place.group], history_.names[place.partition]);
  }

  void check_intervals(const Place& place, std::vector<Interval>& intervals) {
    std::map<int32_t, const Interval*> owners;  // by generation
    // A member may learn late of an assignment that is over already.
    std::sort(intervals.begin(), intervals.end(), [](const Interval& one, const Interval& other) {
      return std::tie(one.generation, one.begin_time) < std::tie(other.generation, other.begin_time);
    });
    const Interval* longest = nullptr;  // of earlier generations
    for (const Interval& interval : intervals) {
      const auto [owner, first] = owners.emplace(interval.generation, &interval);
      // A static member that left hands its epoch over to the next one.
      const bool handed_over = !first && owner->second->given_up && owner->second->member_epoch;
      if (handed_over) owner->second = &interval;
      if (!first && owner->second->owner != interval.owner) {
        report_.add(AnomalyKind::kTwoOwners,
                    fmt::format("{}: clients {} and {} own it in generation {}", name(place), owner->second->owner,
                                interval.owner, interval.generation),
                    {owner->second->begin, interval.begin});
      } else if (longest && longest->owner != interval.owner && longest->end_time > interval.begin_time) {
        report_.add(
            AnomalyKind::kTwoOwners,
            fmt::format("{}: client {} owned it in generation {} until #{} at least, and client {} owns it in generation {} "
                        "since #{}",
                        name(place), longest->owner, longest->generation, longest->last, interval.owner, interval.generation,
                        interval.begin),
            {longest->begin, longest->last, interval.begin});
      }
      if (!longest || interval.end_time > longest->end_time) longest = &interval;
    }
  }

  void check_generations(NameId group, std::vector<OperationId>& assignments) {
    const auto generation = [this](OperationId id) { return std::get<Assigned>(history_.operations[id].body).generation; };
    std::vector<OperationId> by_end = assignments;
    std::sort(by_end.begin(), by_end.end(), [this](OperationId one, OperationId other) {
      return history_.operations[one].completed < history_.operations[other].completed;
    });
    OperationId highest = kNoOperation;  // of those that were over when the assignment was asked for
    auto next = by_end.begin();
    for (const OperationId id : assignments) {
      for (; next != by_end.end() && history_.operations[*next].completed < history_.operations[id].invoked; ++next) {
        if (highest == kNoOperation || generation(*next) > generation(highest)) highest = *next;
      }
      if (highest == kNoOperation || generation(id) >= generation(highest)) continue;
      report_.add(AnomalyKind::kGenerationWentBack,
                  fmt::format("group {}: #{} is in generation {}, after generation {} of #{}", history_.names[group], id,
                              generation(id), generation(highest), highest),
                  {highest, id});
    }
  }

  const History& history_;
  Report& report_;
  std::map<Place, std::vector<Interval>> intervals_;
  std::map<std::pair<uint32_t, Place>, size_t> held_;  // by client: its interval now
  static constexpr uint32_t kEverybody = std::numeric_limits<uint32_t>::max();
  std::map<std::pair<NameId, uint32_t>, std::vector<OperationId>> assignments_;  // by group, and client if epochs are its own
};

}  // namespace

void check_ownership(const History& history, Report& report) { OwnershipChecker(history, report).check(); }

}  // namespace weir::testing
