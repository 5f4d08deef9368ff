#include "storage/log/pending_answers.h"

#include <utility>

namespace weir::storage {

void PendingAnswers::add(ChunkNumber chunk, Partition* partition, int64_t next_offset, AppendResult result,
                         Function<void(AppendResult)> done) {
  if (answers_.empty() && chunk <= wal_.durable()) {
    done(std::move(result));
    return;
  }
  if (!answers_.empty()) chunk = std::max(chunk, answers_.back().chunk);
  answers_.push_back({chunk, partition, next_offset, std::move(result), std::move(done)});
}

void PendingAnswers::add_last(Function<void()> done) {
  if (answers_.empty()) return done();
  add(answers_.back().chunk, nullptr, -1, {}, [done = std::move(done)](AppendResult) mutable { done(); });
}

void PendingAnswers::complete(ChunkNumber durable) {
  // First all high watermarks, so that a woken reader sees everything this flush made durable.
  for (const Answer& answer : answers_) {
    if (answer.chunk > durable) break;
    if (answer.next_offset >= 0) answer.partition->advance_high_watermark(answer.next_offset);
  }
  while (!answers_.empty() && answers_.front().chunk <= durable) {
    Answer answer = std::move(answers_.front());
    answers_.pop_front();
    if (answer.next_offset >= 0) answer.partition->wake_readers();
    answer.done(std::move(answer.result));
  }
}

void PendingAnswers::fail(const std::string& reason) {
  for (Answer& answer : std::exchange(answers_, {})) {
    answer.result.error = protocol::ErrorCode::kKafkaStorageError;
    answer.result.base_offset = answer.result.last_offset = -1;
    answer.result.message = reason;
    answer.done(std::move(answer.result));
  }
}

}  // namespace weir::storage
