// A whole broker on an injected Runtime: production gives it the machine, simulation and tests give it a world of their own.
//
// Lifecycle: start() before the loops run (it blocks: recovery); let the loops run; when_ready(); stop() from any
// thread, or in simulation between events; after its `done` stop the loops and call finish(); then destroy. A crash
// test destroys it at any time the loops do not run.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/data_folder.h"
#include "apps/segment_folder.h"
#include "apps/topic_argument.h"
#include "base/function.h"
#include "base/result.h"
#include "broker/broker.h"
#include "broker/config/broker_config.h"
#include "broker/coordinators/coordinators.h"
#include "broker/coordinators/group_coordinators.h"
#include "broker/coordinators/transaction_coordinators.h"
#include "broker/metrics/exposition.h"
#include "broker/server/frontend.h"
#include "runtime/runtime.h"
#include "storage/log/disk_reserve.h"
#include "storage/log/log_cleaner.h"
#include "storage/log/log_dir_mover.h"
#include "storage/log/log_recovery.h"
#include "storage/metadata/meta_store.h"
#include "storage/segment/segment_store.h"

namespace weir::storage {
class LocalSegmentStore;
}

namespace weir::apps {

class HttpEndpoints;
class TopicNamesFile;
struct HealthInfo;

struct ServerOptions {
  broker::BrokerConfig config;
  std::string data_dir;
  std::vector<std::string> more_dirs;   // further log directories, for segments only
  std::vector<TopicArgument> topics;    // created if they do not exist
  bool disk_reserve = true;             // unless weir.disk.reserve.bytes says something else
  uint64_t max_memory_bytes = 1 << 30;  // unless weir.max.memory.bytes says something else
  uint64_t max_open_files = 0;          // of the process; 0: no limit is known
};

class Server {
 public:
  static Result<std::unique_ptr<Server>> start(const runtime::Runtime& runtime, ServerOptions options);
  // Whether start() would take the folder, without serving from it: for `weir log verify`, on files that may be changed.
  static Result<storage::RecoveryStats> try_storage(const runtime::Runtime& runtime, ServerOptions options);
  // What of the settings can be known to be wrong without the machine: start() would fail anywhere.
  static Result<void> check(const broker::BrokerConfig& config);
  ~Server();

  // With real ports.
  const std::vector<broker::ListenerInfo>& listeners() const { return listeners_; }
  const storage::RecoveryStats& recovery() const { return opened_.stats; }
  const std::string& cluster_id() const { return broker_->cluster_id(); }
  const std::string& data_dir() const { return folder_->path(); }
  const std::vector<std::string>& more_dirs() const { return options_.more_dirs; }
  bool first_start() const { return first_start_; }
  size_t topic_count() const { return topic_count_; }  // when it became ready
  broker::MetricsRegistry& metrics() { return metrics_; }
  broker::Broker& broker() { return *broker_; }
  broker::Coordinators& coordinators() { return *coordinators_; }
  const std::optional<runtime::Endpoint>& http_address() const { return http_address_; }

  // Creates the topics of the options; `done` on loop 0 with what went wrong. Call once the loops run, or in
  // simulation between events.
  void when_ready(Function<void(Result<void>)> done);
  // What was measured of the disk: from now on the background may be held back (storage/background). Thread-safe.
  void calibrate(int64_t idle_flush_ns, double bytes_per_second) { throttle_.calibrate(idle_flush_ns, bytes_per_second); }
  bool ready() const { return ready_.load(std::memory_order_relaxed); }
  bool stopping() const { return stopping_.load(std::memory_order_relaxed); }

  // For /health and /metrics.
  HealthInfo health_info() const;
  broker::MetricSources metric_sources() const { return {metrics_, dispatcher_, *frontend_metrics_, budget_}; }

  // Takes no further requests, answers those in flight, makes everything durable; `done` on loop 0.
  void stop(Function<void()> done);
  // Ends the log cleanly, so that the next start has nothing to recover. After stop, when the loops do not run.
  Result<void> finish();

 private:
  Server(const runtime::Runtime& runtime, ServerOptions options, uint64_t max_memory_bytes);
  Result<void> open_storage();
  Result<void> open_more_dirs(storage::LocalSegmentStore& segments);
  void make_write_ahead_logs();
  Result<void> make_broker(broker::LoadedMetadata metadata);
  Result<void> forget_deletions(broker::DeletedTopics& deleted);
  std::string given_up_path(const TopicId& topic) const;
  void make_reserve();
  void watch_disk(storage::DiskReserveOptions options);
  Result<void> listen();
  Result<void> listen_http();
  std::vector<std::string> http_host_names(const std::string& http_host) const;
  void register_metrics();
  uint64_t memory_used(broker::MemoryShare share) const;
  void add_client_telemetry(broker::MetricsRegistry::Sink& sink) const;
  void create_topics(Function<void(Result<void>)> done);
  void tell_if_different(const TopicArgument& asked) const;
  void quiesce_logs(Function<void()> done);
  // Runs `task` on every shard, then `done` on shard 0.
  void on_every_shard(std::function<void(unsigned)> task, Function<void()> done);

  // In the order of construction; later ones use earlier ones.
  runtime::Runtime runtime_;
  ServerOptions options_;
  const uint64_t max_memory_bytes_;
  std::vector<broker::ListenerInfo> listeners_;
  bool first_start_ = false;
  size_t topic_count_ = 0;
  uint64_t dirty_bytes_max_ = 0;
  std::atomic<bool> ready_{false};
  std::atomic<bool> stopping_{false};
  broker::MetricsRegistry metrics_;
  broker::MemoryBudget budget_;
  broker::ConnectionLimits limits_;
  std::unique_ptr<broker::FrontendMetrics> frontend_metrics_;
  broker::Dispatcher dispatcher_;
  std::unique_ptr<DataFolder> folder_;
  std::vector<std::unique_ptr<SegmentFolder>> more_folders_;
  std::vector<std::unique_ptr<broker::Frontend>> frontends_;  // one per loop
  std::unique_ptr<storage::MetaStore> meta_;
  storage::BackgroundThrottle throttle_;
  std::unique_ptr<storage::SegmentStore> segments_;
  storage::LogDirectoryStore* directories_ = nullptr;  // of segments_
  std::unique_ptr<storage::WalSessions> wals_;
  storage::OpenedLog opened_;
  std::unique_ptr<storage::LogCleaner> cleaner_;
  std::unique_ptr<storage::LogDirMover> mover_;
  std::vector<std::unique_ptr<storage::DiskReserve>> reserves_;  // of each log directory; the first one's has files
  std::vector<bool> full_dirs_;                                  // as reserves_; loop 0
  std::optional<runtime::Endpoint> http_address_;
  // These hold requests: they go before the frontends.
  std::unique_ptr<broker::Broker> broker_;
  std::unique_ptr<broker::GroupCoordinators> groups_;
  std::unique_ptr<broker::TransactionCoordinators> transactions_;
  std::unique_ptr<broker::Coordinators> coordinators_;
  std::unique_ptr<HttpEndpoints> http_;
  std::unique_ptr<TopicNamesFile> names_;
};

}  // namespace weir::apps
