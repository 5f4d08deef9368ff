#include "storage/compaction/batch_cleaner.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/varint.h"
#include "protocol/record_window.h"
#include "storage/types.h"

namespace weir::storage {

namespace {

constexpr size_t kVarintMax = 10;

void put_varint32(std::vector<uint8_t>& out, int32_t value) {
  uint8_t bytes[kVarintMax];
  out.insert(out.end(), bytes, bytes + write_varint32(bytes, value));
}
void put_varint64(std::vector<uint8_t>& out, int64_t value) {
  uint8_t bytes[kVarintMax];
  out.insert(out.end(), bytes, bytes + write_varint64(bytes, value));
}

size_t varint_size(int64_t value) {
  uint8_t bytes[kVarintMax];
  return write_varint64(bytes, value);
}

size_t field_size(const std::optional<Bytes>& field) {
  return varint_size(field ? static_cast<int64_t>(field->size()) : -1) + (field ? field->size() : 0);
}

void put_field(std::vector<uint8_t>& out, const std::optional<Bytes>& field) {
  put_varint32(out, field ? static_cast<int32_t>(field->size()) : -1);
  if (field) out.insert(out.end(), field->begin(), field->end());
}

void put_record(std::vector<uint8_t>& out, const protocol::Record& record, int64_t timestamp_delta) {
  const size_t body = 1 + varint_size(timestamp_delta) + varint_size(record.offset_delta) + field_size(record.key) +
                      field_size(record.value) + varint_size(record.header_count) + record.headers.size();
  put_varint32(out, static_cast<int32_t>(body));
  out.push_back(0);  // attributes: unused
  put_varint64(out, timestamp_delta);
  put_varint32(out, record.offset_delta);
  put_field(out, record.key);
  put_field(out, record.value);
  put_varint32(out, record.header_count);
  out.insert(out.end(), record.headers.begin(), record.headers.end());
}

std::unexpected<Error> damaged(const BatchHeader& header, std::string_view what) {
  return fail(ErrorCode::kCorrupt, fmt::format("the batch at offset {} is damaged: {}", header.base_offset, what));
}

}  // namespace

void BatchCleaner::Kept::add(bool keep, int64_t timestamp) {
  records.push_back(keep);
  if (!keep) return;
  if (count == 0) first_timestamp = lowest_timestamp = highest_timestamp = timestamp;
  lowest_timestamp = std::min(lowest_timestamp, timestamp);
  highest_timestamp = std::max(highest_timestamp, timestamp);
  ++count;
}

void BatchCleaner::open_window(const BatchHeader& header, Bytes batch) {
  decompressor_.open(header.compression(), batch.subspan(BatchHeader::kSize), kUnpackedMax, kCodecBytesMax);
}

Result<void> BatchCleaner::open(Bytes batch, BatchHeader& header) {
  header = BatchHeader::parse(batch.data());
  WEIR_CHECK(header.size() == batch.size());
  if (!protocol::crc_matches(header, batch)) return damaged(header, protocol::batch_fault_name(protocol::BatchFault::kBadCrc));
  const Bytes records = batch.subspan(BatchHeader::kSize);
  const protocol::BatchRules rules{.contiguous = false};
  if (!header.compressed() || header.record_count == 0) {
    const auto fault = protocol::check_records(header, records, rules);
    if (fault != protocol::BatchFault::kNone) return damaged(header, protocol::batch_fault_name(fault));
    return {};
  }
  unpacked_.clear();
  auto unpacked = decompressor_.decompress(header.compression(), records, kWholeBytesMax, unpacked_);
  whole_ = unpacked == protocol::CompressionFault::kNone;
  protocol::BatchFault fault{};
  if (unpacked == protocol::CompressionFault::kTooLarge) {
    open_window(header, batch);
    protocol::RecordWindow window(decompressor_, window_);
    fault = protocol::check_records(header, window, rules);
    unpacked = decompressor_.fault();
  } else if (whole_) {
    fault = protocol::check_records(header, unpacked_, rules);
  }
  if (unpacked != protocol::CompressionFault::kNone) return damaged(header, protocol::compression_fault_name(unpacked));
  if (fault != protocol::BatchFault::kNone) return damaged(header, protocol::batch_fault_name(fault));
  return {};
}

template <typename Visit>
void BatchCleaner::each_record(const BatchHeader& header, Bytes batch, Visit visit) {
  protocol::Record record;
  const auto visit_all = [&](const BatchHeader& part, Bytes records) {
    protocol::RecordIterator iterator(part, records);
    while (iterator.next(record)) {
      if (!visit(record)) return false;
    }
    return true;
  };
  if (!header.compressed() || header.record_count == 0) {
    visit_all(header, batch.subspan(BatchHeader::kSize));
  } else if (whole_) {
    visit_all(header, unpacked_);
  } else {
    open_window(header, batch);
    protocol::RecordWindow window(decompressor_, window_);
    BatchHeader part = header;
    while (true) {
      const Bytes records = window.whole_records(part.record_count);
      if (part.record_count == 0 || !visit_all(part, records)) break;
    }
    // The memory of a large record does not stay.
    if (window_.size() > kWholeBytesMax) std::vector<uint8_t>().swap(window_);
    decompressor_.trim(kCodecBytesMax);
  }
}

Result<bool> BatchCleaner::map_keys(Bytes batch, int64_t start_offset, OffsetMap& map) {
  BatchHeader header = BatchHeader::parse(batch.data());
  if (!header.control()) {
    if (auto opened = open(batch, header); !opened) return std::unexpected(std::move(opened.error()));
    bool fits = true;
    each_record(header, batch, [&](const protocol::Record& record) {
      return fits = !record.key || record.offset < start_offset || map.put(*record.key, record.offset);
    });
    if (!fits) return false;
  }
  if (header.last_offset() >= start_offset) map.update_latest_offset(header.last_offset());
  return true;
}

bool BatchCleaner::keeps(const BatchHeader& header, const protocol::Record& record) {
  if (record.offset > rules_.newest->latest_offset()) return true;
  if (!record.key) {
    ++totals_.records_without_key;
    return false;
  }
  if (record.offset < rules_.newest->get(*record.key)) return false;
  if (record.value) return true;
  return !header.delete_horizon() || rules_.now_ms < header.base_timestamp;
}

bool BatchCleaner::stays_when_empty(const BatchHeader& header) const {
  if (header.next_offset() == rules_.high_watermark) return true;
  if (!header.has_producer_id()) return false;
  const auto last = rules_.active_producers->find(header.producer_id);
  return last != rules_.active_producers->end() && last->second == header.last_offset();
}

Result<BatchFate> BatchCleaner::clean(Bytes batch) {
  BatchHeader header;
  if (auto opened = open(batch, header); !opened) return std::unexpected(std::move(opened.error()));
  totals_.records_read += static_cast<uint64_t>(header.record_count);
  if (header.control()) {
    totals_.records_kept += static_cast<uint64_t>(header.record_count);
    return BatchFate::kKeep;
  }
  kept_ = {};
  bool tombstones = false;
  each_record(header, batch, [&](const protocol::Record& record) {
    const bool keep = keeps(header, record);
    tombstones |= keep && !record.value;
    kept_.add(keep, record.timestamp);
    return true;
  });
  totals_.records_kept += static_cast<uint64_t>(kept_.count);
  if (kept_.count == 0) {
    if (!stays_when_empty(header)) return BatchFate::kDrop;
    if (header.record_count == 0) return BatchFate::kKeep;
    write_empty(header);
    return BatchFate::kRewrite;
  }
  const bool sets_horizon = tombstones && !header.delete_horizon();
  if (kept_.count == header.record_count && !sets_horizon) return BatchFate::kKeep;
  int64_t horizon = header.delete_horizon() ? header.base_timestamp : kNoTimestamp;
  if (sets_horizon && __builtin_add_overflow(rules_.now_ms, rules_.delete_retention_ms, &horizon))
    horizon = std::numeric_limits<int64_t>::max();
  write(header, batch, horizon);
  return BatchFate::kRewrite;
}

void BatchCleaner::write(const BatchHeader& header, Bytes batch, int64_t delete_horizon_ms) {
  BatchHeader after = header;
  after.base_timestamp = delete_horizon_ms != kNoTimestamp ? delete_horizon_ms : kept_.first_timestamp;
  // Without a time (-1), the largest time is too far away to be a delta.
  int64_t delta = 0;
  if (__builtin_sub_overflow(kept_.lowest_timestamp, after.base_timestamp, &delta) ||
      __builtin_sub_overflow(kept_.highest_timestamp, after.base_timestamp, &delta)) {
    after.base_timestamp = 0;
  }
  if (delete_horizon_ms != kNoTimestamp) after.attributes = static_cast<int16_t>(after.attributes | BatchHeader::kDeleteHorizon);
  after.record_count = kept_.count;
  if (!header.log_append_time()) after.max_timestamp = kNoTimestamp;
  after.max_timestamp = std::max(after.max_timestamp, kept_.highest_timestamp);

  out_.assign(BatchHeader::kSize, 0);
  std::unique_ptr<protocol::Compressor> compressor;
  const auto compress_some = [&] {
    if (compressor == nullptr) compressor = protocol::make_compressor(header.compression(), out_);
    WEIR_CHECK(compressor != nullptr && compressor->write(records_));
    records_.clear();
  };
  records_.clear();
  size_t index = 0;
  each_record(header, batch, [&](const protocol::Record& record) {
    if (kept_.records[index++]) put_record(records_, record, record.timestamp - after.base_timestamp);
    if (records_.size() > kWholeBytesMax) compress_some();
    return true;
  });
  if (compressor == nullptr) {
    const bool done = protocol::compress(header.compression(), records_, out_);
    WEIR_CHECK(done);
  } else {
    compress_some();
    WEIR_CHECK(compressor->finish());
  }
  if (records_.capacity() > 4 * kWholeBytesMax) std::vector<uint8_t>().swap(records_);
  after.batch_length = static_cast<int32_t>(out_.size() - BatchHeader::kLengthEnd);
  after.store(out_.data());
  protocol::patch_crc(out_);
}

void BatchCleaner::write_empty(const BatchHeader& header) {
  BatchHeader after = header;
  after.batch_length = static_cast<int32_t>(BatchHeader::kSize - BatchHeader::kLengthEnd);
  after.base_timestamp = kNoTimestamp;
  after.record_count = 0;
  after.attributes = static_cast<int16_t>(header.attributes &
                                          (BatchHeader::kLogAppendTime | BatchHeader::kTransactional | BatchHeader::kControl));
  out_.assign(BatchHeader::kSize, 0);
  after.store(out_.data());
  protocol::patch_crc(out_);
}

}  // namespace weir::storage
