#include "apps/kafka_segment.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "apps/file_window.h"
#include "storage/batch_info.h"
#include "storage/segment/aborted_index.h"
#include "storage/segment/checkpoint_plan.h"
#include "storage/segment/stored_batch.h"

namespace weir::apps {

namespace {

using protocol::BatchHeader;

// A control batch holds one short record.
constexpr size_t kControlBytesMax = 64u << 10;

// The leader epoch that a batch has; nothing if it cannot be told. Earlier ones of Kafka have none (-1).
std::optional<int32_t> believed_epoch(const storage::BatchInfo& info, const KafkaPartitionState& state) {
  if (info.leader_epoch == -1) return -1;
  if (const int32_t told = epoch_at(state.told_epochs, info.base_offset); told >= 0) return told;
  const auto& epochs = state.log.epochs();
  const int32_t before = epochs.empty() ? 0 : epochs.back().epoch;
  const int32_t highest = state.told_epochs.empty() ? state.highest_epoch : state.told_epochs.front().epoch;
  if (info.leader_epoch < 0 || info.leader_epoch > highest) return before;
  if (info.leader_epoch < before) return std::nullopt;
  return info.leader_epoch;
}

void note_gap(KafkaGaps& gaps, int64_t from, int64_t to, const std::string& path) {
  if (from >= to) return;
  if (gaps.count++ == 0) gaps.first = fmt::format("{} to {} before those in {}", from, to - 1, path);
  gaps.offsets += to - from;
}

void note(const storage::BatchInfo& info, KafkaPartitionState& state) {
  ++state.batches;
  state.next_offset = info.next_offset();
  // A client may have made up a higher one, and Kafka takes it. No broker comes so far, so none is given twice.
  if (info.producer_id <= kHighestKafkaProducerId) state.max_producer_id = std::max(state.max_producer_id, info.producer_id);
  state.log.apply(info, info.max_timestamp);
  state.log.note_durable(state.next_offset.value());
}

// What is wrong with the bytes at a batch's begin; empty if they are one.
Result<std::string> fault_of(FileWindow& window, uint64_t position, uint64_t size, const BatchHeader& header,
                             int64_t lowest_offset) {
  if (header.base_offset < lowest_offset) return fmt::format("its offset {} goes back", header.base_offset);
  if (size - position < header.size()) return "it is cut off";
  if (auto whole = window.at(position, std::min<size_t>(header.size(), FileWindow::kReadBytes)); !whole) {
    return std::unexpected(whole.error());  // so that the window begins with the batch
  }
  auto crc = window.crc(position + BatchHeader::kCrcStart, position + header.size());
  if (!crc) return std::unexpected(crc.error());
  return *crc == header.crc ? std::string() : "its checksum is wrong";
}

}  // namespace

Result<KafkaSegment> read_kafka_segment(runtime::FileSystem& files, const KafkaSegmentFile& segment, KafkaPartitionState& state) {
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
  if (state.next_offset && *state.next_offset > segment.base_offset) {
    result.damage = fmt::format("the segment before it goes on to offset {}", *state.next_offset - 1);
    result.trailing_bytes = *size;
    return result;
  }
  if (state.next_offset) note_gap(state.between, *state.next_offset, segment.base_offset, segment.path);
  state.next_offset = segment.base_offset;
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
    const auto fault = fault_of(window, position, *size, *header, *state.next_offset);
    if (!fault) return std::unexpected(fault.error());
    if (!fault->empty()) {
      result.damage = fmt::format("the batch at position {} (offset {}): {}", position, header->base_offset, *fault);
      break;
    }
    note_gap(state.within, *state.next_offset, header->base_offset, segment.path);
    if (position - last_entry >= spacing.entry_bytes) {
      result.index.add({header->base_offset, position, result.info.max_timestamp});
      last_entry = position;
    }
    auto batch = window.at(position, header->control() ? std::min<size_t>(header->size(), kControlBytesMax) : BatchHeader::kSize);
    if (!batch) return std::unexpected(batch.error());
    storage::BatchInfo info = storage::info_of(*header, *batch);
    const auto epoch = believed_epoch(info, state);
    if (!epoch) {
      return fail(
          ErrorCode::kCorrupt,
          fmt::format("{}: the batch at position {} (offset {}) is of leader epoch {}, one before it of {}, and there is no "
                      "leader-epoch-checkpoint to tell which is right; bring it back from a copy",
                      segment.path, position, info.base_offset, info.leader_epoch, state.log.epochs().back().epoch));
    }
    if (*epoch != info.leader_epoch) ++result.wrong_epochs;
    info.leader_epoch = *epoch;
    note(info, state);
    if (result.batches == 0) result.info.first_timestamp = header->max_timestamp;
    // Batches that compaction emptied do not count, as in segments that were compacted here.
    if (header->record_count > 0) result.info.max_timestamp = std::max(result.info.max_timestamp, header->max_timestamp);
    ++result.batches;
    position += header->size();
    result.info.next_offset = info.next_offset();
  }
  result.info.length = position;
  result.aborted = state.log.aborted();
  state.log.forget_aborted_before(result.info.next_offset);
  storage::add_aborted(result.info, result.aborted);
  result.trailing_bytes = *size - position;
  return result;
}

}  // namespace weir::apps
