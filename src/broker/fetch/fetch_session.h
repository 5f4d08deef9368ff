// Incremental fetch sessions (KIP-227). The broker remembers the partitions that a consumer fetches and the last answers about
// them, so requests and responses name changes only.
//
// Each shard caches the sessions that its connections created. An id tells its shard (id % shards). A client that comes back on
// another shard's connection is answered FETCH_SESSION_ID_NOT_FOUND and starts a new session, as after a restart of the broker.
// Slots and memory bound the cache. A full cache takes a new session only in the place of a stale or smaller one. A session that
// grows above the memory is forgotten, and its client fetches without one. Loop thread only.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "base/uuid.h"
#include "protocol/errors.h"
#include "protocol/messages/fetch.h"
#include "runtime/clock.h"

namespace weir::broker {

// One partition of a session: the client's request, and the last answer.
struct SessionPartition {
  std::string topic;  // sessions by id: set once it was found, to tell a topic that is gone from one that never was
  TopicId topic_id;   // sessions by id
  int32_t index = 0;

  int32_t max_bytes = 0;
  int64_t fetch_offset = -1;
  int32_t leader_epoch = -1;
  int32_t last_fetched_epoch = -1;

  int64_t high_watermark = -1;
  int64_t log_start_offset = -1;

  void take(const protocol::FetchRequest::FetchPartition& asked);
  // Whether the client must be told of this answer. `remember` notes the answer.
  bool must_respond(const protocol::FetchResponse::PartitionData& answer, bool has_records, bool remember);
};

class FetchSession {
 public:
  static constexpr int32_t kNoSession = 0;
  static constexpr int32_t kInitialEpoch = 0;  // asks for a new session
  static constexpr int32_t kFinalEpoch = -1;   // asks for none
  static int32_t epoch_after(int32_t epoch) {
    if (epoch < 0) return kFinalEpoch;
    return epoch == INT32_MAX ? 1 : epoch + 1;
  }

  FetchSession(int32_t id, bool by_id, int64_t now_ms) : id_(id), by_id_(by_id), created_ms_(now_ms), used_ms_(now_ms) {}

  int32_t id() const { return id_; }
  bool by_id() const { return by_id_; }
  int32_t epoch() const { return epoch_; }
  size_t size() const { return index_.size(); }
  uint64_t bytes() const { return bytes_; }  // of memory, about
  // The bytes that the partitions of a request would add.
  static uint64_t bytes_of(const protocol::FetchRequest& request);
  static constexpr uint64_t kPartitionBytes = 320;  // without its topic's name, which is kept twice
  // In the order of reading. Partitions that returned data go to the end.
  std::list<SessionPartition>& partitions() { return partitions_; }

  void add(SessionPartition partition);
  void name(SessionPartition& partition, std::string_view topic);
  void update(const protocol::FetchRequest& request);
  void advance() { epoch_ = epoch_after(epoch_); }
  void move_to_end(SessionPartition& partition);

 private:
  friend class FetchSessionCache;
  struct Key {
    std::string topic;
    TopicId topic_id;
    int32_t index;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const {
      return std::hash<std::string>()(key.topic) ^
             (std::hash<TopicId>()(key.topic_id) + static_cast<size_t>(key.index) * 0x9e3779b97f4a7c15ull);
    }
  };
  using Position = std::list<SessionPartition>::iterator;
  Key key(std::string_view topic, const TopicId& id, int32_t index) const;

  int32_t id_;
  bool by_id_;
  int32_t epoch_ = 1;  // the next request must carry it
  int64_t created_ms_;
  int64_t used_ms_;
  size_t cached_size_ = 0;  // as the cache's order knows it
  uint64_t cached_bytes_ = 0;
  uint64_t bytes_ = 0;
  std::list<SessionPartition> partitions_;
  std::unordered_map<Key, Position, KeyHash> index_;
};
using FetchSessionPtr = std::shared_ptr<FetchSession>;

class FetchSessionCache {
 public:
  static constexpr int64_t kEvictionMs = 120'000;  // a session not used for this long is stale

  FetchSessionCache(unsigned shard, unsigned shards, size_t slots, uint64_t most_bytes)
      : shard_(shard), shards_(shards), slots_(slots), most_bytes_(most_bytes) {}

  // Makes an empty session with an unused id. Returns nothing if the cache is full of sessions that are worth more than one with
  // `size` partitions of `bytes`.
  FetchSessionPtr create(int64_t now_ms, bool by_id, size_t size, uint64_t bytes, runtime::Random& random);
  FetchSessionPtr find(int32_t id) const;
  void remove(int32_t id);
  // The session was used (and its size may have changed).
  void touch(FetchSession& session, int64_t now_ms);

  // Makes room for this many more bytes of a session.
  bool has_room(uint64_t bytes) const { return bytes_ + bytes <= most_bytes_; }

  size_t size() const { return sessions_.size(); }
  uint64_t evictions() const { return evictions_; }
  unsigned shard_of(int32_t id) const { return static_cast<uint32_t>(id) % shards_; }

 private:
  bool make_room(int64_t now_ms, size_t size);
  void forget_order(const FetchSession& session);
  void note_order(const FetchSession& session, int64_t now_ms);

  unsigned shard_;
  unsigned shards_;
  size_t slots_;
  uint64_t most_bytes_;
  uint64_t bytes_ = 0;  // of the sessions as they were when touched
  uint64_t evictions_ = 0;
  std::unordered_map<int32_t, FetchSessionPtr> sessions_;
  std::map<std::pair<int64_t, int32_t>, FetchSession*> by_use_;    // last use, id
  std::map<std::pair<size_t, int32_t>, FetchSession*> evictable_;  // size, id; only those older than kEvictionMs
};

}  // namespace weir::broker
