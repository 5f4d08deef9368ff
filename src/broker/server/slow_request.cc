#include "broker/server/slow_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/printable.h"

namespace weir::broker {

namespace {

int64_t ms(int64_t ns) { return ns / runtime::kMillisecond; }

struct Stage {
  int64_t ns;
  const char* name;
  std::string_view remedy;
};

}  // namespace

SlowRequestText describe(const SlowRequest& request) {
  const RequestMoments& m = request.moments;
  const int64_t waited = std::min(m.remote(), request.allowed_wait_ms * runtime::kMillisecond);
  const std::array<Stage, 4> stages = {{
      {m.queue(), "waiting for its turn",
       "The shard's thread was busy: see kafka_network_socketserver_networkprocessoravgidle_percent; use more cores, or "
       "find the requests with much local time in kafka_network_requestmetrics_localtimems"},
      {m.local(), "its handler",
       "The request is large, or the machine gave the thread no time: ask for fewer partitions in one request, and see "
       "whether other processes take the CPU"},
      {m.remote() - waited, "the log and other shards",
       "For Produce that is the flush: see weir_wal_flush_seconds and weir_dirty_bytes; a slow or full device and a "
       "busy machine look alike there"},
      {m.send(), "sending the answer",
       "The client or the network between takes the bytes slowly: look at the client, or fetch less at a time "
       "(fetch.max.bytes)"},
  }};
  const Stage& longest =
      *std::max_element(stages.begin(), stages.end(), [](const Stage& a, const Stage& b) { return a.ns < b.ns; });
  SlowRequestText text;
  text.what = fmt::format("Slow request: {} version {} of client {} at {}:{} took {} ms (weir.slow.request.ms={})", request.api,
                          request.version, quoted(request.client_id), request.peer.host, request.peer.port,
                          ms(m.total() - waited), request.threshold_ms);
  text.reason = fmt::format(
      "most of it went into {}: waiting for its turn {} ms, handler {} ms, log and other shards "
      "{} ms, sending {} ms",
      longest.name, ms(m.queue()), ms(m.local()), ms(m.remote() - waited), ms(m.send()));
  if (waited > 0) text.reason += fmt::format("; not counted are {} ms that the client asked to wait", ms(waited));
  text.remedy = longest.remedy;
  return text;
}

}  // namespace weir::broker
