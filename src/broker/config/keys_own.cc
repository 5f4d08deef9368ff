// Weir's own keys. One row a key; see config_key.h.
#include "broker/config/config_key.h"

namespace weir::broker {

namespace {

using enum ConfigType;
using enum ConfigSupport;

// clang-format off
constexpr ConfigKey kKeys[] = {
    {.name = "weir.background.io.percent", .type = kInt, .default_value = "25", .support = kWorks,
     .doc = "Most of the disk's measured rate that checkpoints, compaction and removals take together while the p99 of flushes is "
            "above twice its idle value; 100: no limit. They take more when the log that is not checkpointed nears "
            "weir.dirty.bytes.max, or when compaction falls behind.",
     .min = 1, .max = 100},
    {.name = "weir.check.compressed.records", .type = kBoolean, .default_value = "true", .support = kNoEffect,
     .doc = "Compressed batches are always opened and their records checked, as in Apache Kafka: what a header says about time "
            "decides what is deleted, so it is not believed.",
     .dynamic = true},
    {.name = "weir.disk.reserve.bytes", .type = kLong, .default_value = "-1", .support = kWorks,
     .doc = "Space kept free for a full disk, when produce requests are refused and what was acknowledged still has to be "
            "moved and deleted; -1 takes twice weir.dirty.bytes.max, at least 256 MB or a hundredth of the file "
            "system, whichever is less, and at most a tenth of what is free; 0 none.",
     .min = -1},
    {.name = "weir.flush", .type = kString, .default_value = "durable", .support = kWorks,
     .doc = "When a batch is acknowledged: durable, once it is on the device; os, once the kernel has it (Kafka's default; "
            "a power cut then loses acknowledged records).",
     .choices = "durable|os"},
    {.name = "weir.frame.progress.ms", .type = kLong, .default_value = "30000", .support = kWorks,
     .doc = "Closes a connection whose request stops arriving for this long; its memory goes to others.", .min = 1000},
    {.name = "http.listener", .type = kString, .default_value = "127.0.0.1:9644", .support = kWorks,
     .doc = "host:port of /health, /ready and /metrics (port 0: a free one); empty or off: none. If it is taken, the start "
            "fails; where nothing was set it goes on with a free port, and the log warns."},
    {.name = "weir.http.host.names", .type = kList, .default_value = "", .support = kWorks,
     .doc = "Names by which http.listener may be asked beside addresses, names of no public domain (one label, .local, .localhost, "
            ".internal, .svc) and those of the listeners; * lets any through. Others are refused with 421: a web page could "
            "point its own name at the broker."},
    {.name = "log.format", .type = kString, .default_value = "text", .support = kWorks,
     .doc = "The broker's own log on stderr: text, or json, one object a line with time, level, module, message and, where "
            "they are known apart, reason and remedy.",
     .choices = "text|json"},
    {.name = "weir.max.memory.bytes", .type = kLong, .default_value = "-1", .support = kWorks,
     .doc = "Bound of the memory for requests, responses, the tail of the log, its indexes and the compressed batches that are "
            "opened (a sixteenth, at least 24 MiB); at least 16777216. -1 and 0 take half of what the machine or container has.",
     .min = -1},
    {.name = "weir.shards", .type = kInt, .default_value = "0", .support = kWorks,
     .doc = "Threads that serve connections and partitions; 0 takes one per core.", .min = 0, .max = 256},
    {.name = "weir.slow.request.ms", .type = kLong, .default_value = "1000", .support = kWorks,
     .doc = "A request that takes this long is logged with the stages its time went into (a few lines in ten seconds at most; "
            "weir_slow_requests_total counts all); waiting that a client asked for does not count. -1: never.",
     .min = -1},
    {.name = "weir.transaction.abort.orphans", .type = kBoolean, .default_value = "true", .support = kWorks,
     .doc = "Whether an open transaction that no coordinator knows is aborted; else it is only counted and logged, and holds up readers "
            "of committed records.",
     .dynamic = true},
    {.name = "weir.dirty.bytes.max", .type = kLong, .default_value = "-1", .support = kWorks,
     .doc = "Bound of the log that is not checkpointed into segments yet, which is what a recovery reads; -1 and 0 take the least of "
            "256 MB, a quarter of weir.max.memory.bytes, a 20th of what is free and a 200th of the file system.",
     .min = -1},
};
// clang-format on

}  // namespace

std::span<const ConfigKey> own_config_keys() { return kKeys; }

}  // namespace weir::broker
