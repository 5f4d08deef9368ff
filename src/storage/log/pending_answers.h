// Answers of appends that wait until their chunk is durable: answers of appended batches, and refusals that looked at speculative
// state. One queue a shard, in chunk order.
//
// Loop thread only. Answers are called on the loop, possibly inline.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "base/function.h"
#include "storage/log/append_result.h"
#include "storage/log/partition.h"
#include "storage/wal/wal.h"

namespace weir::storage {

class PendingAnswers {
 public:
  explicit PendingAnswers(const WalBackend& wal) : wal_(wal) {}

  // `done` gets `result` once `chunk` is durable, after all answers before it. The high watermark of `partition` is `next_offset`
  // then; -1: nothing was appended.
  void add(ChunkNumber chunk, Partition* partition, int64_t next_offset, AppendResult result, Function<void(AppendResult)> done);
  // `done` is called after all answers so far.
  void add_last(Function<void()> done);
  void complete(ChunkNumber durable);
  // Answers all of them with KAFKA_STORAGE_ERROR.
  void fail(const std::string& reason);

  bool empty() const { return answers_.empty(); }
  size_t size() const { return answers_.size(); }
  bool holds(const Partition& partition) const {
    return std::ranges::any_of(answers_, [&](const Answer& answer) { return answer.partition == &partition; });
  }

 private:
  struct Answer {
    ChunkNumber chunk;
    Partition* partition;
    int64_t next_offset;
    AppendResult result;
    Function<void(AppendResult)> done;
  };

  const WalBackend& wal_;
  std::deque<Answer> answers_;  // ascending by chunk
};

}  // namespace weir::storage
