// Makes record batches: for internal topics, control markers and tests. Uncompressed.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "protocol/record_batch.h"

namespace weir::protocol {

struct BatchOptions {
  int64_t base_offset = 0;
  int32_t partition_leader_epoch = -1;
  int64_t producer_id = -1;
  int16_t producer_epoch = -1;
  int32_t base_sequence = -1;
  bool transactional = false;
  bool control = false;
  bool log_append_time = false;
};

// One batch at a time: append records, finish(), use the bytes, clear() for the next one (memory is kept).
class RecordBatchBuilder {
 public:
  explicit RecordBatchBuilder(const BatchOptions& options = {}) { clear(options); }

  // The next record; its offset follows the previous one's.
  void append(int64_t timestamp, std::optional<Bytes> key, std::optional<Bytes> value,
              std::span<const RecordHeader> headers = {});
  // A record at an offset above the last one's, as compaction leaves them.
  void append_at(int64_t offset, int64_t timestamp, std::optional<Bytes> key, std::optional<Bytes> value,
                 std::span<const RecordHeader> headers = {});
  // The record that ends a transaction. The options must say control and transactional.
  void append_end_marker(int64_t timestamp, bool commit, int32_t coordinator_epoch);
  // Lets the batch end above its last record, as compaction does when it removes the records at the end.
  void set_last_offset(int64_t offset);

  int32_t count() const { return header_.record_count; }
  size_t size() const { return batch_.size(); }
  // Completes the header and CRC. The bytes are valid until the next call of a non-const member.
  Bytes finish();
  void clear(const BatchOptions& options);

 private:
  BatchHeader header_;
  int32_t next_delta_ = 0;
  std::vector<uint8_t> batch_;
};

// What a control record says.
enum class ControlType : int16_t { kAbort = 0, kCommit = 1, kLeaderChange = 2 };
struct EndMarker {
  bool commit = false;
  int32_t coordinator_epoch = 0;
};
// Nothing if the record is not the end of a transaction.
std::optional<EndMarker> parse_end_marker(const Record& record);

}  // namespace weir::protocol
