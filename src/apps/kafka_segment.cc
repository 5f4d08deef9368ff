#include "apps/kafka_segment.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/crc32c.h"
#include "storage/segment/merge_plan.h"
#include "storage/segment/stored_batch.h"

namespace weir::apps {

namespace {

using protocol::BatchHeader;

constexpr size_t kReadBytes = 4u << 20;

// A window of the file that moves forward.
class FileWindow {
 public:
  FileWindow(runtime::File& file, uint64_t size) : file_(file), size_(size) {}
  // `bytes` bytes at `offset`, fewer at the end of the file.
  Result<Bytes> at(uint64_t offset, size_t bytes) {
    const uint64_t wanted = std::min<uint64_t>(bytes, size_ - std::min(size_, offset));
    if (offset < begin_ || offset + wanted > begin_ + filled_) {
      block_.resize(std::max<size_t>(wanted, std::min<uint64_t>(kReadBytes, size_ - offset)));
      auto read = file_.read_at(offset, block_);
      if (!read) return std::unexpected(read.error());
      begin_ = offset;
      filled_ = *read;
    }
    const size_t from = offset - begin_;
    return Bytes(block_).subspan(from, std::min<size_t>(wanted, filled_ - from));
  }

 private:
  runtime::File& file_;
  const uint64_t size_;
  std::vector<uint8_t> block_;
  uint64_t begin_ = 0;
  size_t filled_ = 0;
};

struct ControlRecord {
  int16_t type = -1;
  int32_t coordinator_epoch = -1;
};

ControlRecord control_of(Bytes batch) {
  ControlRecord control;
  protocol::RecordIterator records(batch);
  protocol::Record record;
  if (!records.next(record) || !record.key || record.key->size() < 4) return control;
  control.type = load_be<int16_t>(record.key->data() + 2);
  if (record.value && record.value->size() >= 6) control.coordinator_epoch = load_be<int32_t>(record.value->data() + 2);
  return control;
}

storage::BatchFacts facts_of(const BatchHeader& header, Bytes batch, const storage::PartitionId& id) {
  storage::BatchFacts facts;
  facts.partition = id;
  facts.leader_epoch = header.partition_leader_epoch;
  facts.base_offset = header.base_offset;
  facts.last_offset_delta = header.last_offset_delta;
  facts.size = static_cast<uint32_t>(batch.size());
  facts.max_timestamp = header.max_timestamp;
  facts.attributes = header.attributes;
  facts.producer_id = header.producer_id;
  facts.producer_epoch = header.producer_epoch;
  facts.base_sequence = header.base_sequence;
  if (header.control()) {
    const ControlRecord control = control_of(batch);
    facts.control_type = control.type;
    facts.coordinator_epoch = control.coordinator_epoch;
  }
  return facts;
}

void note(const storage::BatchFacts& facts, bool transactional, KafkaPartitionState& state) {
  ++state.batches;
  state.next_offset = facts.next_offset();
  if (facts.leader_epoch >= 0 && (state.epochs.empty() || state.epochs.back().epoch < facts.leader_epoch)) {
    state.epochs.push_back({facts.leader_epoch, facts.base_offset});
  }
  if (facts.producer_id < 0) return;
  state.max_producer_id = std::max(state.max_producer_id, facts.producer_id);
  state.producers.update(facts, facts.max_timestamp);
  if (facts.control_type >= 0) {
    if (state.open_transactions.erase(facts.producer_id) > 0 && facts.control_type == 0) ++state.aborted_transactions;
  } else if (transactional) {
    state.open_transactions.try_emplace(facts.producer_id, facts.base_offset);
  }
}

// What is wrong with the bytes at a batch's begin; empty if they are one.
std::string fault_of(Bytes batch, const BatchHeader& header, int64_t lowest_offset) {
  if (header.base_offset < lowest_offset) return fmt::format("its offset {} goes back", header.base_offset);
  if (batch.size() < header.size()) return "it is cut off";
  const uint32_t crc = crc32c(batch.first(header.size()).subspan(BatchHeader::kCrcStart));
  return crc == header.crc ? std::string() : "its checksum is wrong";
}

}  // namespace

Result<KafkaSegment> read_kafka_segment(runtime::FileSystem& files, const KafkaSegmentFile& segment,
                                        KafkaPartitionState& state) {
  auto file = files.open(segment.path, {});
  if (!file) return std::unexpected(file.error());
  auto size = (*file)->size();
  if (!size) return std::unexpected(size.error());
  FileWindow window(**file, *size);
  KafkaSegment result;
  result.info.base_offset = segment.base_offset;
  result.info.next_offset = segment.base_offset;
  const storage::IndexSpacing spacing;
  uint64_t position = 0, last_entry = 0;
  int64_t lowest_offset = std::max(segment.base_offset, state.next_offset);
  while (position < *size) {
    auto head = window.at(position, BatchHeader::kSize);
    if (!head) return std::unexpected(head.error());
    if (head->size() > BatchHeader::kMagicOffset && (*head)[BatchHeader::kMagicOffset] < 2 &&
        load_be<int32_t>(head->data() + 8) > 0) {
      return fail(ErrorCode::kUnsupported,
                  fmt::format("{}: message format {} at position {}: it is not served any more; have Kafka 3.x or a client "
                              "write the topic anew in format 2",
                              segment.path, (*head)[BatchHeader::kMagicOffset], position));
    }
    const auto header = head->size() < BatchHeader::kSize ? std::nullopt : storage::parse_stored_header(*head);
    if (!header) {
      result.damage = fmt::format("no batch begins at position {}", position);
      break;
    }
    auto batch = window.at(position, header->size());
    if (!batch) return std::unexpected(batch.error());
    if (const std::string fault = fault_of(*batch, *header, lowest_offset); !fault.empty()) {
      result.damage = fmt::format("the batch at position {} (offset {}): {}", position, header->base_offset, fault);
      break;
    }
    if (position - last_entry >= spacing.entry_bytes) {
      result.index.add({header->base_offset, position, result.info.max_timestamp});
      last_entry = position;
    }
    const storage::BatchFacts facts = facts_of(*header, *batch, state.id);
    note(facts, header->transactional(), state);
    if (result.batches == 0) result.info.first_timestamp = header->max_timestamp;
    // Batches that compaction emptied do not count, as in segments that were compacted here.
    if (header->record_count > 0) result.info.max_timestamp = std::max(result.info.max_timestamp, header->max_timestamp);
    ++result.batches;
    position += header->size();
    lowest_offset = facts.next_offset();
    result.info.next_offset = facts.next_offset();
  }
  result.info.length = position;
  result.trailing_bytes = *size - position;
  return result;
}

}  // namespace weir::apps
