// Tells the service manager that started the process (systemd, Type=notify) how it is: the protocol of sd_notify(3), a
// datagram to the socket that NOTIFY_SOCKET names. Without that variable nothing happens.
#pragma once

#include <string>
#include <utility>

namespace weir::apps {

class ServiceNotice {
 public:
  // Takes NOTIFY_SOCKET out of the environment: children are no business of the service manager.
  static ServiceNotice from_environment();
  explicit ServiceNotice(std::string socket) : socket_(std::move(socket)) {}

  void ready() const { send("READY=1\nSTATUS=Serving"); }
  void stopping() const { send("STOPPING=1"); }

 private:
  void send(const std::string& message) const;
  std::string socket_;  // a path, or with '@' in front a name without one
};

}  // namespace weir::apps
