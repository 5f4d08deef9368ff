#include "testing/history/history.h"

#include <fmt/core.h>

#include <utility>

#include "base/check.h"

namespace weir::testing {

NameId HistoryRecorder::name(std::string_view text) {
  const std::lock_guard lock(mutex_);
  const auto known = names_.find(text);
  if (known != names_.end()) return known->second;
  history_.names.emplace_back(text);
  return names_.emplace(text, static_cast<NameId>(history_.names.size() - 1)).first->second;
}

NameId HistoryRecorder::partition(std::string_view topic, int32_t index) { return name(fmt::format("{}-{}", topic, index)); }

OperationId HistoryRecorder::invoke(uint32_t client, OperationBody body) {
  const std::lock_guard lock(mutex_);
  history_.operations.push_back({.client = client, .invoked = now_++, .body = std::move(body)});
  return static_cast<OperationId>(history_.operations.size() - 1);
}

void HistoryRecorder::ok(OperationId id, OperationBody body) {
  const std::lock_guard lock(mutex_);
  WEIR_CHECK(history_.operations[id].body.index() == body.index());
  history_.operations[id].body = std::move(body);
  history_.operations[id].outcome = Outcome::kOk;
  history_.operations[id].completed = now_++;
}

void HistoryRecorder::end(OperationId id, Outcome outcome) {
  const std::lock_guard lock(mutex_);
  history_.operations[id].outcome = outcome;
  history_.operations[id].completed = now_++;
}

size_t HistoryRecorder::size() const {
  const std::lock_guard lock(mutex_);
  return history_.operations.size();
}

History HistoryRecorder::history() const {
  const std::lock_guard lock(mutex_);
  return history_;
}

namespace {

// The words after the outcome.
class Words {
 public:
  explicit Words(const History& history) : history_(history) {}

  std::string operator()(const InitProducer& init) const { return "initialize producer " + name(init.transactional_id); }
  std::string operator()(const Begin& begin) const {
    return fmt::format("begin a transaction{}{}", begin.init == kNoOperation ? "" : fmt::format(" of producer #{}", begin.init),
                       begin.group == kNoName ? "" : " for group " + name(begin.group));
  }
  std::string operator()(const Send& send) const {
    return fmt::format("send {} (key {}) to {}{}{}{}", send.value, send.key, name(send.partition), within(send.transaction),
                       send.cause == 0 ? "" : fmt::format(" for record {}", send.cause),
                       send.offset < 0 ? "" : fmt::format(", at offset {}", send.offset));
  }
  std::string operator()(const SendOffsets& sent) const {
    return fmt::format("send offsets of group {}{}{}:{}", name(sent.group), generation(sent.generation), within(sent.transaction),
                       list(sent.offsets));
  }
  std::string operator()(const EndTransaction& end) const {
    return fmt::format("{} transaction #{}", end.commit ? "commit" : "abort", end.transaction);
  }
  std::string operator()(const Poll& poll) const {
    std::string text = poll.isolation == Isolation::kReadCommitted ? "poll committed" : "poll uncommitted";
    if (poll.complete) text += ", complete";
    text += within(poll.transaction);
    for (const PolledRange& range : poll.ranges) {
      text += fmt::format("; {} {}..{}:", name(range.partition), range.from, range.to);
      // What a reader of the text looks for stands at the ends.
      constexpr size_t kShown = 20;
      for (size_t i = 0; i < range.records.size(); ++i) {
        if (i == kShown && range.records.size() > 2 * kShown) {
          text += " ...";
          i = range.records.size() - kShown;
        }
        text += fmt::format(" {}@{}", range.records[i].value, range.records[i].offset);
      }
    }
    return text;
  }
  std::string operator()(const CommitOffsets& commit) const {
    return fmt::format("commit offsets of group {}{}:{}", name(commit.group), generation(commit.generation),
                       list(commit.offsets));
  }
  std::string operator()(const FetchOffsets& fetch) const {
    return fmt::format("fetch {}offsets of group {}:{}", fetch.stable ? "stable " : "", name(fetch.group), list(fetch.offsets));
  }
  std::string operator()(const Assigned& assigned) const { return owned("is assigned", assigned.group, assigned); }
  std::string operator()(const Kept& kept) const { return owned("keeps", kept.group, kept); }
  std::string operator()(const Revoked& revoked) const { return owned("gives up", revoked.group, revoked); }

 private:
  std::string name(NameId id) const { return id == kNoName ? "(none)" : history_.names[id]; }
  static std::string within(OperationId transaction) {
    return transaction == kNoOperation ? "" : fmt::format(" in #{}", transaction);
  }
  static std::string generation(int32_t generation) { return generation < 0 ? "" : fmt::format(" in generation {}", generation); }
  std::string list(const std::vector<PartitionOffset>& offsets) const {
    std::string text;
    for (const auto& [partition, offset] : offsets) text += fmt::format(" {}@{}", name(partition), offset);
    return text;
  }
  template <typename Ownership>
  std::string owned(const char* what, NameId group, const Ownership& ownership) const {
    std::string text =
        fmt::format("{}{}{}:", what, group == kNoName ? "" : " in group " + name(group), generation(ownership.generation));
    for (const NameId partition : ownership.partitions) text += " " + name(partition);
    return text;
  }

  const History& history_;
};

}  // namespace

std::string describe(const History& history, OperationId id) {
  constexpr const char* kOutcomes[] = {"unknown", "ok", "failed"};
  const Operation& operation = history.operations[id];
  const std::string end = operation.completed == Operation::kNever ? "" : std::to_string(operation.completed);
  return fmt::format("#{} [{}..{}] client {}, {}: {}", id, operation.invoked, end, operation.client,
                     kOutcomes[static_cast<size_t>(operation.outcome)], std::visit(Words(history), operation.body));
}

std::string to_text(const History& history) {
  std::string text;
  for (OperationId id = 0; id < history.operations.size(); ++id) text += describe(history, id) + "\n";
  return text;
}

}  // namespace weir::testing
