// Which names a Host header may have. A page of another site can make a browser ask a broker in its own network, under a
// name of that site which points here (DNS rebinding); the name betrays it.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace weir::http {

// True for addresses, names that no public site can have (one label, .localhost, .local, .internal, .svc: what probes,
// containers and clusters use), an empty one, and those in `known`; "*" in it lets any through. A port is ignored.
bool may_be_host(std::string_view host, std::span<const std::string> known);

}  // namespace weir::http
