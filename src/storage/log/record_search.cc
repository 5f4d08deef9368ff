// Finding a record by its timestamp inside a batch (see append_validation.h).
#include "protocol/record_batch.h"
#include "storage/log/append_validation.h"

namespace weir::storage {

Result<TimestampPosition> find_record_by_timestamp(Bytes batch, int64_t timestamp, int64_t start_offset) {
  const auto header = protocol::BatchHeader::parse(batch.data());
  TimestampPosition position;
  if (header.log_append_time()) {  // all records have the batch's time
    if (header.max_timestamp >= timestamp) position = {std::max(header.base_offset, start_offset), header.max_timestamp, -1};
    return position;
  }
  protocol::RecordIterator records(batch);
  protocol::Record record;
  while (records.next(record)) {
    if (record.timestamp < timestamp || record.offset < start_offset) continue;
    return TimestampPosition{record.offset, record.timestamp, -1};
  }
  return position;
}

}  // namespace weir::storage
