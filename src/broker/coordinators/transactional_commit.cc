#include "broker/coordinators/transactional_commit.h"

#include <string>
#include <utility>

#include "broker/broker.h"
#include "broker/coordinators/group_coordinators.h"

namespace weir::broker {

using coordination::OffsetCommitReply;
using coordination::OffsetCommitResult;
using coordination::TxnOffsetCommitRequest;
using protocol::ErrorCode;

namespace {

// Of the partition `id`, on its shard.
class TransactionalCommit {
 public:
  TransactionalCommit(Coordinators& coordinators, const storage::PartitionId& id, TxnOffsetCommitRequest request,
                      OffsetCommitReply reply)
      : coordinators_(coordinators), id_(id), request_(std::move(request)), reply_(std::move(reply)) {}

  void verify(BrokerShard& shard, const VerifiedRequest& verified) && {
    storage::Partition* partition = shard.log.find(id_);
    if (partition == nullptr) return reply_({ErrorCode::kNotCoordinator, {}});
    VerificationQuestion question(verified, request_.transactional_id, request_.producer_id, request_.producer_epoch);
    const storage::GuardSerial guard = question.guard(shard, *partition, storage::kNoSequence);
    if (guard == storage::kNoGuard) return std::move(*this).commit(shard, guard);
    shard.log.when_verified(guard, [&shard, guard, self = std::move(*this)](const storage::AppendResult& answer) mutable {
      if (answer.error != ErrorCode::kNone) return self.reply_({answer.error, {}});
      std::move(self).commit(shard, guard);
    });
    question.ask(coordinators_, shard);
  }

 private:
  void commit(BrokerShard& shard, storage::GuardSerial guard) && {
    const std::string group_id = request_.group_id;
    coordinators_.groups.call<OffsetCommitResult>(
        shard.index(), group_id, std::move(reply_),
        [&log = shard.log, id = id_, guard, request = std::move(request_)](auto& state, auto reply, auto now, auto& effects) {
          // A batch that the log refused would be the end of the state. It is appended within the step, so this holds then.
          const storage::Partition* partition = log.find(id);
          const ErrorCode refused = partition == nullptr
                                        ? ErrorCode::kNotCoordinator
                                        : log.check_batch(*partition, {request.producer_id, request.producer_epoch}, guard);
          if (refused != ErrorCode::kNone) return effects.answer(std::move(reply), OffsetCommitResult{refused, {}});
          effects.options.guard = guard;
          state.commit_transactional_offsets(request, std::move(reply), now, effects);
        });
  }

  Coordinators& coordinators_;
  const storage::PartitionId id_;
  TxnOffsetCommitRequest request_;
  OffsetCommitReply reply_;
};

}  // namespace

void commit_in_transaction(Coordinators& coordinators, unsigned home, TxnOffsetCommitRequest request,
                           const VerifiedRequest& verified, OffsetCommitReply reply) {
  // The log takes no batch of nobody. Where verification is off, the transaction's coordinator does not say so before.
  if (request.producer_id < 0) return reply({ErrorCode::kInvalidProducerIdMapping, {}});
  if (request.producer_epoch < 0) return reply({ErrorCode::kInvalidProducerEpoch, {}});
  Broker& broker = coordinators.broker;
  const Topic* topic = broker.shard(home).image->find(GroupCoordinators::kTopic);
  if (topic == nullptr) return reply({ErrorCode::kNotCoordinator, {}});
  const storage::PartitionId id = topic->partition(group_hash(request.group_id) % topic->partition_count());
  const unsigned owner = broker.owner(id);
  broker.run_on(owner, [&shard = broker.shard(owner), verified,
                        commit = TransactionalCommit(coordinators, id, std::move(request), std::move(reply))]() mutable {
    std::move(commit).verify(shard, verified);
  });
}

}  // namespace weir::broker
