#include "broker/server/answer_errors.h"

namespace weir::broker {

void AnswerFields::clear() {
  successes_ = 0;
  errors_.clear();
  throttle_position_.reset();
}

void AnswerFields::add_error(int16_t code) {
  for (auto& [known, count] : errors_) {
    if (known != code) continue;
    ++count;
    return;
  }
  errors_.emplace_back(code, 1);
}

AnswerErrors::AnswerErrors(unsigned shards)
    : cells_(std::make_unique<std::atomic<int64_t>[]>(size_t{kCodes} * shards)), shards_(shards) {}

void AnswerErrors::add(unsigned shard, int16_t code, int64_t n) {
  const int index = code - kLowest;
  if (index < 0 || index >= kCodes) return;
  std::atomic<int64_t>& cell = cells_[size_t{shard} * kCodes + static_cast<size_t>(index)];
  cell.store(cell.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

void AnswerErrors::add(unsigned shard, const AnswerFields& answer) {
  if (answer.successes() > 0) add(shard, 0, answer.successes());
  for (const auto& [code, count] : answer.errors()) add(shard, code, count);
}

int64_t AnswerErrors::total(int16_t code) const {
  int64_t sum = 0;
  for (unsigned shard = 0; shard < shards_; ++shard) {
    sum += cells_[size_t{shard} * kCodes + static_cast<size_t>(code - kLowest)].load(std::memory_order_relaxed);
  }
  return sum;
}

}  // namespace weir::broker
