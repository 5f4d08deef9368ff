// The write-ahead log of a shard: where a batch becomes durable. One of the engine's seams (with SegmentStore and MetaStore);
// how logs are found, replayed, begun and ended is WalSessions' affair. The local one's format: docs/formats/wal.md.
//
// A chunk holds the batches that all partitions of the shard appended since the last flush and is made durable as a whole. Chunks
// are numbered. Several may be on their way at a time and arrive in any order, but completion is by prefix: when chunk n is
// durable, so is every chunk before it, and durable() may grow by several at once.
//
// Two things go wrong. A log that is stalled makes nothing durable for a while: it keeps what was appended and goes on by itself
// once the cause is gone. A log that has ended makes nothing durable any more: its session is over, what was in flight has an
// unknown outcome, and only the next replay tells what survived.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/buffer.h"
#include "base/function.h"
#include "base/result.h"
#include "storage/background/flush_latency.h"
#include "storage/types.h"

namespace weir::storage {

// Number of a chunk; grows by one per chunk for the life of the shard's log, over restarts. 0: before the
// first.
using ChunkNumber = uint64_t;

enum class WalState : uint8_t { kRunning, kStalled, kEnded };

// What a log measured of itself, for metrics.
struct WalMeasures {
  FlushLatency flushes;
  uint64_t written_bytes = 0;
  uint64_t pending_bytes = 0;  // of chunks that wait for a flush or are in one
};

class WalBackend {
 public:
  virtual ~WalBackend() = default;

  struct Appended {
    ChunkNumber chunk;  // durable when this chunk is
    Slice bytes;        // where the batch lies in memory from now on (the tail cache shares it)
  };

  // Adds a batch to the open chunk. `batch` has its final bytes (base offset and epoch patched). Batches of
  // at most kCopyLimit bytes are copied; larger ones are shared without copying: they must lie in a Buffer and
  // must not change any more; what is around them there is not looked at. Loop thread only. Never blocks; the caller keeps
  // dirty_bytes() within its bound.
  virtual Appended append(const BatchInfo& info, const Slice& batch) = 0;

  // Asks for the open chunk to be flushed without waiting for more (internal topics, shutdown).
  virtual void flush_now() = 0;

  virtual ChunkNumber durable() const = 0;  // every chunk up to this one is durable
  virtual ChunkNumber open() const = 0;     // the chunk that append writes into

  // Called on the loop whenever durable() grew, and once when the log ended. Set before the first append.
  virtual void on_durable(Function<void(ChunkNumber durable)> callback) = 0;
  virtual void on_ended(Function<void(const Error&)> callback) = 0;

  // A log that is merely slow runs. While it is stalled, clients should not add to what waits. An append to one that has ended is
  // lost, but its bytes are good memory all the same.
  virtual WalState state() const = 0;
  // Why it is stalled or has ended; nothing while it runs.
  virtual std::optional<Error> trouble() const = 0;
  bool stalled() const { return state() == WalState::kStalled; }
  bool ended() const { return state() == WalState::kEnded; }

  // Space. Files are filled in order; a file is recycled when release() says that everything in it is checkpointed.
  // The disk is nearly full and what is left of it belongs to checkpoints and deletion: takes no space before it must, and
  // no more than it must.
  virtual void save_space(bool) {}

  virtual uint64_t unreleased_bytes() const = 0;              // written or open chunks not released
  virtual ChunkNumber last_chunk_of_oldest_file() const = 0;  // 0 if only the current file holds chunks
  virtual void release(ChunkNumber up_to) = 0;                // all chunks <= up_to are checkpointed durably

  virtual WalMeasures measures() const = 0;

  static constexpr size_t kCopyLimit = 64 * 1024;
};

}  // namespace weir::storage
