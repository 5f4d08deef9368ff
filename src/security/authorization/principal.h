// Who stands at the other end of a connection: in Kafka's text form `User:alice`.
#pragma once

#include <string>

namespace weir::security {

struct Principal {
  std::string type = "User";
  std::string name = "ANONYMOUS";  // of whom nobody asked who it is

  std::string text() const { return type + ":" + name; }
  bool operator==(const Principal&) const = default;
};

}  // namespace weir::security
