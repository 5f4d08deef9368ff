// For tests: a small state machine that uses every service of the runtime.
//
// It keeps balances of accounts. One whose name begins with "t" is closed with the topic of that name. A deposit by a producer is
// pending until the marker of its transaction. Records: "a<name>" -> balance, or a tombstone; "p<name>" -> amount, in a
// transaction; "b<name>" -> the producer id that a branch was given.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "coordination/runtime/state_machine.h"

namespace weir::coordination {

struct LedgerResult {
  protocol::ErrorCode error{};
  int64_t value = 0;
};
using LedgerReply = Function<void(LedgerResult)>;

class Ledger final : public StateMachine {
 public:
  static constexpr int64_t kTransactionTimeoutMs = 60'000;
  enum Kind { kAudit, kBranch, kSend };

  // --- requests
  void deposit(const std::string& name, int64_t amount, LedgerReply reply, Effects& effects) {
    emit(effects, account(name, balance(name) + amount));
    effects.answer(std::move(reply), LedgerResult{{}, balance(name)});
  }
  // Both records or none.
  void transfer(const std::string& from, const std::string& to, int64_t amount, LedgerReply reply, Effects& effects) {
    emit(effects, account(from, balance(from) - amount));
    emit(effects, account(to, balance(to) + amount), {}, true);
    effects.answer(std::move(reply), LedgerResult{{}, balance(from)});
  }
  void close(const std::string& name, LedgerReply reply, Effects& effects) {
    if (balances_.contains(name)) emit(effects, {"a" + name, std::nullopt});
    effects.answer(std::move(reply), LedgerResult());
  }
  void read(const std::string& name, LedgerReply reply, Effects& effects) {
    effects.answer(std::move(reply), LedgerResult{{}, balance(name)});
  }
  void deposit_in_transaction(const Origin& origin, const std::string& name, int64_t amount, LedgerReply reply, Instant now,
                              Effects& effects) {
    if (!pending_.contains(origin.producer_id)) expiry_[origin.producer_id] = now.monotonic_ms + kTransactionTimeoutMs;
    emit(effects, {"p" + name, std::to_string(amount)}, origin);
    effects.answer(std::move(reply), LedgerResult());
  }
  void end(const TransactionMarker& marker, LedgerReply reply, Effects& effects) {
    emit(effects, marker);
    effects.answer(std::move(reply), LedgerResult());
  }
  // The sum of all balances, computed by the pool.
  void audit(LedgerReply reply, Effects& effects) {
    answer_waiting(kAudit, "", protocol::ErrorCode::kRebalanceInProgress, effects);
    waiting_[{kAudit, ""}] = std::move(reply);
    effects.jobs.push_back({awaited_.begin("", kAudit), [balances = balances_] {
                              int64_t sum = 0;
                              for (const auto& [name, amount] : balances) sum += amount;
                              return std::any(sum);
                            }});
  }
  void open_branch(const std::string& name, LedgerReply reply, Effects& effects) {
    answer_waiting(kBranch, name, protocol::ErrorCode::kRebalanceInProgress, effects);
    waiting_[{kBranch, name}] = std::move(reply);
    effects.calls.push_back({awaited_.begin(name, kBranch), NextProducerId()});
  }
  // Takes the amount at once and gives it back if the other partition does not want it.
  void send(const std::string& name, int64_t amount, const storage::PartitionId& to, LedgerReply reply, Effects& effects) {
    answer_waiting(kSend, name, protocol::ErrorCode::kRebalanceInProgress, effects);
    waiting_[{kSend, name}] = std::move(reply);
    sent_[name] = amount;
    emit(effects, account(name, balance(name) - amount));
    effects.posts.push_back({awaited_.begin(name, kSend), to, amount});
  }

  // --- StateMachine
  Result<void> replay(int64_t offset, const Origin& origin, Bytes key, std::optional<Bytes> value) override {
    CoordinatorRecord record{std::string(as_string(key)), std::nullopt};
    if (value) record.value = as_string(*value);
    if (record.key.empty()) return fail(weir::ErrorCode::kCorrupt, "no type");
    apply(record, origin);
    last_offset = offset;
    return {};
  }
  void replay_marker(int64_t offset, const TransactionMarker& marker) override {
    apply(marker);
    last_offset = offset;
  }
  void loaded(const ImagePtr& image, Instant now, Effects& effects) override {
    for (const auto& [producer, deposits] : pending_) expiry_[producer] = now.monotonic_ms + kTransactionTimeoutMs;
    std::vector<std::string> gone;
    for (const auto& [name, amount] : balances_) {
      if (name.starts_with('t') && !image->has_topic(name)) gone.push_back(name);
    }
    for (const std::string& name : gone) emit(effects, {"a" + name, std::nullopt});
  }
  void image_changed(const ImageChange& change, Instant /*now*/, Effects& effects) override {
    for (const ImageChange::Topic& topic : change.deleted) {
      if (balances_.contains(topic.name)) emit(effects, {"a" + topic.name, std::nullopt});
    }
  }
  void arrived(const Token& token, std::any result, Instant /*now*/, Effects& effects) override {
    if (!awaited_.take(token)) {
      ++ignored;
      return;
    }
    LedgerResult answer;
    if (token.kind == kAudit) answer.value = std::any_cast<int64_t>(result);
    if (token.kind == kBranch) {
      const auto branch = std::any_cast<ControllerResult>(result);
      answer = {branch.error, branch.producer_id};
      if (branch.error == protocol::ErrorCode::kNone) {
        emit(effects, {"b" + token.key, std::to_string(branch.producer_id)});
      }
    }
    if (token.kind == kSend && !std::any_cast<bool>(result)) {
      emit(effects, account(token.key, balance(token.key) + sent_[token.key]));
      answer.error = protocol::ErrorCode::kInvalidRequest;
    }
    effects.answer(take_waiting(token.kind, token.key), answer);
  }
  int64_t next_deadline_ms() const override {
    int64_t next = kNever;
    for (const auto& [producer, at] : expiry_) next = std::min(next, at);
    return next;
  }
  void tick(Instant now, Effects& effects) override {
    std::vector<int64_t> late;
    for (const auto& [producer, at] : expiry_) {
      if (at <= now.monotonic_ms) late.push_back(producer);
    }
    for (const int64_t producer : late) {
      emit(effects, TransactionMarker{producer, pending_.at(producer).epoch, 0, false});
    }
  }
  void abandon(protocol::ErrorCode error, Effects& effects) override {
    for (auto& [of, reply] : std::exchange(waiting_, {})) effects.answer(std::move(reply), LedgerResult{error, 0});
  }
  std::string summary() const override { return balances_.empty() ? "" : std::to_string(balances_.size()) + " accounts"; }
  std::vector<CoordinatorRecord> snapshot() const override {
    std::vector<CoordinatorRecord> records;
    for (const auto& [name, amount] : balances_) records.push_back(account(name, amount));
    for (const auto& [name, id] : branches_) records.push_back({"b" + name, std::to_string(id)});
    for (const auto& [producer, open] : pending_) {
      for (const auto& [name, amount] : open.deposits) {
        records.push_back({"p" + name + " of " + std::to_string(producer), std::to_string(amount)});
      }
    }
    return records;
  }

  int64_t balance(const std::string& name) const {
    const auto at = balances_.find(name);
    return at == balances_.end() ? 0 : at->second;
  }
  int64_t last_offset = -1;  // that was replayed
  int ignored = 0;           // results that arrived and nobody waited for

 private:
  struct Open {
    int16_t epoch = -1;
    std::vector<std::pair<std::string, int64_t>> deposits;
  };

  static CoordinatorRecord account(const std::string& name, int64_t amount) { return {"a" + name, std::to_string(amount)}; }

  // The one way to change durable state: a live step applies a record as replay does.
  void emit(Effects& effects, CoordinatorRecord record, const Origin& origin = {}, bool joined = false) {
    apply(record, origin);
    if (joined) effects.append_joined(std::move(record));
    else effects.append(std::move(record), origin);
  }
  void emit(Effects& effects, const TransactionMarker& marker) {
    apply(marker);
    effects.append(marker);
  }
  void apply(const CoordinatorRecord& record, const Origin& origin) {
    const std::string name = record.key.substr(1);
    if (!record.value) {
      balances_.erase(name);
    } else if (record.key[0] == 'a') {
      balances_[name] = std::stoll(*record.value);
    } else if (record.key[0] == 'b') {
      branches_[name] = std::stoll(*record.value);
    } else {
      Open& open = pending_[origin.producer_id];
      open.epoch = origin.producer_epoch;
      open.deposits.emplace_back(name, std::stoll(*record.value));
    }
  }
  void apply(const TransactionMarker& marker) {
    const auto open = pending_.find(marker.producer_id);
    expiry_.erase(marker.producer_id);
    if (open == pending_.end()) return;
    if (marker.commit) {
      for (const auto& [name, amount] : open->second.deposits) balances_[name] += amount;
    }
    pending_.erase(open);
  }
  LedgerReply take_waiting(int kind, const std::string& key) {
    auto node = waiting_.extract({kind, key});
    return std::move(node.mapped());
  }
  void answer_waiting(int kind, const std::string& key, protocol::ErrorCode error, Effects& effects) {
    if (waiting_.contains({kind, key})) effects.answer(take_waiting(kind, key), LedgerResult{error, 0});
  }

  // State that records have.
  std::map<std::string, int64_t> balances_;
  std::map<std::string, int64_t> branches_;
  std::map<int64_t, Open> pending_;  // by producer
  // State that a restart loses.
  std::map<int64_t, int64_t> expiry_;  // of pending ones
  Awaited awaited_;
  std::map<std::pair<int, std::string>, LedgerReply> waiting_;
  std::map<std::string, int64_t> sent_;
};

}  // namespace weir::coordination
