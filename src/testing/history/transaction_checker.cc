#include "testing/history/transaction_checker.h"

#include <fmt/core.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace weir::testing {

namespace {

using Entry = RecoveredLog::Entry;
using Entries = RecoveredLog::Entries;

class TransactionChecker {
 public:
  TransactionChecker(const RecoveredLog& log, Report& report) : log_(log), report_(report) {
    visible_.resize(log.history().names.size());
    for (NameId partition = 0; partition < visible_.size(); ++partition) {
      for (const Entry& entry : log.entries(partition)) {
        if (log.must_be_visible(entry.send)) visible_[partition].push_back(entry);
      }
    }
    shown_by_complete_.resize(log.history().operations.size(), kNoOperation);
    complete_reads_.resize(log.history().names.size(), kNoOperation);
  }

  void check() {
    check_offsets();
    const auto& operations = log_.history().operations;
    for (OperationId id = 0; id < operations.size(); ++id) {
      if (operations[id].outcome != Outcome::kOk) continue;
      if (const auto* assigned = std::get_if<Assigned>(&operations[id].body)) {
        for (const NameId partition : assigned->partitions) positions_.erase(key(operations[id].client, partition));
      }
      const auto* poll = std::get_if<Poll>(&operations[id].body);
      for (size_t i = 0; poll && i < poll->ranges.size(); ++i) check_range(id, *poll, poll->ranges[i]);
    }
    check_complete_reads();
  }

 private:
  struct Position {
    OperationId poll = kNoOperation;
    int64_t to = 0;
    int64_t last = -1;  // offset of the last record shown
  };

  static uint64_t key(uint32_t client, NameId partition) { return uint64_t{client} << 32 | partition; }
  std::string place(NameId partition, int64_t offset) const { return fmt::format("{}@{}", log_.name(partition), offset); }
  std::string sent(OperationId send) const { return fmt::format("#{} sent it{}", send, log_.fate_of_send(send)); }

  void check_offsets() {
    for (NameId partition = 0; partition < log_.history().names.size(); ++partition) {
      const Entries& entries = log_.entries(partition);
      for (size_t i = 1; i < entries.size(); ++i) {
        if (entries[i].offset != entries[i - 1].offset) continue;
        const OperationId one = entries[i - 1].send, other = entries[i].send;
        report_.add(AnomalyKind::kOffsetReused,
                    fmt::format("records {} and {} both stand at {}", log_.send(one).value, log_.send(other).value,
                                place(partition, entries[i].offset)),
                    {one, other, log_.seen_by(one), log_.seen_by(other)});
      }
    }
  }

  void check_range(OperationId id, const Poll& poll, const PolledRange& range) {
    int64_t last = -1;
    for (const PolledRecord& record : range.records) {
      if (record.offset <= last) {
        report_.add(AnomalyKind::kNonMonotonicPoll,
                    fmt::format("poll #{} shows {} behind {}", id, place(range.partition, record.offset), last), {id});
      }
      last = record.offset;
      check_record(id, poll, range, record);
    }
    if (poll.complete && poll.isolation == Isolation::kReadCommitted) {
      complete_reads_[range.partition] = id;
      return;  // check_complete_reads
    }
    const Entries& expected = expected_of(poll, range.partition);
    check_skips(id, range, expected, poll.complete ? AnomalyKind::kLostWrite : AnomalyKind::kPollSkip);
    if (!poll.complete) follow(id, range, expected);
  }

  const Entries& expected_of(const Poll& poll, NameId partition) const {
    return poll.isolation == Isolation::kReadCommitted ? visible_[partition] : log_.entries(partition);
  }

  void check_record(OperationId id, const Poll& poll, const PolledRange& range, const PolledRecord& record) {
    const OperationId send = log_.plausible_send(range.partition, record);
    const std::string shows = fmt::format("poll #{} shows {} at {}", id, record.value, place(range.partition, record.offset));
    if (send == kNoOperation) return phantom(id, shows, range.partition, record);
    const uint64_t time = log_.operation(id).completed;
    if (log_.operation(send).invoked > time) {
      return report_.add(AnomalyKind::kPhantom, fmt::format("{}, before #{} sent it", shows, send), {id, send});
    }
    if (log_.offset_of(send) != record.offset) {
      report_.add(AnomalyKind::kDuplicate,
                  fmt::format("{}. It also stands at {}", shows, place(range.partition, log_.offset_of(send))),
                  {id, send, log_.seen_by(send)});
    }
    if (poll.isolation != Isolation::kReadCommitted) return;
    if (poll.complete) shown_by_complete_[send] = id;
    const RecordedTransaction* transaction = log_.transaction_of_send(send);
    if (!transaction || log_.may_show(*transaction, time)) return;
    const bool aborted = transaction->fate == RecordedTransaction::Fate::kAborted;
    report_.add(aborted ? AnomalyKind::kAbortedRead : AnomalyKind::kDirtyRead,
                fmt::format("{}{}. {}", shows, aborted ? "" : fmt::format(", before #{} wanted to commit", transaction->commit),
                            sent(send)),
                {id, send, transaction->begin, transaction->commit});
  }

  void phantom(OperationId id, const std::string& shows, NameId partition, const PolledRecord& record) {
    const OperationId send = log_.send_of(record.value);
    if (send == kNoOperation) return report_.add(AnomalyKind::kPhantom, shows + ", which nobody sent", {id});
    const bool refused = log_.send(send).partition == partition && log_.send(send).key == record.key;
    report_.add(
        AnomalyKind::kPhantom,
        fmt::format("{}, but #{} {}", shows, send, refused ? "was refused" : "sent it to another place or with another key"),
        {id, send});
  }

  // What the range passes and does not show.
  void check_skips(OperationId id, const PolledRange& range, const Entries& expected, AnomalyKind kind) {
    const auto below = [](const Entry& entry, int64_t offset) { return entry.offset < offset; };
    auto next = std::lower_bound(expected.begin(), expected.end(), range.from, below);
    const auto end = std::lower_bound(next, expected.end(), range.to, below);
    shown_.clear();
    for (const PolledRecord& record : range.records) shown_.push_back(record.offset);
    if (!std::is_sorted(shown_.begin(), shown_.end())) std::sort(shown_.begin(), shown_.end());
    auto shown = shown_.begin();
    for (; next != end; ++next) {
      while (shown != shown_.end() && *shown < next->offset) ++shown;
      if (shown == shown_.end() || *shown != next->offset) return skipped(id, range, next->send, kind);
    }
  }

  void skipped(OperationId id, const PolledRange& range, OperationId send, AnomalyKind kind) {
    const RecordedTransaction* transaction = log_.transaction_of_send(send);
    OperationId other = kNoOperation;  // another record of the transaction that the same poll shows
    for (const PolledRecord& record : range.records) {
      const OperationId shown = log_.plausible_send(range.partition, record);
      if (transaction && shown != kNoOperation && log_.transaction_of_send(shown) == transaction) other = shown;
    }
    std::string text = fmt::format("poll #{} passes {} and does not show {}. {}", id,
                                   place(range.partition, log_.offset_of(send)), log_.send(send).value, sent(send));
    if (log_.seen_by(send) != kNoOperation) text += fmt::format(". Poll #{} shows it", log_.seen_by(send));
    if (other != kNoOperation) text += fmt::format(". Of the transaction it shows {}", log_.send(other).value);
    report_.add(other == kNoOperation ? kind : AnomalyKind::kIntermediateRead, std::move(text),
                {id, send, other, log_.seen_by(send)});
  }

  // From one poll of a consumer to the next.
  void follow(OperationId id, const PolledRange& range, const Entries& expected) {
    const auto [known, first] = positions_.try_emplace(key(log_.operation(id).client, range.partition));
    Position& position = known->second;
    if (!first) {
      const auto again = std::find_if(range.records.begin(), range.records.end(),
                                      [&](const PolledRecord& record) { return record.offset <= position.last; });
      if (again != range.records.end()) {
        report_.add(AnomalyKind::kNonMonotonicPoll,
                    fmt::format("poll #{} shows {} after poll #{} had shown {}", id, place(range.partition, again->offset),
                                position.poll, position.last),
                    {position.poll, id});
      }
      if (range.from > position.to) check_gap(id, {range.partition, position.to, range.from}, expected, position.poll);
    }
    position.poll = id;
    position.to = std::max(position.to, range.to);
    for (const PolledRecord& record : range.records) position.last = std::max(position.last, record.offset);
  }

  void check_gap(OperationId id, const PolledRange& gap, const Entries& expected, OperationId before) {
    const auto missed = std::lower_bound(expected.begin(), expected.end(), gap.from,
                                         [](const Entry& entry, int64_t offset) { return entry.offset < offset; });
    if (missed == expected.end() || missed->offset >= gap.to) return;
    report_.add(AnomalyKind::kPollSkip,
                fmt::format("poll #{} ends at {}, and the consumer's next poll #{} begins at {}: none shows {} at {}. {}", before,
                            gap.from, id, gap.to, log_.send(missed->send).value, place(gap.partition, missed->offset),
                            sent(missed->send)),
                {before, id, missed->send});
  }

  // The last complete read of each partition shows all that has to be visible, known offset or not.
  void check_complete_reads() {
    const auto& operations = log_.history().operations;
    for (OperationId id = 0; id < operations.size(); ++id) {
      const auto* send = std::get_if<Send>(&operations[id].body);
      if (!send || !log_.must_be_visible(id) || is_shown(id)) continue;
      const OperationId poll = complete_reads_[send->partition];
      if (poll != kNoOperation && visible_since(id) < operations[poll].invoked) lost(id, poll);
    }
  }

  // A complete read comes when no request is under way: a commit without an answer has happened by then, or never will.
  uint64_t visible_since(OperationId send) const {
    if (log_.seen_by(send) != kNoOperation) return log_.operation(log_.seen_by(send)).completed;
    const uint64_t sent = log_.operation(send).completed;
    const RecordedTransaction* transaction = log_.transaction_of_send(send);
    if (!transaction) return sent;
    const Operation& commit = log_.operation(transaction->commit);
    return std::max(sent, transaction->evidence == transaction->commit ? commit.completed : commit.invoked);
  }

  bool is_shown(OperationId send) const {
    return shown_by_complete_[send] != kNoOperation && shown_by_complete_[send] == complete_reads_[log_.send(send).partition];
  }

  void lost(OperationId id, OperationId poll) {
    const Send& send = log_.send(id);
    OperationId other = kNoOperation;  // another record of the transaction that is visible
    if (const RecordedTransaction* transaction = log_.transaction_of_send(id)) {
      for (const OperationId each : transaction->sends) {
        if (is_shown(each)) other = each;
      }
    }
    std::string text = fmt::format("complete poll #{} lacks {} of {}{}. {}", poll, send.value, log_.name(send.partition),
                                   log_.offset_of(id) < 0 ? "" : fmt::format(", offset {}", log_.offset_of(id)), sent(id));
    if (log_.seen_by(id) != kNoOperation) text += fmt::format(". Poll #{} shows it", log_.seen_by(id));
    if (other != kNoOperation) text += fmt::format(". Of the transaction {} is visible", log_.send(other).value);
    report_.add(other == kNoOperation ? AnomalyKind::kLostWrite : AnomalyKind::kIntermediateRead, std::move(text),
                {poll, id, other, log_.seen_by(id)});
  }

  const RecoveredLog& log_;
  Report& report_;
  std::vector<Entries> visible_;  // by partition: what committed reads have to show
  std::unordered_map<uint64_t, Position> positions_;
  std::vector<OperationId> shown_by_complete_;  // by send: the last committed complete read
  std::vector<OperationId> complete_reads_;     // by partition: the last committed one
  std::vector<int64_t> shown_;                  // check_skips, to keep its memory
};

}  // namespace

void check_transactions(const RecoveredLog& log, Report& report) { TransactionChecker(log, report).check(); }

}  // namespace weir::testing
