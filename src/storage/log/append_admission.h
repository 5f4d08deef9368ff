// What an append passes before the log looks at it: it waits for the answers it needs (awaited_appends.h), among them the pool's
// (preparation_turns.h); it is held back while the dirty tail is at its bound; and it is checked (append_validation.h).
//
// An append that is held back waits for a checkpoint; if checkpoints fail it is refused. Appends that are held back go on in
// their order.
//
// The broker's own appends wait for nothing, neither answers nor the bound: a coordinator's step rests on its records, and a
// marker frees those that wait. They are refused as well while checkpoints fail at the bound.
//
// Loop thread only. A dropped partition has to live as long as it has appends here.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "runtime/runtime.h"
#include "storage/log/append_validation.h"
#include "storage/log/awaited_appends.h"
#include "storage/log/log_checkpointer.h"
#include "storage/log/partition.h"
#include "storage/log/preparation_turns.h"
#include "storage/wal/wal.h"

namespace weir::storage {

// An append that was admitted.
struct CheckedAppend {
  Slice records;
  AppendFrom from = AppendFrom::kClient;
  AppendOptions options;
  ValidatedBatches batches;
  int64_t now_ms = 0;
  AppendResult result;
  Function<void(AppendResult)> done;
};

class AppendAdmission {
 public:
  struct Limits {
    uint64_t dirty_bytes_max = 0;
    OpeningMemory opening = {};
  };
  using Admitted = Function<void(Partition&, CheckedAppend)>;

  // `held` is called when an append is held back.
  AppendAdmission(runtime::Runtime& runtime, runtime::Loop& loop, WalBackend& wal, const LogCheckpointer& checkpointer,
                  const Limits& limits, Admitted admitted, Function<void()> held);

  // See LogShard::append. Others are answered here. `stages`: what a client's append waits for, beside its preparation.
  void append(Partition& partition, Slice records, bool client, Function<void(AppendResult)> done, AppendOptions options = {},
              std::vector<AppendStage> stages = {});

  // After a checkpoint: held appends go on if they may. While checkpoints fail the shard holds no append back, but refuses it.
  void checkpoint_ended();
  // Held appends get KAFKA_STORAGE_ERROR.
  void fail(const std::string& reason);
  // The partition goes to another owner. Its held appends, which have no offset yet, get NOT_LEADER_OR_FOLLOWER. So do later
  // ones.
  void released(const Partition& partition);

  // While set, clients' appends are refused with a retriable error.
  void set_disk_full(bool full) {
    disk_full_ = full;
    wal_.save_space(full);
  }
  bool lacks_space() const { return disk_full_ || wal_.stalled(); }

  size_t held() const { return held_.size(); }
  bool holds(const Partition& partition) const {
    return awaited_.holds(partition) ||
           std::ranges::any_of(held_, [&](const HeldAppend& held) { return held.partition == &partition; });
  }

 private:
  struct HeldAppend {
    Partition* partition;
    AwaitedAppend append;
  };

  bool at_bound() const { return wal_.unreleased_bytes() >= limits_.dirty_bytes_max; }
  void hold_back(Partition& partition, AwaitedAppend append);
  void check(Partition& partition, AwaitedAppend append);
  bool refuse_at_once(const Partition& partition, AppendFrom from, AppendResult& result) const;
  static void refuse_held(AwaitedAppend append, const std::string& reason);

  runtime::Runtime& runtime_;
  WalBackend& wal_;
  const LogCheckpointer& checkpointer_;
  const Limits limits_;
  Admitted admitted_;
  Function<void()> held_back_;
  AwaitedAppends awaited_;
  PreparationTurns preparation_;
  std::deque<HeldAppend> held_;
  bool disk_full_ = false;
};

}  // namespace weir::storage
