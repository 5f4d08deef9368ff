// The write-ahead log of a shard: where a batch becomes durable. One of the engine's three seams (with
// SegmentStore and MetaStore); format in docs/formats/wal.md.
//
// A chunk holds the batches that all partitions of the shard appended since the last flush and is made
// durable as a whole. Chunks are numbered; completion is strictly by prefix: when chunk n is durable, so is
// every chunk before it. After a failed flush nothing completes any more: the shard's session is over (see
// ended callback), the file is never flushed again, and only recovery tells what survived.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/buffer.h"
#include "base/function.h"
#include "base/result.h"
#include "storage/types.h"

namespace weir::storage {

// Number of a chunk; grows by one per chunk for the life of the shard's log, over restarts. 0: before the
// first.
using ChunkNumber = uint64_t;

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
  // unmerged_bytes() within its bound.
  virtual Appended append(const BatchFacts& facts, const Slice& batch) = 0;

  // Asks for the open chunk to be flushed without waiting for more (internal topics, shutdown).
  virtual void flush_now() = 0;

  virtual ChunkNumber durable() const = 0;  // every chunk up to this one is durable
  virtual ChunkNumber open() const = 0;     // the chunk that append writes into

  // Called on the loop whenever durable() grew, and once when the log failed. Set before the first append.
  virtual void on_durable(Function<void(ChunkNumber durable)> callback) = 0;
  virtual void on_failed(Function<void(const Error&)> callback) = 0;
  virtual bool failed() const = 0;

  // Space. Files are filled in order; a file is recycled when release() says that everything in it is merged.
  // True while what is appended cannot be written because there is no space for it. It is kept and tried again, but
  // nobody should add to it.
  virtual bool out_of_space() const { return false; }
  // The disk is nearly full and what is left of it belongs to merges and deletion: takes no space before it must, and
  // no more than it must.
  virtual void save_space(bool) {}

  virtual uint64_t unreleased_bytes() const = 0;              // written or open chunks not released
  virtual ChunkNumber last_chunk_of_oldest_file() const = 0;  // 0 if only the current file holds chunks
  virtual void release(ChunkNumber up_to) = 0;                // all chunks <= up_to are merged durably

  static constexpr size_t kCopyLimit = 64 * 1024;
};

}  // namespace weir::storage
