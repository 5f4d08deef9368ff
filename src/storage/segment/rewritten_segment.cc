#include "storage/segment/rewritten_segment.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/log.h"
#include "storage/segment/aborted_index.h"

namespace weir::storage {

Result<std::unique_ptr<RewrittenSegment>> RewrittenSegment::create(runtime::FileSystem& files, Paths paths, int64_t base_offset,
                                                                   uint32_t generation, int64_t created_ms,
                                                                   IndexSpacing spacing) {
  std::unique_ptr<RewrittenSegment> segment(new RewrittenSegment(files, std::move(paths), spacing));
  auto buffered = files.open(segment->paths_.log, {.write = true, .create = true, .truncate = true});
  if (!buffered) return std::unexpected(std::move(buffered.error()));
  auto direct = files.open(segment->paths_.log, {.write = true, .direct = true});
  if (!direct) return std::unexpected(std::move(direct.error()));
  segment->buffered_ = std::move(*buffered);
  segment->direct_ = std::move(*direct);
  segment->staging_ = Buffer::allocate(kStagingBytes);
  segment->info_.base_offset = segment->info_.next_offset = base_offset;
  segment->info_.generation = generation;
  segment->info_.created_ms = created_ms;
  segment->info_.modified_ms = created_ms;
  segment->info_.times_known = true;
  segment->info_.directory = segment->paths_.directory;
  return segment;
}

Result<void> RewrittenSegment::append(Bytes batch) {
  const auto header = parse_stored_header(batch);
  WEIR_CHECK(header && header->size() == batch.size() && header->base_offset >= info_.next_offset);
  if (info_.length - last_indexed_ >= spacing_.entry_bytes) {
    last_indexed_ = info_.length;
    index_.add({header->base_offset, info_.length, max_header_timestamp_});
  }
  max_header_timestamp_ = std::max(max_header_timestamp_, header->max_timestamp);
  if (info_.length == 0) info_.first_timestamp = header->max_timestamp;
  // A batch without records says when its producer was last active, not that a record with this time exists.
  int64_t& max_timestamp = header->record_count > 0 ? info_.max_timestamp : max_timestamp_of_empty_;
  max_timestamp = std::max(max_timestamp, header->max_timestamp);
  info_.next_offset = header->next_offset();
  info_.length += batch.size();
  while (!batch.empty()) {
    const size_t size = std::min(batch.size(), kStagingBytes - staged_);
    std::memcpy(staging_.data() + staged_, batch.data(), size);
    staged_ += size;
    batch = batch.subspan(size);
    if (staged_ < kStagingBytes) continue;
    if (auto done = write_staging(); !done) return done;
  }
  return {};
}

Result<void> RewrittenSegment::write_staging() {
  const size_t aligned = static_cast<size_t>(align_down(staged_, kBufferAlignment));
  if (aligned > 0) {
    if (auto done = direct_->write_at(written_, Bytes(staging_.data(), aligned)); !done) return done;
    written_ += aligned;
  }
  if (staged_ > aligned) {  // the end of the file
    if (auto done = buffered_->write_at(written_, Bytes(staging_.data() + aligned, staged_ - aligned)); !done) return done;
    written_ += staged_ - aligned;
  }
  staged_ = 0;
  return {};
}

Result<SegmentInfo> RewrittenSegment::finish() {
  if (auto done = write_staging(); !done) return std::unexpected(std::move(done.error()));
  if (auto done = buffered_->sync(); !done) return std::unexpected(std::move(done.error()));
  if (!aborted_.empty()) {
    auto file = write_aborted(files_, paths_.aborted, 0, aborted_);
    if (!file) return std::unexpected(std::move(file.error()));
    if (auto done = (*file)->sync(); !done) return std::unexpected(std::move(done.error()));
    storage::add_aborted(info_, aborted_);
  }
  if (info_.max_timestamp == kNoTimestamp) info_.max_timestamp = max_timestamp_of_empty_;
  if (info_.length >= spacing_.write_bytes) {
    auto written = index_.write(files_, paths_.index, info_.base_offset);
    // A missing entry only costs time: a scan finds the batch.
    if (!written) log_warn("storage", "index entries could not be written: {}", written.error().message);
  }
  direct_.reset();
  buffered_.reset();
  staging_ = {};
  return info_;
}

}  // namespace weir::storage
