// Record batches of format v2: the bytes producers send, the log stores and consumers receive.
//
// A batch is used in place: BatchHeader is read from its first 61 bytes, records are iterated without copies,
// and only the fields that a broker owns are patched. Offsets, lengths and counts in a batch come from
// outside: everything here checks them against the bytes that are there.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.h"

namespace weir::protocol {

class RecordWindow;

enum class CompressionType : uint8_t { kNone = 0, kGzip = 1, kSnappy = 2, kLz4 = 3, kZstd = 4 };
inline constexpr uint8_t kCompressionTypes = 5;

struct BatchHeader {
  static constexpr size_t kSize = 61;
  static constexpr size_t kLengthEnd = 12;  // what the length field does not count
  static constexpr size_t kCrcStart = 21;   // the CRC covers all from the attributes on
  static constexpr size_t kMagicOffset = 16;
  static constexpr int8_t kMagic = 2;
  static constexpr int16_t kCompressionMask = 0x07;
  static constexpr int16_t kLogAppendTime = 0x08;
  static constexpr int16_t kTransactional = 0x10;
  static constexpr int16_t kControl = 0x20;
  static constexpr int16_t kDeleteHorizon = 0x40;  // base_timestamp is the delete horizon (compacted batches)
  static constexpr int16_t kKnownAttributes = 0x7f;

  int64_t base_offset = 0;
  int32_t batch_length = 0;  // bytes after this field
  int32_t partition_leader_epoch = -1;
  int8_t magic = kMagic;
  uint32_t crc = 0;
  int16_t attributes = 0;
  int32_t last_offset_delta = -1;
  int64_t base_timestamp = -1;
  int64_t max_timestamp = -1;
  int64_t producer_id = -1;
  int16_t producer_epoch = -1;
  int32_t base_sequence = -1;
  int32_t record_count = 0;

  // `batch` holds at least kSize bytes.
  static BatchHeader parse(const uint8_t* batch);
  void store(uint8_t* batch) const;

  size_t size() const { return kLengthEnd + static_cast<size_t>(batch_length); }
  // Of a batch that was not checked these may wrap around.
  int64_t last_offset() const {
    return static_cast<int64_t>(static_cast<uint64_t>(base_offset) + static_cast<uint64_t>(int64_t{last_offset_delta}));
  }
  int64_t next_offset() const { return static_cast<int64_t>(static_cast<uint64_t>(last_offset()) + 1); }
  int32_t last_sequence() const;  // wraps from 2^31-1 to 0; -1 without a sequence
  uint8_t compression_bits() const { return static_cast<uint8_t>(attributes & kCompressionMask); }
  CompressionType compression() const { return static_cast<CompressionType>(compression_bits()); }
  bool compressed() const { return compression_bits() != 0; }
  bool log_append_time() const { return (attributes & kLogAppendTime) != 0; }
  bool transactional() const { return (attributes & kTransactional) != 0; }
  bool control() const { return (attributes & kControl) != 0; }
  bool delete_horizon() const { return (attributes & kDeleteHorizon) != 0; }
  bool has_producer_id() const { return producer_id >= 0; }
};

// What is wrong with a batch, most basic first.
enum class BatchFault : uint8_t {
  kNone,
  kTruncated,         // the bytes end before the batch does
  kBadLength,         // the length field cannot be that of a batch
  kUnsupportedMagic,  // format 0, 1 or one we do not know
  kBadCrc,
  kBadAttributes,  // bits set that mean nothing
  kUnknownCompression,
  kBadCount,        // no records, or not as many as the offsets say
  kBadOffsetDelta,  // last offset delta negative, or a record out of place
  kBadTimestamp,    // one that overflows, or a producer's below -1
  kBadSequence,     // producer id without epoch or sequence, or the reverse
  kBadRecord,       // a record's lengths contradict each other
  kTrailingBytes,   // bytes after the last record
  kMissingKey,      // a record without a key where each needs one
  kTooManyRecords,  // more records claimed than the bytes can hold
  kRecordTooLarge,  // a record of a compressed batch above the rules' bound
};
std::string_view batch_fault_name(BatchFault fault);  // a short sentence for error messages

// How closely a batch is looked at.
struct BatchRules {
  bool check_crc = true;
  bool walk_records = true;                // of uncompressed batches; those of compressed ones via check_records()
  bool contiguous = true;                  // offset deltas are 0..n-1, as a producer sends them; compacted batches have gaps
  bool keys_required = false;              // compacted topics
  uint64_t record_bytes_max = UINT64_MAX;  // of compressed batches: what opens one later has each record in memory
  bool create_time = false;                // the records' own timestamps count, whatever the attributes say
};

// Finds where the first batch of `in` ends: size and magic only. On success header holds it, and
// header.size() bytes are there.
BatchFault peek_batch(Bytes in, BatchHeader& header);

// Checks one batch of which `batch` holds exactly all bytes. If its records were walked, the max timestamp that `header`
// receives is theirs, whatever the batch says; with rules.create_time its attributes do not say LogAppendTime.
BatchFault check_batch(Bytes batch, const BatchRules& rules, BatchHeader& header);

// Checks the records of a batch: the bytes after the header, decompressed if they were compressed.
// `max_timestamp`, if given, receives the highest timestamp of the records.
BatchFault check_records(const BatchHeader& header, Bytes records, const BatchRules& rules, int64_t* max_timestamp = nullptr);

// As above for a compressed batch, through a window. Bytes that cannot be decompressed are kBadRecord; the window's decompressor
// knows why.
BatchFault check_records(const BatchHeader& header, RecordWindow& records, const BatchRules& rules,
                         int64_t* max_timestamp = nullptr);

// What is known of a record without its key and value in memory.
struct RecordOutline {
  int64_t timestamp = -1;
  bool has_key = false;
};
// The next record of a compressed batch; false at the end of the window and if it is damaged.
bool next_outline(const BatchHeader& header, RecordWindow& records, RecordOutline& record);

// Walks the batches of a records field or a file. Stops at the end, or at a batch whose size or magic is
// wrong: then fault() says what, and rest() begins with it.
class BatchSplitter {
 public:
  explicit BatchSplitter(Bytes blob) : rest_(blob) {}
  bool next();
  const BatchHeader& header() const { return header_; }
  Bytes batch() const { return batch_; }
  BatchFault fault() const { return fault_; }
  Bytes rest() const { return rest_; }

 private:
  Bytes rest_;
  Bytes batch_;
  BatchHeader header_;
  BatchFault fault_ = BatchFault::kNone;
};

struct RecordHeader {
  std::string_view key{};
  std::optional<Bytes> value{};
};

struct Record {
  int64_t offset = 0;
  int64_t timestamp = -1;
  int32_t offset_delta = 0;
  int64_t timestamp_delta = 0;
  std::optional<Bytes> key;
  std::optional<Bytes> value;
  int32_t header_count = 0;
  Bytes headers;    // encoded; see HeaderIterator
  size_t size = 0;  // encoded, with the length in front
};

// Walks the records of one batch (uncompressed bytes). Every length is checked, headers included, so that
// iterating the headers of a record it returned cannot fail.
class RecordIterator {
 public:
  RecordIterator(const BatchHeader& header, Bytes records) : header_(header), rest_(records) {}
  // Of a whole uncompressed batch.
  explicit RecordIterator(Bytes batch);

  // False at the end and at a fault.
  bool next(Record& record);
  BatchFault fault() const { return fault_; }
  Bytes rest() const { return rest_; }

 private:
  BatchHeader header_;
  Bytes rest_;
  int32_t read_ = 0;
  BatchFault fault_ = BatchFault::kNone;
};

class HeaderIterator {
 public:
  explicit HeaderIterator(const Record& record) : rest_(record.headers), left_(record.header_count) {}
  bool next(RecordHeader& header);

 private:
  Bytes rest_;
  int32_t left_;
};

// Whether `batch`, which is the whole batch of this header, has the CRC that the header says.
bool crc_matches(const BatchHeader& header, Bytes batch);

// Patches of fields that the CRC does not cover. `batch` is the start of a batch.
void patch_base_offset(uint8_t* batch, int64_t base_offset);
void patch_leader_epoch(uint8_t* batch, int32_t leader_epoch);
// Has the header say this max timestamp, and whether it is the time of all records (LogAppendTime). The CRC is computed
// anew only if the header said something else. `batch` holds the whole batch.
void patch_timestamps(MutableBytes batch, bool log_append_time, int64_t max_timestamp);
// Recomputes the CRC after a change.
void patch_crc(MutableBytes batch);

}  // namespace weir::protocol
