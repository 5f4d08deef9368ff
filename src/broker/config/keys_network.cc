// Listeners, connections, requests. One row a key; see config_key.h.
#include "broker/config/config_key.h"

namespace weir::broker {

namespace {

using enum ConfigType;
using enum ConfigSupport;

// clang-format off
constexpr ConfigKey kKeys[] = {
    {.name = "advertised.listeners", .type = kList, .default_value = nullptr, .support = kWorks,
     .doc = "What clients are told to connect to, by listener name; by default the address in listeners, or if that stands for all "
            "interfaces the one that the client connected to."},
    {.name = "background.threads", .type = kInt, .default_value = "10", .support = kNoEffect,
     .doc = "Weir runs one thread per core; see weir.shards.", .min = 1, .dynamic = true},
    {.name = "client.quota.callback.class", .type = kClass, .default_value = nullptr, .support = kRefused,
     .doc = "Authentication and authorization are not available in this version."},
    {.name = "connection.failed.authentication.delay.ms", .type = kInt, .default_value = "100", .support = kRefused,
     .doc = "Authentication and authorization are not available in this version.", .min = 0},
    {.name = "connections.max.idle.ms", .type = kLong, .default_value = "600000", .support = kWorks,
     .doc = "Closes connections that neither send nor receive for this long."},
    {.name = "connections.max.reauth.ms", .type = kLong, .default_value = "0", .support = kRefused,
     .doc = "Authentication and authorization are not available in this version."},
    {.name = "delete.records.purgatory.purge.interval.requests", .type = kInt, .default_value = "1", .support = kNoEffect,
     .doc = "Waiting requests are removed when they end; there is nothing to purge."},
    {.name = "kafka.metrics.polling.interval.secs", .type = kInt, .default_value = "10", .support = kNoEffect,
     .doc = "Metrics are served at /metrics of the HTTP listener.", .min = 1},
    {.name = "kafka.metrics.reporters", .type = kList, .default_value = "", .support = kNoEffect,
     .doc = "Metrics are served at /metrics of the HTTP listener."},
    {.name = "listener.security.protocol.map", .type = kString, .default_value = "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", .support = kWorks,
     .doc = "Which protocol the listeners of a name speak."},
    {.name = "listeners", .type = kList, .default_value = "PLAINTEXT://127.0.0.1:9092", .support = kWorks,
     .doc = "Where the broker listens: NAME://host:port, comma-separated. Without a host, or with 0.0.0.0 or [::], it listens on all interfaces, IPv6 and IPv4."},
    {.name = "max.connection.creation.rate", .type = kInt, .default_value = "2147483647", .support = kRefused,
     .doc = "Not available in this version.", .min = 0},
    {.name = "max.connections", .type = kInt, .default_value = "2147483647", .support = kWorks,
     .doc = "Most client connections at a time; more are refused. Never more than the limit of open files leaves: of that a "
            "quarter is kept for the broker's own files, at least 512 (or half) and at most 2048.", .min = 0, .dynamic = true},
    {.name = "max.connections.per.ip", .type = kInt, .default_value = "2147483647", .support = kWorks,
     .doc = "Most client connections from one address at a time; more are refused.", .min = 0, .dynamic = true},
    {.name = "max.connections.per.ip.overrides", .type = kString, .default_value = "", .support = kRefused,
     .doc = "Not available in this version."},
    {.name = "max.incremental.fetch.session.cache.slots", .type = kInt, .default_value = "1000", .support = kWorks,
     .doc = "Most incremental fetch sessions; each shard has its part of them. They are bounded by memory as well.", .min = 0},
    {.name = "max.request.partition.size.limit", .type = kInt, .default_value = "2000", .support = kWorks,
     .doc = "Most partitions in one answer of DescribeTopicPartitions; clients ask again for the others.", .min = 1},
    {.name = "metric.reporters", .type = kList, .default_value = "org.apache.kafka.common.metrics.JmxReporter", .support = kNoEffect,
     .doc = "Metrics are served at /metrics of the HTTP listener."},
    {.name = "metrics.num.samples", .type = kInt, .default_value = "2", .support = kNoEffect,
     .doc = "Metrics are served at /metrics of the HTTP listener.", .min = 1},
    {.name = "metrics.recording.level", .type = kString, .default_value = "INFO", .support = kNoEffect,
     .doc = "Metrics are served at /metrics of the HTTP listener."},
    {.name = "metrics.sample.window.ms", .type = kLong, .default_value = "30000", .support = kNoEffect,
     .doc = "Metrics are served at /metrics of the HTTP listener.", .min = 1},
    {.name = "num.io.threads", .type = kInt, .default_value = "8", .support = kNoEffect,
     .doc = "Weir runs one thread per core; see weir.shards.", .min = 1, .dynamic = true},
    {.name = "num.network.threads", .type = kInt, .default_value = "3", .support = kNoEffect,
     .doc = "Weir runs one thread per core; see weir.shards.", .min = 1, .dynamic = true},
    {.name = "producer.purgatory.purge.interval.requests", .type = kInt, .default_value = "1000", .support = kNoEffect,
     .doc = "Waiting requests are removed when they end; there is nothing to purge."},
    {.name = "queued.max.request.bytes", .type = kLong, .default_value = "-1", .support = kNoEffect,
     .doc = "Requests are bounded by memory (weir.max.memory.bytes) and per connection."},
    {.name = "queued.max.requests", .type = kInt, .default_value = "500", .support = kNoEffect,
     .doc = "Requests are bounded by memory (weir.max.memory.bytes) and per connection.", .min = 1},
    {.name = "quota.window.num", .type = kInt, .default_value = "11", .support = kNoEffect,
     .doc = "Metrics are served at /metrics of the HTTP listener.", .min = 1},
    {.name = "quota.window.size.seconds", .type = kInt, .default_value = "1", .support = kNoEffect,
     .doc = "Metrics are served at /metrics of the HTTP listener.", .min = 1},
    {.name = "socket.connection.setup.timeout.max.ms", .type = kLong, .default_value = "30000", .support = kNoEffect,
     .doc = "The kernel default is used."},
    {.name = "socket.connection.setup.timeout.ms", .type = kLong, .default_value = "10000", .support = kNoEffect,
     .doc = "The kernel default is used."},
    {.name = "socket.listen.backlog.size", .type = kInt, .default_value = "50", .support = kNoEffect,
     .doc = "The kernel default is used.", .min = 1},
    {.name = "socket.receive.buffer.bytes", .type = kInt, .default_value = "102400", .support = kNoEffect,
     .doc = "The kernel sizes socket buffers by itself."},
    {.name = "socket.request.max.bytes", .type = kInt, .default_value = "104857600", .support = kWorks,
     .doc = "Largest request; at most an eighth of weir.max.memory.bytes.", .min = 1},
    {.name = "socket.send.buffer.bytes", .type = kInt, .default_value = "102400", .support = kWorks,
     .doc = "Send buffer of a connection; -1 leaves it to the kernel, which suits readers that are far away.", .min = -1},
    {.name = "telemetry.max.bytes", .type = kInt, .default_value = "1048576", .support = kWorks,
     .doc = "Most bytes of metrics that a client may push at a time.", .min = 1},
};
// clang-format on

}  // namespace

std::span<const ConfigKey> network_config_keys() { return kKeys; }

}  // namespace weir::broker
