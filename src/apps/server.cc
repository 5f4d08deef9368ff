#include "apps/server.h"

#include <fmt/format.h>

#include <utility>

namespace weir::apps {

Server::Server(runtime::Runtime& runtime, ServerOptions options)
    : runtime_(runtime),
      options_(std::move(options)),
      metrics_(static_cast<unsigned>(runtime.loops.size())),
      budget_(broker::MemoryBudget::divide(options_.max_memory_bytes)),
      limits_(options_.max_connections, options_.max_connections_per_ip),
      frontend_metrics_(metrics_),
      dispatcher_(metrics_) {}

Server::~Server() = default;

Result<std::unique_ptr<Server>> Server::start(runtime::Runtime& runtime, ServerOptions options) {
  std::unique_ptr<Server> server(new Server(runtime, std::move(options)));
  server->identity_.cluster_id = runtime.loops[0]->random().uuid().to_string();
  server->register_handlers();
  if (auto ok = server->listen(); !ok) return std::unexpected(ok.error());
  return server;
}

void Server::register_handlers() {
  dispatcher_.add(protocol::ApiKey::kApiVersions, 0, 5, [this](broker::RequestContextPtr context) {
    broker::handle_api_versions(identity_, dispatcher_, std::move(context));
  });
}

Result<void> Server::listen() {
  for (runtime::Loop* loop : runtime_.loops) {
    frontends_.push_back(std::make_unique<broker::Frontend>(*loop, dispatcher_, budget_, limits_, frontend_metrics_,
                                                            options_.frontend));
    for (broker::ListenerInfo& listener : options_.listeners) {
      auto address = frontends_.back()->listen(listener);
      if (!address) {
        return fail(address.error().code, fmt::format("cannot listen on {}://{}:{}: {}", listener.name,
                                                      listener.bound.host, listener.bound.port,
                                                      address.error().message));
      }
      // The other loops listen on the port the first one got.
      listener.bound.port = address->port;
      if (listener.advertised && listener.advertised->port == 0) listener.advertised->port = address->port;
    }
  }
  return {};
}

void Server::stop(Function<void()> done) {
  runtime_.loops[0]->post([this, finished = std::move(done)]() mutable {
    frontends_[0]->stop_accepting();
    finished();
  });
}

}  // namespace weir::apps
