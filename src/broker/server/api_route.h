// A row of the table of APIs: which versions are served, and what has to be known of a request before its handler sees it.
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

// What a request does, for the order in which the requests of one connection are handled (connection.h). Kafka handles one after
// the other.
enum class RequestKind : uint8_t {
  kReads,
  kChanges,         // requests behind it wait until it is answered
  kProduces,        // the same, but requests of this kind keep their order by themselves
  kWaitsForOthers,  // changes something, but is answered when other clients have come: nobody waits for it, and it is not slow
};

// Which quota of its client a request counts against (ClientQuotas), as in Kafka.
enum class ThrottleClass : uint8_t {
  kRequest,             // the time it takes; all below count it as well
  kProduce,             // bytes in
  kFetch,               // bytes out
  kControllerMutation,  // changes of topics
  kExempt,              // nothing
};

// What the right to an operation on the cluster is worth to a request.
enum class ClusterRight : uint8_t {
  kNone,      // nothing
  kRequired,  // everything: without it the dispatcher denies the request
  kSuffices,  // as much as the right to each topic and group it names. Asked first, and not having it is no denial
  kIfNamed,   // the cluster is one of the resources it may name
};

// What a request needs to be allowed (AclOperation): the operation on each resource it names, by the resource's type. What
// depends on more than the type is in the handler's header.
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
  bool before_authentication = false;  // answered to clients of whom nobody knows yet who they are
  // The handler is given requests of other versions as well, and answers them in a form that any client can read.
  bool any_version = false;
  // Its body is records in the main: they are not told again in the answer, and are left where they were received.
  bool carries_records = false;
  // Advertised instead of min_version, for clients that conclude something else from it.
  int16_t advertised_min_version = -1;
};

// A row in force: with its handler and what is counted for it.
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
