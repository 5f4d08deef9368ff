#include "storage/batch_facts.h"

#include "protocol/record_batch_builder.h"

namespace weir::storage {

namespace {

static_assert(BatchFacts::kTransactional == protocol::BatchHeader::kTransactional);
static_assert(BatchFacts::kControl == protocol::BatchHeader::kControl);

// The first record; there is one.
void read_marker(Bytes batch, BatchFacts& facts) {
  protocol::RecordIterator records(batch);
  protocol::Record record;
  const auto marker = records.next(record) ? protocol::parse_end_marker(record) : std::nullopt;
  if (!marker) return;
  facts.control_type = marker->commit ? BatchFacts::kCommit : BatchFacts::kAbort;
  facts.coordinator_epoch = marker->coordinator_epoch;
}

}  // namespace

BatchFacts facts_of(const protocol::BatchHeader& header, Bytes batch) {
  BatchFacts facts;
  facts.leader_epoch = header.partition_leader_epoch;
  facts.base_offset = header.base_offset;
  facts.last_offset_delta = header.last_offset_delta;
  facts.size = static_cast<uint32_t>(header.size());
  facts.max_timestamp = header.max_timestamp;
  facts.attributes = header.attributes;
  facts.producer_id = header.producer_id;
  facts.producer_epoch = header.producer_epoch;
  facts.base_sequence = header.base_sequence;
  if (header.control()) read_marker(batch, facts);
  return facts;
}

}  // namespace weir::storage
