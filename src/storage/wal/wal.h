// The write-ahead log of a shard: a batch becomes durable here. This is one of the engine's seams (with SegmentStore and
// MetaStore). WalSessions finds, replays, begins and ends logs. Format of the local log: docs/formats/wal.md.
//
// A chunk holds the batches that all partitions of the shard appended since the last flush. It becomes durable as a whole.
// Chunks are numbered. Several chunks may be on their way at a time and arrive in any order, but completion is by prefix: when
// chunk n is durable, so is every chunk before it. durable() may therefore grow by several at once.
//
// A log fails in two ways. A stalled log makes nothing durable for a while: it keeps every appended batch and goes on by itself
// once the cause is gone. A log that has ended makes nothing durable any more: its session is over, chunks in flight have an
// unknown outcome, and only the next replay tells which of them survived.
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

// Number of a chunk. Grows by one per chunk for the life of the shard's log, over restarts. 0: before the first chunk.
using ChunkNumber = uint64_t;

enum class WalState : uint8_t { kRunning, kStalled, kEnded };

// Measurements of a log, for metrics.
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

  // Adds a batch to the open chunk. `batch` has its final bytes (base offset and epoch are patched). The log copies batches of
  // at most kCopyLimit bytes. It shares larger ones without copying: such a batch must lie in a Buffer and must not change any
  // more; the log does not read the bytes around it. Loop thread only. Never blocks; the caller keeps unreleased_bytes() within
  // its bound.
  virtual Appended append(const BatchInfo& info, const Slice& batch) = 0;

  // Has the open chunk flushed without waiting for more batches (internal topics, shutdown).
  virtual void flush_now() = 0;

  virtual ChunkNumber durable() const = 0;  // every chunk up to this one is durable
  virtual ChunkNumber open() const = 0;     // the chunk that append writes into

  // The log calls these on the loop: the first whenever durable() grew, the second once, when the log ended. Set both before the
  // first append.
  virtual void on_durable(Function<void(ChunkNumber durable)> callback) = 0;
  virtual void on_ended(Function<void(const Error&)> callback) = 0;

  // A log that is merely slow is kRunning. While the log is stalled, clients should append no more. An append to a log that has
  // ended is lost, but Appended::bytes is valid memory all the same.
  virtual WalState state() const = 0;
  // Why the log is stalled or has ended. Nothing while it runs.
  virtual std::optional<Error> trouble() const = 0;
  bool stalled() const { return state() == WalState::kStalled; }
  bool ended() const { return state() == WalState::kEnded; }

  // Space. The log fills files in order. It recycles a file after release() said that everything in the file is checkpointed.

  // True: the disk is nearly full, and its free space belongs to checkpoints and deletion. The log then takes no space before it
  // must, and no more than it must.
  virtual void save_space(bool) {}

  virtual uint64_t unreleased_bytes() const = 0;              // of written, waiting and open chunks that are not released
  virtual ChunkNumber last_chunk_of_oldest_file() const = 0;  // 0 if only the current file holds chunks
  virtual void release(ChunkNumber up_to) = 0;                // all chunks <= up_to are checkpointed durably

  virtual WalMeasures measures() const = 0;

  static constexpr size_t kCopyLimit = 64 * 1024;
};

}  // namespace weir::storage
