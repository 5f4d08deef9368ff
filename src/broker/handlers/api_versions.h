// ApiVersions (key 18), versions 0-5: the first request of every client.
//
// Answers what is registered with the dispatcher, nothing else. A version that is not known is answered in version 0
// with UNSUPPORTED_VERSION and the list, so that the client can choose. From version 5 on a client says which broker it
// believes to talk to; a wrong belief is answered with REBOOTSTRAP_REQUIRED (KIP-1242). Java clients take over finalized
// features only if their epoch is at least 0 and grows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "broker/server/dispatch.h"
#include "broker/server/request_context.h"

namespace weir::broker {

struct Feature {
  std::string name;
  int16_t min_version = 0;
  int16_t max_version = 0;
  int16_t finalized_version = 0;  // 0: not finalized
};

// What the answer says besides the table. Constant while the broker runs.
struct BrokerIdentity {
  std::string cluster_id;
  int32_t node_id = 0;
  std::vector<Feature> features;
  int64_t finalized_features_epoch = 0;
};

void handle_api_versions(const BrokerIdentity& identity, const Dispatcher& dispatcher, RequestContextPtr context);

}  // namespace weir::broker
