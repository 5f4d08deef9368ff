#include "broker/metrics/exposition.h"

#include <fmt/format.h>

#include <algorithm>

#include "broker/metrics/client_exposition.h"
#include "protocol/api.h"
#include "protocol/errors.h"

namespace weir::broker {

namespace {

constexpr int64_t kRateSpanNs = 60 * runtime::kSecond;

// The quantiles that Kafka's timers report, in the form of Strimzi's rules.

double number(auto value) { return static_cast<double>(value); }

template <typename Get>
double sum(const std::vector<ShardSnapshot>& shards, Get get) {
  double total = 0;
  for (const ShardSnapshot& shard : shards) total += number(get(shard));
  return total;
}

MetricLabels shard_label(size_t index) { return {{"shard", std::to_string(index)}}; }

struct TopicTotals {
  storage::PartitionTraffic partitions;
  TopicCounts counts;

  bool any() const {
    return partitions.produce_requests + partitions.fetch_requests + counts.failed_produces + counts.failed_fetches > 0;
  }
};

}  // namespace

Exposition::Times::Times(int64_t start_ns)
    : total(start_ns, kQuantileSpanNs),
      queue(start_ns, kQuantileSpanNs),
      local(start_ns, kQuantileSpanNs),
      remote(start_ns, kQuantileSpanNs),
      send(start_ns, kQuantileSpanNs) {}

Exposition::Traffic::Traffic(int64_t start_ns)
    : created(start_ns, kRateSpanNs),
      closed(start_ns, kRateSpanNs),
      bytes_in(start_ns, kRateSpanNs),
      bytes_out(start_ns, kRateSpanNs) {}

Exposition::Exposition(MetricSources sources, int64_t start_ns)
    : sources_(sources), start_ns_(start_ns), groups_(start_ns), transactions_(start_ns), idle_(start_ns, kRateSpanNs) {}

std::string Exposition::render(const std::vector<ShardSnapshot>& shards, int64_t now_ns) {
  std::string out = sources_.registry.scrape([&](Sink& sink) {
    broker_state(shards, sink);
    topic_traffic(shards, sink);
    requests(now_ns, sink);
    errors(sink);
    groups_.render(shards, now_ns, sink);
    transactions_.render(shards, now_ns, sink);
    network(shards, now_ns, sink);
    flushes(shards, sink);
    own(shards, sink);
  });
  append_client_metrics(out, shards);
  append_partitions(out, shards, kListedPartitionsMax);
  return out;
}

// --- replicas, controller, waiting requests -------------------------------------------------------------------------

void Exposition::broker_state(const std::vector<ShardSnapshot>& shards, Sink& sink) const {
  const MetadataImage& image = *shards.front().image;
  const double partitions = sum(shards, [](const auto& s) { return s.partitions; });
  const double offline = sum(shards, [](const auto& s) { return s.offline_partitions; });
  const bool failed = std::any_of(shards.begin(), shards.end(), [](const auto& s) { return s.log_failed; });
  const auto gauge = [&](const char* name, const char* help, double value) { sink.gauge(name, help, {}, value); };

  gauge("kafka_server_kafkaserver_brokerstate", "3: the broker runs.", 3);
  gauge("kafka_server_replicamanager_partitioncount", "Partitions of this broker.", partitions);
  gauge("kafka_server_replicamanager_leadercount", "Partitions this broker leads.", partitions - offline);
  gauge("kafka_server_replicamanager_offlinereplicacount", "Partitions that are offline.", offline);
  // A partition has one replica here. It is in sync while the partition is online.
  gauge("kafka_server_replicamanager_underreplicatedpartitions", "Partitions with too few replicas in sync.", 0);
  gauge("kafka_server_replicamanager_underminisrpartitioncount", "Partitions with fewer replicas in sync than asked for.", 0);
  gauge("kafka_server_replicamanager_atminisrpartitioncount", "Partitions with just as many replicas in sync as asked for.",
        partitions - offline);
  gauge("kafka_controller_kafkacontroller_activecontrollercount", "1: this broker is its own controller.", 1);
  gauge("kafka_controller_kafkacontroller_activebrokercount", "Brokers that are alive.", 1);
  gauge("kafka_controller_kafkacontroller_offlinepartitionscount", "Partitions without a leader.", offline);
  gauge("kafka_controller_kafkacontroller_globaltopiccount", "Topics.", number(image.topic_count()));
  gauge("kafka_controller_kafkacontroller_globalpartitioncount", "Partitions.", number(image.partition_count()));
  sink.counter("kafka_controller_controllerstats_uncleanleaderelections_total", "Leaders elected out of sync: never.", {}, 0);
  gauge("kafka_log_logmanager_offlinelogdirectorycount", "1 if the log directory takes no writes any more.", failed ? 1 : 0);

  const char* waiting = "Requests that wait: produce for the flush, fetch for data.";
  sink.gauge("kafka_server_delayedoperationpurgatory_purgatorysize", waiting, {{"delayedOperation", "Fetch"}},
             sum(shards, [](const auto& s) { return s.waiting_fetches; }));
  sink.gauge("kafka_server_delayedoperationpurgatory_purgatorysize", waiting, {{"delayedOperation", "Produce"}},
             sum(shards, [](const auto& s) { return s.pending_appends + s.held_appends; }));
  gauge("kafka_server_fetchsessioncache_numincrementalfetchsessions", "Fetch sessions of consumers.",
        sum(shards, [](const auto& s) { return s.fetch_sessions; }));
  for (size_t i = 0; i < shards.size(); ++i) {
    sink.counter("kafka_server_fetchsessioncache_incrementalfetchsessionevictions_total",
                 "Fetch sessions that lost their place to others.", {{"cacheShard", std::to_string(i)}},
                 number(shards[i].fetch_session_evictions));
  }
}

// --- topics ---------------------------------------------------------------------------------------------------------

void Exposition::topic_traffic(const std::vector<ShardSnapshot>& shards, Sink& sink) const {
  std::map<std::string, TopicTotals> topics;
  TopicTotals all;
  const MetadataImage& image = *shards.front().image;
  const auto of = [&](const TopicId& id) -> TopicTotals* {
    const Topic* topic = image.find(id);
    return topic == nullptr ? nullptr : &topics[topic->name()];
  };
  for (const ShardSnapshot& shard : shards) {
    all.partitions += shard.gone_partitions;
    all.counts += shard.gone_topics;
    for (const PartitionSnapshot& row : shard.rows) {
      all.partitions += row.traffic;
      if (TopicTotals* topic = of(row.id.topic)) topic->partitions += row.traffic;
    }
    for (const auto& [id, counts] : shard.topics) {
      all.counts += counts;
      if (TopicTotals* topic = of(id)) topic->counts += counts;
    }
  }
  // As in Kafka, a topic appears after the first request for it.
  std::erase_if(topics, [](const auto& entry) { return !entry.second.any(); });
  const auto write = [&](const char* name, const char* help, auto get) {
    const std::string full = fmt::format("kafka_server_brokertopicmetrics_{}_total", name);
    sink.counter(full, help, {}, number(get(all)));
    for (const auto& [topic, totals] : topics) sink.counter(full, help, {{"topic", topic}}, number(get(totals)));
  };
  using T = const TopicTotals&;
  write("messagesin", "Records appended.", [](T t) { return t.partitions.messages_in; });
  write("bytesin", "Bytes of batches appended.", [](T t) { return t.partitions.bytes_in; });
  write("bytesout", "Bytes of records sent to consumers.", [](T t) { return t.counts.bytes_out; });
  write("bytesrejected", "Bytes of batches above max.message.bytes.", [](T t) { return t.counts.bytes_rejected; });
  write("totalproducerequests", "Appends asked for, by partition.", [](T t) { return t.partitions.produce_requests; });
  write("totalfetchrequests", "Reads asked for, by partition.", [](T t) { return t.partitions.fetch_requests; });
  write("failedproducerequests", "Appends that failed.", [](T t) { return t.counts.failed_produces; });
  write("failedfetchrequests", "Reads that failed.", [](T t) { return t.counts.failed_fetches; });
}

// --- requests -------------------------------------------------------------------------------------------------------

void Exposition::requests(int64_t now_ns, Sink& sink) {
  struct Stage {
    const char* name;
    const char* help;
    Histogram RequestTimes::* histogram;
    Window<Histogram::Snapshot> Times::* window;
  };
  static constexpr Stage kStages[] = {
      {"totaltimems", "From a request received to its response sent, without waiting for those before it on its connection.",
       &RequestTimes::total, &Times::total},
      {"requestqueuetimems", "From a request received to the begin of its handler.", &RequestTimes::queue, &Times::queue},
      {"localtimems", "In the handler, on the thread of the connection.", &RequestTimes::local, &Times::local},
      {"remotetimems", "Waiting for the flush, other shards or data.", &RequestTimes::remote, &Times::remote},
      {"responsesendtimems", "From an answer to its last byte sent.", &RequestTimes::send, &Times::send}};
  const auto routes = sources_.dispatcher.routes();
  for (const Stage& stage : kStages) {
    const std::string family = fmt::format("kafka_network_requestmetrics_{}", stage.name);
    for (const ApiRoute* route : routes) {
      const Histogram::Snapshot now = (*route->times.*stage.histogram).snapshot();
      if (now.count == 0) continue;
      auto& times = times_[route];
      if (!times) times = std::make_unique<Times>(start_ns_);
      const Histogram::Snapshot recent = now.since((*times.*stage.window).look(now_ns, now).total);
      const std::string api(protocol::api_name(route->key));
      // Every fetch here is a consumer's; Kafka counts them under both names.
      std::vector<std::string> names{api};
      if (route->key == protocol::ApiKey::kFetch) names.emplace_back("FetchConsumer");
      for (const std::string& request : names) {
        sink.counter(family + "_count", "Requests measured.", {{"request", request}}, number(now.count));
        for (const auto& [q, label] : kQuantiles) {
          if (recent.count == 0) break;  // nothing in the last minutes: no number would be true
          sink.gauge(family, stage.help, {{"request", request}, {"quantile", label}}, number(recent.quantile_ns(q)) / 1e6);
        }
      }
    }
  }
}

void Exposition::errors(Sink& sink) const {
  for (const ApiRoute* route : sources_.dispatcher.routes()) {
    for (int16_t code = AnswerErrors::kLowest; code < AnswerErrors::kCodes + AnswerErrors::kLowest; ++code) {
      const int64_t total = route->errors->total(code);
      const auto error = protocol::error_from_code(code);
      if (total == 0 || !error) continue;
      sink.counter(
          "kafka_network_requestmetrics_errors_total", "Error codes in answers, NONE among them.",
          {{"request", std::string(protocol::api_name(route->key))}, {"error", std::string(protocol::error_name(*error))}},
          number(total));
    }
  }
}

// --- network --------------------------------------------------------------------------------------------------------

void Exposition::network(const std::vector<ShardSnapshot>& shards, int64_t now_ns, Sink& sink) {
  int64_t idle_ns = 0;
  for (const ShardSnapshot& shard : shards) idle_ns += shard.idle_ns;
  const auto before = idle_.look(now_ns, idle_ns);
  const double passed = number(now_ns - before.at_ns) * number(shards.size());
  const double idle = passed > 0 ? std::clamp(number(idle_ns - before.total) / passed, 0.0, 1.0) : 1.0;
  // One thread reads, handles and sends: both names mean the same here.
  sink.gauge("kafka_network_socketserver_networkprocessoravgidle_percent", "Share of time the shards' threads slept, 0 to 1.", {},
             idle);
  sink.gauge("kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent",
             "Share of time the shards' threads slept, 0 to 1.", {}, idle);
  const double limit = number(sources_.budget.limit(MemoryShare::kRequests));
  const double used = number(sources_.budget.used(MemoryShare::kRequests));
  sink.gauge("kafka_network_socketserver_memorypoolavailable", "Bytes left for requests.", {}, std::max(0.0, limit - used));
  sink.gauge("kafka_network_socketserver_memorypoolused", "Bytes reserved for requests.", {}, used);

  const auto& listeners = sources_.frontend.listeners;
  while (traffic_.size() < listeners.size() * shards.size()) traffic_.push_back(std::make_unique<Traffic>(start_ns_));
  struct Rate {
    const char* name;
    Counter& (*counter)(const ListenerMetrics&);
    Window<int64_t> Traffic::* window;
  };
  static constexpr Rate kRates[] = {
      {"connection_creation", [](const ListenerMetrics& l) -> Counter& { return l.accepted; }, &Traffic::created},
      {"connection_close", [](const ListenerMetrics& l) -> Counter& { return l.closed; }, &Traffic::closed},
      {"incoming_byte", [](const ListenerMetrics& l) -> Counter& { return l.bytes_received; }, &Traffic::bytes_in},
      {"outgoing_byte", [](const ListenerMetrics& l) -> Counter& { return l.bytes_sent; }, &Traffic::bytes_out}};
  for (const Rate& rate : kRates) {
    const std::string family = fmt::format("kafka_server_socket_server_metrics_{}_rate", rate.name);
    for (size_t l = 0; l < listeners.size(); ++l) {
      for (unsigned shard = 0; shard < shards.size(); ++shard) {
        const int64_t now = rate.counter(listeners[l]).of(shard);
        const auto earlier = ((*traffic_[l * shards.size() + shard]).*rate.window).look(now_ns, now);
        const double seconds = number(now_ns - earlier.at_ns) / 1e9;
        sink.gauge(family, "Per second, over the last minute.",
                   {{"listener", listeners[l].listener}, {"networkProcessor", std::to_string(shard)}},
                   seconds > 0 ? number(now - earlier.total) / seconds : 0);
      }
    }
  }
}

// --- the log --------------------------------------------------------------------------------------------------------

void Exposition::flushes(const std::vector<ShardSnapshot>& shards, Sink& sink) const {
  storage::FlushLatency all;
  for (const ShardSnapshot& shard : shards) all.merge(shard.wal.flushes);
  const char* kafka = "kafka_log_logflushstats_logflushrateandtimems";
  sink.counter(std::string(kafka) + "_count", "Flushes of the write-ahead logs.", {}, number(all.count()));
  for (const auto& [q, label] : kQuantiles) {
    if (all.count() == 0) break;
    sink.gauge(kafka, "Duration of a flush of a write-ahead log, of the last ones.", {{"quantile", label}},
               number(all.percentile_ns(q)) / 1e6);
  }
  uint64_t seen = 0;
  const auto bucket = [&](const std::string& le, uint64_t value) {
    sink.histogram("weir_wal_flush_seconds", "Duration of a flush of a write-ahead log.", "_bucket", {{"le", le}}, number(value));
  };
  for (size_t i = 0; i + 1 < storage::FlushLatency::kDoublings; ++i) {
    seen += all.doublings()[i];
    bucket(fmt::format("{}", number(storage::FlushLatency::doubling_bound_ns(i)) / 1e9), seen);
  }
  bucket("+Inf", all.count());
  sink.histogram("weir_wal_flush_seconds", "", "_sum", {}, number(all.sum_ns()) / 1e9);
  sink.histogram("weir_wal_flush_seconds", "", "_count", {}, number(all.count()));
}

void Exposition::own(const std::vector<ShardSnapshot>& shards, Sink& sink) const {
  struct Level {
    const char* name;
    const char* help;
    bool counter;
    double (*get)(const ShardSnapshot&);
  };
  static constexpr Level kLevels[] = {
      {"weir_dirty_bytes", "Bytes of the log that are not in segments yet: what a recovery reads.", false,
       [](const ShardSnapshot& s) { return number(s.dirty_bytes); }},
      {"weir_tail_cache_bytes", "Bytes of recent batches kept in memory.", false,
       [](const ShardSnapshot& s) { return number(s.tail_cache_bytes); }},
      {"weir_pending_appends", "Appends that wait for their flush.", false,
       [](const ShardSnapshot& s) { return number(s.pending_appends); }},
      {"weir_held_appends", "Appends held back because weir.dirty.bytes.max is reached.", false,
       [](const ShardSnapshot& s) { return number(s.held_appends); }},
      {"weir_producers", "Idempotent producers that partitions remember.", false,
       [](const ShardSnapshot& s) { return number(s.producers); }},
      {"weir_producers_evicted_total", "Producers forgotten early: there were more than weir.max.memory.bytes allows.", true,
       [](const ShardSnapshot& s) { return number(s.producers_evicted); }},
      {"weir_wal_pending_bytes", "Bytes that wait for a flush or are in one.", false,
       [](const ShardSnapshot& s) { return number(s.wal.pending_bytes); }},
      {"weir_wal_failed", "1 once a flush failed: the shard takes no writes until a restart.", false,
       [](const ShardSnapshot& s) { return s.log_failed ? 1.0 : 0.0; }},
      {"weir_disk_full", "1 while produce requests are refused because the disk is full.", false,
       [](const ShardSnapshot& s) { return s.disk_full ? 1.0 : 0.0; }},
      {"weir_checkpoint_failing",
       "1 while data cannot be moved into segments: produce requests are refused once weir.dirty.bytes.max is reached.", false,
       [](const ShardSnapshot& s) { return s.checkpoint_failing ? 1.0 : 0.0; }},
      {"weir_unreadable_segments", "Segments that cannot be looked into for the times of their records, for damage.", false,
       [](const ShardSnapshot& s) { return number(s.unreadable_segments); }},
      {"weir_failing_reads", "Partitions whose segments could not be read the last time, for another reason than damage.", false,
       [](const ShardSnapshot& s) { return number(s.failing_reads); }},
      {"weir_read_failures_total", "Reads of segments that failed, for another reason than damage.", true,
       [](const ShardSnapshot& s) { return number(s.read_failures); }},
      {"weir_wal_written_bytes_total", "Bytes written to the write-ahead log.", true,
       [](const ShardSnapshot& s) { return number(s.wal.written_bytes); }},
      {"weir_checkpoints_total", "Times the tail of the log was moved into segments.", true,
       [](const ShardSnapshot& s) { return number(s.checkpoints.checkpoints); }},
      {"weir_checkpoint_failures_total", "Checkpoints that failed and are tried again.", true,
       [](const ShardSnapshot& s) { return number(s.checkpoints.failures); }},
      {"weir_checkpoint_seconds_total", "Time spent in checkpoints.", true,
       [](const ShardSnapshot& s) { return number(s.checkpoints.busy_ns) / 1e9; }},
      {"weir_checkpoint_last_seconds", "Duration of the last checkpoint.", false,
       [](const ShardSnapshot& s) { return number(s.checkpoints.last_ns) / 1e9; }},
      {"weir_scrape_pause_seconds", "Longest that this scrape held the shard at a stretch.", false,
       [](const ShardSnapshot& s) { return number(s.pause_ns) / 1e9; }},
      {"weir_loop_idle_seconds_total", "Time the shard's thread slept.", true,
       [](const ShardSnapshot& s) { return number(s.idle_ns) / 1e9; }}};
  for (const Level& level : kLevels) {
    for (size_t i = 0; i < shards.size(); ++i) {
      const double value = level.get(shards[i]);
      if (level.counter) sink.counter(level.name, level.help, shard_label(i), value);
      else sink.gauge(level.name, level.help, shard_label(i), value);
    }
  }
  const double partitions = sum(shards, [](const auto& s) { return s.rows.size(); });
  sink.gauge("weir_unlisted_partitions", "Partitions left out of the series of single partitions.", {},
             std::max(0.0, partitions - number(kListedPartitionsMax)));
}

// --- partitions -----------------------------------------------------------------------------------------------------

void append_partitions(std::string& out, const std::vector<ShardSnapshot>& shards, size_t most) {
  struct Row {
    const std::string* topic;
    const PartitionSnapshot* partition;
  };
  std::vector<Row> rows;
  for (const ShardSnapshot& shard : shards) {
    for (const PartitionSnapshot& partition : shard.rows) {
      const Topic* topic = shard.image->find(partition.id.topic);
      if (topic != nullptr) rows.push_back({&topic->name(), &partition});
    }
  }
  std::sort(rows.begin(), rows.end(), [](const Row& x, const Row& y) {
    const int names = x.topic->compare(*y.topic);
    return names != 0 ? names < 0 : x.partition->id.index < y.partition->id.index;
  });
  if (rows.size() > most) rows.resize(most);
  if (rows.empty()) return;
  // Topic names need no escapes: Kafka's rule for them allows letters, digits, dots, dashes and underscores.
  const auto family = [&](const char* name, const char* help, auto get) {
    auto to = std::back_inserter(out);
    fmt::format_to(to, "# HELP {} {}\n# TYPE {} gauge\n", name, help, name);
    for (const Row& row : rows) {
      fmt::format_to(to, "{}{{topic=\"{}\",partition=\"{}\"}} {}\n", name, *row.topic, row.partition->id.index,
                     get(*row.partition));
    }
  };
  using P = const PartitionSnapshot&;
  family("kafka_log_log_size", "Bytes of a partition's log.", [](P p) { return p.size_bytes; });
  family("kafka_log_log_logstartoffset", "First offset of a partition.", [](P p) { return p.log_start_offset; });
  family("kafka_log_log_logendoffset", "End of what is readable of a partition.", [](P p) { return p.high_watermark; });
  family("kafka_log_log_numlogsegments", "Segment files of a partition.", [](P p) { return p.segments; });
  family("kafka_cluster_partition_replicascount", "Replicas of a partition: one.", [](P) { return 1; });
  family("kafka_cluster_partition_underminisr", "1 if too few replicas are in sync.", [](P) { return 0; });
  family("kafka_cluster_partition_atminisr", "1 if just enough replicas are in sync.", [](P p) { return p.offline ? 0 : 1; });
}

}  // namespace weir::broker
