// Reads a partition of an internal topic from its start to its high watermark. It hands every record and every transaction marker
// to a visitor. A coordinator uses it each time that it builds its state anew.
//
// A segment's bytes are believed only if checksums match and offsets go up to the high watermark without going back: nobody
// behind the visitor would notice.
//
// The pool reads and checks segments, a piece at a time, and opens compressed batches, some records at a time. The loop gets a
// turn after at most kRecordsPerSlice records, so a large partition that loads does not hold up other requests. At most
// kReadBytes (or one batch as it is stored) and a window of opened records (or one of them) are in memory. Destruction of the
// object ends the replay, without another call. Loop thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/function.h"
#include "base/lifetime.h"
#include "coordination/log/origin.h"
#include "protocol/record_batch.h"
#include "runtime/runtime.h"
#include "storage/log/log_shard.h"

namespace weir::coordination {

class LogReplay {
 public:
  enum class Outcome {
    kComplete,
    kNoPartition,  // the topic was deleted
    kOvertaken,    // retention removed the next records
    kFailed,       // `reason` says why
  };
  struct Callbacks {
    Function<void(const Origin&, const protocol::Record&)> record;  // with a key
    Function<void(int64_t offset, const TransactionMarker&)> marker;
    Function<void(Outcome, const std::string& reason)> done;  // once, never inside start(); may destroy the object
  };
  static constexpr size_t kRecordsPerSlice = 256;
  static constexpr uint64_t kReadBytes = uint64_t{1} << 20;
  static constexpr uint64_t kOpenedBytesMax = uint64_t{256} << 20;  // of a compressed batch, which is opened through a window
  static constexpr uint64_t kCodecBytesMax = uint64_t{128} << 20;

  // Everything given outlives the object.
  LogReplay(runtime::Pool& pool, runtime::Loop& loop, storage::LogShard& log, const storage::PartitionId& id,
            Callbacks callbacks);
  ~LogReplay() { lifetime_.end(); }
  LogReplay(const LogReplay&) = delete;

  void start();  // once
  int64_t next_offset() const { return next_offset_; }

 private:
  void read_more();
  void read_arrived(storage::ReadResult result);
  void next_piece();
  void replay(Slice piece);
  void replay_slice();
  bool begin_batch();  // false: the piece is at its end, or damaged, or it goes on later
  void open_more();    // of a compressed one
  bool batch_ended();  // false: it goes on later, or it is damaged
  void finish(Outcome outcome, std::string reason = {});

  template <typename Callback>
  auto guarded(Callback callback) {
    return [alive = lifetime_.observe(), callback = std::move(callback)](auto&&... args) mutable {
      if (alive) callback(std::forward<decltype(args)>(args)...);
    };
  }

  runtime::Pool& pool_;
  runtime::Loop& loop_;
  storage::LogShard& log_;
  const storage::PartitionId id_;
  Callbacks callbacks_;

  int64_t next_offset_ = 0;
  int64_t read_from_ = -1;                  // where the last read began
  int64_t least_base_offset_ = 0;           // of the next batch
  int64_t end_offset_ = 0;                  // the high watermark at the last read
  std::deque<storage::FetchPiece> pieces_;  // of the last read, not replayed yet
  Slice piece_;                             // being replayed, and where
  std::optional<protocol::BatchSplitter> batches_;
  std::optional<protocol::RecordIterator> records_;
  Origin origin_;  // of them
  struct Opening;
  std::shared_ptr<Opening> opening_;  // records_ points into it if the batch is compressed
  Lifetime lifetime_;
};

}  // namespace weir::coordination
