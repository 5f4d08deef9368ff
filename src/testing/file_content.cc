#include "testing/file_content.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace weir::testing {

namespace {
constexpr uint64_t kPage = SparseBytes::kPageSize;
constexpr uint64_t kSector = SparseBytes::kSectorSize;
constexpr uint64_t kPerPage = SparseBytes::kSectorsPerPage;
constexpr size_t kRememberedLengths = 16;

// Mask of the sectors of `page` that [offset, offset + length) touches.
uint8_t sectors_of(uint64_t page, uint64_t offset, uint64_t length) {
  const uint64_t first = std::max(offset / kSector, page * kPerPage) % kPerPage;
  const uint64_t last = std::min((offset + length - 1) / kSector, page * kPerPage + kPerPage - 1) % kPerPage;
  return static_cast<uint8_t>((0xff << first) & (0xff >> (kPerPage - 1 - last)));
}

template <typename Visit>
void for_sectors(uint64_t page, uint8_t mask, Visit visit) {
  for (uint64_t i = 0; i < kPerPage; ++i) {
    if (mask & (1 << i)) visit(page * kPerPage + i);
  }
}
}  // namespace

void FileContent::note_length(uint64_t length) {
  if (length == length_) return;
  if (lengths_.size() == kRememberedLengths) lengths_.erase(lengths_.begin() + kRememberedLengths / 2);
  lengths_.push_back(length_);
  length_ = length;
}

void FileContent::write(uint64_t offset, Bytes bytes, SeededRandom& random) {
  if (bytes.empty()) return;
  for (uint64_t page = offset / kPage; page <= (offset + bytes.size() - 1) / kPage; ++page) {
    const uint8_t touched = sectors_of(page, offset, bytes.size());
    uint8_t& mask = dirty_[page];
    if (const uint8_t again = mask & touched; again && !truncated_to_ && random.one_in(4)) {
      for_sectors(page, again, [&](uint64_t sector) { durable_.copy_sector(current_, sector); });
    }
    mask |= touched;
  }
  current_.write(offset, bytes);
  note_length(std::max(length_, offset + bytes.size()));
}

void FileContent::set_length(uint64_t length) {
  if (length >= length_) return note_length(length);
  current_.clear_from(length);
  if (!truncated_to_) {
    lengths_before_ = std::move(lengths_);
    lengths_before_.push_back(length_);
    lengths_before_.push_back(durable_length_);
  }
  truncated_to_ = std::min(truncated_to_.value_or(length), length);
  lengths_.clear();
  length_ = length;
}

// Kept: the device loses the bytes behind the new end. Lost: everything written behind it since is lost as well.
void FileContent::settle_truncation(bool kept) {
  if (!truncated_to_) return;
  if (kept) {
    durable_.clear_from(*truncated_to_);
    durable_length_ = std::min(durable_length_, *truncated_to_);
  } else {
    dirty_.erase(dirty_.lower_bound(*truncated_to_ / kPage), dirty_.end());
    lengths_ = std::move(lengths_before_);
    length_ = lengths_.back();
  }
  lengths_before_.clear();
  truncated_to_.reset();
}

void FileContent::flush() {
  settle_truncation(true);
  for (const auto& [page, mask] : dirty_) {
    if (mask == 0xff) {
      durable_.copy_page(current_, page);
    } else {
      for_sectors(page, mask, [&](uint64_t sector) { durable_.copy_sector(current_, sector); });
    }
  }
  dirty_.clear();
  lengths_.clear();
  durable_length_ = length_;
  durable_.clear_from(length_);
}

void FileContent::keep_some_dirty(SeededRandom& random) {
  Survival survival(random);
  for (const auto& [page, mask] : dirty_) {
    for_sectors(page, mask, [&](uint64_t sector) {
      if (survival.keep()) durable_.copy_sector(current_, sector);
    });
  }
  dirty_.clear();
}

void FileContent::fail_flush(SeededRandom& random) {
  const bool metadata = random.one_in(2);
  // Without metadata the truncation stays pending, to be lost or kept later.
  if (metadata) settle_truncation(true);
  if (!truncated_to_) keep_some_dirty(random);
  dirty_.clear();
  if (metadata) {
    durable_length_ = length_;
    lengths_.clear();
  }
}

void FileContent::write_durable(uint64_t offset, Bytes bytes) {
  if (bytes.empty()) return;
  settle_truncation(true);  // the metadata that the write needs is durable with it
  current_.write(offset, bytes);
  durable_.write(offset, bytes);
  for (uint64_t page = offset / kPage; page <= (offset + bytes.size() - 1) / kPage; ++page) {
    const auto mask = dirty_.find(page);
    if (mask == dirty_.end()) continue;
    mask->second &= static_cast<uint8_t>(~sectors_of(page, offset, bytes.size()));
    if (mask->second == 0) dirty_.erase(mask);
  }
  note_length(std::max(length_, offset + bytes.size()));
  durable_length_ = std::max(durable_length_, offset + bytes.size());
}

void FileContent::write_torn(uint64_t offset, Bytes bytes, SeededRandom& random) {
  Survival survival(random);
  for (size_t at = 0; at < bytes.size();) {
    const size_t piece = std::min<size_t>(bytes.size() - at, kSector - (offset + at) % kSector);
    if (survival.keep()) write_durable(offset + at, bytes.subspan(at, piece));
    at += piece;
  }
}

uint64_t FileContent::begin_write(uint64_t offset, std::vector<uint8_t> bytes) {
  in_flight_.emplace(next_write_, PendingWrite{offset, std::move(bytes)});
  return next_write_++;
}

std::vector<uint8_t> FileContent::end_write(uint64_t number) {
  auto write = in_flight_.extract(number);
  WEIR_CHECK(!write.empty());
  return std::move(write.mapped().bytes);
}

void FileContent::settle_writes(SeededRandom& random) {
  for (const auto& [number, write] : in_flight_) write_torn(write.offset, write.bytes, random);
  in_flight_.clear();
}

void FileContent::leave_writes(SeededRandom& random) {
  for (const auto& [number, pending] : in_flight_) {
    if (random.one_in(2)) write(pending.offset, pending.bytes, random);
    else write_torn(pending.offset, pending.bytes, random);
  }
  in_flight_.clear();
}

void FileContent::cut_power(SeededRandom& random) {
  settle_truncation(random.one_in(2));
  uint64_t length = length_;
  if (length_ != durable_length_ || !lengths_.empty()) {
    lengths_.push_back(length_);
    lengths_.push_back(durable_length_);
    length = lengths_[random.below(lengths_.size())];
    // A growing file may also be cut anywhere between two of its lengths.
    if (length > durable_length_ && random.one_in(4)) length = random.between(durable_length_, length);
    lengths_.clear();
  }
  keep_some_dirty(random);
  length_ = durable_length_ = length;
  settle_writes(random);  // may extend the file
  lengths_.clear();
  dirty_.clear();
  durable_length_ = length_;
  durable_.clear_from(length_);
  current_ = durable_;
}

void FileContent::drop_clean() {
  SparseBytes view = durable_;
  for (const auto& [page, mask] : dirty_) {
    for_sectors(page, mask, [&](uint64_t sector) { view.copy_sector(current_, sector); });
  }
  view.clear_from(length_);
  current_ = std::move(view);
}

void FileContent::overwrite_raw(uint64_t offset, Bytes bytes) {
  current_.write(offset, bytes);
  durable_.write(offset, bytes);
  length_ = std::max(length_, offset + bytes.size());
  durable_length_ = std::max(durable_length_, offset + bytes.size());
}

void FileContent::truncate_raw(uint64_t length) {
  current_.clear_from(length);
  durable_.clear_from(length);
  dirty_.erase(dirty_.lower_bound(align_up(length, kPage) / kPage), dirty_.end());
  lengths_.clear();
  truncated_to_.reset();
  length_ = durable_length_ = length;
}

}  // namespace weir::testing
