// LogShard: idempotent producers are forgotten when they were idle for long, or when there are too many.
#include <fmt/format.h>

#include "base/log.h"
#include "storage/log/log_shard.h"

namespace weir::storage {

// After a batch of a producer that was not known.
void LogShard::bound_producers() {
  while (producer_bound_.exceeded()) {
    Partition& partition = producer_bound_.partition_to_shrink(listed_.all());
    if (partition.evict_producer() == 0) return;
    producers_forgotten(partition, 1);
    ++producers_evicted_;
    if (uint64_t unsaid = 0; producer_lines_.admit(runtime_.clock->monotonic_ns() / runtime::kMillisecond, unsaid)) {
      log_event(
          LogLevel::kWarn, "log",
          {.what = fmt::format("Idempotent producers of partition {} are forgotten before producer.id.expiration.ms ({} since "
                               "the start, of all partitions of shard {})",
                               text_of(partition.id()), producers_evicted_, loop_.index()),
           .reason = fmt::format("the shard may remember {} producers (weir.max.memory.bytes), and this partition has the most",
                                 producer_bound_.most()),
           .remedy = "Find the client that takes a new producer id again and again (one producer for a process is enough), or "
                     "give Weir more memory. Records are taken as before; a resend of a forgotten producer may be stored twice"});
    }
  }
}

// Their rows go with the next checkpoint.
void LogShard::producers_forgotten(Partition& partition, size_t count) {
  if (count == 0) return;
  producer_bound_.removed(count);
  checkpointer_.changed(partition);
}

}  // namespace weir::storage
