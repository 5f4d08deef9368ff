// Notes on the answers of an API, taken as they are encoded: for metrics and throttles.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "protocol/wire.h"

namespace weir::broker {

// Of one answer: its error codes with their counts, and the position of its throttle_time_ms. Loop thread only.
class AnswerFields final : public protocol::FieldObserver {
 public:
  void error_code(int16_t code) override {
    if (code == 0) {
      ++successes_;
    } else {
      add_error(code);
    }
  }
  void throttle_time_ms(size_t position) override { throttle_position_ = position; }
  void clear();

  uint32_t successes() const { return successes_; }
  std::span<const std::pair<int16_t, uint32_t>> errors() const { return errors_; }
  std::optional<size_t> throttle_position() const { return throttle_position_; }

 private:
  void add_error(int16_t code);

  uint32_t successes_ = 0;
  std::vector<std::pair<int16_t, uint32_t>> errors_;  // few differ in one message
  std::optional<size_t> throttle_position_;
};

// Counts error codes in the answers of one API. Each shard writes its own cells. Any thread may read.
class AnswerErrors {
 public:
  static constexpr int16_t kLowest = -1;  // UNKNOWN_SERVER_ERROR
  static constexpr int16_t kCodes = 192;  // more than there are; others are not counted

  explicit AnswerErrors(unsigned shards);
  // On the shard's thread.
  void add(unsigned shard, const AnswerFields& answer);
  int64_t total(int16_t code) const;

 private:
  void add(unsigned shard, int16_t code, int64_t n);
  std::unique_ptr<std::atomic<int64_t>[]> cells_;  // of each shard together
  unsigned shards_;
};

}  // namespace weir::broker
