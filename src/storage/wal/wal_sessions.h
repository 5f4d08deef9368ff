// The write-ahead logs of all shards of a process: replays earlier sessions, begins new sessions and ends them. Together with
// WalBackend this is the seam behind which the logs lie, in files of this machine or elsewhere.
//
// A session is the life of one WalBackend. Order of calls at a start: earlier(), replay() of each shard, begin(), open() of
// each shard. At an orderly stop: end(). All but open() block. One thread makes the calls, before the broker serves anything
// and after.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/result.h"
#include "runtime/loop.h"
#include "storage/wal/wal.h"

namespace weir::storage {

// Damage that cost, or may have cost, acknowledged batches.
struct WalCorruption {
  std::string file;
  uint64_t offset = 0;
  ChunkNumber first_chunk = 0;  // damaged chunks
  ChunkNumber last_chunk = 0;
  std::vector<PartitionId> partitions;  // that lost batches; ascending
  std::vector<BatchInfo> lost;          // the lost batches; some of them may be in segments already
  bool unknown_partitions = false;      // any other partition may have lost batches as well
  std::string message;                  // for the operator
};

class WalReplayVisitor {
 public:
  virtual ~WalReplayVisitor() = default;
  // Batches come in the order of their appends. `bytes` shares its memory with neighbours.
  virtual void on_batch(ChunkNumber chunk, const BatchInfo& info, Slice bytes) = 0;
  // Comes before the intact batches of the damaged chunk, and before all later batches.
  virtual void on_corruption(const WalCorruption& corruption) = 0;
};

class WalSessions {
 public:
  virtual ~WalSessions() = default;

  struct Earlier {
    unsigned shards = 0;  // of the last process; 0 at the first start
    bool clean = true;    // end() ended all of its sessions
  };
  // Changes nothing. May be called more than once before begin().
  virtual Result<Earlier> earlier() = 0;

  struct Replayed {
    uint64_t bytes_read = 0;
    uint64_t chunks = 0;
    uint64_t torn_bytes = 0;  // of the unacknowledged end that was cut off
  };
  // Delivers all batches of the shard's log. All of them are durable when this returns. Fails if acknowledged batches are missing
  // and an operator may still bring them back; nothing has changed then.
  virtual Result<Replayed> replay(unsigned shard, WalReplayVisitor& visitor) = 0;

  // Ends the earlier sessions where replay found their ends, and begins the sessions of shards 0 to shards - 1, in one durable
  // step. Call it after replay() of every earlier shard. `checkpointed`: all replayed batches are in segments, so the earlier
  // logs go. Otherwise the earlier logs stay until the shards' new logs release them.
  virtual Result<void> begin(unsigned shards, bool checkpointed) = 0;
  // The log of a session that begin() began. Once for each shard. `loop` outlives the log; this object need not.
  virtual std::unique_ptr<WalBackend> open(unsigned shard, runtime::Loop& loop, bool save_space) = 0;

  // Ends the sessions of `logs`, by shard, cleanly. Every appended batch must be durable. Leaves a log that has ended to
  // recovery.
  virtual Result<void> end(const std::vector<const WalBackend*>& logs) = 0;
};

}  // namespace weir::storage
