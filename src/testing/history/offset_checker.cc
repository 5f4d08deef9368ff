#include "testing/history/offset_checker.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "base/check.h"

namespace weir::testing {

namespace {

using Fate = RecordedTransaction::Fate;

// A group's committed offset of a partition.
struct Place {
  NameId group = kNoName;
  NameId partition = kNoName;
  auto operator<=>(const Place&) const = default;
};

struct Commitment {
  Place place;
  int64_t offset = -1;
  OperationId operation = kNoOperation;
  OperationId transaction = kNoOperation;
};

// All commits of offsets that were not refused, by place and offset.
std::vector<Commitment> commitments_of(const RecoveredLog& log) {
  std::vector<Commitment> all;
  const auto& operations = log.history().operations;
  for (OperationId id = 0; id < operations.size(); ++id) {
    if (operations[id].outcome == Outcome::kFail) continue;
    if (const auto* commit = std::get_if<CommitOffsets>(&operations[id].body)) {
      for (const auto& [partition, offset] : commit->offsets)
        all.push_back({{commit->group, partition}, offset, id, kNoOperation});
    } else if (const auto* sent = std::get_if<SendOffsets>(&operations[id].body)) {
      for (const auto& [partition, offset] : sent->offsets)
        all.push_back({{sent->group, partition}, offset, id, sent->transaction});
    }
  }
  std::sort(all.begin(), all.end(), [](const Commitment& one, const Commitment& other) {
    return std::tie(one.place, one.offset, one.operation) < std::tie(other.place, other.offset, other.operation);
  });
  return all;
}

std::span<const Commitment> commitments_at(const std::vector<Commitment>& all, const Place& place, int64_t offset) {
  const auto key = std::pair(place, offset);
  const auto first = std::lower_bound(all.begin(), all.end(), key, [](const Commitment& commitment, const auto& wanted) {
    return std::pair(commitment.place, commitment.offset) < wanted;
  });
  auto last = first;
  while (last != all.end() && last->place == place && last->offset == offset) ++last;
  return {first, last};
}

// True if a fetch that ended at `time` may show it.
bool may_show(const RecoveredLog& log, const Commitment& commitment, uint64_t time) {
  if (log.operation(commitment.operation).invoked > time) return false;
  const RecordedTransaction* transaction = log.transaction(commitment.transaction);
  return !transaction || log.may_show(*transaction, time);
}

// Calls `visit(id, fetch, place, offset)` for each offset that was fetched.
template <typename Visit>
void for_each_fetched(const RecoveredLog& log, const Visit& visit) {
  const auto& operations = log.history().operations;
  for (OperationId id = 0; id < operations.size(); ++id) {
    const auto* fetch = std::get_if<FetchOffsets>(&operations[id].body);
    if (!fetch || operations[id].outcome != Outcome::kOk) continue;
    for (const auto& [partition, offset] : fetch->offsets) visit(id, *fetch, Place{fetch->group, partition}, offset);
  }
}

class OffsetChecker {
 public:
  OffsetChecker(const RecoveredLog& log, Report& report) : log_(log), report_(report), commitments_(commitments_of(log)) {}

  void check() {
    check_phantoms();
    check_order();
  }

 private:
  std::string name(const Place& place) const {
    return fmt::format("group {}, {}", log_.name(place.group), log_.name(place.partition));
  }

  void check_phantoms() {
    for_each_fetched(log_, [this](OperationId id, const FetchOffsets&, const Place& place, int64_t offset) {
      if (offset < 0) return;
      const auto candidates = commitments_at(commitments_, place, offset);
      const uint64_t time = log_.operation(id).completed;
      const bool explained = std::any_of(candidates.begin(), candidates.end(),
                                         [&](const Commitment& candidate) { return may_show(log_, candidate, time); });
      if (explained) return;
      std::vector<OperationId> about = {id};
      for (const Commitment& candidate : candidates) {
        about.push_back(candidate.operation);
        about.push_back(candidate.transaction);
        if (const auto* transaction = log_.transaction(candidate.transaction)) about.push_back(transaction->commit);
      }
      report_.add(AnomalyKind::kPhantomOffset,
                  fmt::format("{}: fetch #{} shows {}, which {}", name(place), id, offset,
                              candidates.empty() ? "nobody committed" : "only transactions that had not committed sent"),
                  about);
    });
  }

  // What is known at a time: the committed offset is at least that.
  struct Known {
    uint64_t time = 0;
    int64_t offset = -1;
    OperationId by = kNoOperation;
    bool stable_only = false;  // a fetch that does not ask for stable offsets may show an older one
  };

  void check_order() {
    std::map<Place, std::vector<Known>> known;
    for (const Commitment& commitment : commitments_) {
      const Operation& operation = log_.operation(commitment.operation);
      if (operation.outcome != Outcome::kOk) continue;
      const RecordedTransaction* transaction = log_.transaction(commitment.transaction);
      if (transaction && transaction->fate != Fate::kCommitted) continue;
      const OperationId by = transaction ? transaction->evidence : commitment.operation;
      known[commitment.place].push_back({log_.operation(by).completed, commitment.offset, by, transaction != nullptr});
    }
    for_each_fetched(log_, [&](OperationId id, const FetchOffsets&, const Place& place, int64_t offset) {
      known[place].push_back({log_.operation(id).completed, offset, id, false});
    });
    struct Highest {
      Known all, stable;
    };
    std::map<Place, std::vector<Highest>> highest;  // of each prefix
    for (auto& [place, all] : known) {
      std::sort(all.begin(), all.end(), [](const Known& one, const Known& other) { return one.time < other.time; });
      Highest now;
      for (const Known& each : all) {
        if (!each.stable_only && each.offset > now.all.offset) now.all = each;
        if (each.offset > now.stable.offset) now.stable = each;
        highest[place].push_back(now);
      }
    }
    for_each_fetched(log_, [&](OperationId id, const FetchOffsets& fetch, const Place& place, int64_t offset) {
      const auto& all = known[place];
      const auto end = std::lower_bound(all.begin(), all.end(), log_.operation(id).invoked,
                                        [](const Known& one, uint64_t time) { return one.time < time; });
      if (end == all.begin()) return;
      const Highest& before = highest[place][static_cast<size_t>(end - all.begin()) - 1];
      const Known& least = fetch.stable ? before.stable : before.all;
      if (offset >= least.offset) return;
      report_.add(AnomalyKind::kOffsetWentBack,
                  fmt::format("{}: fetch #{} shows {}, but #{} had committed or shown {} before", name(place), id, offset,
                              least.by, least.offset),
                  {id, least.by});
    });
  }

  const RecoveredLog& log_;
  Report& report_;
  const std::vector<Commitment> commitments_;
};

// Each record of the input of a group has one output if its offset is committed, else none.
class ExactlyOnceChecker {
 public:
  ExactlyOnceChecker(const RecoveredLog& log, Report& report) : log_(log), report_(report) {}

  void check() {
    const auto& operations = log_.history().operations;
    for (OperationId id = 0; id < operations.size(); ++id) {
      const Operation& operation = operations[id];
      if (const auto* sent = std::get_if<SendOffsets>(&operation.body)) {
        for (const auto& [partition, offset] : sent->offsets) inputs_[sent->group].insert(partition);
      } else if (const auto* poll = std::get_if<Poll>(&operation.body)) {
        if (!poll->complete || poll->isolation != Isolation::kReadCommitted || operation.outcome != Outcome::kOk) continue;
        for (size_t i = 0; i < poll->ranges.size(); ++i) complete_[poll->ranges[i].partition] = {id, i};
      }
    }
    for_each_fetched(log_, [this](OperationId id, const FetchOffsets& fetch, const Place& place, int64_t offset) {
      if (fetch.stable) fetched_[place] = {id, offset};
    });
    for (OperationId id = 0; id < operations.size(); ++id) {
      const auto* send = std::get_if<Send>(&operations[id].body);
      if (send && send->cause != 0) add_output(id, *send);
    }
    for (const auto& [group, partitions] : inputs_) {
      for (const NameId partition : partitions) check_input({group, partition});
    }
  }

 private:
  struct Read {
    OperationId poll = kNoOperation;
    size_t range = 0;
  };
  struct Fetched {
    OperationId id = kNoOperation;
    int64_t offset = -1;
  };

  const PolledRange& range(const Read& read) const { return std::get<Poll>(log_.operation(read.poll).body).ranges[read.range]; }
  static uint64_t key(NameId group, uint64_t value) {
    WEIR_CHECK(group < 1 << 16 && value < uint64_t{1} << 48);
    return value << 16 | group;
  }

  void add_output(OperationId id, const Send& send) {
    const RecordedTransaction* transaction = log_.transaction_of_send(id);
    if (!transaction) return;
    const NameId group = std::get<Begin>(log_.operation(transaction->begin).body).group;
    if (group == kNoName) return;
    if (!complete_.contains(send.partition)) unread_.insert(group);
    attempts_[key(group, send.cause)] = id;
    if (!log_.must_be_visible(id)) return;
    const auto [known, first] = outputs_.try_emplace(key(group, send.cause), id);
    if (first) return;
    report_.add(
        AnomalyKind::kProcessedTwice,
        fmt::format("group {}: record {} has the outputs {} and {}", log_.name(group), send.cause, log_.send(known->second).value,
                    send.value),
        {known->second, id, log_.transaction_of_send(known->second)->commit, transaction->commit, log_.send_of(send.cause)});
  }

  void check_input(const Place& place) {
    const auto read = complete_.find(place.partition);
    const auto fetched = fetched_.find(place);
    if (read == complete_.end() || fetched == fetched_.end() || unread_.contains(place.group)) return;
    if (log_.operation(fetched->second.id).invoked < log_.operation(read->second.poll).completed) return;
    for (const PolledRecord& record : range(read->second).records) {
      const auto output = outputs_.find(key(place.group, record.value));
      const bool committed = record.offset < fetched->second.offset;
      if (committed == (output != outputs_.end())) continue;
      const std::string what = fmt::format("group {}: record {} at {}@{} has {}, and the committed offset is {}",
                                           log_.name(place.group), record.value, log_.name(place.partition), record.offset,
                                           committed ? "no output" : fmt::format("output {}", log_.send(output->second).value),
                                           fetched->second.offset);
      std::vector<OperationId> about = {log_.send_of(record.value), fetched->second.id};
      const auto attempt = attempts_.find(key(place.group, record.value));
      if (attempt != attempts_.end()) {
        about.insert(about.end(), {attempt->second, log_.transaction_of_send(attempt->second)->begin,
                                   log_.transaction_of_send(attempt->second)->commit});
      }
      report_.add(committed ? AnomalyKind::kOutputMissing : AnomalyKind::kOutputUncommitted, what, about);
    }
  }

  const RecoveredLog& log_;
  Report& report_;
  std::map<NameId, std::set<NameId>> inputs_;           // by group
  std::map<NameId, Read> complete_;                     // by partition
  std::map<Place, Fetched> fetched_;                    // the last stable fetch
  std::set<NameId> unread_;                             // groups of which nobody has read all outputs
  std::unordered_map<uint64_t, OperationId> outputs_;   // visible, by group and cause
  std::unordered_map<uint64_t, OperationId> attempts_;  // the last one, visible or not
};

}  // namespace

void decide_by_offsets(RecoveredLog& log) {
  const std::vector<Commitment> commitments = commitments_of(log);
  std::vector<std::pair<OperationId, OperationId>> decisions;
  for_each_fetched(log, [&](OperationId id, const FetchOffsets&, const Place& place, int64_t offset) {
    const Commitment* only = nullptr;
    for (const Commitment& candidate : commitments_at(commitments, place, offset)) {
      if (!may_show(log, candidate, log.operation(id).completed)) continue;
      if (only) return;
      only = &candidate;
    }
    if (only && log.transaction(only->transaction)) decisions.emplace_back(only->transaction, id);
  });
  for (const auto& [transaction, evidence] : decisions) log.decide(transaction, evidence);
}

void check_offsets(const RecoveredLog& log, Report& report) {
  OffsetChecker(log, report).check();
  ExactlyOnceChecker(log, report).check();
}

}  // namespace weir::testing
