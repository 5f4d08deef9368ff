#include "apps/serve.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <utility>

#include "apps/absolute_path.h"
#include "apps/flush_probe.h"
#include "apps/log_sink.h"
#include "apps/process_metrics.h"
#include "apps/ready_line.h"
#include "apps/server.h"
#include "apps/service_notice.h"
#include "apps/start_notes.h"
#include "apps/temporary_folder.h"
#include "base/counted.h"
#include "base/log.h"
#include "broker/config/listeners.h"
#include "broker/config/resource_config.h"
#include "runtime/machine.h"
#include "runtime/real_runtime.h"
#include "runtime/signals.h"

namespace weir::apps {

namespace {

constexpr int kStarted = 0, kFailed = 1, kBadArguments = 2;

// One for each line: a configuration may have several faults.
void each_line(std::string_view text, const std::function<void(std::string_view)>& tell) {
  for (size_t end = 0; end != std::string_view::npos; text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1)) {
    end = text.find('\n');
    tell(text.substr(0, end));
  }
}

int complain(const Error& error, int code) {
  each_line(error.message, [](std::string_view line) { fmt::print(stderr, "weir: {}\n", line); });
  return code;
}

// Once it is known how the log is written.
int complain(const Error& error, int code, const broker::BrokerConfig& config) {
  if (config.text("log.format") != "json") return complain(error, code);
  each_line(error.message, [](std::string_view line) { log_error("server", "{}", line); });
  return code;
}

// A regular file, or a pipe as of `--config <(...)`.
Result<std::string> read_config_file(const std::string& path) {
  constexpr size_t kBytesMax = 4 << 20;
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  std::string text;
  char piece[16 * 1024];
  while (in && text.size() <= kBytesMax) {
    in.read(piece, sizeof piece);
    text.append(piece, static_cast<size_t>(in.gcount()));
  }
  if (!in.eof() && text.size() > kBytesMax) {
    return fail(ErrorCode::kInvalid, fmt::format("--config {} is too large for a configuration", path));
  }
  // What the stream met is in errno: a folder opens, but cannot be read.
  if (!in.eof() || in.bad()) {
    return fail(ErrorCode::kNotFound, fmt::format("cannot read --config {}: {}; name a properties file", path,
                                                  errno != 0 ? std::strerror(errno) : "it is no file"));
  }
  return text;
}

Result<broker::BrokerConfig> read_config(const cli::ServeCommand& command) {
  broker::BrokerConfig config;
  if (!command.config_file.empty()) {
    const auto text = read_config_file(command.config_file);
    if (!text) return std::unexpected(text.error());
    if (auto ok = config.add_file(*text, command.config_file); !ok) return std::unexpected(ok.error());
  }
  for (const std::string& setting : command.settings) {
    if (auto ok = config.add_setting(setting); !ok) return std::unexpected(ok.error());
  }
  const std::pair<const char*, const std::optional<std::string>*> flags[] = {
      {"listeners", &command.listeners},
      {"advertised.listeners", &command.advertised_listeners},
      {"http.listener", &command.http}};
  for (const auto& [key, value] : flags) {
    if (!*value) continue;
    if (auto ok = config.set(key, **value); !ok) return std::unexpected(ok.error());
  }
  // The delay pays off where many members start together; without a configuration file somebody tries things out.
  if (command.config_file.empty() && !config.is_set("group.initial.rebalance.delay.ms")) {
    if (auto ok = config.set("group.initial.rebalance.delay.ms", "0"); !ok) return std::unexpected(ok.error());
  }
  if (auto ok = broker::check_group_settings(config); !ok) return std::unexpected(ok.error());
  return config;
}

// Where the data goes by --data-dir or, as Kafka's own properties files have it, by log.dirs. The first one is home.
Result<std::vector<std::string>> log_dirs_of(const cli::ServeCommand& command, const broker::BrokerConfig& config) {
  if (!command.data_dir.empty()) return std::vector<std::string>{absolute_path(command.data_dir)};
  const std::string dirs(config.text(config.is_set("log.dirs") ? "log.dirs" : "log.dir"));
  if (dirs.empty()) {
    return fail(ErrorCode::kInvalid,
                "say where the data goes: --data-dir DIR, log.dirs in the configuration, or --ephemeral for a trial");
  }
  std::vector<std::string> paths;
  for (size_t begin = 0; begin <= dirs.size();) {
    const size_t end = std::min(dirs.find(',', begin), dirs.size());
    const size_t first = dirs.find_first_not_of(" \t", begin);
    const size_t last = dirs.find_last_not_of(" \t,", end);
    begin = end + 1;
    if (first >= end || last == std::string::npos || last < first) continue;
    std::string path = absolute_path(dirs.substr(first, last - first + 1));
    if (std::find(paths.begin(), paths.end(), path) != paths.end()) {
      return fail(ErrorCode::kInvalid, fmt::format("log.dirs={}: {} is named twice", dirs, path));
    }
    paths.push_back(std::move(path));
  }
  if (paths.empty()) return fail(ErrorCode::kInvalid, fmt::format("log.dirs={}: there is no folder in it", dirs));
  return paths;
}

std::string flush_text(const broker::BrokerConfig& config, FlushProbe::Latency measured) {
  if (config.text("weir.flush") == "os") return "os: acknowledged when the kernel has it; a power cut loses records";
  const std::string mode = "durable: acknowledged when it is on the device";
  if (measured.p50_ns == 0) return mode;
  return fmt::format("{} (here in {} µs, 99 % within {} µs)", mode, measured.p50_ns / 1000, measured.p99_ns / 1000);
}

std::string listening_text(const Server& server) {
  std::string listening;
  for (const broker::ListenerInfo& listener : server.listeners()) {
    listening += fmt::format("{}{}://{}", listening.empty() ? "" : ", ", listener.name, broker::endpoint_text(listener.bound));
  }
  return listening;
}

void log_ready(const Server& server, const broker::BrokerConfig& config) {
  const auto& http = server.http_address();
  log_info("server", "Weir {} is ready: listening on {}; {}data in {} (cluster {}, {}); flush {}; recovery {}", WEIR_VERSION,
           listening_text(server), http ? fmt::format("HTTP on {}; ", broker::endpoint_text(*http)) : "", server.data_dir(),
           server.cluster_id(), counted(server.topic_count(), "topic"), config.text("weir.flush"),
           server.first_start()      ? "not needed"
           : server.recovery().clean ? "after a clean end"
                                     : "after an unclean end");
}

// For people; with log.format=json programs read the log.
void print_banner(const Server& server, const cli::ServeCommand& command, const broker::BrokerConfig& config,
                  FlushProbe::Latency measured) {
  const broker::ListenerInfo& first = server.listeners().front();
  const std::string bootstrap = broker::endpoint_text(first.advertised.value_or(reachable(first.bound)));
  const storage::RecoveryStats& recovery = server.recovery();
  fmt::print("Weir {} is ready.\n", WEIR_VERSION);
  fmt::print("  listening  {}\n", listening_text(server));
  if (const auto& http = server.http_address()) {
    fmt::print("  health     http://{}/health, /ready, /metrics\n", broker::endpoint_text(*http));
  }
  fmt::print("  data       {}{} (cluster {}, {})\n", server.data_dir(), command.ephemeral ? ", removed at the end" : "",
             server.cluster_id(), counted(server.topic_count(), "topic"));
  for (const std::string& path : server.more_dirs()) fmt::print("             {} (segments only)\n", path);
  fmt::print("  flush      {}\n", flush_text(config, measured));
  if (server.first_start()) {
    fmt::print("  recovery   nothing to do, the folder is new\n");
  } else {
    fmt::print("  recovery   {}: {}, {} above the segments, {} read in {} ms\n", recovery.clean ? "clean end" : "unclean end",
               counted(recovery.partitions, "partition"), counted(recovery.batches, "batch", "batches"),
               counted(recovery.bytes_read, "byte"), recovery.duration_ms);
    if (recovery.torn_bytes) {
      fmt::print("             {} never acknowledged, and cut off\n",
                 counted(recovery.torn_bytes, "byte that was", "bytes that were"));
    }
    if (recovery.offline_partitions) {
      fmt::print("             {} OFFLINE: damage was found, see the log above\n",
                 counted(recovery.offline_partitions, "partition is", "partitions are"));
    }
  }
  fmt::print("  try        echo hello | kcat -b {} -t greetings -P && kcat -b {} -t greetings -C -e\n", bootstrap, bootstrap);
  std::fflush(stdout);
}

Result<void> check_ready_descriptor(int descriptor) {
  if (descriptor < 0) return {};
  const int flags = ::fcntl(descriptor, F_GETFL);
  const char* const fault = flags < 0 ? "is not open" : (flags & O_ACCMODE) == O_RDONLY ? "is not open for writing" : nullptr;
  if (!fault) return {};
  return fail(ErrorCode::kInvalid,
              fmt::format("--ready-fd {}: this descriptor {}; whoever starts the broker opens it, as a shell does "
                          "with {}>FILE",
                          descriptor, fault, descriptor));
}

// Folders of killed --ephemeral brokers may be large. The pool removes them once clients are served, and the end of the process
// does not wait for it.
void remove_folders_of_the_dead(runtime::RealRuntime& runtime, const std::shared_ptr<std::atomic<bool>>& ending) {
  auto removed = std::make_shared<size_t>(0);
  runtime.runtime().pool->submit(
      [removed, ending] { *removed = TemporaryFolder::sweep([&] { return ending->load(std::memory_order_relaxed); }); },
      runtime.loop(0),
      [removed] {
        if (*removed == 0) return;
        log_info("server", "Removed {} of --ephemeral brokers that were killed", counted(*removed, "temporary folder"));
      });
}

int run(const cli::ServeCommand& command, ServerOptions options) {
  const broker::BrokerConfig config = options.config;
  runtime::RealRuntimeOptions runtime_options;
  runtime_options.loops = command.shards.value_or(static_cast<unsigned>(config.integer("weir.shards")));
  runtime::RealRuntime runtime(runtime_options);
  std::unique_ptr<Server> server;
  bool stopping = false;  // loop 0
  const auto ending = std::make_shared<std::atomic<bool>>(false);
  Result<void> outcome;  // loop 0, read after the loops have ended
  std::unique_ptr<FlushProbe> probe;
  const ServiceNotice service = ServiceNotice::from_environment();
  const auto stop = [&](int signal) {
    // A closed terminal may tell it twice: the kernel and the shell.
    if (stopping && signal == SIGHUP) return;
    if (signal != 0) log_info("server", "Signal {} asks the broker to {}", signal, stopping ? "end at once" : "stop");
    ending->store(true, std::memory_order_relaxed);
    if (std::exchange(stopping, true)) return runtime.request_stop();  // a second signal does not wait
    service.stopping();
    server->stop([&] { runtime.request_stop(); });
    // Whatever hangs, the process ends in time; what was acknowledged is durable anyway.
    runtime.loop(0).schedule_after(4 * runtime::kSecond, [&] { runtime.request_stop(); });
  };
  runtime::SignalWatch signals(runtime.loop(0), stop);

  if (auto made = runtime.make_threads(); !made) return complain(made.error(), kFailed, config);
  log_info("server", "Weir {} starts: process {}, {}, data in {}", WEIR_VERSION, getpid(),
           counted(runtime.runtime().loops.size(), "shard"), options.data_dir);
  auto started = Server::start(runtime.runtime(), std::move(options));
  if (!started) return complain(started.error(), kFailed, config);
  server = std::move(*started);
  server->metrics().collect([](broker::MetricsRegistry::Sink& sink) { report_process(runtime::process_usage(), sink); });
  runtime.run();
  server->when_ready([&](Result<void> ready) {
    if (!ready) {
      outcome = std::move(ready);
      return stop(0);
    }
    log_ready(*server, config);
    service.ready();
    note_open_listeners(server->listeners());
    if (command.ready_fd >= 0) write_ready_line(command.ready_fd, *server);
    if (command.ephemeral) remove_folders_of_the_dead(runtime, ending);
    probe = FlushProbe::start(runtime.runtime(), runtime.loop(0), server->data_dir(), [&](FlushProbe::Latency measured) {
      server->calibrate(measured.p99_ns, measured.bytes_per_second);
      if (config.text("log.format") != "json") print_banner(*server, command, config, measured);
    });
  });
  runtime.wait();
  runtime.stop();
  if (auto finished = server->finish(); !finished) {
    log_event(LogLevel::kWarn, "server",
              {.what = "not ended cleanly",
               .reason = finished.error().message,
               .remedy = "Nothing that was acknowledged is lost; see what was logged before"});
  } else {
    log_info("server", "Stopped cleanly");
  }
  probe.reset();
  server.reset();
  if (!outcome) return complain(outcome.error(), kFailed, config);
  return kStarted;
}

}  // namespace

int serve(const cli::ServeCommand& command) {
  // Before anything else is opened, which could get that number.
  if (auto ok = check_ready_descriptor(command.ready_fd); !ok) return complain(ok.error(), kBadArguments);
  install_log_sink(command.verbose, LogFormat::kText);
  ServerOptions options;
  auto config = read_config(command);
  if (!config) return complain(config.error(), kBadArguments);
  options.config = std::move(*config);
  if (options.config.text("log.format") == "json") install_log_sink(command.verbose, LogFormat::kJson);
  for (const std::string& text : command.topics) {
    auto topic = parse_topic_argument(text);
    if (!topic) return complain(topic.error(), kBadArguments);
    options.topics.push_back(std::move(*topic));
  }
  if (auto ok = check_topic_arguments(options.topics, options.config); !ok) return complain(ok.error(), kBadArguments);
  if (auto ok = Server::check(options.config); !ok) return complain(ok.error(), kBadArguments);
  note_ignored_environment();
  TemporaryFolder temporary;
  if (command.ephemeral) {
    auto created = TemporaryFolder::create();
    if (!created) return complain(created.error(), kFailed);
    temporary = std::move(*created);
    options.data_dir = temporary.path() + "/data";
    options.disk_reserve = false;
  } else {
    auto log_dirs = log_dirs_of(command, options.config);
    if (!log_dirs) return complain(log_dirs.error(), kBadArguments);
    options.data_dir = log_dirs->front();
    TemporaryFolder::keep(options.data_dir);
    options.more_dirs.assign(log_dirs->begin() + 1, log_dirs->end());
  }
  options.max_open_files = runtime::raise_open_files_limit();
  options.max_memory_bytes = runtime::available_memory_bytes() / 2;
  return run(command, std::move(options));
}

}  // namespace weir::apps
