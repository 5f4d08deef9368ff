#include "apps/http_endpoints.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/counted.h"
#include "base/json.h"

namespace weir::apps {

namespace {

constexpr const char* kJson = "application/json";
constexpr const char* kPrometheus = "text/plain; version=0.0.4; charset=utf-8";

// Twenty thousand partitions make about 9 MB of metrics.
http::HttpServer::Options http_options(std::vector<std::string> host_names) {
  http::HttpServer::Options options;
  options.host_names = std::move(host_names);
  options.max_waiting_bytes = 16u << 20;
  return options;
}

// One scrape at a time runs on the pool.
constexpr uint64_t kScrapeOrder = 0x6d657472696373;

struct Verdict {
  const char* status = "pass";
  std::string reason;
  std::string remedy;
};

// The troubles of all shards together.
struct Troubles {
  size_t failed_shards = 0, failing_checkpoints = 0;
  uint64_t offline = 0, failed_coordinators = 0, failed_transactions = 0, unreadable = 0, failing_reads = 0, orphans = 0;
  bool disk_full = false;
};

Verdict judge(const Troubles& troubles, const HealthInfo& info) {
  const auto& [failed_shards, failing_checkpoints, offline, failed_coordinators, failed_transactions, unreadable, failing_reads,
               orphans, disk_full] = troubles;
  if (failed_shards > 0) {
    return {"fail", fmt::format("writing the log failed on {}: nothing more is acknowledged", counted(failed_shards, "shard")),
            "check the disk and the log above, then restart; what was acknowledged is recovered"};
  }
  if (disk_full) {
    return {"warn", "no new log file can be prepared: the disk is full or refuses writes, or descriptors are used up",
            "do what the log says: free space, shorten retention or raise the limit of open files; it goes on by itself"};
  }
  if (failing_checkpoints > 0) {
    return {"warn",
            fmt::format("data cannot be moved into segments on {}: nothing is lost, but produce requests are refused "
                        "once too much waits",
                        counted(failing_checkpoints, "shard")),
            "do what the log says: a directory or disk that is gone, no inodes left, a limit; it goes on by itself"};
  }
  if (offline > 0) {
    return {"warn",
            fmt::format("{} offline: acknowledged data of theirs is damaged", counted(offline, "partition is", "partitions are")),
            "the log names them; restore their files from a copy, or stop the broker and run weir log salvage, or delete and "
            "recreate the topics"};
  }
  if (failing_reads > 0) {
    return {
        "warn",
        fmt::format("segments of {} could not be read the last time: the process may not open them, or the disk fails",
                    counted(failing_reads, "partition")),
        "see failing: give the files to the user that Weir runs as (chown -R), or check the disk; the next read that succeeds "
        "ends this"};
  }
  if (failed_coordinators > 0) {
    const std::string what = failed_transactions == 0 ? "__consumer_offsets cannot be loaded: their groups are not served"
                             : failed_transactions == failed_coordinators
                                 ? "__transaction_state cannot be loaded: their transactional producers are not served"
                                 : "internal topics cannot be loaded: their groups and transactional producers are not served";
    return {"warn", fmt::format("{} partitions of {}", failed_coordinators, what),
            "see unloaded: stop the broker, check with weir log verify, and bring the files back from a copy or run weir log "
            "salvage; loading is tried again meanwhile"};
  }
  if (info.groups_refused) {
    return {"warn", "groups hold all the memory that they may: new offsets, groups or members are asked to try again later",
            "delete groups that are not needed, or raise weir.max.memory.bytes"};
  }
  if (info.transactions_refused) {
    return {"warn", "transactions hold all the memory that they may: new transactional ids or partitions are refused",
            "shorten transactional.id.expiration.ms if clients make ids without end, or raise weir.max.memory.bytes"};
  }
  if (orphans > 0) {
    return {"warn",
            fmt::format("{} in partitions without a coordinator that knows: readers of committed records get nothing behind them",
                        counted(orphans, "open transaction")),
            "the log names them: abort them with kafka-transactions.sh abort, or set weir.transaction.abort.orphans=true"};
  }
  if (unreadable > 0) {
    return {"warn",
            fmt::format("{} of earlier versions or of an import cannot be looked into for the times of their records: damage, or "
                        "the disk fails. Their partitions are not compacted",
                        counted(unreadable, "segment")),
            "see unreadable: stop the broker, check with weir log verify, and bring the files back from a copy or run weir log "
            "salvage; a start looks again"};
  }
  if (info.uncleanable_partitions > 0) {
    return {"warn",
            fmt::format("{} not compacted any more: compaction met damage, and the log grows",
                        counted(info.uncleanable_partitions, "partition is", "partitions are")),
            "see uncleanable: stop the broker, check with weir log verify, and bring the files back from a copy or run weir log "
            "salvage; a start tries again"};
  }
  return {};
}

}  // namespace

http::Response health_response(const std::vector<broker::ShardSnapshot>& shards, const HealthInfo& info) {
  Troubles troubles;
  uint64_t dirty = 0, held = 0;
  storage::FlushLatency flush;
  for (const broker::ShardSnapshot& shard : shards) {
    troubles.failed_shards += shard.log_failed ? 1 : 0;
    troubles.offline += shard.offline_partitions;
    troubles.failed_coordinators += shard.coordinators.failed + shard.transaction_coordinators.failed;
    troubles.failed_transactions += shard.transaction_coordinators.failed;
    troubles.orphans += shard.orphan_transactions;
    troubles.unreadable += shard.unreadable_segments;
    troubles.failing_reads += shard.failing_reads;
    troubles.disk_full |= shard.disk_full;
    troubles.failing_checkpoints += shard.checkpoint_failing ? 1 : 0;
    dirty += shard.dirty_bytes;
    held += shard.held_appends;
    flush.merge(shard.wal.flushes);
  }
  const Verdict verdict = judge(troubles, info);
  const storage::RecoveryStats& r = info.recovery;
  std::string body = fmt::format("{{\"status\":\"{}\",\"version\":\"{}\"", verdict.status, WEIR_VERSION);
  if (!verdict.reason.empty()) body += fmt::format(",\"reason\":\"{}\",\"remedy\":\"{}\"", verdict.reason, verdict.remedy);
  body += fmt::format(",\"failed_shards\":{},\"offline_partitions\":{},\"disk_full\":{},\"failing_checkpoints\":{}",
                      troubles.failed_shards, troubles.offline, troubles.disk_full, troubles.failing_checkpoints);
  body += fmt::format(",\"groups_refused\":{},\"transactions_refused\":{},\"orphan_transactions\":{}", info.groups_refused,
                      info.transactions_refused, troubles.orphans);
  const auto entry = [](const std::string& partition, const std::string& reason) {
    return fmt::format("{{\"partition\":{},\"reason\":{}}}", json_string(partition), json_string(reason));
  };
  std::vector<std::string> coordinators, segments, partitions, reads;
  for (const broker::ShardSnapshot& shard : shards) {
    for (const auto* counts : {&shard.coordinators, &shard.transaction_coordinators}) {
      for (const auto& failed : counts->some_failed) coordinators.push_back(entry(failed.partition, failed.reason));
    }
    for (const auto& segment : shard.unreadable) segments.push_back(entry(segment.partition, segment.reason));
    for (const auto& read : shard.failing) reads.push_back(entry(read.partition, read.reason));
  }
  for (const auto& partition : info.uncleanable) partitions.push_back(entry(partition.name, partition.reason));
  body +=
      fmt::format(",\"failed_coordinators\":{},\"unloaded\":[{}]", troubles.failed_coordinators, fmt::join(coordinators, ","));
  body += fmt::format(",\"unreadable_segments\":{},\"unreadable\":[{}]", troubles.unreadable, fmt::join(segments, ","));
  body += fmt::format(",\"failing_reads\":{},\"failing\":[{}]", troubles.failing_reads, fmt::join(reads, ","));
  body +=
      fmt::format(",\"uncleanable_partitions\":{},\"uncleanable\":[{}]", info.uncleanable_partitions, fmt::join(partitions, ","));
  body += fmt::format(",\"flush\":{{\"mode\":\"{}\",\"count\":{},\"p50_us\":{},\"p99_us\":{}}}", info.flush_mode, flush.count(),
                      flush.percentile_ns(0.5) / 1000, flush.percentile_ns(0.99) / 1000);
  body += fmt::format(",\"dirty_bytes\":{},\"dirty_bytes_max\":{},\"held_appends\":{}", dirty, info.dirty_bytes_max, held);
  body += fmt::format(
      ",\"last_recovery\":{{\"first_start\":{},\"clean\":{},\"duration_ms\":{},\"partitions\":{},"
      "\"batches\":{},\"bytes_read\":{},\"torn_bytes\":{},\"offline_partitions\":{}}}}}\n",
      info.first_start, r.clean, r.duration_ms, r.partitions, r.batches, r.bytes_read, r.torn_bytes, r.offline_partitions);
  return {troubles.failed_shards ? 503 : 200, std::move(body), kJson};
}

HttpEndpoints::HttpEndpoints(runtime::Loop& loop, runtime::Pool& pool, Server& server, std::vector<std::string> host_names)
    : loop_(loop),
      pool_(pool),
      server_(server),
      exposition_(std::make_shared<broker::Exposition>(server.metric_sources(), loop.clock().monotonic_ns())),
      group_lags_(server.coordinators().groups, pool),
      http_(loop, http_options(std::move(host_names))) {
  http_.get("/", [](http::Respond respond) {
    respond({200, "Weir " WEIR_VERSION "\n/health   what is wrong, if anything, and what to do; 503 if nothing can be written\n"
                  "/ready    200 once clients are served\n/metrics  for Prometheus\n"});
  });
  http_.get("/health", [this](http::Respond respond) { health(std::move(respond)); });
  http_.get("/ready", [this](http::Respond respond) { ready(std::move(respond)); });
  http_.get("/metrics", [this](http::Respond respond) { metrics(std::move(respond)); });
}

void HttpEndpoints::health(http::Respond respond) {
  broker::take_snapshots(server_.coordinators(), 0, broker::SnapshotDetail::kShards,
                         lifetime_.guard([this, reply = std::move(respond)](std::vector<broker::ShardSnapshot> shards) mutable {
                           reply(health_response(shards, server_.health_info()));
                         }));
}

// A broker is ready when it can serve clients: one that cannot write is not.
void HttpEndpoints::ready(http::Respond respond) {
  const auto no = [](std::string_view reason) {
    return http::Response{503, fmt::format("{{\"ready\":false,\"reason\":\"{}\"}}\n", reason), kJson};
  };
  if (!server_.ready()) return respond(no(server_.stopping() ? "the broker stops" : "the broker starts"));
  broker::take_snapshots(server_.coordinators(), 0, broker::SnapshotDetail::kShards,
                         lifetime_.guard([no, reply = std::move(respond)](std::vector<broker::ShardSnapshot> shards) mutable {
                           const auto failed = [](const auto& shard) { return shard.log_failed; };
                           if (std::any_of(shards.begin(), shards.end(), failed)) {
                             return reply(no("the log failed: nothing more is acknowledged until a restart"));
                           }
                           reply({200, "{\"ready\":true}\n", kJson});
                         }));
}

void HttpEndpoints::metrics(http::Respond respond) {
  scrapers_.push_back(std::move(respond));
  if (scrapers_.size() > 1) return;
  broker::take_snapshots(server_.coordinators(), 0, broker::SnapshotDetail::kPartitions,
                         lifetime_.guard([this](std::vector<broker::ShardSnapshot> shards) {
                           group_lags_.collect(
                               0, lifetime_.guard([this, shards = std::move(shards)](broker::GroupLags lags) mutable {
                                 render(std::move(shards), std::move(lags));
                               }));
                         }));
}

void HttpEndpoints::render(std::vector<broker::ShardSnapshot> shards, broker::GroupLags lags) {
  struct Work {
    std::shared_ptr<broker::Exposition> exposition;
    std::vector<broker::ShardSnapshot> shards;
    broker::GroupLags lags;
    std::string text;
  };
  auto work = std::make_shared<Work>(Work{exposition_, std::move(shards), std::move(lags), {}});
  const int64_t now_ns = loop_.clock().monotonic_ns();
  pool_.submit(
      [work, now_ns] {
        work->text = work->exposition->render(work->shards, now_ns);
        broker::append_group_lags(work->text, work->lags);
        work->shards.clear();
      },
      loop_, lifetime_.guard([this, work] {
        auto scrapers = std::move(scrapers_);
        scrapers_.clear();
        const auto text = std::make_shared<const std::string>(std::move(work->text));
        for (http::Respond& respond : scrapers) respond({200, {}, kPrometheus, text});
      }),
      kScrapeOrder);
}

}  // namespace weir::apps
