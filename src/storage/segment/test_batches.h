// Batches and checkpoints for the tests of the segment store.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/buffer.h"
#include "protocol/record_batch_builder.h"
#include "storage/segment/segment_store.h"

namespace weir::storage::testing {

inline PartitionId partition_id(uint64_t topic, int32_t index = 0) {
  return {Uuid::from_random(topic * 7919 + 1, topic + 1), index};
}

struct BatchShape {
  int64_t base_offset = 0;
  int records = 1;
  size_t value_bytes = 100;
  int64_t timestamp = 1000;  // of the first record; each next one has 1 ms more
  int32_t leader_epoch = 0;
  uint8_t fill = 'v';
  int64_t appended_ms = 1'000'000;
};

inline CheckpointPartition::Batch make_batch(const PartitionId& partition, const BatchShape& shape) {
  protocol::RecordBatchBuilder builder({.base_offset = shape.base_offset, .partition_leader_epoch = shape.leader_epoch});
  const std::vector<uint8_t> value(shape.value_bytes, shape.fill);
  for (int i = 0; i < shape.records; ++i) builder.append(shape.timestamp + i, std::nullopt, Bytes(value));
  const Bytes bytes = builder.finish();
  CheckpointPartition::Batch batch;
  batch.info.partition = partition;
  batch.info.leader_epoch = shape.leader_epoch;
  batch.info.base_offset = shape.base_offset;
  batch.info.last_offset_delta = shape.records - 1;
  batch.info.size = static_cast<uint32_t>(bytes.size());
  batch.info.max_timestamp = shape.timestamp + shape.records - 1;
  batch.info.appended_ms = shape.appended_ms;
  batch.bytes = Slice::copy_of(bytes);
  return batch;
}

// Makes `count` batches from `offset` on, and advances `offset`.
inline CheckpointPartition make_checkpoint(const PartitionId& partition, int64_t& offset, int count, BatchShape shape = {}) {
  CheckpointPartition checkpoint;
  checkpoint.partition = partition;
  checkpoint.epochs = {{0, 0}};
  for (int i = 0; i < count; ++i) {
    shape.base_offset = offset;
    checkpoint.batches.push_back(make_batch(partition, shape));
    offset += shape.records;
    shape.timestamp += shape.records;
  }
  return checkpoint;
}

// Adds a batch of one record as the marker of an aborted transaction: its info says so.
inline void add_abort(CheckpointPartition& checkpoint, CheckpointPartition::Batch marker, const AbortedTransaction& entry) {
  marker.info.attributes = BatchInfo::kTransactional | BatchInfo::kControl;
  marker.info.producer_id = entry.producer_id;
  marker.info.control_type = BatchInfo::kAbort;
  checkpoint.batches.push_back(std::move(marker));
  checkpoint.aborted.push_back(entry);
}

inline std::vector<uint8_t> bytes_of(const std::vector<CheckpointPartition::Batch>& batches) {
  std::vector<uint8_t> all;
  for (const auto& batch : batches) all.insert(all.end(), batch.bytes.data, batch.bytes.data + batch.bytes.size);
  return all;
}

inline std::vector<uint8_t> bytes_of(const StoredBytes& stored) {
  if (const Slice* slice = std::get_if<Slice>(&stored)) return {slice->data, slice->data + slice->size};
  const FileRange& range = std::get<FileRange>(stored);
  std::vector<uint8_t> bytes(range.length);
  auto got = range.file->read_at(range.offset, bytes);
  bytes.resize(got ? *got : 0);
  return bytes;
}

// One vector of the moved-in checkpoints (initialiser lists copy).
template <typename... Checkpoints>
std::vector<CheckpointPartition> checkpoints(Checkpoints&&... each) {
  std::vector<CheckpointPartition> all;
  (all.push_back(std::forward<Checkpoints>(each)), ...);
  return all;
}

}  // namespace weir::storage::testing
