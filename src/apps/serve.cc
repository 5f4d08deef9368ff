#include "apps/serve.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "apps/server.h"
#include "base/log.h"
#include "broker/config/listeners.h"
#include "runtime/machine.h"
#include "runtime/real_runtime.h"
#include "runtime/signals.h"

namespace weir::apps {

namespace {

int complain(const Error& error, int code) {
  fmt::print(stderr, "weir: {}\n", error.message);
  return code;
}

}  // namespace

int serve(const cli::ServeCommand& command) {
  ServerOptions options;
  auto listeners = broker::combine_listeners(
      command.listeners.value_or("PLAINTEXT://127.0.0.1:9092"), command.advertised_listeners.value_or(""),
      "PLAINTEXT:PLAINTEXT");
  if (!listeners) return complain(listeners.error(), 2);
  options.listeners = std::move(*listeners);
  options.max_memory_bytes = runtime::available_memory_bytes() / 2;

  runtime::RealRuntimeOptions runtime_options;
  runtime_options.loops = command.shards;
  runtime::RealRuntime runtime(runtime_options);
  runtime::SignalWatch* signals = nullptr;
  std::unique_ptr<Server> server;
  runtime::SignalWatch watch(runtime.loop(0), [&](int) { server->stop([&] { runtime.request_stop(); }); });
  (void)signals;
  auto started = Server::start(runtime.runtime(), std::move(options));
  if (!started) return complain(started.error(), 1);
  server = std::move(*started);
  runtime.run();
  for (const auto& listener : server->listeners()) {
    fmt::print("listening on {}://{}:{}\n", listener.name, listener.bound.host, listener.bound.port);
  }
  std::fflush(stdout);
  runtime.wait();
  runtime.stop();
  return 0;
}

}  // namespace weir::apps
