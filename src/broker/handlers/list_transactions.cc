#include "protocol/messages/list_transactions.h"

#include <re2/re2.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/handlers/transaction_handlers.h"
#include "runtime/homebound.h"

namespace weir::broker {
namespace {

using coordination::ListedTransaction;
using coordination::ListTransactionsResult;
using protocol::ErrorCode;
using protocol::ListTransactionsResponse;
using Pattern = std::shared_ptr<const re2::RE2>;

constexpr int64_t kPatternMemoryMax = 1 << 20;
// RE2 takes up to a step for each byte of a text and each instruction of the pattern. A step takes some nanoseconds.
constexpr uint64_t kStepsMax = 16 << 20;       // for one id
constexpr uint64_t kStepsAtOnce = 32 << 20;    // on a thread of the pool
constexpr uint64_t kPatternJobs = 0x70617474;  // one at a time, so that other work goes on; no other user of the pool has it

re2::StringPiece piece(std::string_view text) { return {text.data(), text.size()}; }

// Nothing: of all of the text it takes any.
Pattern compiled(std::string_view text) {
  if (text.empty()) return nullptr;
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kPatternMemoryMax);
  return std::make_shared<const re2::RE2>(piece(text), options);
}

struct ListTransactions final : runtime::Homebound {
  ListTransactions(TransactionCoordinators& of, RequestContextPtr asks)
      : Homebound(asks->loop()), coordinators(of), context(std::move(asks)) {}
  TransactionCoordinators& coordinators;
  RequestContextPtr context;
  protocol::ListTransactionsRequest request;
  std::vector<ListedTransaction> transactions;
  Pattern pattern;
  size_t judged = 0;   // by the pattern: so many of the transactions,
  size_t matched = 0;  // and those that match come first
  ErrorCode error{};
  int32_t pending = 1;

  coordination::ListTransactionsRequest asked() const {
    coordination::ListTransactionsRequest list;
    for (const std::string_view name : request.state_filters) {
      const bool repeated = std::ranges::find(list.states, name) != list.states.end();
      if (!repeated && coordination::is_transaction_state(name)) list.states.emplace_back(name);
    }
    if (list.states.empty() && !request.state_filters.empty()) list.states.emplace_back();  // no transaction is in such a state
    list.producer_ids.assign(request.producer_id_filters.begin(), request.producer_id_filters.end());
    std::ranges::sort(list.producer_ids);
    list.duration_ms = request.duration_filter;
    return list;
  }
  void add(ListTransactionsResult& result) {
    if (result.error == ErrorCode::kNone) std::ranges::move(result.transactions, std::back_inserter(transactions));
    // A coordinator that is on its way elsewhere lists its transactions there.
    else if (result.error != ErrorCode::kNotCoordinator) error = result.error;
  }
  void arrived() {
    if (--pending > 0) return;
    if (error != ErrorCode::kNone) return refuse(error);
    std::erase_if(transactions, [this](const ListedTransaction& transaction) {
      return !context->may({security::ResourceType::kTransactionalId, transaction.transactional_id});
    });
    if (pattern) match_more();
    else respond();
  }
  void match_more() {
    coordinators.broker().runtime().pool->submit([self = runtime::HomeRef(this)] { self->match(); }, context->loop(),
                                                 [self = runtime::HomeRef(this)] { self->matched_some(); }, kPatternJobs);
  }
  // On the pool.
  void match() {
    uint64_t done = 0;
    for (; judged < transactions.size() && done < kStepsAtOnce; ++judged) {
      const std::string& id = transactions[judged].transactional_id;
      const uint64_t steps = id.size() * static_cast<uint64_t>(pattern->ProgramSize());
      if (steps > kStepsMax) {
        error = ErrorCode::kInvalidRegularExpression;
        return;
      }
      done += steps;
      if (re2::RE2::FullMatch(piece(id), *pattern)) std::swap(transactions[matched++], transactions[judged]);
    }
  }
  void matched_some() {
    if (error != ErrorCode::kNone || context->connection_closed()) return refuse(error);
    if (judged < transactions.size()) return match_more();
    transactions.resize(matched);
    respond();
  }
  void respond() {
    std::ranges::sort(transactions, {}, &ListedTransaction::transactional_id);
    protocol::Arena& arena = context->arena();
    ListTransactionsResponse response;
    const auto unknown = arena.array<std::string_view>(request.state_filters.size());
    const auto end = std::ranges::copy_if(request.state_filters, unknown.begin(), [](std::string_view name) {
                       return !coordination::is_transaction_state(name);
                     }).out;
    response.unknown_state_filters = unknown.first(static_cast<size_t>(end - unknown.begin()));
    const auto listed = arena.array<ListTransactionsResponse::TransactionState>(transactions.size());
    for (size_t i = 0; i < transactions.size(); ++i) {
      listed[i].transactional_id = transactions[i].transactional_id;
      listed[i].producer_id = transactions[i].producer_id;
      listed[i].transaction_state = transactions[i].state;
    }
    response.transaction_states = listed;
    context->respond(response);
  }
  void refuse(ErrorCode why) {
    ListTransactionsResponse response;
    response.error_code = code(why);
    context->respond(response);
  }
};

}  // namespace

void handle_list_transactions(TransactionCoordinators& transactions, RequestContextPtr context) {
  auto all = runtime::make_homebound<ListTransactions>(transactions, std::move(context));
  RequestContext& request = *all->context;
  if (!request.decode(all->request)) return;
  const unsigned home = request.loop().index();
  const int32_t partitions = transactions.partition_count(home);
  if (!request.reserve(std::min(transactions.answer_bytes(), request.most_answer_bytes()))) return;
  all->pattern = compiled(all->request.transactional_id_pattern.value_or(""));
  if (all->pattern && !all->pattern->ok()) return all->refuse(ErrorCode::kInvalidRegularExpression);
  all->pending += partitions;
  const auto list = std::make_shared<const coordination::ListTransactionsRequest>(all->asked());
  for (int32_t i = 0; i < partitions; ++i) {
    transactions.call_partition<ListTransactionsResult>(
        home, i,
        reply_on<ListTransactionsResult>(transactions, home,
                                         [all](ListTransactionsResult& result) {
                                           all->add(result);
                                           all->arrived();
                                         }),
        [list](auto& state, auto reply, auto now, auto& effects) { state.list(*list, std::move(reply), now, effects); });
  }
  all->arrived();
}

}  // namespace weir::broker
