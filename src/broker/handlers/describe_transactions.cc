#include "protocol/messages/describe_transactions.h"

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "broker/handlers/transaction_handlers.h"
#include "broker/requests/topic_resolver.h"
#include "runtime/homebound.h"

namespace weir::broker {
namespace {

using coordination::TransactionDescription;
using protocol::DescribeTransactionsResponse;
using protocol::ErrorCode;
using TopicData = DescribeTransactionsResponse::TopicData;

struct DescribeTransactions final : runtime::Homebound {
  explicit DescribeTransactions(runtime::Loop& home) : Homebound(home) {}
  RequestContextPtr context;
  MetadataImagePtr image;
  std::vector<TransactionDescription> transactions;
  size_t pending = 0;

  void respond() {
    DescribeTransactionsResponse response;
    const auto states = context->arena().array<DescribeTransactionsResponse::TransactionState>(transactions.size());
    for (size_t i = 0; i < transactions.size(); ++i) fill(states[i], transactions[i]);
    response.transaction_states = states;
    context->respond(response);
  }
  void fill(DescribeTransactionsResponse::TransactionState& answer, TransactionDescription& transaction) {
    answer.transactional_id = transaction.transactional_id;
    answer.error_code = code(transaction.error);
    if (transaction.error != ErrorCode::kNone) return;
    answer.transaction_state = transaction.state;
    answer.transaction_timeout_ms = transaction.timeout_ms;
    answer.transaction_start_time_ms = transaction.start_ms;
    answer.producer_id = transaction.producer_id;
    answer.producer_epoch = transaction.producer_epoch;
    answer.topics = topics_of(transaction.topics);
  }
  // The topics that the client may describe.
  std::span<TopicData> topics_of(std::span<coordination::TransactionTopic> topics) {
    const TopicResolver resolver(*context, *image);
    const auto answer = context->arena().array<TopicData>(topics.size());
    size_t answered = 0;
    for (coordination::TransactionTopic& topic : topics) {
      if (resolver.may(topic.name)) answer[answered++] = {topic.name, topic.indexes};
    }
    return answer.first(answered);
  }
};

}  // namespace

void handle_describe_transactions(TransactionCoordinators& transactions, RequestContextPtr context) {
  protocol::DescribeTransactionsRequest request;
  if (!context->decode(request)) return;
  if (!context->reserve(std::min(transactions.answer_bytes(), context->most_answer_bytes()))) return;
  const unsigned home = context->loop().index();
  auto all = runtime::make_homebound<DescribeTransactions>(context->loop());
  // Each one once: its partitions may be many.
  std::unordered_set<std::string_view> named;
  for (const std::string_view id : request.transactional_ids) {
    if (!named.insert(id).second) continue;
    TransactionDescription& transaction = all->transactions.emplace_back();
    transaction.transactional_id = id;
    if (!context->may({security::ResourceType::kTransactionalId, id})) {
      transaction.error = ErrorCode::kTransactionalIdAuthorizationFailed;
    } else if (id.empty()) {
      transaction.error = ErrorCode::kInvalidRequest;
    }
  }
  all->pending = all->transactions.size() + 1;
  all->image = transactions.broker().shard(home).image;
  all->context = std::move(context);
  const auto arrived = [all] {
    if (--all->pending == 0) all->respond();
  };
  for (size_t i = 0; i < all->transactions.size(); ++i) {
    if (all->transactions[i].error != ErrorCode::kNone) {
      arrived();
      continue;
    }
    const std::string id = all->transactions[i].transactional_id;
    transactions.call<TransactionDescription>(
        home, id,
        reply_on<TransactionDescription>(transactions, home,
                                         [all, arrived, i](TransactionDescription& transaction) {
                                           transaction.transactional_id = std::move(all->transactions[i].transactional_id);
                                           all->transactions[i] = std::move(transaction);
                                           arrived();
                                         }),
        [id](auto& state, auto reply, auto now, auto& effects) { state.describe(id, std::move(reply), now, effects); });
  }
  arrived();
}

}  // namespace weir::broker
