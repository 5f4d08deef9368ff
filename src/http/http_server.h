// A small HTTP/1.1 server for health checks and metrics: GET and HEAD of fixed paths, keep-alive, answers made in memory.
//
// Bounded against clients that mean no good: connections, size of a request, time for it to arrive, answers waiting to be
// taken, time without progress. A new connection always finds room: the one that waited longest since its last answer goes.
// Lives on one loop: construct and listen before the loop runs or on it; destroy on it or after it has ended.
// Handlers run on the loop and may answer later, on the loop; answers to connections that are gone are dropped.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/function.h"
#include "base/lifetime.h"
#include "base/result.h"
#include "runtime/loop.h"

namespace weir::http {

struct Response {
  int status = 200;
  std::string body;
  std::string content_type = "text/plain; charset=utf-8";
  // In the place of `body`, for large ones: several connections may send the same bytes.
  std::shared_ptr<const std::string> shared_body = nullptr;
};
using Respond = Function<void(Response)>;
using Handler = std::function<void(Respond)>;

class HttpServer {
 public:
  struct Options {
    size_t max_connections = 64;
    uint32_t max_header_bytes = 16 * 1024;
    size_t max_waiting_bytes = 8u << 20;  // of answers the client does not take; then the connection is closed
    int64_t idle_ms = 60'000;
    int64_t header_ms = 10'000;  // from the first byte of a request to its last
    // Names that a Host header may have beside those of HostNames; "*" lets any through.
    std::vector<std::string> host_names = {};
  };
  HttpServer(runtime::Loop& loop, Options options);
  explicit HttpServer(runtime::Loop& loop) : HttpServer(loop, Options{}) {}
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;

  // Answers GET and HEAD of exactly this path (what follows a '?' is ignored).
  void get(std::string path, Handler handler) { handlers_[std::move(path)] = std::move(handler); }
  Result<runtime::Endpoint> listen(const runtime::Endpoint& address);
  // Takes over a connected socket as if it had been accepted.
  void accept(std::unique_ptr<runtime::Socket> socket);
  size_t connections() const { return connections_.size(); }

 private:
  class Connection;
  friend class Connection;
  void remove_later(Connection& connection);
  void make_room();
  void sweep();

  runtime::Loop& loop_;
  const Options options_;
  std::map<std::string, Handler, std::less<>> handlers_;
  std::vector<std::shared_ptr<Connection>> connections_;
  runtime::TimerId sweep_timer_;
  std::unique_ptr<runtime::Listener> listener_;
  Lifetime lifetime_;  // ends first
};

}  // namespace weir::http
