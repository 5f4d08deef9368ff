// Keys that Kafka takes but does not document: for its own tests, and for a few experts. One row a key; see config_key.h.
#include "broker/config/config_key.h"

namespace weir::broker {

namespace {

using enum ConfigType;
using enum ConfigSupport;

// clang-format off
constexpr ConfigKey kKeys[] = {
    {.name = "controller.performance.always.log.threshold.ms", .type = kLong, .default_value = "2000", .support = kNoEffect,
     .doc = "There is no controller quorum to configure.", .min = 0, .internal = true},
    {.name = "controller.performance.sample.period.ms", .type = kLong, .default_value = "60000", .support = kNoEffect,
     .doc = "There is no controller quorum to configure.", .min = 100, .internal = true},
    {.name = "group.consumer.assignor.offload.enable", .type = kBoolean, .default_value = "true", .support = kNoEffect,
     .doc = "Assignments are computed by the coordinator itself, in the step that needs them.", .dynamic = true, .internal = true},
    {.name = "group.consumer.regex.refresh.interval.ms", .type = kInt, .default_value = "600000", .support = kWorks,
     .doc = "How often the topics that a regular expression of a consumer group matches are looked up again.", .min = 10000, .internal = true},
    {.name = "group.share.assignor.offload.enable", .type = kBoolean, .default_value = "true", .support = kNoEffect,
     .doc = "Of share groups; these groups are not served in this version.", .internal = true},
    {.name = "group.share.dlq.manager.class.name", .type = kString, .default_value = "org.apache.kafka.server.share.dlq.DefaultShareGroupDLQManager", .support = kNoEffect,
     .doc = "Of share groups; these groups are not served in this version.", .internal = true},
    {.name = "group.share.initialize.retry.interval.ms", .type = kInt, .default_value = "30000", .support = kNoEffect,
     .doc = "Of share groups; these groups are not served in this version.", .min = 1, .internal = true},
    {.name = "group.share.persister.class.name", .type = kString, .default_value = "org.apache.kafka.server.share.persister.DefaultStatePersister", .support = kNoEffect,
     .doc = "Of share groups; these groups are not served in this version.", .internal = true},
    {.name = "group.streams.acceptable.recovery.lag", .type = kLong, .default_value = "10000", .support = kNoEffect,
     .doc = "Of streams groups; these groups are not served in this version.", .min = 0, .internal = true},
    {.name = "group.streams.assignor.offload.enable", .type = kBoolean, .default_value = "true", .support = kNoEffect,
     .doc = "Of streams groups; these groups are not served in this version.", .internal = true},
    {.name = "group.streams.max.warmup.replicas", .type = kInt, .default_value = "20", .support = kNoEffect,
     .doc = "Of streams groups; these groups are not served in this version.", .min = 0, .internal = true},
    {.name = "group.streams.min.task.offset.interval.ms", .type = kInt, .default_value = "15000", .support = kNoEffect,
     .doc = "Of streams groups; these groups are not served in this version.", .min = 1, .internal = true},
    {.name = "group.streams.num.warmup.replicas", .type = kInt, .default_value = "2", .support = kNoEffect,
     .doc = "Of streams groups; these groups are not served in this version.", .min = 0, .internal = true},
    {.name = "group.streams.task.offset.interval.ms", .type = kInt, .default_value = "60000", .support = kNoEffect,
     .doc = "Of streams groups; these groups are not served in this version.", .min = 1, .internal = true},
    {.name = "internal.metadata.delete.delay.millis", .type = kLong, .default_value = "60000", .support = kNoEffect,
     .doc = "There is no controller quorum to configure.", .internal = true},
    {.name = "internal.metadata.log.segment.bytes", .type = kInt, .default_value = nullptr, .support = kNoEffect,
     .doc = "There is no controller quorum to configure.", .internal = true},
    {.name = "internal.metadata.max.batch.size.in.bytes", .type = kInt, .default_value = "8388608", .support = kNoEffect,
     .doc = "There is no controller quorum to configure.", .internal = true},
    {.name = "log.initial.task.delay.ms", .type = kLong, .default_value = "30000", .support = kNoEffect,
     .doc = "Retention and compaction begin with the broker.", .min = 0, .internal = true},
    {.name = "producer.id.expiration.check.interval.ms", .type = kInt, .default_value = "600000", .support = kNoEffect,
     .doc = "Expired producers are looked for together with retention; see log.retention.check.interval.ms.", .min = 1, .internal = true},
    {.name = "remote.log.index.file.cache.ttl.ms", .type = kLong, .default_value = "900000", .support = kNoEffect,
     .doc = "Tiered storage is not enabled.", .min = -1, .internal = true},
    {.name = "remote.log.manager.task.retry.backoff.max.ms", .type = kLong, .default_value = "30000", .support = kNoEffect,
     .doc = "Tiered storage is not enabled.", .min = 1, .internal = true},
    {.name = "remote.log.manager.task.retry.backoff.ms", .type = kLong, .default_value = "500", .support = kNoEffect,
     .doc = "Tiered storage is not enabled.", .min = 1, .internal = true},
    {.name = "remote.log.manager.task.retry.jitter", .type = kDouble, .default_value = "0.2", .support = kNoEffect,
     .doc = "Tiered storage is not enabled.", .min = 0, .max = 1, .internal = true},
    {.name = "server.max.startup.time.ms", .type = kLong, .default_value = "9223372036854775807", .support = kNoEffect,
     .doc = "There is no controller quorum to wait for.", .min = 0, .internal = true},
    {.name = "share.coordinator.cold.partition.snapshot.interval.ms", .type = kInt, .default_value = "300000", .support = kNoEffect,
     .doc = "Share group state is kept by the coordinator of the group.", .min = 1, .internal = true},
    {.name = "share.coordinator.state.topic.prune.interval.ms", .type = kInt, .default_value = "300000", .support = kNoEffect,
     .doc = "Share group state is kept by the coordinator of the group.", .min = 1, .internal = true},
    {.name = "unclean.leader.election.interval.ms", .type = kLong, .default_value = "300000", .support = kNoEffect,
     .doc = "Brokers do not copy logs from each other; there are no followers.", .min = 1, .internal = true},
    {.name = "unstable.api.versions.enable", .type = kBoolean, .default_value = "false", .support = kNoEffect,
     .doc = "Versions of APIs that Kafka has not released are not served.", .internal = true},
    {.name = "unstable.feature.versions.enable", .type = kBoolean, .default_value = "false", .support = kNoEffect,
     .doc = "Levels of features that Kafka has not released are not served.", .internal = true},
};
// clang-format on

}  // namespace

std::span<const ConfigKey> internal_config_keys() { return kKeys; }

}  // namespace weir::broker
