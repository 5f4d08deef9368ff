#include "storage/segment/record_timestamps.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/buffer.h"

namespace weir::storage {

Result<std::optional<TimestampPosition>> first_record_at(runtime::File& file, const std::string& name, const HeaderScanner::Position& batch,
                                                         int64_t timestamp, int64_t lowest_offset) {
  const BatchHeader& header = batch.header;
  TimestampPosition found;
  found.leader_epoch = header.partition_leader_epoch;
  // Every record then has the time of the append.
  if (header.log_append_time() && header.record_count > 0 && lowest_offset <= header.base_offset && !header.delete_horizon()) {
    found.offset = header.base_offset;
    found.timestamp = header.max_timestamp;
    return found;
  }
  const Buffer memory = Buffer::allocate(header.size());
  const MutableBytes bytes{memory.data(), header.size()};
  auto got = file.read_at(batch.offset, bytes);
  if (!got) return std::unexpected(std::move(got.error()));
  if (*got < bytes.size()) return fail(ErrorCode::kCorrupt, fmt::format("{}: ends within the batch at {}", name, batch.offset));
  if (header.compressed()) return fail(ErrorCode::kUnsupported, fmt::format("{}: compressed batch at {}", name, batch.offset));

  protocol::RecordIterator records(header, Bytes(bytes).subspan(BatchHeader::kSize));
  protocol::Record record;
  while (records.next(record)) {
    const int64_t record_time = header.log_append_time() ? header.max_timestamp : record.timestamp;
    if (record_time < timestamp || record.offset < lowest_offset) continue;
    found.offset = record.offset;
    found.timestamp = record_time;
    return found;
  }
  if (records.fault() != protocol::BatchFault::kNone) {
    return fail(ErrorCode::kCorrupt, fmt::format("{}: batch at {}: {}", name, batch.offset, protocol::batch_fault_name(records.fault())));
  }
  return std::nullopt;
}

}  // namespace weir::storage
