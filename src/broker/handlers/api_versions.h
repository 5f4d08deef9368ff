// ApiVersions (key 18), versions 0-5: the first request of every client.
//
// Lists the APIs that are registered with the dispatcher, nothing else. An unknown version is answered in version 0, with
// UNSUPPORTED_VERSION and the list, so that the client can choose. From version 5 on a client names the broker that it believes
// to talk to. A wrong belief is answered with REBOOTSTRAP_REQUIRED (KIP-1242). Java clients take over finalized features only if
// their epoch is at least 0 and grows.
#pragma once

#include "broker/broker.h"
#include "broker/server/dispatch.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_api_versions(Broker& broker, const Dispatcher& dispatcher, RequestContextPtr context);

}  // namespace weir::broker
