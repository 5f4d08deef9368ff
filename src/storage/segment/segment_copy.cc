#include "storage/segment/segment_copy.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "storage/segment/aborted_index.h"

namespace weir::storage {

namespace {
constexpr uint64_t kIndexBytesMax = 16 << 20;  // far more than a segment of 2 GiB has
}  // namespace

Result<std::unique_ptr<SegmentCopy>> SegmentCopy::create(runtime::FileSystem& files, Paths source, Paths target,
                                                         SegmentInfo copy) {
  std::unique_ptr<SegmentCopy> made(new SegmentCopy(files, std::move(source), std::move(target), copy));
  auto from = files.open(made->source_.log, {.direct = true});
  if (!from) return std::unexpected(std::move(from.error()));
  auto buffered = files.open(made->target_.log, {.write = true, .create = true, .truncate = true});
  if (!buffered) return std::unexpected(std::move(buffered.error()));
  auto direct = files.open(made->target_.log, {.write = true, .direct = true});
  if (!direct) return std::unexpected(std::move(direct.error()));
  made->from_ = std::move(*from);
  made->buffered_ = std::move(*buffered);
  made->direct_ = std::move(*direct);
  made->piece_ = Buffer::allocate(kPieceBytes);
  return made;
}

Result<bool> SegmentCopy::step(uint64_t bytes_max) {
  const uint64_t stop = copied_ + std::min(bytes_max, info_.length - copied_);
  while (copied_ < stop) {
    if (auto done = copy_piece(); !done) return std::unexpected(std::move(done.error()));
  }
  if (copied_ < info_.length) return false;
  if (auto done = finish(); !done) return std::unexpected(std::move(done.error()));
  return true;
}

Result<void> SegmentCopy::copy_piece() {
  auto got = from_->read_at(copied_, MutableBytes(piece_.data(), kPieceBytes));
  if (!got) return std::unexpected(std::move(got.error()));
  const auto wanted = static_cast<size_t>(std::min<uint64_t>(kPieceBytes, info_.length - copied_));
  if (*got < wanted) {
    return fail(ErrorCode::kCorrupt,
                fmt::format("{}: ends at {} though {} bytes of it are valid", source_.log, copied_ + *got, info_.length));
  }
  const auto aligned = static_cast<size_t>(align_down(wanted, kBufferAlignment));
  if (aligned > 0) {
    if (auto done = direct_->write_at(copied_, Bytes(piece_.data(), aligned)); !done) return done;
  }
  if (wanted > aligned) {  // the end of the file
    if (auto done = buffered_->write_at(copied_ + aligned, Bytes(piece_.data() + aligned, wanted - aligned)); !done) return done;
  }
  copied_ += wanted;
  return {};
}

Result<void> SegmentCopy::finish() {
  if (auto done = buffered_->sync(); !done) return done;
  if (auto done = copy_aborted(); !done) return done;
  copy_index();
  from_.reset();
  direct_.reset();
  buffered_.reset();
  piece_ = {};
  return {};
}

// The index is copied as it is, too. If it is damaged, the reader finds that out.
Result<void> SegmentCopy::copy_aborted() {
  if (info_.aborted == 0) return {};
  auto from = files_.open(source_.aborted, {});
  if (!from) return std::unexpected(std::move(from.error()));
  std::vector<uint8_t> bytes(info_.aborted * kAbortedEntryBytes);
  auto got = (*from)->read_at(0, MutableBytes(bytes));
  if (!got) return std::unexpected(std::move(got.error()));
  if (*got < bytes.size()) {
    return fail(ErrorCode::kCorrupt,
                fmt::format("{}: ends at {} though {} bytes of it are valid", source_.aborted, *got, bytes.size()));
  }
  auto to = files_.open(target_.aborted, {.write = true, .create = true, .truncate = true});
  if (!to) return std::unexpected(std::move(to.error()));
  if (auto done = (*to)->write_at(0, Bytes(bytes)); !done) return done;
  return (*to)->sync();
}

// A failure only costs time: a scan finds batches without an entry.
void SegmentCopy::copy_index() {
  auto from = files_.open(source_.index, {});
  if (!from) return;
  const uint64_t size = (*from)->size().value_or(0);
  if (size == 0 || size > kIndexBytesMax) return;
  std::vector<uint8_t> bytes(size);
  auto got = (*from)->read_at(0, MutableBytes(bytes));
  if (!got) return;
  auto to = files_.open(target_.index, {.write = true, .create = true, .truncate = true});
  const auto written = to ? (*to)->write_at(0, Bytes(bytes.data(), *got)) : Result<void>(std::unexpected(to.error()));
  if (!written) log_warn("storage", "index entries could not be copied: {}", written.error().message);
}

}  // namespace weir::storage
