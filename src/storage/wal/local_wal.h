// The write-ahead log of a shard in files of a local directory. append() never blocks and never fails.
//
// Lifecycle: create() (before the loop runs, or on it), on_durable(), on_ended(), appends. To stop, call flush_now() and wait
// until idle(). If the log is destroyed earlier, the outcome of the write in flight is unknown, and no callback comes any more.
// Loop thread only.
//
// Trouble: the log is stalled while a chunk waits for a file that cannot be prepared (disk full); it tries again until that
// works. It ends with the first flush that fails: nothing is written to that file any more.
//
// Writing: appends collect in the open chunk. One write is in flight at a time, and it carries one chunk. Only so does a valid
// later chunk prove that an earlier one was durable (recovery tells torn from corrupt by it). When the write of chunk n
// completes, n is durable, so are all chunks before it, and the next write may start. The pool prepares files ahead. If a chunk
// does not fit the current file and the next file is not ready, chunks wait in memory.
//
// When a flush starts: at the end of the loop turn of an append, as soon as one of these holds. As many batches are pending as
// the log expects; or LocalWalOptions::batch_bytes are pending; or LocalWalOptions::spacing_ns passed since the last
// completion. The log expects as many batches as the last flush carried plus as many as arrived while that flush was in flight:
// clients have so many under way at a time, and a client that waited for an answer soon sends its next batch. So the log never
// holds back a lone client, and five requests in flight share one flush instead of two or three.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/file.h"
#include "runtime/loop.h"
#include "storage/background/background_throttle.h"
#include "storage/wal/open_chunk.h"
#include "storage/wal/wal.h"
#include "storage/wal/wal_directory.h"

namespace weir::storage {

// A file of an earlier session, as recovery found it.
struct EarlierWalFile {
  uint64_t generation = 0;
  uint64_t bytes = 0;          // length of the file
  uint64_t used_bytes = 0;     // up to the end of its last chunk
  ChunkNumber last_chunk = 0;  // 0: the file holds no chunk that matters
  bool operator==(const EarlierWalFile&) const = default;
};

struct LocalWalOptions {
  std::string directory;  // <log directory>/wal/<shard>; made if missing
  uint32_t shard = 0;
  uint64_t incarnation = 0;  // of this session: never used before by this shard
  ChunkNumber first_chunk = 1;
  uint64_t next_generation = 1;                   // above every file of the directory
  std::vector<EarlierWalFile> earlier;            // in the order of their chunks; kept until released
  std::vector<WalDirectory::Leftover> leftovers;  // reused or removed
  WalFileRegister* file_register = nullptr;       // told of every file

  bool flush_to_device = true;              // false: flush=os
  uint64_t file_bytes = 64ull << 20;        // multiples of 1 MiB unless tiny (tests)
  uint64_t first_file_bytes = 16ull << 20;  // of the first file of a session, so that it is ready sooner
  uint64_t chunk_bytes = 4ull << 20;        // a chunk with more than one batch stays below; at most half of file_bytes
  size_t batch_bytes = 128 * 1024;          // pending bytes that start a flush at once
  int64_t spacing_ns = 500'000;             // so long after the last completion a flush waits for no more batches
  int64_t retry_ns = runtime::kSecond;      // until a failed preparation is tried again
  size_t kept_spares = 2;                   // released files kept for recycling
  BackgroundThrottle* throttle = nullptr;   // told of each flush; outlives the log
  bool save_space = false;                  // from the start; see save_space()
};

class LocalWal final : public WalBackend {
 public:
  static std::unique_ptr<LocalWal> create(runtime::FileSystem& files, runtime::Loop& loop, runtime::Pool& pool,
                                          LocalWalOptions options);
  ~LocalWal() override;

  Appended append(const BatchInfo& info, const Slice& batch) override;
  void flush_now() override;
  ChunkNumber durable() const override { return durable_; }
  ChunkNumber open() const override { return open_number_; }
  void on_durable(Function<void(ChunkNumber)> callback) override { on_durable_ = std::move(callback); }
  void on_ended(Function<void(const Error&)> callback) override { on_ended_ = std::move(callback); }
  WalState state() const override;
  std::optional<Error> trouble() const override;
  // While saving, the log prepares no file ahead, and makes new files as small as the waiting chunk allows. It uses spares as
  // ever.
  void save_space(bool save) override;
  uint64_t unreleased_bytes() const override;
  ChunkNumber last_chunk_of_oldest_file() const override { return full_.empty() ? 0 : full_.front().last_chunk; }
  void release(ChunkNumber up_to) override;
  WalMeasures measures() const override { return {latency_, written_bytes_, pending_bytes()}; }

  // The caller refuses larger batches before append(): one write of the kernel takes less than 2 GiB. A batch that does not fit
  // a file of file_bytes gets a larger file.
  static constexpr uint64_t kMaxBatchBytes = 1ull << 30;
  // Nothing is in flight and nothing waits.
  bool idle() const { return !in_flight_ && sealed_.empty() && open_->empty(); }
  uint64_t flushes() const { return latency_.count(); }

 private:
  struct CurrentFile {
    WalFileHeader header;
    std::unique_ptr<runtime::DurableWriter> writer;
    uint64_t position = kWalBlock;  // of the next chunk
    ChunkNumber last_chunk = 0;
    bool fits(uint64_t bytes) const { return position + bytes <= header.file_bytes; }
  };
  struct ChunkSize {
    ChunkNumber number;
    uint64_t bytes;
  };
  // A completion may outlive the log: it reaches the log through this. Holds the memory that a write in flight points to.
  struct InFlight {
    LocalWal* wal = nullptr;  // null once the log is destroyed
    std::unique_ptr<OpenChunk> chunk;
  };

  LocalWal(runtime::FileSystem& files, runtime::Loop& loop, runtime::Pool& pool, LocalWalOptions options);
  void seal_open_chunk();
  std::unique_ptr<OpenChunk> new_chunk();
  void flush_at_turn_end();
  void pump();
  bool due() const;
  void wait_for_spacing();
  void write_chunk();
  bool use_file_for(uint64_t bytes);
  void chunk_written(Result<void> outcome);
  void end_session(const Error& error);
  uint64_t pending_bytes() const;
  void prepare_next_file(uint64_t chunk_bytes = 0);
  void prepare_ahead();
  void file_prepared(Result<WalFileHeader> header);
  void retire_released();

  runtime::FileSystem& files_;
  runtime::Loop& loop_;
  const LocalWalOptions options_;
  Function<void(ChunkNumber)> on_durable_;
  Function<void(const Error&)> on_ended_;
  std::shared_ptr<InFlight> flight_;  // one for the life of the log

  // Chunks: durable | in flight | sealed, waiting | open
  PackedMemory memory_;
  std::unique_ptr<OpenChunk> open_;
  ChunkNumber open_number_;
  std::deque<std::unique_ptr<OpenChunk>> sealed_;
  uint64_t sealed_bytes_ = 0;
  bool in_flight_ = false;
  ChunkNumber durable_;
  std::vector<std::unique_ptr<OpenChunk>> unused_;

  // Flush policy
  bool turn_end_asked_ = false;
  bool urgent_ = false;
  size_t expected_batches_ = 0;
  int64_t last_completion_ns_ = 0;
  int64_t flush_started_ns_ = 0;
  runtime::TimerId spacing_timer_;
  FlushLatency latency_;
  uint64_t written_bytes_ = 0;
  std::optional<Error> end_;  // why the session is over
  bool lacks_file_ = false;   // a chunk waits for the next file
  bool save_space_;

  // Files: earlier and full | current | next
  WalDirectory directory_;
  std::deque<EarlierWalFile> full_;  // in the order of their chunks
  std::optional<CurrentFile> current_;
  std::optional<CurrentFile> next_;
  std::optional<Error> preparation_error_;
  runtime::TimerId retry_timer_;

  // Space
  std::deque<ChunkSize> unreleased_;  // sealed and written chunks of this session
  uint64_t unreleased_chunk_bytes_ = 0;
  ChunkNumber released_ = 0;
};

}  // namespace weir::storage
