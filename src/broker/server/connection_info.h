// The known facts of a connection: its listener, the address of its peer, and the client's identity.
#pragma once

#include <string>

#include "broker/config/listeners.h"
#include "runtime/loop.h"
#include "security/authorization/principal.h"

namespace weir::broker {

struct ConnectionInfo {
  const ListenerInfo* listener = nullptr;
  runtime::Endpoint local;
  runtime::Endpoint peer;
  security::Principal principal;
  bool authenticated = false;        // or the listener does not ask
  std::string client_software_name;  // as of ApiVersions; empty before
  std::string client_software_version;

  // The address at which clients of this connection's listener reach this broker.
  const runtime::Endpoint& advertised() const { return listener->advertised ? *listener->advertised : local; }
};

}  // namespace weir::broker
