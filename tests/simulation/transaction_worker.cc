#include "simulation/transaction_worker.h"

#include <fmt/core.h>

#include <utility>

#include "protocol/errors.h"
#include "protocol/messages/add_partitions_to_txn.h"
#include "protocol/messages/end_txn.h"
#include "protocol/messages/find_coordinator.h"
#include "protocol/messages/init_producer_id.h"
#include "protocol/messages/produce.h"

namespace weir::simulation {

using protocol::ErrorCode;
using testing::kNoOperation;
using testing::OperationId;

namespace {
constexpr int64_t kRetryNs = 20 * runtime::kMillisecond;
}  // namespace

TransactionWorker::TransactionWorker(TransactionStage& stage, WorkerRole role, int64_t timeout_ns,
                                     std::function<void(const WorkerRole&)> replace)
    : stage_(stage),
      role_(std::move(role)),
      client_(stage.new_client()),
      replace_(std::move(replace)),
      connection_(stage.loop()) {
  connection_.set_timeout(timeout_ns);
  if (!processor()) stage_.producer_works(true);
}

void TransactionWorker::start() {
  stage_.after(static_cast<int64_t>(stage_.random.below(kRetryNs)), [this] { find_coordinators([this] { initialize(true); }); });
}

void TransactionWorker::end_work() {
  ended_ = true;
  if (!processor()) stage_.producer_works(false);
}

void TransactionWorker::give_up_role() {
  end_work();
  // What is left of others' work is decided by timeouts, but input has to be processed to the end.
  if (stage_.settling() && !processor()) return;
  if (!std::exchange(replaced_, true)) replace_(role_);
}

std::optional<WorkerRole> TransactionWorker::hand_over() {
  if (!ended_ || std::exchange(replaced_, true)) return std::nullopt;
  return role_;
}

void TransactionWorker::go_on(TransactionStage::Step step) {
  if (!stage_.options.zombies || stage_.settling() || replaced_ || !stage_.random.one_in(40)) return stage_.act(std::move(step));
  // Another one takes the place, or nobody does: then the transaction may time out meanwhile.
  if (stage_.random.one_in(2)) {
    replaced_ = true;
    replace_(role_);
  }
  stage_.after(static_cast<int64_t>(stage_.random.between(1, 800)) * runtime::kMillisecond, [this, step = std::move(step)] {
    if (replaced_) stage_.oracle().happened(kZombieCameBack);
    step();
  });
}

// --- Requests

TransactionWorker::Ending TransactionWorker::ending_of(const char* request, int16_t error) {
  switch (static_cast<ErrorCode>(error)) {
    case ErrorCode::kNone:
      return Ending::kDone;
    case ErrorCode::kCoordinatorLoadInProgress:
    case ErrorCode::kCoordinatorNotAvailable:
    case ErrorCode::kNotCoordinator:
      return Ending::kNowhere;
    case ErrorCode::kConcurrentTransactions:
    case ErrorCode::kNotEnoughReplicas:
    case ErrorCode::kUnstableOffsetCommit:
      return Ending::kAgain;
    case ErrorCode::kProducerFenced:
    case ErrorCode::kInvalidProducerEpoch:
      stage_.oracle().happened(kProducerFenced);
      return Ending::kFenced;
    case ErrorCode::kUnknownMemberId:
    case ErrorCode::kIllegalGeneration:
    case ErrorCode::kRebalanceInProgress:
      stage_.oracle().happened(kMemberExpelled);
      return Ending::kExpelled;
    case ErrorCode::kInvalidTxnState:
    case ErrorCode::kTransactionAbortable:
      stage_.oracle().happened(kTransactionFailed);
      return Ending::kRefused;
    case ErrorCode::kKafkaStorageError:  // the disk is full, or the record may be on it
      return Ending::kNoAnswer;
    default:
      stage_.oracle().violation(fmt::format("{} of client {} got error {}", request, client_, error));
      return Ending::kRefused;
  }
}

void TransactionWorker::ask(Attempt attempt, std::function<void(Ended)> done, bool uncertain) {
  stage_.act([this, attempt = std::move(attempt), done = std::move(done), uncertain] {
    stage_.begin_request();
    attempt([this, attempt, done, uncertain](Ending ending) {
      stage_.end_request();
      const bool lost = ending == Ending::kNoAnswer || ending == Ending::kNowhere;
      const bool again = lost || ending == Ending::kAgain;
      const bool patient = !stage_.random.one_in(ending == Ending::kNoAnswer ? 3 : 30);
      if (!again || !patient) return done({again ? Ending::kNoAnswer : ending, !uncertain && !lost});
      stage_.after(kRetryNs, [this, attempt, done, still = uncertain || lost, ending] {
        const auto next = [this, attempt, done, still] { ask(attempt, done, still); };
        ending == Ending::kNowhere ? find_coordinators(next) : next();
      });
    });
  });
}

void TransactionWorker::find_coordinators(TransactionStage::Step next) {
  if (!transactional()) return next();
  const auto find = [this](int8_t type, const std::string& key, TransactionStage::Step then) {
    std::string_view wanted = key;
    protocol::FindCoordinatorRequest request;
    request.key_type = type;
    request.coordinator_keys = {&wanted, 1};
    stage_.begin_request();
    connection_.call<protocol::FindCoordinatorResponse>(4, request, [this, then = std::move(then)](const auto*) {
      stage_.end_request();
      stage_.act(then);
    });
  };
  constexpr int8_t kGroup = 0, kTransaction = 1;
  find(kTransaction, role_.transactional_id,
       [this, find, next = std::move(next)] { processor() ? find(kGroup, role_.group, next) : next(); });
}

void TransactionWorker::not_done(OperationId id, const Ended& ended) {
  if (ended.certain) stage_.history.fail(id);
}

void TransactionWorker::troubled(const Ended& ended) {
  if (ended.ending == Ending::kExpelled) return give_up_role();
  // What may still arrive must not fall into the next transaction: a new epoch keeps it out. Kafka's clients do the same.
  if (!transactional() || ended.ending != Ending::kRefused || !ended.certain || stage_.random.one_in(2)) return initialize(false);
  end(false);
}

// --- Producers

void TransactionWorker::initialize(bool anew) {
  if (anew || !transactional()) {
    producer_id_ = -1;
    epoch_ = -1;
  }
  if (transactional()) init_ = stage_.history.invoke(client_, testing::InitProducer{stage_.history.name(role_.transactional_id)});
  ask(
      [this](const Reply& reply) {
        protocol::InitProducerIdRequest request;
        request.transactional_id = transactional() ? std::optional<std::string_view>(role_.transactional_id) : std::nullopt;
        request.transaction_timeout_ms = stage_.options.transaction_timeout_ms;
        request.producer_id = producer_id_;
        request.producer_epoch = epoch_;
        connection_.call<protocol::InitProducerIdResponse>(role_.version_2 ? 5 : 4, request, [this, reply](const auto* response) {
          if (!response) return reply(Ending::kNoAnswer);
          const Ending ending = ending_of("InitProducerId", response->error_code);
          if (ending == Ending::kDone) {
            producer_id_ = response->producer_id;
            epoch_ = response->producer_epoch;
          }
          reply(ending);
        });
      },
      [this](const Ended& ended) {
        if (ended.ending == Ending::kDone) return initialized();
        if (transactional()) not_done(init_, ended);
        // A producer that knows its id and lost an answer goes on asking with it.
        ended.ending == Ending::kNoAnswer ? initialize(false) : give_up_role();
      });
}

void TransactionWorker::initialized() {
  if (transactional()) stage_.history.ok(init_);
  sequences_.clear();
  processor() && !replaced_ ? join() : begin();
}

void TransactionWorker::begin() {
  transaction_ = kNoOperation;
  touched_ = false;
  added_.clear();
  batches_.clear();
  // Another one has the place.
  if (replaced_ || (stage_.settling() && !processor())) return end_work();
  if (transactional()) {
    const auto group = processor() ? stage_.history.name(role_.group) : testing::kNoName;
    transaction_ = stage_.history.invoke(client_, testing::Begin{init_, group});
    stage_.history.ok(transaction_);
  }
  if (processor()) return poll();
  make_records();
  stage_.after(static_cast<int64_t>(stage_.random.below(8)) * runtime::kMillisecond, [this] { send_next(); });
}

void TransactionWorker::make_records() {
  for (uint64_t i = stage_.random.between(1, transactional() ? 4 : 1); i > 0; --i) {
    const StageTopic& topic = !transactional() || stage_.random.one_in(2) ? stage_.input : stage_.output;
    batches_.push_back({&topic, static_cast<int32_t>(stage_.random.below(topic.partitions.size())), {}});
    for (uint64_t k = stage_.random.between(1, 3); k > 0; --k) {
      batches_.back().records.push_back({.partition = topic.partitions[static_cast<size_t>(batches_.back().partition)],
                                         .key = stage_.random.below(10),
                                         .value = stage_.new_value(),
                                         .transaction = transaction_});
    }
  }
}

void TransactionWorker::send_next() {
  go_on([this] {
    if (!batches_.empty()) return send_batch();
    if (!transactional()) return begin();
    processor() ? send_offsets() : end(!stage_.random.one_in(5));
  });
}

void TransactionWorker::send_batch() {
  const testing::NameId name = batches_.back().records[0].partition;
  if (role_.version_2 || !transactional() || added_.contains(name)) {
    std::vector<OperationId> sends;
    std::vector<testing::PolledRecord> records;
    for (const testing::Send& send : batches_.back().records) {
      sends.push_back(stage_.history.invoke(client_, send));
      records.push_back({-1, send.key, send.value});
    }
    touched_ = true;
    // Now and then a batch is too large to be copied into a chunk of the log.
    const bool large = records.size() < 4 && stage_.random.one_in(20);
    const size_t padding = stage_.random.below(large ? 50'000 : 300);
    return produce(sends, number_batch(records,
                                       {.producer_id = producer_id_,
                                        .producer_epoch = epoch_,
                                        .base_sequence = sequences_[name],
                                        .transactional = transactional()},
                                       stage_.wall_ms(), padding));
  }
  add_partition([this, name] {
    added_.insert(name);
    go_on([this] { send_batch(); });
  });
}

void TransactionWorker::add_partition(TransactionStage::Step next) {
  touched_ = true;
  ask(
      [this](const Reply& reply) {
        int32_t index = batches_.back().partition;
        protocol::AddPartitionsToTxnRequest::AddPartitionsToTxnTopic topic;
        topic.name = batches_.back().topic->name;
        topic.partitions = {&index, 1};
        protocol::AddPartitionsToTxnRequest request;
        request.v3_and_below_transactional_id = role_.transactional_id;
        request.v3_and_below_producer_id = producer_id_;
        request.v3_and_below_producer_epoch = epoch_;
        request.v3_and_below_topics = {&topic, 1};
        connection_.call<protocol::AddPartitionsToTxnResponse>(3, request, [this, reply](const auto* response) {
          if (!response) return reply(Ending::kNoAnswer);
          const auto& result = response->results_by_topic_v3_and_below[0].results_by_partition[0];
          reply(ending_of("AddPartitionsToTxn", result.partition_error_code));
        });
      },
      [this, next = std::move(next)](const Ended& ended) { ended.ending == Ending::kDone ? next() : troubled(ended); });
}

void TransactionWorker::produce(std::vector<OperationId> sends, const std::vector<uint8_t>& bytes) {
  ask(
      [this, sends, bytes](const Reply& reply) {
        const OutgoingBatch& batch = batches_.back();
        std::vector<uint8_t> copy = bytes;
        protocol::ProduceRequest::PartitionProduceData data;
        data.index = batch.partition;
        data.records.data = copy;
        protocol::ProduceRequest::TopicProduceData topic;
        topic.name = batch.topic->name;
        topic.topic_id = batch.topic->id;
        topic.partition_data = {&data, 1};
        protocol::ProduceRequest request;
        if (transactional()) request.transactional_id = role_.transactional_id;
        request.acks = -1;
        request.timeout_ms = 30'000;
        request.topic_data = {&topic, 1};
        // Version 12 and above: transaction version 2.
        const int16_t version = role_.version_2 || !transactional() ? 13 : 11;
        connection_.call<protocol::ProduceResponse>(version, request, [this, sends, reply](const auto* response) {
          if (!response) return reply(Ending::kNoAnswer);
          const auto& result = response->responses[0].partition_responses[0];
          const Ending ending = ending_of("Produce", result.error_code);
          const auto& records = batches_.back().records;
          for (size_t i = 0; ending == Ending::kDone && i < sends.size(); ++i) {
            testing::Send sent = records[i];
            sent.offset = result.base_offset + static_cast<int64_t>(i);
            stage_.history.ok(sends[i], sent);
          }
          reply(ending);
        });
      },
      [this, sends](const Ended& ended) { produced(sends, ended); });
}

void TransactionWorker::produced(const std::vector<OperationId>& sends, const Ended& ended) {
  if (ended.ending == Ending::kDone) {
    sequences_[batches_.back().records[0].partition] += static_cast<int32_t>(sends.size());
    batches_.pop_back();
    return send_next();
  }
  for (const OperationId id : sends) not_done(id, ended);
  troubled(ended);
}

void TransactionWorker::end(bool commit) {
  if (!touched_) return begin();
  go_on([this, commit] {
    const OperationId id = stage_.history.invoke(client_, testing::EndTransaction{transaction_, commit});
    ask([this, commit](const Reply& reply) { end_request(commit, reply); },
        [this, commit, id](const Ended& ended) {
          if (ended.ending != Ending::kDone) {
            not_done(id, ended);
            if (commit && ended.ending == Ending::kNoAnswer) stage_.oracle().happened(kCommitUnanswered);
            return troubled(commit ? ended : Ended{ended.ending, false});
          }
          stage_.history.ok(id);
          stage_.oracle().happened(commit ? kTransactionCommitted : kTransactionAborted);
          // An aborted transaction has consumed nothing.
          processor() && !commit ? find_position() : begin();
        });
  });
}

void TransactionWorker::end_request(bool commit, const Reply& reply) {
  protocol::EndTxnRequest request;
  request.transactional_id = role_.transactional_id;
  request.producer_id = producer_id_;
  request.producer_epoch = epoch_;
  request.committed = commit;
  connection_.call<protocol::EndTxnResponse>(role_.version_2 ? 5 : 4, request, [this, reply](const auto* response) {
    if (!response) return reply(Ending::kNoAnswer);
    const Ending ending = ending_of("EndTxn", response->error_code);
    if (ending == Ending::kDone && role_.version_2) {
      producer_id_ = response->producer_id;
      epoch_ = response->producer_epoch;
      sequences_.clear();
    }
    reply(ending);
  });
}

}  // namespace weir::simulation
