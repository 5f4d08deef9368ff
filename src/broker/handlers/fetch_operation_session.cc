// FetchOperation: the partitions asked for, from the request or from its session.
#include <utility>

#include "broker/handlers/fetch_operation.h"
#include "broker/requests/repeated_partitions.h"

namespace weir::broker {

using protocol::ErrorCode;

// Memory of items and answers, of the request and its session. Reserved before any change, for the request may have to wait.
uint64_t FetchOperation::memory_of_partitions() const {
  size_t partitions = 0;
  for (const auto& topic : request_.topics) partitions += topic.partitions.size();
  if (request_.session_id > FetchSession::kNoSession) {
    if (const FetchSessionPtr known = broker_.shard(home_).fetch_sessions.find(request_.session_id)) partitions += known->size();
  }
  return partitions * (sizeof(FetchItem) + sizeof(Answer) + 256);
}

// Returns false if the request was answered with an error of its session.
bool FetchOperation::open_session() {
  FetchSessionCache& cache = home().fetch_sessions;
  const int32_t id = request_.session_id;
  if (request_.session_epoch == FetchSession::kInitialEpoch || request_.session_epoch == FetchSession::kFinalEpoch) {
    if (id > FetchSession::kNoSession) {
      const unsigned shard = cache.shard_of(id);
      broker_.run_on(shard, [&broker = broker_, shard, id] { broker.shard(shard).fetch_sessions.remove(id); });
    }
    new_session_ = request_.session_epoch == FetchSession::kInitialEpoch && context_->version() >= 7;
    return true;
  }
  session_ = cache.find(id);
  if (!session_) {
    end_with(ErrorCode::kFetchSessionIdNotFound, FetchSession::kNoSession);
    return false;
  }
  if (session_->epoch() != request_.session_epoch) {
    end_with(ErrorCode::kInvalidFetchSessionEpoch, FetchSession::kNoSession);
    return false;
  }
  if (session_->by_id() != by_id()) {
    end_with(ErrorCode::kFetchSessionTopicIdError, FetchSession::kNoSession);
    return false;
  }
  if (!cache.has_room(FetchSession::bytes_of(request_))) {
    cache.remove(id);
    end_with(ErrorCode::kFetchSessionIdNotFound, FetchSession::kNoSession);
    return false;
  }
  session_->update(request_);
  session_->advance();  // however it goes on: an earlier request that waits points to partitions that may be gone
  if (session_->size() == 0) {
    // Nothing is left in it: closed, and the (empty) request is answered as one without a session.
    cache.remove(id);
    session_.reset();
    return true;
  }
  cache.touch(*session_, home().loop.clock().monotonic_ns() / runtime::kMillisecond);
  return true;
}

void FetchOperation::end_with(ErrorCode error, int32_t session_id) {
  protocol::FetchResponse response;
  response.error_code = code(error);
  response.session_id = session_id;
  state_ = State::kDone;
  context_->respond(response);
  context_.reset();
}

void FetchOperation::add_from_request() {
  size_t count = 0;
  for (const auto& topic : request_.topics) count += topic.partitions.size();
  items_.reserve(count);
  answers_.reserve(count);
  RepeatedPartitions repeated(count);
  for (const auto& topic : request_.topics) {
    for (const auto& asked : topic.partitions) repeated.mention(topic.topic_id, topic.topic, asked.partition);
  }
  repeated.all_mentioned();
  size_t mention = 0;
  for (const auto& topic : request_.topics) {
    for (const auto& asked : topic.partitions) {
      if (repeated.superseded(mention++)) continue;
      Answer answer{topic.topic, topic.topic_id, asked.partition};
      answer.asked = &asked;
      FetchItem item;
      item.offset = asked.fetch_offset;
      item.max_bytes = static_cast<uint64_t>(std::max(asked.partition_max_bytes, 0));
      item.leader_epoch = asked.current_leader_epoch;
      item.last_fetched_epoch = asked.last_fetched_epoch;
      add(answer, std::move(item));
    }
  }
}

void FetchOperation::add_from_session() {
  items_.reserve(session_->size());
  answers_.reserve(session_->size());
  for (SessionPartition& partition : session_->partitions()) {
    Answer answer{partition.topic, partition.topic_id, partition.index};
    answer.remembered = &partition;
    FetchItem item;
    item.offset = partition.fetch_offset;
    item.max_bytes = static_cast<uint64_t>(std::max(partition.max_bytes, 0));
    item.leader_epoch = partition.leader_epoch;
    item.last_fetched_epoch = partition.last_fetched_epoch;
    add(answer, std::move(item));
  }
}

void FetchOperation::add(Answer answer, FetchItem asked) {
  answer.error = find_partition(answer, asked.id);
  if (answer.error == ErrorCode::kNone) {
    const bool nameless = answer.remembered != nullptr && answer.remembered->topic.empty();
    if (nameless) session_->name(*answer.remembered, home().image->find(asked.id.topic)->name());
    answer.item = &items_.emplace_back(std::move(asked));
  }
  answers_.push_back(answer);
}

ErrorCode FetchOperation::find_partition(const Answer& answer, storage::PartitionId& id) const {
  const TopicResolver topics(*context_, *broker_.shard(home_).image, kNaming);
  const ResolvedTopic topic = topics.find(answer.topic, answer.topic_id);
  if (topic.error == ErrorCode::kUnknownTopicId && answer.remembered != nullptr && !answer.remembered->topic.empty()) {
    return topics.error_of_lost(answer.remembered->topic, answer.index);
  }
  if (const ErrorCode error = topic.error_of_led(answer.index); error != ErrorCode::kNone) return error;
  if (request_.replica_id >= 0 || request_.replica_state.replica_id >= 0) return ErrorCode::kNotLeaderOrFollower;
  id = topic->partition(answer.index);
  return ErrorCode::kNone;
}

}  // namespace weir::broker
