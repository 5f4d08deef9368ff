#include "storage/batch_info.h"

#include "protocol/record_batch_builder.h"

namespace weir::storage {

namespace {

static_assert(BatchInfo::kTransactional == protocol::BatchHeader::kTransactional);
static_assert(BatchInfo::kControl == protocol::BatchHeader::kControl);

// Reads the first record. There is one.
void read_marker(Bytes batch, BatchInfo& info) {
  protocol::RecordIterator records(batch);
  protocol::Record record;
  const auto marker = records.next(record) ? protocol::parse_end_marker(record) : std::nullopt;
  if (!marker) return;
  info.control_type = marker->commit ? BatchInfo::kCommit : BatchInfo::kAbort;
  info.coordinator_epoch = marker->coordinator_epoch;
}

}  // namespace

BatchInfo info_of(const protocol::BatchHeader& header, Bytes batch) {
  BatchInfo info;
  info.leader_epoch = header.partition_leader_epoch;
  info.base_offset = header.base_offset;
  info.last_offset_delta = header.last_offset_delta;
  info.size = static_cast<uint32_t>(header.size());
  info.max_timestamp = header.max_timestamp;
  info.attributes = header.attributes;
  info.producer_id = header.producer_id;
  info.producer_epoch = header.producer_epoch;
  info.base_sequence = header.base_sequence;
  if (header.control()) read_marker(batch, info);
  return info;
}

}  // namespace weir::storage
