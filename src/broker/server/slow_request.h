// The log's line about a request that took too long: its API, its client, where its time went, and a remedy.
#pragma once

#include <string>
#include <string_view>

#include "broker/server/request_times.h"
#include "runtime/loop.h"

namespace weir::broker {

struct SlowRequest {
  std::string_view api;
  int16_t version = 0;
  std::string_view client_id;
  runtime::Endpoint peer;
  RequestMoments moments;
  int64_t allowed_wait_ms = 0;  // of the remote stage: waiting that the client asked for
  int64_t threshold_ms = 0;
};

struct SlowRequestText {
  std::string what;
  std::string reason;
  std::string_view remedy;
};
SlowRequestText describe(const SlowRequest& request);

}  // namespace weir::broker
