#include "protocol/messages/add_partitions_to_txn.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "broker/broker.h"
#include "broker/handlers/transaction_handlers.h"
#include "broker/requests/topic_resolver.h"
#include "runtime/homebound.h"

namespace weir::broker {
namespace {

using coordination::AddPartitionsResult;
using coordination::TransactionVersion;
using protocol::AddPartitionsToTxnRequest;
using protocol::AddPartitionsToTxnResponse;
using protocol::ErrorCode;
using AskedTopics = std::span<const AddPartitionsToTxnRequest::AddPartitionsToTxnTopic>;
using TopicResult = AddPartitionsToTxnResponse::AddPartitionsToTxnTopicResult;
using PartitionResult = AddPartitionsToTxnResponse::AddPartitionsToTxnPartitionResult;

constexpr int16_t kFirstVersionWithFenced = 2;
constexpr int16_t kFirstVersionOfBrokers = 4;

struct AddPartitions final : runtime::Homebound {
  explicit AddPartitions(RequestContextPtr of) : Homebound(of->loop()), context(std::move(of)) {}

  RequestContextPtr context;
  AddPartitionsToTxnRequest request;
  AddPartitionsToTxnResponse response;
  size_t pending = 1;

  bool from_broker() const { return context->version() >= kFirstVersionOfBrokers; }

  std::span<TopicResult> lay_out(AskedTopics topics, ErrorCode error) {
    protocol::Arena& arena = context->arena();
    const auto results = arena.array<TopicResult>(topics.size());
    for (size_t t = 0; t < topics.size(); ++t) {
      results[t].name = topics[t].name;
      const auto partitions = arena.array<PartitionResult>(topics[t].partitions.size());
      for (size_t p = 0; p < partitions.size(); ++p) partitions[p] = {topics[t].partitions[p], code(error)};
      results[t].results_by_partition = partitions;
    }
    return results;
  }

  // Sets the errors of those that cannot be added. If there is one, all others are not attempted, and it returns true.
  bool refuse(const MetadataImage& image, AskedTopics topics, std::span<TopicResult> results) {
    const TopicResolver resolver(*context, image);
    bool refused = false;
    for (size_t t = 0; t < topics.size(); ++t) {
      const Topic* topic = image.find(topics[t].name);
      const bool may = from_broker() || (resolver.may(topics[t].name) && !is_internal_topic(topics[t].name));
      for (PartitionResult& result : results[t].results_by_partition) {
        ErrorCode error = ErrorCode::kOperationNotAttempted;
        if (!may) error = ErrorCode::kTopicAuthorizationFailed;
        else if (topic == nullptr || !topic->has_partition(result.partition_index)) error = ErrorCode::kUnknownTopicOrPartition;
        refused = refused || error != ErrorCode::kOperationNotAttempted;
        result.partition_error_code = code(error);
      }
    }
    return refused;
  }

  void fill(std::span<TopicResult> results, const AddPartitionsResult& result) {
    const ErrorCode all = without_fenced(result.error, context->version(), kFirstVersionWithFenced);
    size_t next = 0;
    for (TopicResult& topic : results) {
      for (PartitionResult& partition : topic.results_by_partition) {
        const bool of_each = all == ErrorCode::kNone && next < result.partition_errors.size();
        partition.partition_error_code = code(of_each ? result.partition_errors[next] : all);
        ++next;
      }
    }
  }

  void ask(TransactionCoordinators& transactions, const AddPartitionsToTxnRequest::AddPartitionsToTxnTransaction& asked,
           std::span<TopicResult> results) {
    coordination::AddPartitionsRequest add;
    add.transactional_id = asked.transactional_id;
    add.producer_id = asked.producer_id;
    add.producer_epoch = asked.producer_epoch;
    add.version = from_broker() ? TransactionVersion::kTwo : TransactionVersion::kZero;
    add.verify_only = asked.verify_only;
    for (const auto& topic : asked.topics) {
      for (const int32_t index : topic.partitions) add.partitions.push_back({std::string(topic.name), index});
    }
    const unsigned home = context->loop().index();
    ++pending;
    transactions.call<AddPartitionsResult>(
        home, asked.transactional_id,
        reply_on<AddPartitionsResult>(transactions, home,
                                      [self = runtime::HomeRef(this), results](const AddPartitionsResult& result) {
                                        self->fill(results, result);
                                        self->arrived();
                                      }),
        [add = std::move(add)](auto& state, auto reply, auto now, auto& effects) mutable {
          state.add_partitions(std::move(add), std::move(reply), now, effects);
        });
  }
  void arrived() {
    if (--pending == 0) context->respond(response);
  }

  void start(TransactionCoordinators& transactions) {
    if (!context->decode(request)) return;
    if (from_broker()) start_batch(transactions);
    else start_one(transactions);
  }

 private:
  void start_one(TransactionCoordinators& transactions) {
    const AddPartitionsToTxnRequest::AddPartitionsToTxnTransaction asked{
        .transactional_id = request.v3_and_below_transactional_id,
        .producer_id = request.v3_and_below_producer_id,
        .producer_epoch = request.v3_and_below_producer_epoch,
        .topics = request.v3_and_below_topics};
    const bool may = context->may({security::ResourceType::kTransactionalId, asked.transactional_id});
    const auto results = lay_out(asked.topics, ErrorCode::kTransactionalIdAuthorizationFailed);
    response.results_by_topic_v3_and_below = results;
    if (may && !refuse(image(transactions), asked.topics, results)) ask(transactions, asked, results);
    arrived();
  }
  void start_batch(TransactionCoordinators& transactions) {
    if (!context->authorize(context->route().needs.cluster, {})) {
      response.error_code = code(ErrorCode::kClusterAuthorizationFailed);
      return arrived();
    }
    const auto answers =
        context->arena().array<AddPartitionsToTxnResponse::AddPartitionsToTxnResult>(request.transactions.size());
    response.results_by_transaction = answers;
    for (size_t i = 0; i < answers.size(); ++i) {
      const auto& asked = request.transactions[i];
      const auto results = lay_out(asked.topics, ErrorCode::kNone);
      answers[i].transactional_id = asked.transactional_id;
      answers[i].topic_results = results;
      if (!refuse(image(transactions), asked.topics, results)) ask(transactions, asked, results);
    }
    arrived();
  }
  const MetadataImage& image(TransactionCoordinators& transactions) const {
    return *transactions.broker().shard(context->loop().index()).image;
  }
};

}  // namespace

void handle_add_partitions_to_txn(TransactionCoordinators& transactions, RequestContextPtr context) {
  runtime::make_homebound<AddPartitions>(std::move(context))->start(transactions);
}

}  // namespace weir::broker
