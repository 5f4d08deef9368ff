#include "apps/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "apps/disk_shares.h"
#include "apps/http_endpoints.h"
#include "apps/listener_settings.h"
#include "apps/log_cleaning.h"
#include "apps/memory_setting.h"
#include "apps/start_notes.h"
#include "apps/topic_names_file.h"
#include "base/log.h"
#include "broker/config/listeners.h"
#include "broker/handlers/registration.h"
#include "runtime/homebound.h"
#include "storage/log/opening_memory.h"
#include "storage/metadata/sqlite_meta_store.h"
#include "storage/segment/local_segment_store.h"
#include "storage/wal/local_wal_sessions.h"

namespace weir::apps {

namespace {

constexpr std::string_view kModule = "server";
constexpr uint64_t kMiB = 1 << 20;

broker::FrontendOptions frontend_options(const broker::BrokerConfig& config) {
  broker::FrontendOptions options;
  options.socket_request_max_bytes = static_cast<int32_t>(config.integer("socket.request.max.bytes"));
  options.connections_max_idle_ms = config.integer("connections.max.idle.ms");
  options.frame_progress_ms = config.integer("weir.frame.progress.ms");
  options.send_buffer_bytes = static_cast<int>(config.integer("socket.send.buffer.bytes"));
  options.slow_request_ms = config.integer("weir.slow.request.ms");
  return options;
}

uint64_t random_incarnation(runtime::Random& random) {
  uint64_t incarnation = 0;
  while (incarnation == 0) incarnation = random.next();
  return incarnation;
}

}  // namespace

Server::Server(const runtime::Runtime& runtime, ServerOptions options, uint64_t max_memory_bytes)
    : runtime_(runtime),
      options_(std::move(options)),
      max_memory_bytes_(max_memory_bytes),
      metrics_(static_cast<unsigned>(runtime.loops.size())),
      budget_(broker::MemoryBudget::divide(max_memory_bytes)),
      limits_(options_.config.integer("max.connections"), options_.config.integer("max.connections.per.ip"),
              options_.max_open_files),
      dispatcher_(metrics_),
      throttle_(*runtime_.clock, *runtime_.loops[0], throttle_options(options_.config)) {}

Server::~Server() = default;

Result<void> Server::check(const broker::BrokerConfig& config) {
  if (auto listeners = client_listeners(config); !listeners) return std::unexpected(listeners.error());
  if (auto http = http_listener(config); !http) return std::unexpected(http.error());
  return check_memory(config);
}

Result<std::unique_ptr<Server>> Server::start(const runtime::Runtime& runtime, ServerOptions options) {
  const uint64_t memory = memory_of(options.config, options.max_memory_bytes);
  std::unique_ptr<Server> server(new Server(runtime, std::move(options), memory));
  const broker::BrokerConfig& config = server->options_.config;
  note_settings(config);
  auto listeners = client_listeners(config);
  if (!listeners) return std::unexpected(listeners.error());
  server->listeners_ = std::move(*listeners);
  std::vector<std::string> names;
  for (const broker::ListenerInfo& listener : server->listeners_) names.push_back(listener.name);
  server->frontend_metrics_ = std::make_unique<broker::FrontendMetrics>(server->metrics_, names);
  if (auto ok = server->open_storage(); !ok) return std::unexpected(ok.error());
  auto listening = server->listen();
  if (listening) listening = server->listen_http();
  if (!listening) {
    // Nobody was served: the next start must not speak of an unclean end.
    if (auto sealed = server->finish(); !sealed) log_warn(kModule, "The log could not be closed: {}", sealed.error().message);
    return std::unexpected(listening.error());
  }
  server->register_metrics();
  for (size_t i = 0; i < runtime.loops.size(); ++i) {
    runtime.loops[i]->post([log = server->opened_.shards[i].get()] { log->start_timers(); });
  }
  for (const auto& reserve : server->reserves_) runtime.loops[0]->post([reserve = reserve.get()] { reserve->start(); });
  runtime.loops[0]->post([cleaner = server->cleaner_.get()] { cleaner->start(); });
  runtime.loops[0]->post([mover = server->mover_.get()] { mover->start(); });
  return server;
}

Result<storage::RecoveryStats> Server::try_storage(const runtime::Runtime& runtime, ServerOptions options) {
  const uint64_t memory = memory_of(options.config, options.max_memory_bytes);
  std::unique_ptr<Server> server(new Server(runtime, std::move(options), memory));
  if (auto ok = server->open_storage(); !ok) return std::unexpected(ok.error());
  return server->recovery();
}

Result<void> Server::open_storage() {
  runtime::FileSystem& files = *runtime_.files;
  auto folder = DataFolder::open(files, options_.data_dir, options_.config.node_id());
  if (!folder) return std::unexpected(folder.error());
  folder_ = std::move(*folder);
  first_start_ = folder_->first_start();
  // However it was given, this is where it is: DescribeConfigs and DescribeLogDirs tell it.
  std::string log_dirs = folder_->path();
  for (const std::string& path : options_.more_dirs) log_dirs += "," + path;
  if (auto ok = options_.config.set("log.dirs", log_dirs); !ok) return ok;

  const std::string meta_path = folder_->path() + "/meta.db";
  for (const std::string& path : {meta_path, folder_->path() + "/manifest.db"}) {
    auto there = files.exists(path);
    if (!there) return std::unexpected(there.error());
    if (first_start_ || *there) continue;
    return fail(ErrorCode::kCorrupt, fmt::format("{} is gone, and with it what it knew of cluster {}. {}", path,
                                                 folder_->cluster_id(), storage::database_remedy(path)));
  }
  auto meta = storage::SqliteMetaStore::open(files, *runtime_.pool, {.path = meta_path, .clock = runtime_.clock, .paired = true});
  if (!meta) return std::unexpected(meta.error());
  storage::NotedDatabase& metadata_database = **meta;
  meta_ = std::move(*meta);
  auto segments = storage::LocalSegmentStore::open(files, *runtime_.pool, *runtime_.clock,
                                                   {.log_dir = folder_->path(), .throttle = &throttle_, .paired = true});
  if (!segments) return std::unexpected(segments.error());
  if (auto ok = storage::NotedDatabase::pair(metadata_database, (*segments)->manifest_database()); !ok) return ok;
  storage::LocalSegmentStore& local = **segments;
  directories_ = &local;
  segments_ = std::move(*segments);

  const broker::BrokerConfig& config = options_.config;
  make_write_ahead_logs();
  const auto earlier = wals_->earlier();
  if (!earlier) return std::unexpected(earlier.error());
  auto metadata = broker::load_metadata(*meta_, !earlier->clean, runtime_.loops[0]->random(), config);
  if (!metadata) {
    Error& error = metadata.error();
    if (error.code != ErrorCode::kCorrupt) return std::unexpected(error);
    return fail(ErrorCode::kCorrupt, fmt::format("{}: {}. Bring back the whole folder from one copy", meta_path, error.message));
  }
  if (auto ok = folder_->settle(metadata->cluster_id); !ok) return ok;
  if (auto ok = open_more_dirs(local); !ok) return ok;
  return make_broker(std::move(*metadata));
}

void Server::make_write_ahead_logs() {
  const broker::BrokerConfig& config = options_.config;
  const auto shards = static_cast<uint64_t>(runtime_.loops.size());
  const int64_t dirty = config.integer("weir.dirty.bytes.max");
  const uint64_t free = runtime_.files->free_bytes(folder_->path()).value_or(UINT64_MAX);
  const uint64_t disk = runtime_.files->total_bytes(folder_->path()).value_or(UINT64_MAX);
  const uint64_t tail_bytes = broker::MemoryBudget::divide(max_memory_bytes_)[0];
  const uint64_t dirty_max = dirty > 0 ? static_cast<uint64_t>(dirty) : default_dirty_bytes(tail_bytes, free, disk);
  const uint64_t of_shard = std::max(dirty_max / shards, 4 * kMiB);
  dirty_bytes_max_ = of_shard * shards;
  storage::LocalWalSettings wal{.log_dir = folder_->path(),
                                .incarnation = random_incarnation(runtime_.loops[0]->random()),
                                .flush_to_device = config.text("weir.flush") != "os",
                                .throttle = &throttle_};
  // A file is checkpointed once it is full and the next one begins: two must fit below the bound, or appends would wait for
  // what never comes.
  wal.file_bytes = std::min(wal.file_bytes, of_shard / 2 / kMiB * kMiB);
  wals_ = std::make_unique<storage::LocalWalSessions>(runtime_, *segments_, std::move(wal));
}

// Looks at all folders first, and creates, locks or marks one only then: an empty folder may be where a disk is missing.
Result<void> Server::open_more_dirs(storage::LocalSegmentStore& segments) {
  runtime::Random& random = runtime_.loops[0]->random();
  std::vector<storage::LocalSegmentStore::ExtraDirectory> extra;
  for (const std::string& path : options_.more_dirs) {
    const uint64_t high = random.next(), low = random.next();
    auto folder = SegmentFolder::look(*runtime_.files, path, options_.config.node_id(), folder_->cluster_id(),
                                      Uuid::from_random(high, low));
    if (!folder) return std::unexpected(folder.error());
    extra.push_back({path, (*folder)->id(), (*folder)->fresh(), (*folder)->marker()});
    more_folders_.push_back(std::move(*folder));
  }
  if (auto ok = segments.use_directories(extra); !ok) return ok;
  for (const auto& folder : more_folders_) {
    if (auto ok = folder->take(); !ok) return ok;
    if (auto ok = folder->mark(); !ok) return ok;
  }
  return {};
}

Result<void> Server::make_broker(broker::LoadedMetadata metadata) {
  const broker::BrokerConfig& config = options_.config;
  const auto shards = static_cast<uint64_t>(runtime_.loops.size());
  storage::LogOptions log;
  log.log_dir = folder_->path();
  log.shard.dirty_bytes_max = dirty_bytes_max_ / shards;
  log.shard.throttle = &throttle_;
  log.shard.directories = directories_;
  log.shard.topic_names = [this](unsigned loop, const TopicId& id) {
    const broker::Topic* topic = broker_ ? broker_->shard(loop).image->find(id) : nullptr;
    return topic ? topic->name() : std::string();
  };
  log.shard.tail_cache_bytes = broker::MemoryBudget::divide(max_memory_bytes_)[0] / 4 / shards;
  log.shard.producers_max = std::max<size_t>(max_memory_bytes_ / 16 / storage::ProducerBound::kProducerBytes / shards, 1000);
  log.shard.opening = storage::OpeningMemory::of(max_memory_bytes_);
  log.shard.retention_check_interval_ms = config.integer("log.retention.check.interval.ms");
  make_reserve();
  for (size_t i = 0; i < reserves_.size(); ++i) {
    full_dirs_[i] = reserves_[i]->full_before_start();
    log.disk_full |= full_dirs_[i];
  }
  log.shard.producer_id_expiration_ms = metadata.image->config()->integer("producer.id.expiration.ms");

  const broker::MetadataImagePtr image = metadata.image;
  const auto given_up = [&](const TopicId& topic) { return runtime_.files->exists(given_up_path(topic)).value_or(false); };
  const auto all = [&image] {
    std::vector<storage::PartitionId> partitions;
    image->for_each([&](const broker::TopicPtr& topic) {
      for (int32_t i = 0; i < topic->partition_count(); ++i) partitions.push_back(topic->partition(i));
    });
    return partitions;
  };
  auto opened = storage::open_log(runtime_, *segments_, *wals_, log, metadata.deleted.lookup(*image, given_up), all);
  if (metadata.deleted.failure()) return std::unexpected(*metadata.deleted.failure());
  if (!opened) return std::unexpected(opened.error());
  opened_ = std::move(*opened);
  if (auto ok = forget_deletions(metadata.deleted); !ok) return ok;

  std::vector<storage::LogShard*> logs;
  for (const auto& shard : opened_.shards) logs.push_back(shard.get());
  const auto cleaning = [this](const broker::BrokerConfig& now) {
    storage::LogCleanerOptions options = cleaner_options(now, max_memory_bytes_);
    options.throttle = &throttle_;
    return options;
  };
  cleaner_ = std::make_unique<storage::LogCleaner>(runtime_, logs, *segments_, cleaning(config));
  cleaner_->name_topics(log.shard.topic_names);
  mover_ = std::make_unique<storage::LogDirMover>(
      runtime_, logs, *segments_, *cleaner_,
      storage::LogDirMoverOptions{.throttle = &throttle_, .directories = directories_, .topic_names = log.shard.topic_names});
  const auto placement = metadata.group_placement;
  broker_ = std::make_unique<broker::Broker>(runtime_, std::move(logs), *meta_, budget_, config, std::move(metadata));
  groups_ = std::make_unique<broker::GroupCoordinators>(*broker_, *runtime_.pool, *meta_, config, placement);
  transactions_ = std::make_unique<broker::TransactionCoordinators>(*broker_, *groups_, *runtime_.pool, config);
  coordinators_ = std::make_unique<broker::Coordinators>(*broker_, *groups_, *transactions_);
  broker::register_handlers(dispatcher_, *coordinators_);
  broker_->follow_config([this, cleaning](const broker::BrokerConfig& now) {
    cleaner_->set_options(cleaning(now));
    limits_.set_limits(now.integer("max.connections"), now.integer("max.connections.per.ip"));
  });
  std::vector<std::string> folders{folder_->path()};
  folders.insert(folders.end(), options_.more_dirs.begin(), options_.more_dirs.end());
  names_ = std::make_unique<TopicNamesFile>(*runtime_.files, *runtime_.pool, *runtime_.loops[0], std::move(folders));
  broker_->follow_topics([this](const broker::MetadataImagePtr& now) { names_->update(now); });
  return {};
}

// Notes of deletions of which nothing is left. The drops that the start asked for are under way; they find their notes at
// the next one.
Result<void> Server::forget_deletions(broker::DeletedTopics& deleted) {
  if (deleted.outdated(opened_.remains)) {
    if (auto ok = segments_->sync_removals(); !ok) return ok;
  }
  if (auto ok = deleted.settle(opened_.remains); !ok) return ok;
  for (const TopicId& topic : opened_.remains) {
    auto gone = runtime_.files->remove(given_up_path(topic));
    if (!gone && gone.error().code != ErrorCode::kNotFound) return gone;
  }
  return {};
}

std::string Server::given_up_path(const TopicId& topic) const {
  return fmt::format("{}/{}.deleted", folder_->path(), topic.to_string());
}

void Server::make_reserve() {
  const int64_t asked = options_.config.integer("weir.disk.reserve.bytes");
  storage::DiskReserveOptions reserve{.folder = folder_->path()};
  const uint64_t disk = runtime_.files->total_bytes(folder_->path()).value_or(UINT64_MAX);
  reserve.reserve_bytes = asked >= 0 ? static_cast<uint64_t>(asked) : default_reserve_bytes(dirty_bytes_max_, disk);
  if (asked < 0 && !options_.disk_reserve) reserve.reserve_bytes = 0;
  watch_disk(std::move(reserve));
  for (const std::string& path : options_.more_dirs) {
    watch_disk({.folder = path, .reserve_bytes = 0, .low_bytes = 16 * kMiB});
  }
}

// A checkpoint writes to all directories: with one of them full no shard may take more than it has.
void Server::watch_disk(storage::DiskReserveOptions options) {
  full_dirs_.push_back(false);
  const auto on_change = [this, index = reserves_.size()](bool now) {
    full_dirs_[index] = now;
    const bool full = std::ranges::find(full_dirs_, true) != full_dirs_.end();
    for (size_t i = 0; i < opened_.shards.size(); ++i) {
      runtime_.loops[i]->post([log = opened_.shards[i].get(), full] { log->set_disk_full(full); });
    }
  };
  reserves_.push_back(std::make_unique<storage::DiskReserve>(runtime_, *runtime_.loops[0], std::move(options), on_change));
}

Result<void> Server::listen() {
  const broker::FrontendOptions options = frontend_options(options_.config);
  if (const uint64_t most = broker::Frontend::most_request_bytes(budget_);
      static_cast<uint64_t>(options.socket_request_max_bytes) > most) {
    log_info(kModule,
             "Requests of more than {} bytes are refused: socket.request.max.bytes ({}) is above an eighth of the memory "
             "({} bytes, weir.max.memory.bytes)",
             most, options.socket_request_max_bytes, max_memory_bytes_);
  }
  for (runtime::Loop* loop : runtime_.loops) {
    frontends_.push_back(std::make_unique<broker::Frontend>(*loop, dispatcher_, budget_, limits_, *frontend_metrics_, options));
    for (broker::ListenerInfo& listener : listeners_) {
      auto address = frontends_.back()->listen(listener);
      if (!address) {
        return fail(address.error().code,
                    fmt::format("listener {}: {}; {}choose another address with --listeners NAME://HOST:PORT", listener.name,
                                address.error().message,
                                address.error().os_errno == EADDRINUSE ? "is another broker running there? Else " : ""));
      }
      // The other loops listen on what the first one got.
      listener.bound.port = address->port;
      if (listener.bound.host.empty()) listener.bound.host = address->host;
      if (listener.advertised && listener.advertised->port == 0) listener.advertised->port = address->port;
    }
  }
  return {};
}

Result<void> Server::listen_http() {
  auto endpoint = http_listener(options_.config);
  if (!endpoint) return std::unexpected(endpoint.error());
  if (!*endpoint) return {};
  http_ = std::make_unique<HttpEndpoints>(*runtime_.loops[0], *runtime_.pool, *this, http_host_names((*endpoint)->host));
  auto address = http_->listen(**endpoint);
  if (!address && !options_.config.is_set("http.listener")) {
    // Nobody asked for this port. A user who expects it all the same has to learn that another broker answers there.
    const std::string taken = broker::endpoint_text(**endpoint);
    address = http_->listen({(*endpoint)->host, 0});
    if (address) {
      log_event(LogLevel::kWarn, kModule,
                {.what = fmt::format("/health, /ready and /metrics are served on {}", broker::endpoint_text(*address)),
                 .reason = fmt::format("{}, where they are by default, is in use by somebody else", taken),
                 .remedy = "Name an address with --http HOST:PORT"});
    }
  }
  if (!address) {
    return fail(address.error().code, fmt::format("http.listener: {}; choose another address with --http HOST:PORT, "
                                                  "or --http off",
                                                  address.error().message));
  }
  http_address_ = *address;
  for (const auto& frontend : frontends_) frontend->tell_http_clients(broker::endpoint_text(*address));
  return {};
}

std::vector<std::string> Server::http_host_names(const std::string& http_host) const {
  std::vector<std::string> names = broker::config_list_elements(options_.config.text("weir.http.host.names"));
  names.push_back(http_host);
  for (const broker::ListenerInfo& listener : listeners_) {
    names.push_back(listener.bound.host);
    if (listener.advertised) names.push_back(listener.advertised->host);
  }
  return names;
}

HealthInfo Server::health_info() const {
  const int64_t now_ms = runtime_.loops[0]->clock().monotonic_ns() / runtime::kMillisecond;
  return {std::string(options_.config.text("weir.flush")),
          recovery(),
          first_start_,
          dirty_bytes_max_,
          groups_->memory().refused_lately(now_ms),
          transactions_->memory().refused_lately(now_ms),
          cleaner_->stats().uncleanable_partitions,
          cleaner_->stats().uncleanable};
}

void Server::when_ready(Function<void(Result<void>)> done) {
  runtime_.loops[0]->post([this, finished = std::move(done)]() mutable {
    create_topics([this, finished = std::move(finished)](Result<void> result) mutable {
      topic_count_ = broker_->shard(0).image->topic_count();
      if (result) ready_.store(true, std::memory_order_relaxed);
      finished(std::move(result));
    });
  });
}

void Server::create_topics(Function<void(Result<void>)> done) {
  std::vector<broker::Controller::NewTopic> topics;
  for (const TopicArgument& argument : options_.topics) {
    const int32_t partitions =
        argument.partitions > 0 ? argument.partitions : static_cast<int32_t>(options_.config.integer("num.partitions"));
    topics.push_back({argument.name, partitions, argument.configs});
  }
  if (topics.empty()) return done({});
  broker_->create_topics(0, std::move(topics), [this, finished = std::move(done)](broker::Controller::Outcomes outcomes) mutable {
    for (size_t i = 0; i < outcomes.size(); ++i) {
      const auto error = outcomes[i].error;
      const TopicArgument& asked = options_.topics[i];
      if (error == protocol::ErrorCode::kTopicAlreadyExists) tell_if_different(asked);
      if (error == protocol::ErrorCode::kNone || error == protocol::ErrorCode::kTopicAlreadyExists) continue;
      return finished(fail(ErrorCode::kInvalid, fmt::format("--topic {}: {}", asked.name, outcomes[i].message)));
    }
    finished({});
  });
}

void Server::tell_if_different(const TopicArgument& asked) const {
  const broker::Topic* topic = broker_->shard(0).image->find(asked.name);
  if (!topic) return;
  const broker::TopicRecord& found = topic->record;
  const bool other_partitions = asked.partitions > 0 && asked.partitions != found.partition_count;
  const bool other_configs = std::any_of(asked.configs.begin(), asked.configs.end(), [&](const auto& config) {
    const auto it = found.configs.find(config.first);
    return it == found.configs.end() || it->second != config.second;
  });
  if (!other_partitions && !other_configs) return;
  log_event(LogLevel::kWarn, kModule,
            {.what = fmt::format("--topic {}: the topic exists with {} partition{}{}, and is left as it is", asked.name,
                                 found.partition_count, found.partition_count == 1 ? "" : "s",
                                 other_configs ? " and other configs" : ""),
             .reason = "--topic only creates topics",
             .remedy = "Change it with kafka-topics.sh or kafka-configs.sh --alter, or delete it first"});
}

void Server::stop(Function<void()> done) {
  stopping_.store(true, std::memory_order_relaxed);
  ready_.store(false, std::memory_order_relaxed);
  // Messages between two shards keep their order, so on every shard the frontend is drained before the waiting requests
  // are ended, and answers of other shards' logs have arrived before the last round.
  runtime_.loops[0]->post([this] {
    for (const auto& reserve : reserves_) reserve->stop();
    cleaner_->stop();
    mover_->stop();
  });
  on_every_shard([this](unsigned shard) { frontends_[shard]->drain(); },
                 [this, finished = std::move(done)]() mutable {
                   broker_->stop([this, finished = std::move(finished)]() mutable {
                     quiesce_logs([this, finished = std::move(finished)]() mutable {
                       on_every_shard([](unsigned) {}, std::move(finished));
                     });
                   });
                 });
}

void Server::on_every_shard(std::function<void(unsigned)> task, Function<void()> done) {
  struct Round final : runtime::Homebound {
    Round(runtime::Loop& home, std::function<void(unsigned)> on_each, size_t shards, Function<void()> end)
        : Homebound(home), task(std::move(on_each)), left(shards), done(std::move(end)) {}
    std::function<void(unsigned)> task;
    size_t left;
    Function<void()> done;
  };
  auto round = runtime::make_homebound<Round>(*runtime_.loops[0], std::move(task), runtime_.loops.size(), std::move(done));
  for (unsigned i = 0; i < runtime_.loops.size(); ++i) {
    runtime_.loops[i]->post([this, round, i] {
      round->task(i);
      runtime_.loops[0]->post([round] {
        if (--round->left == 0) round->done();
      });
    });
  }
}

void Server::quiesce_logs(Function<void()> done) {
  struct Round final : runtime::Homebound {
    Round(runtime::Loop& home, size_t shards, Function<void()> end) : Homebound(home), left(shards), done(std::move(end)) {}
    size_t left;
    Function<void()> done;
  };
  auto round = runtime::make_homebound<Round>(*runtime_.loops[0], opened_.shards.size(), std::move(done));
  for (size_t i = 0; i < opened_.shards.size(); ++i) {
    runtime_.loops[i]->post([this, round, log = opened_.shards[i].get()] {
      log->quiesce([this, round] {
        runtime_.loops[0]->post([round] {
          if (--round->left == 0) round->done();
        });
      });
    });
  }
}

Result<void> Server::finish() {
  names_->finish();
  for (const auto& shard : opened_.shards) {
    if (shard->failed()) {
      return fail(ErrorCode::kIo, "the log failed while the broker ran; the next start recovers what was acknowledged");
    }
  }
  // With flush=os what was acknowledged may be in the page cache only; a sealed session promises that it is on the device.
  if (options_.config.text("weir.flush") == "os") {
    for (const auto& directory : directories_->directories().all()) {
      if (auto synced = runtime_.files->sync_file_system(directory.path); !synced) return synced;
    }
  }
  return storage::close_log(*wals_, opened_.shards);
}

}  // namespace weir::apps
