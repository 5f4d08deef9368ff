// Where the time of an API's requests goes. A request's stages, in the order they are passed:
//
//   last byte received | queue | handler runs | remote: flush, other shards, waiting for data | (turn) | send | last byte sent
//
// Requests before it on its connection have times of their own. A wait for them is not its time, as in Kafka, which receives one
// request of a connection after the other. So `received` is the moment when it could begin, and the wait for its turn to be sent
// is no stage.
//
// One object per API. Every shard writes its own cells. A request that is answered while its handler runs has no remote time, and
// its handler's time ends with the answer.
#pragma once

#include <algorithm>
#include <cstdint>

#include "broker/server/metrics.h"

namespace weir::broker {

// Moments of one request, monotonic nanoseconds.
struct RequestMoments {
  int64_t received = 0;    // its last byte
  int64_t dispatched = 0;  // its handler began
  int64_t handled = 0;     // its handler returned
  int64_t answered = 0;
  int64_t turn = 0;  // answered, and the answers before it are sent
  int64_t sent = 0;  // the last byte of the response was given to the socket

  int64_t queue() const { return dispatched - received; }
  int64_t local() const { return std::min(handled, answered) - dispatched; }
  int64_t remote() const { return std::max<int64_t>(0, answered - handled); }
  int64_t send() const { return sent - turn; }
  int64_t total() const { return sent - turn + answered - received; }
};

struct RequestTimes {
  explicit RequestTimes(unsigned shards) : total(shards), queue(shards), local(shards), remote(shards), send(shards) {}
  // On the shard's thread only.
  void observe(unsigned shard, const RequestMoments& moments) {
    total.observe_ns(shard, moments.total());
    queue.observe_ns(shard, moments.queue());
    local.observe_ns(shard, moments.local());
    remote.observe_ns(shard, moments.remote());
    send.observe_ns(shard, moments.send());
  }

  Histogram total, queue, local, remote, send;
};

}  // namespace weir::broker
