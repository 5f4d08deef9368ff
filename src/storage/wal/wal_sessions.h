// The write-ahead logs of all shards of a process over its life: what earlier sessions left, its replay, the sessions that begin,
// and their end. With WalBackend the seam behind which the logs lie, in files of this machine or elsewhere.
//
// A session is the life of one WalBackend. At a start, in this order: earlier(), replay() of each shard, begin(), open() of each
// shard; at an orderly stop end(). All but open() block. One thread, before anything is served and after.
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
  std::vector<BatchInfo> lost;          // the batches, so that those in segments already can be told apart
  bool unknown_partitions = false;      // others may have lost batches as well: which is not known
  std::string message;                  // for the operator
};

class WalReplayVisitor {
 public:
  virtual ~WalReplayVisitor() = default;
  // Batches come in the order they were appended. `bytes` shares its memory with neighbours.
  virtual void on_batch(ChunkNumber chunk, const BatchInfo& info, Slice bytes) = 0;
  // Comes before the batches of the damaged chunk that are intact, and before all later ones.
  virtual void on_corruption(const WalCorruption& corruption) = 0;
};

class WalSessions {
 public:
  virtual ~WalSessions() = default;

  struct Earlier {
    unsigned shards = 0;  // that the last process had; 0 at the first start
    bool clean = true;    // all of its sessions were ended by end()
  };
  // Changes nothing; may be asked more than once before begin().
  virtual Result<Earlier> earlier() = 0;

  struct Replayed {
    uint64_t bytes_read = 0;
    uint64_t chunks = 0;
    uint64_t torn_bytes = 0;  // of the unacknowledged end that was cut off
  };
  // Delivers what the shard's log has. All of it is durable when this returns. Fails if what was acknowledged is not there and
  // may still be brought back; changes nothing.
  virtual Result<Replayed> replay(unsigned shard, WalReplayVisitor& visitor) = 0;

  // Ends the earlier sessions where replay found their ends and begins those of shards 0 to shards - 1, in one durable step.
  // Every earlier shard was replayed. `checkpointed`: all that was replayed is in segments, so the earlier logs go. Otherwise
  // they stay until the shards' new logs release them.
  virtual Result<void> begin(unsigned shards, bool checkpointed) = 0;
  // The log of a session that began. Once for each shard; outlived by `loop`, not by this object.
  virtual std::unique_ptr<WalBackend> open(unsigned shard, runtime::Loop& loop, bool save_space) = 0;

  // Ends the sessions of `logs`, by shard, cleanly: all that was appended is durable. A log that has ended is left to recovery.
  virtual Result<void> end(const std::vector<const WalBackend*>& logs) = 0;
};

}  // namespace weir::storage
