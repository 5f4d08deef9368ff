#include "storage/segment/segment_salvage.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "storage/segment/batch_check.h"

namespace weir::storage {

namespace {

class Salvage {
 public:
  Salvage(MutableBytes file, const ExpectedSegment& segment)
      : file_(file), segment_(segment), expected_(segment.base_offset), next_(segment.next_offset) {}

  SegmentSalvage run() {
    if (find_foreign()) return std::move(result_);
    while (at_ < file_.size()) {
      if (const auto header = intact(at_); header && fits_what_follows(*header)) {
        take(*header);
      } else {
        step_over_damage();
      }
    }
    if (next_ != kUnknownOffset) lose(next_);
    return std::move(result_);
  }

 private:
  // Returns the whole batch at `at`, whatever its offset.
  std::optional<BatchHeader> whole(size_t at) {
    const Bytes rest = Bytes(file_).subspan(std::min(at, file_.size()));
    const auto header = parse_stored_header(rest);
    if (!header || header->size() > rest.size()) return std::nullopt;
    return check_.fault(*header, rest.first(header->size())).empty() ? header : std::nullopt;
  }

  // The checksum covers times. It does not cover offsets, but a damaged offset does not fit the next batch.
  bool find_foreign() {
    const auto first = whole(0);
    if (!first) return false;
    if (segment_.first_timestamp && first->max_timestamp != *segment_.first_timestamp) {
      result_.foreign = fmt::format("its first batch is of time {}, and the segment's of time {}", first->max_timestamp,
                                    *segment_.first_timestamp);
    } else if (segment_.contiguous && first->base_offset != segment_.base_offset) {
      const auto second = whole(first->size());
      if (!second || second->base_offset != first->next_offset()) return false;
      result_.foreign =
          fmt::format("it begins with offset {}, and the segment with offset {}", first->base_offset, segment_.base_offset);
    }
    if (result_.foreign.empty()) return false;
    result_.damaged_bytes = file_.size();
    if (next_ != kUnknownOffset) lose(next_);
    return true;
  }

  // Returns the whole batch at `at`, if it continues the log.
  std::optional<BatchHeader> intact(size_t at) {
    const Bytes rest = Bytes(file_).subspan(at);
    const auto header = parse_stored_header(rest);
    if (!header || header->size() > rest.size()) return std::nullopt;
    if (header->base_offset < expected_ || header->next_offset() > next_) return std::nullopt;
    if (!check_.fault(*header, rest.first(header->size())).empty()) return std::nullopt;
    return header;
  }

  // A damaged offset may still be possible by itself.
  bool fits_what_follows(const BatchHeader& header) {
    const size_t behind = at_ + header.size();
    if (behind == file_.size()) return next_ == kUnknownOffset || header.next_offset() == next_;
    const auto following = intact(behind);
    return !following || following->base_offset >= header.next_offset();
  }

  void take(const BatchHeader& header, bool mended = false) {
    if (segment_.contiguous) lose(header.base_offset);
    const MutableBytes batch = file_.subspan(at_, header.size());
    if (const auto epoch = other_epoch(header, segment_.epochs)) {
      protocol::patch_leader_epoch(batch.data(), *epoch);
      mended = true;
    }
    result_.mended += mended;
    result_.batches.push_back(batch);
    at_ += header.size();
    expected_ = header.next_offset();
  }

  void lose(int64_t next) {
    if (next <= expected_) return;
    auto& lost = result_.lost;
    if (!lost.empty() && lost.back().next == expected_) lost.back().next = next;
    else lost.push_back({expected_, next});
    expected_ = next;
  }

  void step_over_damage() {
    const size_t end = next_intact();
    const int64_t follows = end < file_.size() ? BatchHeader::parse(file_.data() + end).base_offset : next_;
    if (mend(end, follows)) return take(BatchHeader::parse(file_.data() + at_), true);
    result_.damaged_bytes += end - at_;
    at_ = end;
    if (follows != kUnknownOffset) lose(follows);
  }

  // Returns where the next intact batch begins; the end of the file without one. Bytes in a record's value may look like a batch.
  // The real batch lies behind the length of the damaged header, or its chain leads to the end of the file.
  size_t next_intact() {
    const auto header = parse_stored_header(Bytes(file_).subspan(at_));
    if (header && header->size() <= file_.size() - at_) {
      const size_t behind = at_ + header->size();
      if (behind == file_.size() || intact(behind)) return behind;
    }
    size_t first = file_.size();
    for (size_t at = at_ + 1; at + BatchHeader::kSize <= file_.size(); ++at) {
      if (file_[at + kMagicAt] != BatchHeader::kMagic || !intact(at)) continue;
      if (leads_to_end(at)) return at;
      first = std::min(first, at);
    }
    return first;
  }

  bool leads_to_end(size_t at) const {
    while (at < file_.size()) {
      const auto header = parse_stored_header(Bytes(file_).subspan(at));
      if (!header || header->size() > file_.size() - at) return false;
      at += header->size();
    }
    return true;
  }

  // Returns true if the bytes up to `end` are one batch. Its offset, length and magic are right then.
  bool mend(size_t end, int64_t follows) {
    const MutableBytes batch = file_.subspan(at_, end - at_);
    if (batch.size() < BatchHeader::kSize || batch.size() > INT32_MAX) return false;
    BatchHeader header = BatchHeader::parse(batch.data());
    if (!protocol::crc_matches(header, batch)) return false;
    const int64_t count = int64_t{header.last_offset_delta} + 1;
    if (header.last_offset_delta < 0) return false;
    const bool contiguous = follows != kUnknownOffset && follows - expected_ == count;
    const bool possible = header.base_offset >= expected_ && header.base_offset <= follows - count;
    if (!contiguous && !possible) return false;
    if (contiguous) store_be<int64_t>(batch.data(), expected_);
    store_be<int32_t>(batch.data() + kLengthAt, static_cast<int32_t>(batch.size() - BatchHeader::kLengthEnd));
    batch[kMagicAt] = BatchHeader::kMagic;
    return intact(at_).has_value();
  }

  static constexpr size_t kLengthAt = 8, kMagicAt = BatchHeader::kMagicOffset;

  const MutableBytes file_;
  const ExpectedSegment segment_;
  size_t at_ = 0;
  int64_t expected_;
  const int64_t next_;
  BatchCheck check_;
  SegmentSalvage result_;
};

}  // namespace

SegmentSalvage salvage_segment(MutableBytes file, const ExpectedSegment& expected) { return Salvage(file, expected).run(); }

}  // namespace weir::storage
