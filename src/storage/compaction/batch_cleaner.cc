#include "storage/compaction/batch_cleaner.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/varint.h"
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
  const size_t body = 1 + varint_size(timestamp_delta) + varint_size(record.offset_delta) +
                      field_size(record.key) + field_size(record.value) + varint_size(record.header_count) +
                      record.headers.size();
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
  return fail(ErrorCode::kCorrupt,
              fmt::format("the batch at offset {} is damaged: {}", header.base_offset, what));
}

}  // namespace

Result<Bytes> BatchCleaner::open(Bytes batch, BatchHeader& header) {
  header = BatchHeader::parse(batch.data());
  WEIR_CHECK(header.size() == batch.size());
  if (crc32c(batch.subspan(BatchHeader::kCrcStart)) != header.crc)
    return damaged(header, protocol::batch_fault_name(protocol::BatchFault::kBadCrc));
  Bytes records = batch.subspan(BatchHeader::kSize);
  if (header.compressed() && header.record_count > 0) {
    unpacked_.clear();
    const auto fault = decompressor_.decompress(header.compression(), records, kUnpackedMax, unpacked_);
    if (fault != protocol::CompressionFault::kNone)
      return damaged(header, protocol::compression_fault_name(fault));
    records = unpacked_;
  }
  const auto fault = protocol::check_records(header, records, {.contiguous = false});
  if (fault != protocol::BatchFault::kNone) return damaged(header, protocol::batch_fault_name(fault));
  return records;
}

Result<bool> BatchCleaner::map_keys(Bytes batch, int64_t start_offset, OffsetMap& map) {
  BatchHeader header = BatchHeader::parse(batch.data());
  if (!header.control()) {
    auto records = open(batch, header);
    if (!records) return std::unexpected(std::move(records.error()));
    protocol::RecordIterator iterator(header, *records);
    protocol::Record record;
    while (iterator.next(record)) {
      if (record.key && record.offset >= start_offset && !map.put(*record.key, record.offset)) return false;
    }
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
  auto records = open(batch, header);
  if (!records) return std::unexpected(std::move(records.error()));
  totals_.records_read += static_cast<uint64_t>(header.record_count);
  if (header.control()) {
    totals_.records_kept += static_cast<uint64_t>(header.record_count);
    return BatchFate::kKeep;
  }
  kept_.clear();
  bool tombstones = false;
  protocol::RecordIterator iterator(header, *records);
  protocol::Record record;
  while (iterator.next(record)) {
    if (!keeps(header, record)) continue;
    tombstones |= !record.value;
    kept_.push_back(record);
  }
  totals_.records_kept += kept_.size();
  if (kept_.empty()) {
    if (!stays_when_empty(header)) return BatchFate::kDrop;
    if (header.record_count == 0) return BatchFate::kKeep;
    write_empty(header);
    return BatchFate::kRewrite;
  }
  const bool sets_horizon = tombstones && !header.delete_horizon();
  if (kept_.size() == static_cast<size_t>(header.record_count) && !sets_horizon) return BatchFate::kKeep;
  int64_t horizon = header.delete_horizon() ? header.base_timestamp : kNoTimestamp;
  if (sets_horizon && __builtin_add_overflow(rules_.now_ms, rules_.delete_retention_ms, &horizon))
    horizon = std::numeric_limits<int64_t>::max();
  write(header, kept_, horizon);
  return BatchFate::kRewrite;
}

void BatchCleaner::write(const BatchHeader& header, const std::vector<protocol::Record>& records,
                         int64_t delete_horizon_ms) {
  BatchHeader after = header;
  after.base_timestamp = delete_horizon_ms != kNoTimestamp ? delete_horizon_ms : records.front().timestamp;
  // Without a time (-1), the largest time is too far away to be a delta.
  const bool reaches = std::ranges::none_of(records, [&](const protocol::Record& record) {
    int64_t delta = 0;
    return __builtin_sub_overflow(record.timestamp, after.base_timestamp, &delta);
  });
  if (!reaches) after.base_timestamp = 0;
  if (delete_horizon_ms != kNoTimestamp)
    after.attributes = static_cast<int16_t>(after.attributes | BatchHeader::kDeleteHorizon);
  after.record_count = static_cast<int32_t>(records.size());
  if (!header.log_append_time()) after.max_timestamp = kNoTimestamp;
  records_.clear();
  for (const protocol::Record& record : records) {
    put_record(records_, record, record.timestamp - after.base_timestamp);
    after.max_timestamp = std::max(after.max_timestamp, record.timestamp);
  }
  out_.assign(BatchHeader::kSize, 0);
  if (header.compressed()) {
    const bool done = protocol::compress(header.compression(), records_, out_);
    WEIR_CHECK(done);
  } else {
    out_.insert(out_.end(), records_.begin(), records_.end());
  }
  after.batch_length = static_cast<int32_t>(out_.size() - BatchHeader::kLengthEnd);
  after.store(out_.data());
  protocol::patch_crc(out_);
}

void BatchCleaner::write_empty(const BatchHeader& header) {
  BatchHeader after = header;
  after.batch_length = static_cast<int32_t>(BatchHeader::kSize - BatchHeader::kLengthEnd);
  after.base_timestamp = kNoTimestamp;
  after.record_count = 0;
  after.attributes =
      static_cast<int16_t>(header.attributes & (BatchHeader::kLogAppendTime | BatchHeader::kTransactional |
                                                BatchHeader::kControl));
  out_.assign(BatchHeader::kSize, 0);
  after.store(out_.data());
  protocol::patch_crc(out_);
}

}  // namespace weir::storage
