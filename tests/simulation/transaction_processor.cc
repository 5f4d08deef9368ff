// The part of a TransactionWorker that reads: members of groups, positions, polls, offsets in transactions.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "protocol/errors.h"
#include "protocol/messages/add_offsets_to_txn.h"
#include "protocol/messages/join_group.h"
#include "protocol/messages/offset_fetch.h"
#include "protocol/messages/sync_group.h"
#include "protocol/messages/txn_offset_commit.h"
#include "simulation/transaction_worker.h"

namespace weir::simulation {

using protocol::ErrorCode;
using testing::Isolation;
using testing::OperationId;

namespace {
constexpr int64_t kPauseNs = 8 * runtime::kMillisecond;
constexpr std::string_view kProtocolType = "simulation", kProtocol = "one-partition", kOwner = "owner";
}  // namespace

void TransactionWorker::join() {
  if (!role_.member) return find_position();
  const testing::NameId group = stage_.history.name(role_.group);
  const OperationId id = stage_.history.invoke(client_, testing::Assigned{group, -1, {input()}});
  const auto joined = [this, id, group](const Ended& ended) {
    if (ended.ending == Ending::kDone && owner_) {
      stage_.history.ok(id, testing::Assigned{group, generation_, {input()}});
      return find_position();
    }
    stage_.history.fail(id);  // whatever the member was given, it never uses it
    // A member without an answer comes back as another one.
    if (ended.ending == Ending::kNoAnswer) member_id_.clear();
    if (replaced_) return end_work();
    stage_.after(kPauseNs, [this] { join(); });
  };
  ask([this](const Reply& reply) { join_request(reply); },
      [this, joined](const Ended& ended) {
        if (ended.ending != Ending::kDone) return joined(ended);
        go_on([this, joined] { ask([this](const Reply& reply) { sync_request(leader_, reply); }, joined); });
      });
}

void TransactionWorker::join_request(const Reply& reply) {
  protocol::JoinGroupRequest::JoinGroupRequestProtocol protocol;
  protocol.name = kProtocol;
  protocol::JoinGroupRequest request;
  request.group_id = role_.group;
  request.session_timeout_ms = 2'000;
  request.rebalance_timeout_ms = 400;
  request.member_id = member_id_;
  request.protocol_type = kProtocolType;
  request.protocols = {&protocol, 1};
  connection_.call<protocol::JoinGroupResponse>(9, request, [this, reply](const auto* response) {
    if (!response) return reply(Ending::kNoAnswer);
    if (response->error_code == static_cast<int16_t>(ErrorCode::kMemberIdRequired)) {
      member_id_ = response->member_id;
      return reply(Ending::kAgain);
    }
    if (response->error_code == static_cast<int16_t>(ErrorCode::kUnknownMemberId)) member_id_.clear();
    if (response->error_code == 0) member_id_ = response->member_id;
    generation_ = response->generation_id;
    leader_ = response->leader == member_id_;
    reply(ending_of("JoinGroup", response->error_code));
  });
}

// The leader takes the partition itself.
void TransactionWorker::sync_request(bool leader, const Reply& reply) {
  protocol::SyncGroupRequest::SyncGroupRequestAssignment assignment;
  assignment.member_id = member_id_;
  assignment.assignment = as_bytes(kOwner);
  protocol::SyncGroupRequest request;
  request.group_id = role_.group;
  request.generation_id = generation_;
  request.member_id = member_id_;
  request.protocol_type = kProtocolType;
  request.protocol_name = kProtocol;
  if (leader) request.assignments = {&assignment, 1};
  connection_.call<protocol::SyncGroupResponse>(5, request, [this, reply](const auto* response) {
    if (!response) return reply(Ending::kNoAnswer);
    owner_ = response->error_code == 0 && as_string(response->assignment) == kOwner;
    reply(ending_of("SyncGroup", response->error_code));
  });
}

void TransactionWorker::find_position() {
  const testing::NameId group = stage_.history.name(role_.group);
  // The position moves.
  stage_.history.ok(stage_.history.invoke(client_, testing::Assigned{testing::kNoName, -1, {input()}}));
  const OperationId id = stage_.history.invoke(client_, testing::FetchOffsets{group, true, {{input(), -1}}});
  ask([this](const Reply& reply) { fetch_offset(reply); },
      [this, id, group](const Ended& ended) {
        if (ended.ending != Ending::kDone) {
          stage_.history.fail(id);
          return stage_.after(kPauseNs, [this] { find_position(); });
        }
        stage_.history.ok(id, testing::FetchOffsets{group, true, {{input(), position_}}});
        position_ = std::max<int64_t>(0, position_);
        begin();
      });
}

void TransactionWorker::fetch_offset(const Reply& reply) {
  int32_t index = role_.partition;
  protocol::OffsetFetchRequest::OffsetFetchRequestTopics topic;
  topic.topic_id = stage_.input.id;
  topic.partition_indexes = {&index, 1};
  protocol::OffsetFetchRequest::OffsetFetchRequestGroup group;
  group.group_id = role_.group;
  group.topics = {&topic, 1};
  protocol::OffsetFetchRequest request;
  request.groups = {&group, 1};
  request.require_stable = true;
  connection_.call<protocol::OffsetFetchResponse>(10, request, [this, reply](const auto* response) {
    if (!response) return reply(Ending::kNoAnswer);
    const auto& answer = response->groups[0];
    if (answer.error_code != 0) return reply(ending_of("OffsetFetch", answer.error_code));
    const auto& partition = answer.topics[0].partitions[0];
    position_ = partition.committed_offset;
    reply(ending_of("OffsetFetch", partition.error_code));
  });
}

void TransactionWorker::poll() {
  go_on([this] {
    const OperationId id = stage_.history.invoke(client_, testing::Poll{.transaction = transaction_, .ranges = {}});
    stage_.begin_request();
    fetch_range(stage_, connection_, stage_.input, role_.partition, position_, Isolation::kReadCommitted,
                [this, id](const FetchedRange* range) {
                  stage_.end_request();
                  polled(id, range);
                });
  });
}

void TransactionWorker::polled(OperationId id, const FetchedRange* range) {
  if (!range) {
    stage_.history.fail(id);
    if (replaced_) return end_work();
    return stage_.after(kPauseNs, [this] { poll(); });
  }
  stage_.history.ok(
      id, testing::Poll{.transaction = transaction_, .ranges = {{input(), position_, range->next_offset, range->records}}});
  const bool nothing = range->next_offset == position_;
  position_ = range->next_offset;
  if (nothing) {
    // At the end of the input.
    const bool all = !stage_.input_may_come() && position_ == range->high_watermark;
    if (replaced_ || (stage_.settling() && all)) return end_work();
    return stage_.after(kPauseNs, [this] { poll(); });
  }
  std::map<size_t, OutgoingBatch> batches;  // by partition
  for (const testing::PolledRecord& record : range->records) {
    const size_t partition = record.value % stage_.output.partitions.size();
    OutgoingBatch& batch = batches[partition];
    batch.topic = &stage_.output;
    batch.partition = static_cast<int32_t>(partition);
    batch.records.push_back({.partition = stage_.output.partitions[partition],
                             .key = record.key,
                             .value = stage_.new_value(),
                             .transaction = transaction_,
                             .cause = record.value});
  }
  for (auto& [partition, batch] : batches) batches_.push_back(std::move(batch));
  send_next();
}

void TransactionWorker::send_offsets() {
  const testing::SendOffsets sent{
      transaction_, stage_.history.name(role_.group), role_.member ? generation_ : -1, {{input(), position_}}};
  touched_ = true;
  const auto commit = [this, sent] { commit_offsets(stage_.history.invoke(client_, sent)); };
  if (role_.version_2) return commit();
  ask(
      [this](const Reply& reply) {
        protocol::AddOffsetsToTxnRequest request;
        request.transactional_id = role_.transactional_id;
        request.producer_id = producer_id_;
        request.producer_epoch = epoch_;
        request.group_id = role_.group;
        connection_.call<protocol::AddOffsetsToTxnResponse>(3, request, [this, reply](const auto* response) {
          reply(response ? ending_of("AddOffsetsToTxn", response->error_code) : Ending::kNoAnswer);
        });
      },
      [this, commit](const Ended& ended) { ended.ending == Ending::kDone ? go_on(commit) : troubled(ended); });
}

void TransactionWorker::commit_offsets(OperationId id) {
  ask([this](const Reply& reply) { commit_offsets_request(reply); },
      [this, id](const Ended& ended) {
        if (ended.ending == Ending::kDone) {
          stage_.history.ok(id);
          return end(!stage_.random.one_in(7));
        }
        not_done(id, ended);
        if (ended.ending == Ending::kExpelled) {
          const testing::Revoked lost{stage_.history.name(role_.group), generation_, {input()}};
          stage_.history.fail(stage_.history.invoke(client_, lost));
        }
        troubled(ended);
      });
}

void TransactionWorker::commit_offsets_request(const Reply& reply) {
  protocol::TxnOffsetCommitRequest::TxnOffsetCommitRequestPartition partition;
  partition.partition_index = role_.partition;
  partition.committed_offset = position_;
  protocol::TxnOffsetCommitRequest::TxnOffsetCommitRequestTopic topic;
  topic.name = stage_.input.name;
  topic.partitions = {&partition, 1};
  protocol::TxnOffsetCommitRequest request;
  request.transactional_id = role_.transactional_id;
  request.group_id = role_.group;
  request.producer_id = producer_id_;
  request.producer_epoch = epoch_;
  if (role_.member) {
    request.generation_id_or_member_epoch = generation_;
    request.member_id = member_id_;
  }
  request.topics = {&topic, 1};
  // Version 5 and above: transaction version 2.
  connection_.call<protocol::TxnOffsetCommitResponse>(role_.version_2 ? 5 : 4, request, [this, reply](const auto* response) {
    if (!response) return reply(Ending::kNoAnswer);
    reply(ending_of("TxnOffsetCommit", response->topics[0].partitions[0].error_code));
  });
}

}  // namespace weir::simulation
