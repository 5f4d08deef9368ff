#include "protocol/record_batch_builder.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/check.h"
#include "base/varint.h"

namespace weir::protocol {
namespace {

constexpr int64_t kNullLength = -1;

void append_bytes(std::vector<uint8_t>& out, Bytes data) { out.insert(out.end(), data.begin(), data.end()); }

void append_varint(std::vector<uint8_t>& out, int64_t value) {
  uint8_t raw[10];
  append_bytes(out, {raw, write_varint64(raw, value)});
}

void append_field(std::vector<uint8_t>& out, const std::optional<Bytes>& field) {
  append_varint(out, field ? static_cast<int64_t>(field->size()) : kNullLength);
  if (field) append_bytes(out, *field);
}

size_t varint_size(int64_t value) {
  uint8_t raw[10];
  return write_varint64(raw, value);
}

size_t field_size(const std::optional<Bytes>& field) {
  return field ? varint_size(static_cast<int64_t>(field->size())) + field->size() : 1;
}

}  // namespace

void RecordBatchBuilder::clear(const BatchOptions& options) {
  header_ = BatchHeader{};
  header_.base_offset = options.base_offset;
  header_.partition_leader_epoch = options.partition_leader_epoch;
  header_.producer_id = options.producer_id;
  header_.producer_epoch = options.producer_epoch;
  header_.base_sequence = options.base_sequence;
  header_.attributes = static_cast<int16_t>((options.transactional ? BatchHeader::kTransactional : 0) |
                                            (options.control ? BatchHeader::kControl : 0) |
                                            (options.log_append_time ? BatchHeader::kLogAppendTime : 0));
  next_delta_ = 0;
  batch_.assign(BatchHeader::kSize, 0);
}

void RecordBatchBuilder::append(int64_t timestamp, std::optional<Bytes> key, std::optional<Bytes> value,
                                std::span<const RecordHeader> headers) {
  append_at(header_.base_offset + next_delta_, timestamp, key, value, headers);
}

void RecordBatchBuilder::append_at(int64_t offset, int64_t timestamp, std::optional<Bytes> key, std::optional<Bytes> value,
                                   std::span<const RecordHeader> headers) {
  const int64_t delta = offset - header_.base_offset;
  WEIR_CHECK(delta >= next_delta_ && delta < std::numeric_limits<int32_t>::max());
  if (header_.record_count == 0) header_.base_timestamp = timestamp;
  const int64_t timestamp_delta = timestamp - header_.base_timestamp;
  size_t size = 1 + varint_size(timestamp_delta) + varint_size(delta) + field_size(key) + field_size(value) +
                varint_size(static_cast<int64_t>(headers.size()));
  for (const RecordHeader& header : headers) size += field_size(as_bytes(header.key)) + field_size(header.value);
  append_varint(batch_, static_cast<int64_t>(size));
  batch_.push_back(0);
  append_varint(batch_, timestamp_delta);
  append_varint(batch_, delta);
  append_field(batch_, key);
  append_field(batch_, value);
  append_varint(batch_, static_cast<int64_t>(headers.size()));
  for (const RecordHeader& header : headers) {
    append_field(batch_, as_bytes(header.key));
    append_field(batch_, header.value);
  }
  header_.max_timestamp = std::max(header_.max_timestamp, timestamp);
  header_.last_offset_delta = static_cast<int32_t>(delta);
  next_delta_ = static_cast<int32_t>(delta) + 1;
  ++header_.record_count;
}

void RecordBatchBuilder::append_end_marker(int64_t timestamp, bool commit, int32_t coordinator_epoch) {
  WEIR_CHECK(header_.control() && header_.transactional());
  std::array<uint8_t, 4> key{};    // version 0, type
  std::array<uint8_t, 6> value{};  // version 0, coordinator epoch
  store_be(key.data() + 2, static_cast<int16_t>(commit ? ControlType::kCommit : ControlType::kAbort));
  store_be(value.data() + 2, coordinator_epoch);
  append(timestamp, Bytes(key), Bytes(value));
}

void RecordBatchBuilder::set_last_offset(int64_t offset) {
  const int64_t delta = offset - header_.base_offset;
  WEIR_CHECK(delta >= header_.last_offset_delta && delta < std::numeric_limits<int32_t>::max());
  header_.last_offset_delta = static_cast<int32_t>(delta);
  next_delta_ = static_cast<int32_t>(delta) + 1;
}

Bytes RecordBatchBuilder::finish() {
  WEIR_CHECK(batch_.size() - BatchHeader::kLengthEnd <= static_cast<size_t>(std::numeric_limits<int32_t>::max()));
  header_.batch_length = static_cast<int32_t>(batch_.size() - BatchHeader::kLengthEnd);
  header_.store(batch_.data());
  patch_crc(batch_);
  return batch_;
}

std::optional<EndMarker> parse_end_marker(const Record& record) {
  constexpr size_t kKeySize = 4;
  constexpr size_t kValueSize = 6;
  if (!record.key || record.key->size() < kKeySize || !record.value || record.value->size() < kValueSize) return std::nullopt;
  if (load_be<int16_t>(record.key->data()) < 0 || load_be<int16_t>(record.value->data()) < 0) return std::nullopt;
  const auto type = static_cast<ControlType>(load_be<int16_t>(record.key->data() + 2));
  if (type != ControlType::kAbort && type != ControlType::kCommit) return std::nullopt;
  return EndMarker{type == ControlType::kCommit, load_be<int32_t>(record.value->data() + 2)};
}

}  // namespace weir::protocol
