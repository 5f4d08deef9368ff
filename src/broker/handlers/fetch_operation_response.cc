// FetchOperation: the response, and the session's memory of it.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "broker/handlers/fetch_operation.h"
#include "broker/requests/node_answers.h"

namespace weir::broker {

using protocol::ErrorCode;
using protocol::FetchResponse;
using PartitionData = FetchResponse::PartitionData;

void FetchOperation::respond() {
  WEIR_CHECK(state_ != State::kDone);
  if (state_ == State::kWaiting) on_each_part([this](Part& part) { stop_waiting_on(part, 0); });
  state_ = State::kDone;
  if (timer_) home().loop.cancel(timer_);
  if (stop_noted_) home().on_stop.erase(on_stop_);
  if (stop_noted_) --home().waiting_fetches;
  stop_noted_ = false;

  // A later request of the session may have changed the partitions that our answers point to.
  if (session_ && session_->epoch() != FetchSession::epoch_after(request_.session_epoch)) {
    return end_with(ErrorCode::kInvalidFetchSessionEpoch, session_->id());
  }
  FetchResponse response;
  response.session_id = session_ ? session_->id() : FetchSession::kNoSession;
  protocol::Arena& arena = context_->arena();
  // Refused partitions first, as Kafka has them; a stable order keeps topics together.
  // (Not std::stable_partition: clang warns of what libstdc++ 12's calls.)
  std::vector<Answer> served;
  for (const Answer& answer : answers_) {
    if (answer.item != nullptr) served.push_back(answer);
  }
  if (served.size() != answers_.size()) {
    std::erase_if(answers_, [](const Answer& answer) { return answer.item != nullptr; });
    answers_.insert(answers_.end(), served.begin(), served.end());
  }
  auto data = arena.array<PartitionData>(answers_.size());
  auto topics = arena.array<FetchResponse::FetchableTopicResponse>(answers_.size());
  size_t sent = 0, topic_count = 0;
  bool tell_leader = false;
  std::vector<SessionPartition*> moved;
  for (Answer& answer : answers_) {
    PartitionData& partition = data[sent];
    partition = PartitionData();
    const bool has_records = answer.item != nullptr && answer.item->read.bytes > 0;
    fill(partition, answer);
    if (session_ && !answer.remembered->must_respond(partition, has_records, true)) continue;
    if (has_records) attach_records(partition, *answer.item);
    if (has_records && session_) moved.push_back(answer.remembered);
    tell_leader = tell_leader || partition.current_leader.leader_id >= 0;
    const bool same_topic =
        topic_count > 0 && topics[topic_count - 1].topic == answer.topic && topics[topic_count - 1].topic_id == answer.topic_id;
    if (!same_topic) {
      topics[topic_count].topic = answer.topic;
      topics[topic_count].topic_id = answer.topic_id;
      topics[topic_count].partitions = data.subspan(sent, 0);
      ++topic_count;
    }
    auto& last = topics[topic_count - 1].partitions;
    last = std::span<PartitionData>(last.data(), last.size() + 1);
    ++sent;
  }
  response.responses = topics.first(topic_count);
  if (new_session_) create_session(response);
  if (tell_leader) {
    response.node_endpoints = nodes_of<FetchResponse::NodeEndpoint>(*home().image, context_->connection(), arena);
  }
  memory_.release();  // the connection accounts for it from here on
  RequestContextPtr context = std::move(context_);
  context->respond(response);
  for (SessionPartition* partition : moved) session_->move_to_end(*partition);
}

void FetchOperation::fill(PartitionData& data, const Answer& answer) {
  data.partition_index = answer.index;
  data.high_watermark = -1;
  data.last_stable_offset = -1;
  data.log_start_offset = -1;
  data.aborted_transactions = std::nullopt;
  // As in Kafka, of what was refused before its log was looked at.
  if (answer.item == nullptr) data.aborted_transactions = std::span<FetchResponse::AbortedTransaction>();
  const ErrorCode error = answer.item ? answer.item->read.error : answer.error;
  data.error_code = code(error);
  if (error != ErrorCode::kNone) {
    if (answer.item != nullptr) home().traffic.fetch_failed(answer.item->id.topic, error);
    const bool stale = error == ErrorCode::kFencedLeaderEpoch || error == ErrorCode::kNotLeaderOrFollower;
    const TopicResolver topics(*context_, *home().image, kNaming);
    const ResolvedTopic topic = stale ? topics.find(answer.topic, answer.topic_id) : ResolvedTopic();
    if (topic && context_->version() >= 16) {
      const PartitionOwner owner = home().image->owner(*topic, answer.index);
      data.current_leader.leader_id = owner.broker;
      data.current_leader.leader_epoch = owner.leader_epoch;
    }
    return;
  }
  const storage::ReadResult& read = answer.item->read;
  data.high_watermark = read.high_watermark;
  data.last_stable_offset = read.last_stable_offset;
  data.log_start_offset = read.log_start_offset;
  if (answer.item->diverging_epoch >= 0) {
    data.diverging_epoch.epoch = answer.item->diverging_epoch;
    data.diverging_epoch.end_offset = answer.item->diverging_end_offset;
  }
  if (read_committed_) data.aborted_transactions = aborted_of(read);
}

// As Kafka: an array, empty or not, for readers of committed records only.
std::span<FetchResponse::AbortedTransaction> FetchOperation::aborted_of(const storage::ReadResult& read) {
  const auto aborted = context_->arena().array<FetchResponse::AbortedTransaction>(read.aborted.size());
  for (size_t i = 0; i < aborted.size(); ++i) {
    aborted[i].producer_id = read.aborted[i].producer_id;
    aborted[i].first_offset = read.aborted[i].first_offset;
  }
  return aborted;
}

void FetchOperation::attach_records(PartitionData& data, FetchItem& item) {
  data.records.external_id = context_->next_external_id();
  data.records.external_size = item.read.bytes;
  home().traffic.sent(item.id.topic, item.read.bytes);
  for (storage::FetchPiece& piece : item.read.pieces) context_->attach(std::move(piece));
}

// A full fetch that asked for a session gets one if the cache has room. The session begins with the contents of this response.
void FetchOperation::create_session(FetchResponse& response) {
  BrokerShard& shard = home();
  const int64_t now_ms = shard.loop.clock().monotonic_ns() / runtime::kMillisecond;
  const FetchSessionPtr session =
      shard.fetch_sessions.create(now_ms, by_id(), answers_.size(), FetchSession::bytes_of(request_), shard.loop.random());
  if (!session) return;
  size_t at = 0;
  for (const auto& topic : response.responses) {
    for (const PartitionData& data : topic.partitions) {
      const Answer& answer = answers_[at++];
      SessionPartition partition{by_id() ? std::string() : std::string(answer.topic), answer.topic_id, answer.index};
      partition.take(*answer.asked);
      partition.high_watermark = data.high_watermark;
      partition.log_start_offset = data.log_start_offset;
      const Topic* known = by_id() && answer.item != nullptr ? shard.image->find(answer.topic_id) : nullptr;
      if (known != nullptr) partition.topic = known->name();
      session->add(std::move(partition));
    }
  }
  shard.fetch_sessions.touch(*session, now_ms);
  response.session_id = session->id();
}

}  // namespace weir::broker
