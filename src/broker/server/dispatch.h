// The table of the APIs this broker serves, and the way of a frame to its handler.
//
// Filled by the wiring before the shards run, constant afterwards and shared by them. Only what is registered is served
// and advertised. A handler is a plain function of the request context; it finds its shard through the context.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/server/metrics.h"
#include "broker/server/request_context.h"
#include "broker/server/request_times.h"
#include "protocol/api_key.h"

namespace weir::broker {

// What a request does, for the order in which the requests of one connection are handled (connection.h). Kafka handles one after
// the other.
enum class RequestKind : uint8_t {
  kReads,
  kChanges,         // those behind it wait until it is answered
  kProduces,        // the same, but those of this kind keep their order by themselves
  kWaitsForOthers,  // changes something, but is answered when other clients have come: nobody waits for it
};

using RequestHandler = std::function<void(RequestContextPtr)>;

// Error codes in the answers of one API, by code. Written by the shards, each its own cells; read by anyone.
class AnswerErrors {
 public:
  static constexpr int16_t kLowest = -1;  // UNKNOWN_SERVER_ERROR
  static constexpr int16_t kCodes = 192;  // more than there are; others are not counted

  explicit AnswerErrors(unsigned shards);
  // On the shard's thread.
  void add(unsigned shard, const protocol::Writer& answer);
  int64_t total(int16_t code) const;

 private:
  void add(unsigned shard, int16_t code, int64_t n);
  std::unique_ptr<std::atomic<int64_t>[]> cells_;  // of each shard together
  unsigned shards_;
};

struct ApiRoute {
  protocol::ApiKey key{};
  int16_t min_version = 0;
  int16_t max_version = 0;
  int16_t advertised_min_version = 0;
  RequestHandler handler;
  RequestKind kind = RequestKind::kReads;
  int64_t allowed_wait_ms = 0;     // see RequestContext::may_wait_ms
  std::vector<Counter*> requests;  // by version - min_version
  Counter* request_bytes = nullptr;
  Counter* response_bytes = nullptr;
  std::unique_ptr<AnswerErrors> errors;
  std::unique_ptr<RequestTimes> times;
  Histogram* duration = nullptr;  // of the whole request, as a histogram that Prometheus can add up

  int64_t request_count() const;
};

class Dispatcher {
 public:
  explicit Dispatcher(MetricsRegistry& metrics) : metrics_(metrics) {}

  // Serves versions [min, max], which the codec must understand. Once per key.
  void add(protocol::ApiKey key, int16_t min_version, int16_t max_version, RequestHandler handler,
           RequestKind kind = RequestKind::kReads);
  // Advertises a lower minimum than is served, for clients that conclude something else from it.
  void advertise_from(protocol::ApiKey key, int16_t min_version);

  std::vector<const ApiRoute*> routes() const;  // ascending by key
  const ApiRoute* route(int16_t key) const;

  // Decodes the header and calls the handler. Unknown keys and versions close the connection, except that
  // ApiVersions requests of any version reach their handler.
  void dispatch(RequestContextPtr context) const;

 private:
  MetricsRegistry& metrics_;
  std::vector<std::unique_ptr<ApiRoute>> routes_;  // index: API key
};

}  // namespace weir::broker
