#include "testing/history/order_checker.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "testing/history/event_graph.h"

namespace weir::testing {

namespace {

// Node `id` is the moment at which the operation took effect, node `id + operations` its invocation.
class EdgeCollector {
 public:
  explicit EdgeCollector(const RecoveredLog& log) : log_(log), operations_(log.history().operations) {}

  std::vector<EventEdge> collect() {
    add_program_order();
    add_appends();
    find_inits();
    for (OperationId id = 0; id < operations_.size(); ++id) {
      if (operations_[id].outcome == Outcome::kFail) continue;
      if (std::holds_alternative<Send>(operations_[id].body)) add_send(id);
      const auto* poll = std::get_if<Poll>(&operations_[id].body);
      if (poll && operations_[id].outcome == Outcome::kOk) add_poll(id, *poll);
    }
    add_decisions();
    return std::move(edges_);
  }

 private:
  uint32_t invocation(OperationId id) const { return id + static_cast<uint32_t>(operations_.size()); }
  void add(uint32_t from, uint32_t to, EdgeKind kind) {
    if (from != to) edges_.push_back({from, to, kind});
  }

  void add_program_order() {
    struct Client {
      OperationId last = kNoOperation;
      std::vector<OperationId> answering;  // invoked, answered, and not yet before an invocation
    };
    std::unordered_map<uint32_t, Client> clients;
    for (OperationId id = 0; id < operations_.size(); ++id) {
      const Operation& operation = operations_[id];
      Client& client = clients[operation.client];
      if (client.last != kNoOperation) add(invocation(client.last), invocation(id), EdgeKind::kProgram);
      client.last = id;
      std::erase_if(client.answering, [&](OperationId before) {
        if (operations_[before].completed > operation.invoked) return false;
        add(before, invocation(id), EdgeKind::kProgram);
        return true;
      });
      if (operation.outcome == Outcome::kFail) continue;
      add(invocation(id), id, EdgeKind::kProgram);
      if (operation.outcome == Outcome::kOk) client.answering.push_back(id);
    }
  }

  void add_appends() {
    for (NameId partition = 0; partition < log_.history().names.size(); ++partition) {
      const auto& entries = log_.entries(partition);
      for (size_t i = 1; i < entries.size(); ++i) {
        if (entries[i - 1].offset < entries[i].offset) add(entries[i - 1].send, entries[i].send, EdgeKind::kAppend);
      }
    }
  }

  void add_send(OperationId id) {
    const Send& send = log_.send(id);
    if (log_.offset_of(id) >= 0) add_fence(id, send.transaction);
    if (operations_[id].outcome != Outcome::kOk) return;
    const auto [last, first] = last_sends_.try_emplace(uint64_t{operations_[id].client} << 32 | send.partition, id);
    if (!first) add(std::exchange(last->second, id), id, EdgeKind::kProducer);
  }

  void add_poll(OperationId id, const Poll& poll) {
    if (const RecordedTransaction* own = log_.transaction(poll.transaction); own && own->commit != kNoOperation) {
      if (operations_[id].completed < operations_[own->commit].invoked) add(id, invocation(own->commit), EdgeKind::kProgram);
    }
    const RecordedTransaction* last_shown = nullptr;
    for (const PolledRange& range : poll.ranges) {
      OperationId last = kNoOperation;
      for (const PolledRecord& record : range.records) {
        const OperationId send = log_.plausible_send(range.partition, record);
        if (send == kNoOperation) continue;
        if (log_.offset_of(send) == record.offset) last = send;
        const RecordedTransaction* shown = log_.transaction_of_send(send);
        if (poll.isolation != Isolation::kReadCommitted || !shown || shown == last_shown) continue;
        last_shown = shown;
        // A transaction that shows its own records is a dirty read.
        const bool own = poll.transaction == shown->begin;
        if (shown->fate == RecordedTransaction::Fate::kCommitted && !own) add(shown->commit, id, EdgeKind::kDecision);
      }
      if (last != kNoOperation) add(last, id, EdgeKind::kRead);
    }
  }

  void add_decisions() {
    for (const RecordedTransaction& transaction : log_.transactions()) {
      if (transaction.fate == RecordedTransaction::Fate::kCommitted) add_fence(transaction.commit, transaction.begin);
    }
  }

  // The producers of an id that were initialized, by invocation; for each one the earliest end of it and all later ones.
  struct Init {
    uint64_t invoked = 0;
    OperationId ends_first = kNoOperation;
  };
  void find_inits() {
    for (OperationId id = 0; id < operations_.size(); ++id) {
      const auto* init = std::get_if<InitProducer>(&operations_[id].body);
      if (init && operations_[id].outcome == Outcome::kOk)
        inits_[init->transactional_id].push_back({operations_[id].invoked, id});
    }
    for (auto& [name, inits] : inits_) {
      for (size_t i = inits.size(); i-- > 1;) {
        const OperationId later = inits[i].ends_first;
        if (operations_[later].completed < operations_[inits[i - 1].ends_first].completed) inits[i - 1].ends_first = later;
      }
    }
  }

  // The event of a transaction comes before the next producer of its id is initialized.
  void add_fence(OperationId event, OperationId begin) {
    if (begin == kNoOperation) return;
    const OperationId own = std::get<Begin>(operations_[begin].body).init;
    if (own == kNoOperation) return;
    const auto& inits = inits_[std::get<InitProducer>(operations_[own].body).transactional_id];
    const auto next = std::upper_bound(inits.begin(), inits.end(), operations_[own].completed,
                                       [](uint64_t time, const Init& init) { return time < init.invoked; });
    if (next != inits.end()) add(event, next->ends_first, EdgeKind::kFence);
  }

  const RecoveredLog& log_;
  const std::vector<Operation>& operations_;
  std::vector<EventEdge> edges_;
  std::unordered_map<uint64_t, OperationId> last_sends_;  // by client and partition
  std::map<NameId, std::vector<Init>> inits_;
};

class OrderChecker {
 public:
  OrderChecker(const RecoveredLog& log, Report& report)
      : log_(log),
        report_(report),
        operations_(log.history().operations),
        graph_(2 * operations_.size(), EdgeCollector(log).collect()),
        earliest_(operations_.size()),
        reasons_(operations_.size(), nullptr) {
    for (OperationId id = 0; id < operations_.size(); ++id) earliest_[id] = operations_[id].invoked;
  }

  void check() {
    std::vector<uint32_t> before(graph_.size(), 0);  // events before each one that were not visited yet
    for (uint32_t node = 0; node < graph_.size(); ++node) {
      for (const EventEdge& edge : graph_.from(node)) ++before[edge.to];
    }
    std::vector<uint32_t> ready;
    for (uint32_t node = 0; node < graph_.size(); ++node) {
      if (before[node] == 0) ready.push_back(node);
    }
    std::vector<bool> left(graph_.size(), true);
    while (!ready.empty()) {
      const uint32_t node = ready.back();
      ready.pop_back();
      left[node] = false;
      if (is_event(node)) judge(node);
      for (const EventEdge& edge : graph_.from(node)) {
        pass_on(edge);
        if (--before[edge.to] == 0) ready.push_back(edge.to);
      }
    }
    for (const auto& component : graph_.components(left)) report_cycle(graph_.short_cycle(component));
  }

 private:
  using Path = std::vector<EventEdge>;

  bool is_event(uint32_t node) const { return node < operations_.size(); }
  OperationId operation_of(uint32_t node) const {
    return is_event(node) ? node : node - static_cast<uint32_t>(operations_.size());
  }

  // What came after an event is later than that.
  void pass_on(const EventEdge& edge) {
    if (!is_event(edge.from) || !is_event(edge.to) || earliest_[edge.from] <= earliest_[edge.to]) return;
    // The checker of transactions reports polls that show what was not there yet.
    const bool shows = edge.kind == EdgeKind::kRead || edge.kind == EdgeKind::kDecision;
    if (shows && operations_[edge.from].invoked > operations_[edge.to].completed) return;
    earliest_[edge.to] = earliest_[edge.from];
    reasons_[edge.to] = &edge;
  }

  void judge(OperationId id) {
    if (operations_[id].outcome != Outcome::kOk || earliest_[id] < operations_[id].completed) return;
    Path path;
    for (const EventEdge* reason = reasons_[id]; reason; reason = reasons_[reason->from]) path.push_back(*reason);
    std::reverse(path.begin(), path.end());
    const OperationId first = path.front().from;
    std::vector<OperationId> about = {first, id};
    const std::string why = explain(path, about);
    report_.add(kind_of(path), fmt::format("#{} was over before #{} began, and yet came after it: {}", id, first, why), about);
    // What follows is not to blame.
    earliest_[id] = operations_[id].completed;
    reasons_[id] = nullptr;
  }

  void report_cycle(const Path& cycle) {
    std::vector<OperationId> about;
    const AnomalyKind kind = kind_of(cycle);
    if (!report_.wants(kind)) return report_.add(kind, {}, {});
    const std::string why = explain(cycle, about);
    report_.add(kind, "no order of events explains this: " + why, about);
  }

  AnomalyKind kind_of(const Path& path) const {
    const auto has = [&](EdgeKind kind) {
      return std::any_of(path.begin(), path.end(), [&](const EventEdge& edge) { return edge.kind == kind; });
    };
    if (has(EdgeKind::kFence)) return AnomalyKind::kFencedWrite;
    if (has(EdgeKind::kRead) || has(EdgeKind::kDecision)) return AnomalyKind::kReadCycle;
    std::set<NameId> partitions;
    for (const EventEdge& edge : path) {
      if (edge.kind == EdgeKind::kAppend) partitions.insert(log_.send(edge.from).partition);
    }
    return partitions.size() > 1 ? AnomalyKind::kWriteCycle : AnomalyKind::kNonMonotonicSend;
  }

  // A sentence for each step. Appends that follow one another are one step, and so is the program of a client.
  std::string explain(const Path& path, std::vector<OperationId>& about) const {
    constexpr size_t kSteps = 12;
    std::string text;
    size_t steps = 0;
    for (size_t i = 0; i < path.size(); ++steps) {
      size_t end = i + 1;
      while (end < path.size() && path[end].kind == path[i].kind && joins(path[i].kind)) ++end;
      const OperationId from = operation_of(path[i].from), to = operation_of(path[end - 1].to);
      const EdgeKind kind = path[i].kind;
      i = end;
      if (from == to || steps > kSteps) continue;  // from an invocation to its own effect
      if (!text.empty()) text += "; ";
      text += steps == kSteps ? "..." : step(kind, from, to);
      about.insert(about.end(), {from, to});
    }
    return text;
  }

  static bool joins(EdgeKind kind) { return kind == EdgeKind::kAppend || kind == EdgeKind::kProgram; }

  std::string step(EdgeKind kind, OperationId from, OperationId to) const {
    const auto record = [this](OperationId id) {
      const Send& send = log_.send(id);
      return fmt::format("{} (#{}, {}@{})", send.value, id, log_.name(send.partition), log_.offset_of(id));
    };
    switch (kind) {
      case EdgeKind::kProgram:
        return fmt::format("client {} was done with #{} before it began #{}", operations_[to].client, from, to);
      case EdgeKind::kProducer:
        return fmt::format("client {} sent {} before {}", operations_[to].client, record(from), record(to));
      case EdgeKind::kAppend:
        return fmt::format("{} stands before {}", record(from), record(to));
      case EdgeKind::kRead:
        return fmt::format("poll #{} shows {}", to, record(from));
      case EdgeKind::kDecision:
        return fmt::format("poll #{} shows transaction #{}, committed by #{}", to,
                           std::get<EndTransaction>(operations_[from].body).transaction, from);
      case EdgeKind::kFence:
        return fmt::format("#{} is of a producer that #{} fenced", from, to);
    }
    return {};
  }

  const RecoveredLog& log_;
  Report& report_;
  const std::vector<Operation>& operations_;
  const EventGraph graph_;
  std::vector<uint64_t> earliest_;         // by event: it came after this time
  std::vector<const EventEdge*> reasons_;  // by event: the edge that says so
};

}  // namespace

void check_order(const RecoveredLog& log, Report& report) { OrderChecker(log, report).check(); }

}  // namespace weir::testing
