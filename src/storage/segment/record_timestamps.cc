#include "storage/segment/record_timestamps.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/buffer.h"
#include "base/varint.h"
#include "protocol/compression.h"

namespace weir::storage {

namespace {

// The time of one record. Keys and values are passed over.
struct RecordTime {
  int64_t timestamp = 0;
  int64_t offset = 0;
};

// Walks the records of a batch through a small window, so that a batch that unpacks to gigabytes needs no
// more memory than any other.
class RecordTimes {
 public:
  // `records`: the bytes after the batch header; they stay in place.
  RecordTimes(const BatchHeader& header, Bytes records)
      : header_(header), unpack_(decompressor_of_thread()), left_(header.record_count) {
    if (header.compressed()) {
      unpack_.open(header.compression(), records, kUnpackedMax);
      compressed_ = true;
    } else {
      window_ = records;
    }
  }

  // The memory of a large window or block is not kept.
  ~RecordTimes() { unpack_.trim(kKeptBytes); }
  RecordTimes(const RecordTimes&) = delete;

  // Returns false at the end, and if the records are damaged.
  bool next(RecordTime& record) {
    if (left_ <= 0) return false;
    --left_;
    fill();
    int32_t length = 0;
    const size_t prefix = read_varint32(window_, length);
    if (prefix == 0 || length <= 0) return damage();
    const Bytes body = window_.subspan(prefix);
    size_t read = 1;  // attributes
    if (read >= body.size()) return damage();
    int64_t timestamp_delta = 0;
    const size_t timestamp = read_varint64(body.subspan(read), timestamp_delta);
    read += timestamp;
    if (timestamp == 0 || read >= body.size()) return damage();
    int32_t offset_delta = 0;
    const size_t offset = read_varint32(body.subspan(read), offset_delta);
    read += offset;
    if (offset == 0 || read > static_cast<size_t>(length)) return damage();
    if (!place(timestamp_delta, offset_delta, record)) return damage();
    return skip(prefix + static_cast<size_t>(length));
  }
  bool damaged() const { return damaged_; }

 private:
  static constexpr uint64_t kUnpackedMax = uint64_t{1} << 32;
  static constexpr uint64_t kKeptBytes = uint64_t{4} << 20;
  static constexpr size_t kWindowBytes = 64 * 1024;
  static constexpr size_t kRecordStartBytes = 32;  // two lengths, attributes and two deltas at most

  // Damage may have changed the deltas since they were checked.
  bool place(int64_t timestamp_delta, int32_t offset_delta, RecordTime& record) const {
    if (offset_delta < 0 || offset_delta > header_.last_offset_delta ||
        __builtin_add_overflow(header_.base_offset, offset_delta, &record.offset)) {
      return false;
    }
    // With LogAppendTime every record has the batch's time.
    record.timestamp = header_.max_timestamp;
    return header_.log_append_time() || !__builtin_add_overflow(header_.base_timestamp, timestamp_delta, &record.timestamp);
  }

  // Brings at least the start of a record into the window, if there is one.
  void fill() {
    if (!compressed_ || window_.size() >= kRecordStartBytes) return;
    if (memory_.empty()) memory_.resize(kWindowBytes);
    if (!window_.empty()) std::memmove(memory_.data(), window_.data(), window_.size());
    size_t have = window_.size();
    while (have < kRecordStartBytes) {
      const size_t got = unpack_.read(MutableBytes(memory_).subspan(have));
      if (got == 0) break;
      have += got;
    }
    window_ = Bytes(memory_).first(have);
  }

  bool skip(size_t bytes) {
    while (bytes > window_.size()) {
      bytes -= window_.size();
      window_ = {};
      fill();
      if (window_.empty()) return damage();
    }
    window_ = window_.subspan(bytes);
    return true;
  }

  bool damage() {
    damaged_ = true;
    left_ = 0;
    return false;
  }

  // A new decompressor for each small batch would cost more than its work.
  static protocol::Decompressor& decompressor_of_thread() {
    thread_local protocol::Decompressor decompressor;
    return decompressor;
  }

  const BatchHeader& header_;
  protocol::Decompressor& unpack_;
  bool compressed_ = false;
  bool damaged_ = false;
  int32_t left_;
  Bytes window_;
  std::vector<uint8_t> memory_;
};

}  // namespace

Result<int64_t> max_timestamp_in(Bytes batch, int64_t lowest_offset) {
  const auto header = BatchHeader::parse(batch.data());
  if (header.log_append_time() || header.record_count == 0) return header.max_timestamp;
  int64_t highest = kNoTimestamp;
  RecordTimes records(header, batch.subspan(BatchHeader::kSize));
  RecordTime record;
  while (records.next(record)) {
    if (record.offset >= lowest_offset) highest = std::max(highest, record.timestamp);
  }
  if (records.damaged()) return fail(ErrorCode::kCorrupt, "its records are damaged");
  return highest;
}

Result<std::optional<TimestampPosition>> first_record_in(Bytes batch, int64_t timestamp, int64_t lowest_offset) {
  const auto header = BatchHeader::parse(batch.data());
  TimestampPosition found;
  found.leader_epoch = header.partition_leader_epoch;
  RecordTimes records(header, batch.subspan(BatchHeader::kSize));
  RecordTime record;
  while (records.next(record)) {
    found.offset = record.offset;
    found.timestamp = record.timestamp;
    if (found.timestamp >= timestamp && found.offset >= lowest_offset) return found;
  }
  if (records.damaged()) return fail(ErrorCode::kCorrupt, "its records are damaged");
  return std::nullopt;
}

Result<Slice> read_batch(runtime::File& file, const std::string& name, const HeaderScanner::Position& batch) {
  const size_t size = batch.header.size();
  Slice slice{Buffer::allocate(size), nullptr, size};
  slice.data = slice.owner.data();
  auto got = file.read_at(batch.offset, {slice.owner.data(), size});
  if (!got) return std::unexpected(std::move(got.error()));
  if (*got < size) return fail(ErrorCode::kCorrupt, fmt::format("{}: ends within the batch at {}", name, batch.offset));
  return slice;
}

Result<std::optional<TimestampPosition>> first_record_at(runtime::File& file, const std::string& name,
                                                         const HeaderScanner::Position& batch, int64_t timestamp,
                                                         int64_t lowest_offset) {
  const auto bytes = read_batch(file, name, batch);
  if (!bytes) return std::unexpected(bytes.error());
  auto found = first_record_in(bytes->bytes(), timestamp, lowest_offset);
  if (!found) return fail(found.error().code, fmt::format("{}: the batch at {}: {}", name, batch.offset, found.error().message));
  return found;
}

}  // namespace weir::storage
