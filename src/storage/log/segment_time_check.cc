#include "storage/log/segment_time_check.h"

#include <algorithm>
#include <utility>

#include "storage/segment/record_timestamps.h"
#include "storage/segment/segment_names.h"

namespace weir::storage {

Result<void> SegmentTimeCheck::open() {
  auto source = store_.open_segment(partition_, segment_);
  if (!source) return std::unexpected(std::move(source.error()));
  source_ = std::make_unique<SegmentBatches>(
      std::move(*source), partition_folder_name(partition_) + "/" + segment_file_name(segment_.base_offset, segment_.generation),
      segment_);
  max_timestamp_ = first_timestamp_ = max_of_empty_ = kNoTimestamp;
  has_batches_ = has_records_ = lies_ = false;
  unreadable_ = 0;
  return {};
}

// Begins anew. The batches so far were right, but they are in the old file only.
Result<void> SegmentTimeCheck::rewrite() {
  auto generation = store_.begin_rewrite(partition_);
  if (!generation) return std::unexpected(std::move(generation.error()));
  auto output = store_.create_segment(partition_, segment_.base_offset, *generation);
  if (!output) return std::unexpected(std::move(output.error()));
  output_ = std::move(*output);
  result_ = output_->info();
  auto aborted = store_.aborted_transactions(partition_, segment_);
  if (!aborted) return std::unexpected(std::move(aborted.error()));
  for (const AbortedTransaction& entry : *aborted) output_->add_aborted(entry);
  return open();
}

Result<bool> SegmentTimeCheck::step(uint64_t bytes_max) {
  if (!source_) {
    if (auto done = open(); !done) return std::unexpected(std::move(done.error()));
  }
  const uint64_t stop = worked_ + bytes_max;
  while (worked_ < stop) {
    auto batch = source_->next();
    if (!batch) return std::unexpected(std::move(batch.error()));
    if (!*batch) return finish();
    if (auto done = take(**batch); !done) return std::unexpected(std::move(done.error()));
  }
  return false;
}

Result<void> SegmentTimeCheck::take(Bytes batch) {
  worked_ += batch.size();
  const BatchHeader header = BatchHeader::parse(batch.data());
  // A damaged batch keeps its wrong checksum, which shows the damage to others. The check does not believe or change such a
  // batch.
  const auto found = max_timestamp_in(batch);
  const bool readable = found && protocol::crc_matches(header, batch);
  const int64_t timestamp = readable ? *found : unreadable_ms_;
  unreadable_ += !readable;
  const bool lies = readable && *found != header.max_timestamp;
  lies_ |= lies && !may_write_;
  if (lies && may_write_) {
    if (!output_) return rewrite();
    mended_batch_.assign(batch.begin(), batch.end());
    protocol::patch_timestamps(mended_batch_, header.log_append_time(), *found);
    batch = mended_batch_;
    ++mended_;
  }
  if (!std::exchange(has_batches_, true)) first_timestamp_ = timestamp;
  int64_t& highest = header.record_count > 0 ? max_timestamp_ : max_of_empty_;
  highest = std::max(highest, timestamp);
  has_records_ |= header.record_count > 0;
  if (!output_) return {};
  worked_ += batch.size();
  return output_->append(batch);
}

Result<bool> SegmentTimeCheck::finish() {
  source_.reset();
  if (output_) {
    auto written = output_->finish();
    if (!written) return std::unexpected(std::move(written.error()));
    result_ = *written;
    result_.next_offset = segment_.next_offset;
    result_.created_ms = segment_.created_ms;
    output_.reset();
  }
  result_.max_timestamp = has_records_ ? max_timestamp_ : max_of_empty_;
  result_.first_timestamp = first_timestamp_;
  result_.modified_ms = unreadable_ms_;
  result_.times_known = !lies_;
  result_.age_known = lies_;
  return true;
}

SegmentInfo SegmentTimeCheck::aged() const {
  SegmentInfo aged = segment_;
  aged.modified_ms = unreadable_ms_;
  aged.max_timestamp = std::max(max_timestamp_, unreadable_ms_);
  aged.age_known = true;
  return aged;
}

}  // namespace weir::storage
