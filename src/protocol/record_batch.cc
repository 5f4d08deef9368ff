#include "protocol/record_batch.h"

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/varint.h"
#include "protocol/record_window.h"

namespace weir::protocol {
namespace {

constexpr size_t kLengthOffset = 8;
constexpr size_t kLeaderEpochOffset = 12;
constexpr size_t kCrcOffset = 17;
constexpr size_t kAttributesOffset = 21;
constexpr size_t kMaxTimestampOffset = 35;
// Length, attributes, two deltas, two lengths and a count, one byte each.
constexpr size_t kSmallestRecord = 7;

// Every record is walked before it is accepted, so this is lean: two pointers, and the one- and two-byte
// numbers that nearly all are inline.
struct Cursor {
  const uint8_t* at;
  const uint8_t* end;

  explicit Cursor(Bytes bytes) : at(bytes.data()), end(bytes.data() + bytes.size()) {}
  size_t left() const { return static_cast<size_t>(end - at); }
  Bytes bytes() const { return {at, end}; }
};

[[gnu::noinline]] bool read_long_varint(Cursor& cursor, int32_t& value) {
  const size_t read = read_varint32(cursor.bytes(), value);
  cursor.at += read;
  return read > 0;
}
[[gnu::noinline]] bool read_long_varint(Cursor& cursor, int64_t& value) {
  const size_t read = read_varint64(cursor.bytes(), value);
  cursor.at += read;
  return read > 0;
}

template <typename T>
inline bool read_varint(Cursor& cursor, T& value) {
  if (cursor.at == cursor.end) return false;
  uint32_t raw = cursor.at[0];
  if (raw < 0x80) {
    cursor.at += 1;
  } else {
    if (cursor.left() < 2 || cursor.at[1] >= 0x80) return read_long_varint(cursor, value);
    raw = (raw & 0x7f) | static_cast<uint32_t>(cursor.at[1]) << 7;
    cursor.at += 2;
  }
  value = static_cast<int32_t>(raw >> 1) ^ -static_cast<int32_t>(raw & 1);
  return true;
}

// A length and the bytes it announces; -1 is null.
struct Field {
  const uint8_t* data;
  int32_t size;

  std::optional<Bytes> optional() const {
    if (size < 0) return std::nullopt;
    return Bytes(data, static_cast<size_t>(size));
  }
};

inline bool read_field(Cursor& cursor, Field& field) {
  if (!read_varint(cursor, field.size) || field.size < -1) return false;
  field.data = cursor.at;
  const auto size = static_cast<size_t>(std::max(field.size, 0));
  if (size > cursor.left()) return false;
  cursor.at += size;
  return true;
}

// A record's numbers and where its parts are.
struct Parsed {
  int64_t timestamp_delta;
  int32_t offset_delta;
  Field key;
  Field value;
  int32_t header_count;
  Bytes headers;
};

inline bool parse_record(Cursor& cursor, Parsed& record) {
  int32_t size = 0;
  if (!read_varint(cursor, size) || size <= 0 || static_cast<size_t>(size) > cursor.left()) return false;
  Cursor body = cursor;
  body.at += 1;  // the attributes, unused in format v2
  body.end = cursor.at += size;
  if (!read_varint(body, record.timestamp_delta) || !read_varint(body, record.offset_delta)) return false;
  if (!read_field(body, record.key) || !read_field(body, record.value)) return false;
  if (!read_varint(body, record.header_count) || record.header_count < 0) return false;
  record.headers = body.bytes();
  Field key, value;
  for (int32_t i = 0; i < record.header_count; ++i) {
    if (!read_field(body, key) || key.size < 0 || !read_field(body, value)) return false;
  }
  return body.at == body.end;
}

// A record of a window that it does not fit into: its parts are passed over as they come.
class LargeRecord {
 public:
  LargeRecord(RecordWindow& window, uint64_t size) : window_(window), left_(size) {}

  bool parse(Parsed& record) {
    if (!skip(1) || !read(record.timestamp_delta) || !read(record.offset_delta)) return false;
    if (!skip_field(record.key) || !skip_field(record.value)) return false;
    if (!read(record.header_count) || record.header_count < 0) return false;
    Field key, value;
    for (int32_t i = 0; i < record.header_count; ++i) {
      if (!skip_field(key) || key.size < 0 || !skip_field(value)) return false;
    }
    return left_ == 0;
  }

 private:
  bool skip(uint64_t bytes) {
    if (bytes > left_ || !window_.skip(bytes)) return false;
    left_ -= bytes;
    return true;
  }
  template <typename T>
  bool read(T& value) {
    constexpr size_t kVarintMax = 10;
    const Bytes window = window_.ahead(std::min<uint64_t>(kVarintMax, left_));
    Cursor cursor(window.first(std::min<uint64_t>(window.size(), left_)));
    return read_varint(cursor, value) && skip(static_cast<uint64_t>(cursor.at - window.data()));
  }
  bool skip_field(Field& field) {
    field.data = nullptr;
    return read(field.size) && field.size >= -1 && skip(static_cast<uint64_t>(std::max(field.size, 0)));
  }

  RecordWindow& window_;
  uint64_t left_;
};

// Where check_records gets its records from.
struct PlainRecords {
  Cursor cursor;
  bool next(Parsed& record) { return parse_record(cursor, record); }
  bool within(uint64_t /*record_bytes_max*/) const { return true; }
  bool ended() const { return cursor.left() == 0; }
};
// The caller must not look into keys and values of the records it returns.
struct OpenedRecords {
  RecordWindow& window;
  uint64_t size_ = 0;  // of the last record

  bool next(Parsed& record) {
    constexpr size_t kLengthMax = 5;
    Bytes bytes = window.ahead(kLengthMax);
    int32_t size = 0;
    const size_t prefix = read_varint32(bytes, size);
    if (prefix == 0 || size <= 0) return false;
    const size_t whole = size_ = prefix + static_cast<size_t>(size);
    if (whole > RecordWindow::kBytes)
      return window.skip(prefix) && LargeRecord(window, static_cast<uint64_t>(size)).parse(record);
    if (whole > bytes.size()) bytes = window.ahead(whole);
    Cursor cursor(bytes);
    return parse_record(cursor, record) && window.skip(whole);
  }
  bool within(uint64_t record_bytes_max) const { return size_ <= record_bytes_max; }
  bool ended() { return window.ahead(1).empty(); }
};

inline bool timestamp_of(const BatchHeader& header, int64_t delta, int64_t& timestamp) {
  if (header.log_append_time()) {
    timestamp = header.max_timestamp;
    return true;
  }
  return !__builtin_add_overflow(header.base_timestamp, delta, &timestamp);
}

}  // namespace

BatchHeader BatchHeader::parse(const uint8_t* batch) {
  BatchHeader header;
  header.base_offset = load_be<int64_t>(batch);
  header.batch_length = load_be<int32_t>(batch + kLengthOffset);
  header.partition_leader_epoch = load_be<int32_t>(batch + kLeaderEpochOffset);
  header.magic = load_be<int8_t>(batch + kMagicOffset);
  header.crc = load_be<uint32_t>(batch + kCrcOffset);
  header.attributes = load_be<int16_t>(batch + kAttributesOffset);
  header.last_offset_delta = load_be<int32_t>(batch + 23);
  header.base_timestamp = load_be<int64_t>(batch + 27);
  header.max_timestamp = load_be<int64_t>(batch + kMaxTimestampOffset);
  header.producer_id = load_be<int64_t>(batch + 43);
  header.producer_epoch = load_be<int16_t>(batch + 51);
  header.base_sequence = load_be<int32_t>(batch + 53);
  header.record_count = load_be<int32_t>(batch + 57);
  return header;
}

void BatchHeader::store(uint8_t* batch) const {
  store_be(batch, base_offset);
  store_be(batch + kLengthOffset, batch_length);
  store_be(batch + kLeaderEpochOffset, partition_leader_epoch);
  store_be(batch + kMagicOffset, magic);
  store_be(batch + kCrcOffset, crc);
  store_be(batch + kAttributesOffset, attributes);
  store_be(batch + 23, last_offset_delta);
  store_be(batch + 27, base_timestamp);
  store_be(batch + kMaxTimestampOffset, max_timestamp);
  store_be(batch + 43, producer_id);
  store_be(batch + 51, producer_epoch);
  store_be(batch + 53, base_sequence);
  store_be(batch + 57, record_count);
}

int32_t BatchHeader::last_sequence() const {
  if (base_sequence < 0) return -1;
  constexpr int64_t kSequences = int64_t{1} << 31;
  return static_cast<int32_t>((int64_t{base_sequence} + last_offset_delta) % kSequences);
}

std::string_view batch_fault_name(BatchFault fault) {
  switch (fault) {
    case BatchFault::kNone:
      return "no fault";
    case BatchFault::kTruncated:
      return "the batch is cut short";
    case BatchFault::kBadLength:
      return "the batch length is impossible";
    case BatchFault::kUnsupportedMagic:
      return "the batch is not of format v2";
    case BatchFault::kBadCrc:
      return "the CRC does not match";
    case BatchFault::kBadAttributes:
      return "unknown attribute bits are set";
    case BatchFault::kUnknownCompression:
      return "the compression type is unknown";
    case BatchFault::kBadCount:
      return "the record count contradicts the offsets";
    case BatchFault::kBadOffsetDelta:
      return "an offset delta is out of place";
    case BatchFault::kBadTimestamp:
      return "a timestamp is out of range";
    case BatchFault::kBadSequence:
      return "producer id, epoch and sequence contradict each other";
    case BatchFault::kBadRecord:
      return "a record's lengths contradict each other";
    case BatchFault::kTrailingBytes:
      return "bytes follow the last record";
    case BatchFault::kMissingKey:
      return "a record has no key";
    case BatchFault::kTooManyRecords:
      return "more records are claimed than the bytes can hold";
    case BatchFault::kRecordTooLarge:
      return "a record is too large";
  }
  return "unknown fault";
}

BatchFault peek_batch(Bytes in, BatchHeader& header) {
  // The magic byte comes before anything that depends on the format; older formats are shorter than our
  // header.
  if (in.size() <= BatchHeader::kMagicOffset) return BatchFault::kTruncated;
  if (in[BatchHeader::kMagicOffset] != BatchHeader::kMagic) return BatchFault::kUnsupportedMagic;
  const int32_t length = load_be<int32_t>(in.data() + kLengthOffset);
  if (length < static_cast<int32_t>(BatchHeader::kSize - BatchHeader::kLengthEnd)) return BatchFault::kBadLength;
  if (static_cast<size_t>(length) + BatchHeader::kLengthEnd > in.size()) return BatchFault::kTruncated;
  header = BatchHeader::parse(in.data());
  return BatchFault::kNone;
}

namespace {

BatchFault check_header(const BatchHeader& header, const BatchRules& rules) {
  if ((header.attributes & ~BatchHeader::kKnownAttributes) != 0) return BatchFault::kBadAttributes;
  if (header.compression_bits() >= kCompressionTypes) return BatchFault::kUnknownCompression;
  if (header.last_offset_delta < 0) return BatchFault::kBadOffsetDelta;
  if (header.base_offset < 0 || header.base_offset > std::numeric_limits<int64_t>::max() - 1 - header.last_offset_delta) {
    return BatchFault::kBadOffsetDelta;
  }
  const int64_t span = int64_t{header.last_offset_delta} + 1;
  if (rules.contiguous ? (header.record_count != span) : (header.record_count < 0 || header.record_count > span)) {
    return BatchFault::kBadCount;
  }
  // Kafka's logs may hold times before 1970; a producer's are refused.
  if (rules.contiguous && (header.base_timestamp < -1 || header.max_timestamp < -1)) return BatchFault::kBadTimestamp;
  const bool has_sequence = header.base_sequence >= 0;
  if (header.producer_id < -1 || header.producer_epoch < -1 || header.base_sequence < -1) return BatchFault::kBadSequence;
  if (header.has_producer_id() && header.producer_epoch < 0) return BatchFault::kBadSequence;
  // Control batches carry a producer id and no sequence. Some clients (kafkajs) send sequence 0 without a producer id:
  // it means nothing.
  if (header.has_producer_id() && !has_sequence && !header.control()) return BatchFault::kBadSequence;
  if (header.transactional() && !header.has_producer_id()) return BatchFault::kBadSequence;
  return BatchFault::kNone;
}

}  // namespace

BatchFault check_batch(Bytes batch, const BatchRules& rules, BatchHeader& header) {
  if (const BatchFault fault = peek_batch(batch, header); fault != BatchFault::kNone) return fault;
  if (header.size() != batch.size()) return BatchFault::kTrailingBytes;
  if (rules.check_crc && !crc_matches(header, batch)) return BatchFault::kBadCrc;
  if (const BatchFault fault = check_header(header, rules); fault != BatchFault::kNone) return fault;
  if (rules.create_time) header.attributes = static_cast<int16_t>(header.attributes & ~BatchHeader::kLogAppendTime);
  if (!rules.walk_records || header.compressed()) return BatchFault::kNone;
  return check_records(header, batch.subspan(BatchHeader::kSize), rules, &header.max_timestamp);
}

namespace {

template <typename Records>
BatchFault check_each(const BatchHeader& header, Records records, const BatchRules& rules, int64_t* max_timestamp) {
  int64_t highest = -1;
  int32_t expected = 0;  // the lowest offset delta the next record may have
  Parsed record;
  for (int32_t i = 0; i < header.record_count; ++i) {
    if (!records.next(record)) return BatchFault::kBadRecord;
    if (!records.within(rules.record_bytes_max)) return BatchFault::kRecordTooLarge;
    const bool in_place = rules.contiguous ? record.offset_delta == expected
                                           : record.offset_delta >= expected && record.offset_delta <= header.last_offset_delta;
    if (!in_place) return BatchFault::kBadOffsetDelta;
    expected = record.offset_delta + (record.offset_delta < std::numeric_limits<int32_t>::max() ? 1 : 0);
    if (rules.keys_required && record.key.size < 0) return BatchFault::kMissingKey;
    int64_t timestamp = -1;
    const bool possible = timestamp_of(header, record.timestamp_delta, timestamp);
    if (!possible || (rules.contiguous && timestamp < -1)) return BatchFault::kBadTimestamp;
    highest = std::max(highest, timestamp);
  }
  if (!records.ended()) return BatchFault::kTrailingBytes;
  // A batch that compaction emptied keeps the time at which its producer was active.
  const bool says_itself = header.log_append_time() || header.record_count == 0;
  if (max_timestamp != nullptr) *max_timestamp = says_itself ? header.max_timestamp : highest;
  return BatchFault::kNone;
}

}  // namespace

BatchFault check_records(const BatchHeader& header, Bytes records, const BatchRules& rules, int64_t* max_timestamp) {
  if (header.record_count < 0) return BatchFault::kBadCount;
  if (static_cast<size_t>(header.record_count) > records.size() / kSmallestRecord) return BatchFault::kTooManyRecords;
  return check_each(header, PlainRecords{Cursor(records)}, rules, max_timestamp);
}

BatchFault check_records(const BatchHeader& header, RecordWindow& records, const BatchRules& rules, int64_t* max_timestamp) {
  if (header.record_count < 0) return BatchFault::kBadCount;
  return check_each(header, OpenedRecords{records}, rules, max_timestamp);
}

bool next_outline(const BatchHeader& header, RecordWindow& records, RecordOutline& record) {
  Parsed parsed;
  if (!OpenedRecords{records}.next(parsed)) return false;
  record.has_key = parsed.key.size >= 0;
  return timestamp_of(header, parsed.timestamp_delta, record.timestamp);
}

bool BatchSplitter::next() {
  if (rest_.empty() || fault_ != BatchFault::kNone) return false;
  fault_ = peek_batch(rest_, header_);
  if (fault_ != BatchFault::kNone) return false;
  batch_ = rest_.first(header_.size());
  rest_ = rest_.subspan(header_.size());
  return true;
}

RecordIterator::RecordIterator(Bytes batch) {
  fault_ = peek_batch(batch, header_);
  if (fault_ == BatchFault::kNone) rest_ = batch.subspan(BatchHeader::kSize, header_.size() - BatchHeader::kSize);
}

bool RecordIterator::next(Record& record) {
  if (fault_ != BatchFault::kNone || read_ >= header_.record_count) return false;
  Cursor cursor(rest_);
  Parsed parsed;
  if (!parse_record(cursor, parsed)) {
    fault_ = BatchFault::kBadRecord;
    return false;
  }
  if (!timestamp_of(header_, parsed.timestamp_delta, record.timestamp)) {
    fault_ = BatchFault::kBadTimestamp;
    return false;
  }
  if (parsed.offset_delta < 0 || parsed.offset_delta > header_.last_offset_delta ||
      __builtin_add_overflow(header_.base_offset, parsed.offset_delta, &record.offset)) {
    fault_ = BatchFault::kBadOffsetDelta;
    return false;
  }
  record.offset_delta = parsed.offset_delta;
  record.timestamp_delta = parsed.timestamp_delta;
  record.key = parsed.key.optional();
  record.value = parsed.value.optional();
  record.header_count = parsed.header_count;
  record.headers = parsed.headers;
  record.size = rest_.size() - cursor.left();
  rest_ = cursor.bytes();
  ++read_;
  return true;
}

bool HeaderIterator::next(RecordHeader& header) {
  if (left_ == 0) return false;
  --left_;
  Cursor cursor(rest_);
  Field key, value;
  if (!read_field(cursor, key) || key.size < 0 || !read_field(cursor, value)) return false;
  rest_ = cursor.bytes();
  header.key = as_string(*key.optional());
  header.value = value.optional();
  return true;
}

bool crc_matches(const BatchHeader& header, Bytes batch) { return crc32c(batch.subspan(BatchHeader::kCrcStart)) == header.crc; }

void patch_base_offset(uint8_t* batch, int64_t base_offset) { store_be(batch, base_offset); }
void patch_leader_epoch(uint8_t* batch, int32_t leader_epoch) { store_be(batch + kLeaderEpochOffset, leader_epoch); }

void patch_crc(MutableBytes batch) {
  WEIR_CHECK(batch.size() >= BatchHeader::kSize);
  store_be(batch.data() + kCrcOffset, crc32c(Bytes(batch).subspan(BatchHeader::kCrcStart)));
}

void patch_timestamps(MutableBytes batch, bool log_append_time, int64_t max_timestamp) {
  WEIR_CHECK(batch.size() >= BatchHeader::kSize);
  uint8_t* const attributes_at = batch.data() + kAttributesOffset;
  uint8_t* const timestamp_at = batch.data() + kMaxTimestampOffset;
  const auto before = load_be<int16_t>(attributes_at);
  const auto after =
      static_cast<int16_t>(log_append_time ? before | BatchHeader::kLogAppendTime : before & ~BatchHeader::kLogAppendTime);
  if (after == before && load_be<int64_t>(timestamp_at) == max_timestamp) return;
  store_be(attributes_at, after);
  store_be(timestamp_at, max_timestamp);
  patch_crc(batch);
}

}  // namespace weir::protocol
