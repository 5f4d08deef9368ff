#include "broker/fetch/fetch_session.h"

#include <utility>

namespace weir::broker {

void SessionPartition::take(const protocol::FetchRequest::FetchPartition& asked) {
  max_bytes = asked.partition_max_bytes;
  fetch_offset = asked.fetch_offset;
  leader_epoch = asked.current_leader_epoch;
  last_fetched_epoch = asked.last_fetched_epoch;
}

bool SessionPartition::must_respond(const protocol::FetchResponse::PartitionData& answer, bool has_records, bool remember) {
  bool must = has_records || !answer.diverging_epoch.is_default();
  if (high_watermark != answer.high_watermark) {
    must = true;
    if (remember) high_watermark = answer.high_watermark;
  }
  if (log_start_offset != answer.log_start_offset) {
    must = true;
    if (remember) log_start_offset = answer.log_start_offset;
  }
  if (answer.error_code != 0) {
    must = true;
    if (remember) high_watermark = -1;  // so that the end of the error is told as well
  }
  return must;
}

// --- session --------------------------------------------------------------------------------------------------------

FetchSession::Key FetchSession::key(std::string_view topic, const TopicId& id, int32_t index) const {
  return by_id_ ? Key{{}, id, index} : Key{std::string(topic), {}, index};
}

void FetchSession::add(SessionPartition partition) {
  Key id = key(partition.topic, partition.topic_id, partition.index);
  if (index_.contains(id)) return;
  bytes_ += kPartitionBytes + 2 * partition.topic.size();
  partitions_.push_back(std::move(partition));
  index_.emplace(std::move(id), std::prev(partitions_.end()));
}

void FetchSession::name(SessionPartition& partition, std::string_view topic) {
  partition.topic = topic;
  bytes_ += 2 * topic.size();
}

uint64_t FetchSession::bytes_of(const protocol::FetchRequest& request) {
  uint64_t bytes = 0;
  for (const auto& topic : request.topics) bytes += topic.partitions.size() * (kPartitionBytes + 2 * topic.topic.size());
  return bytes;
}

void FetchSession::update(const protocol::FetchRequest& request) {
  for (const auto& topic : request.topics) {
    for (const auto& asked : topic.partitions) {
      const auto known = index_.find(key(topic.topic, topic.topic_id, asked.partition));
      if (known != index_.end()) {
        known->second->take(asked);
        continue;
      }
      SessionPartition partition{std::string(topic.topic), topic.topic_id, asked.partition};
      partition.take(asked);
      add(std::move(partition));
    }
  }
  for (const auto& topic : request.forgotten_topics_data) {
    for (const int32_t index : topic.partitions) {
      const auto known = index_.find(key(topic.topic, topic.topic_id, index));
      if (known == index_.end()) continue;
      bytes_ -= kPartitionBytes + 2 * known->second->topic.size();
      partitions_.erase(known->second);
      index_.erase(known);
    }
  }
}

void FetchSession::move_to_end(SessionPartition& partition) {
  const auto known = index_.find(key(partition.topic, partition.topic_id, partition.index));
  if (known != index_.end()) partitions_.splice(partitions_.end(), partitions_, known->second);
}

// --- cache ----------------------------------------------------------------------------------------------------------

FetchSessionPtr FetchSessionCache::create(int64_t now_ms, bool by_id, size_t size, uint64_t bytes, runtime::Random& random) {
  const bool full = sessions_.size() >= slots_ || !has_room(bytes);
  if (full && (!make_room(now_ms, size) || !has_room(bytes))) return nullptr;
  int32_t id;
  do {
    // Positive, and of this shard.
    const uint64_t range = static_cast<uint64_t>(INT32_MAX) / shards_;
    id = static_cast<int32_t>((random.next() % range) * shards_ + shard_);
  } while (id == FetchSession::kNoSession || sessions_.contains(id));
  auto session = std::make_shared<FetchSession>(id, by_id, now_ms);
  session->cached_size_ = size;
  note_order(*session, now_ms);
  sessions_.emplace(id, session);
  return session;
}

FetchSessionPtr FetchSessionCache::find(int32_t id) const {
  const auto it = sessions_.find(id);
  return it == sessions_.end() ? nullptr : it->second;
}

void FetchSessionCache::remove(int32_t id) {
  const auto it = sessions_.find(id);
  if (it == sessions_.end()) return;
  forget_order(*it->second);
  bytes_ -= it->second->cached_bytes_;
  sessions_.erase(it);
}

void FetchSessionCache::touch(FetchSession& session, int64_t now_ms) {
  forget_order(session);
  session.used_ms_ = now_ms;
  session.cached_size_ = session.size();
  bytes_ += session.bytes() - session.cached_bytes_;
  session.cached_bytes_ = session.bytes();
  note_order(session, now_ms);
}

void FetchSessionCache::forget_order(const FetchSession& session) {
  by_use_.erase({session.used_ms_, session.id_});
  evictable_.erase({session.cached_size_, session.id_});
}

void FetchSessionCache::note_order(const FetchSession& session, int64_t now_ms) {
  auto* entry = const_cast<FetchSession*>(&session);
  by_use_.emplace(std::pair(session.used_ms_, session.id_), entry);
  if (now_ms - session.created_ms_ > kEvictionMs) evictable_.emplace(std::pair(session.cached_size_, session.id_), entry);
}

bool FetchSessionCache::make_room(int64_t now_ms, size_t size) {
  if (by_use_.empty()) return false;
  const auto [used, oldest] = *by_use_.begin();
  if (now_ms - used.first > kEvictionMs) {
    remove(oldest->id_);
  } else if (!evictable_.empty() && size >= evictable_.begin()->first.first) {
    remove(evictable_.begin()->second->id_);
  } else {
    return false;
  }
  ++evictions_;
  return true;
}

}  // namespace weir::broker
