// What goes by itself: segments that are too old or too many (retention.ms, retention.bytes), and idempotent producers that were
// idle for long. Looks at all partitions of a shard now and then, in slices. What it decides, the next checkpoint makes durable.
//
// Loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/function.h"
#include "base/lifetime.h"
#include "runtime/runtime.h"
#include "storage/log/partition.h"
#include "storage/wal/wal.h"

namespace weir::storage {

class Retention {
 public:
  // The shard whose partitions are looked at.
  class Shard {
   public:
    // `visit` for every partition, in slices, then `done`. What it did beyond looking at the partition is what it returns, in
    // such looks.
    virtual void walk(Function<size_t(Partition&)> visit, Function<void()> done) = 0;
    virtual std::string text_of(const PartitionId& partition) const = 0;
    virtual void producers_forgotten(Partition& partition, size_t count) = 0;
    virtual void expire_guards(int64_t before_ms) = 0;       // of transactions
    virtual void log_start_moves(Partition& partition) = 0;  // with the next checkpoint
    virtual void retained(bool changed) = 0;                 // all of it: some partition has to be checkpointed soon

   protected:
    ~Shard() = default;
  };

  Retention(runtime::Runtime& runtime, runtime::Loop& loop, const WalBackend& wal, Shard& shard,
            int64_t producer_id_expiration_ms)
      : runtime_(runtime), loop_(loop), wal_(wal), shard_(shard), producer_id_expiration_ms_(producer_id_expiration_ms) {}
  ~Retention() { lifetime_.end(); }

  void run();  // not once the log has failed
  void run_every(int64_t interval_ms);
  void set_producer_id_expiration_ms(int64_t ms) { producer_id_expiration_ms_ = ms; }

 private:
  bool retain(Partition& partition, int64_t now_ms);

  runtime::Runtime& runtime_;
  runtime::Loop& loop_;
  const WalBackend& wal_;
  Shard& shard_;
  int64_t producer_id_expiration_ms_;
  bool running_ = false;
  runtime::TimerId timer_;
  Lifetime lifetime_;
};

}  // namespace weir::storage
