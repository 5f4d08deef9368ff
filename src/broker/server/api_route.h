// A row of the table of APIs: the versions served, and all that must be known of a request before its handler sees it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "broker/server/answer_errors.h"
#include "broker/server/metrics.h"
#include "broker/server/request_times.h"
#include "protocol/api_key.h"
#include "protocol/errors.h"
#include "security/authorization/authorizer.h"

namespace weir::broker {

class RequestContext;
struct DropRequestContext;
using RequestContextPtr = std::unique_ptr<RequestContext, DropRequestContext>;
using RequestHandler = std::function<void(RequestContextPtr)>;

// The effect of a request. It decides the order in which the requests of one connection are handled (connection.h). Kafka handles
// one after the other.
enum class RequestKind : uint8_t {
  kReads,
  kChanges,         // requests behind it wait until it is answered
  kProduces,        // the same, but requests of this kind keep their order by themselves
  kWaitsForOthers,  // changes something, and its answer waits for other clients: no request waits for it, and it is not slow
};

// The quota of its client that a request counts against (ClientQuotas), as in Kafka.
enum class ThrottleClass : uint8_t {
  kRequest,             // the time it takes; all below count it as well
  kProduce,             // bytes in
  kFetch,               // bytes out
  kControllerMutation,  // changes of topics
  kExempt,              // nothing
};

// The worth of the right to an operation on the cluster, for a request.
enum class ClusterRight : uint8_t {
  kNone,      // nothing
  kRequired,  // everything: without it the dispatcher denies the request
  kSuffices,  // as much as the right to each topic and group it names. Asked first. Lacking it is no denial
  kIfNamed,   // the cluster is one of the resources it may name
};

// The rights that a request needs (AclOperation): for each type of resource, the operation on each resource that it names. Needs
// that depend on more than the type are in the handler's header.
struct ApiNeeds {
  using Operation = security::AclOperation;
  Operation topic = Operation::kNone;
  Operation group = Operation::kNone;
  Operation transactional_id = Operation::kNone;
  Operation cluster = Operation::kNone;
  ClusterRight cluster_right = ClusterRight::kNone;

  Operation of(security::ResourceType type) const;
};

// Answers a request that is denied as a whole, in the form its API has for an error. Called as a handler is.
using Denial = void (*)(RequestContextPtr, protocol::ErrorCode);

struct ApiRow {
  protocol::ApiKey key{};
  int16_t min_version = 0;  // the codec understands all from here to max_version
  int16_t max_version = 0;
  RequestKind kind = RequestKind::kReads;
  ApiNeeds needs = {};
  Denial deny = nullptr;  // with ClusterRight::kRequired
  ThrottleClass throttle = ThrottleClass::kRequest;
  bool before_authentication = false;  // answered also before the client is authenticated
  // The handler is given requests of other versions as well, and answers them in a form that any client can read.
  bool any_version = false;
  // Its body is mainly records. The answer does not repeat them, and they stay where they were received.
  bool carries_records = false;
  // Advertised in the place of min_version, for clients that draw other conclusions from it.
  int16_t advertised_min_version = -1;
};

// A row in force, with its handler and its metrics.
struct ApiRoute : ApiRow {
  RequestHandler handler;
  int64_t allowed_wait_ms = 0;     // see RequestContext::may_wait_ms
  std::vector<Counter*> requests;  // by version - min_version
  Counter* request_bytes = nullptr;
  Counter* response_bytes = nullptr;
  std::unique_ptr<AnswerErrors> errors;
  std::unique_ptr<RequestTimes> times;
  Histogram* duration = nullptr;  // of the whole request, as a histogram that Prometheus can add up

  bool serves(int16_t version) const { return version >= min_version && version <= max_version; }
  int64_t request_count() const;
};

}  // namespace weir::broker
