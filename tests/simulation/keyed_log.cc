#include "simulation/keyed_log.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>

#include "protocol/compression.h"
#include "protocol/record_batch_builder.h"
#include "simulation/log_clients.h"

namespace weir::simulation {

namespace {

KeyedRecord keyed_record(Bytes key, std::optional<Bytes> value, int64_t timestamp) {
  KeyedRecord record;
  record.key = as_string(key);
  record.tombstone = !value;
  // Timestamps are unique within a partition, so that tombstones of one key have different hashes.
  std::string all = record.key + '\0' + std::to_string(timestamp) + '\0';
  if (value) all += as_string(*value);
  record.payload = payload_hash(as_bytes(all));
  return record;
}

std::vector<uint8_t> packed(Bytes batch) {
  auto header = protocol::BatchHeader::parse(batch.data());
  std::vector<uint8_t> out(protocol::BatchHeader::kSize);
  protocol::compress(protocol::CompressionType::kLz4, batch.subspan(protocol::BatchHeader::kSize), out);
  header.attributes = static_cast<int16_t>(protocol::CompressionType::kLz4);
  header.batch_length = static_cast<int32_t>(out.size() - protocol::BatchHeader::kLengthEnd);
  header.store(out.data());
  protocol::patch_crc(out);
  return out;
}

}  // namespace

const std::vector<uint8_t>& KeyedLog::next(testing::SeededRandom& random, Oracle& oracle, int64_t now_ms) {
  if (pending_) return bytes_;
  pending_ = true;
  batch_.clear();
  protocol::RecordBatchBuilder builder({.producer_id = producer_id_, .producer_epoch = 0, .base_sequence = sequence_});
  const uint64_t records = random.between(1, 4);
  for (uint64_t i = 0; i < records; ++i) {
    const std::string key = fmt::format("k{}", random.below(6));
    const int64_t timestamp = now_ms - 1'000'000 + static_cast<int64_t>(++number_ % 1'000'000);
    const std::string text = fmt::format("v{}-{}", number_, std::string(random.below(200), 'v'));
    std::optional<Bytes> value;
    if (!random.one_in(5)) value = as_bytes(text);
    builder.append(timestamp, as_bytes(key), value);
    batch_.push_back(keyed_record(as_bytes(key), value, timestamp));
    oracle.sent(name_of(id_), batch_.back().payload);
  }
  const Bytes bytes = builder.finish();
  bytes_ = random.one_in(2) ? packed(bytes) : std::vector<uint8_t>(bytes.begin(), bytes.end());
  return bytes_;
}

void KeyedLog::acked(int64_t base_offset, Oracle& oracle, int64_t now_ms) {
  oracle.producer_acked(name_of(id_), producer_id_, 0, sequence_, base_offset);
  for (size_t i = 0; i < batch_.size(); ++i) {
    const int64_t offset = base_offset + static_cast<int64_t>(i);
    oracle.acked(name_of(id_), offset, batch_[i].payload);
    know(offset, batch_[i], now_ms);
  }
  last_sequence_ = sequence_;
  last_bytes_ = bytes_;
  sequence_ += static_cast<int32_t>(batch_.size());
  pending_ = false;
}

void KeyedLog::repeat_acked(int64_t base_offset, Oracle& oracle) const {
  oracle.producer_acked(name_of(id_), producer_id_, 0, last_sequence_, base_offset);
}

void KeyedLog::know(int64_t offset, const KeyedRecord& record, int64_t now_ms) {
  Newest& newest = newest_[record.key];
  if (offset > newest.offset) newest = {offset, record, now_ms};
}

void KeyedLog::seen(const KeyedRecords& records, Oracle& oracle, int64_t now_ms) {
  for (const auto& [offset, record] : records) {
    oracle.read(name_of(id_), offset, record.payload);
    know(offset, record, now_ms);
  }
}

void KeyedLog::judge(const KeyedRecords& found, int64_t now_ms, int64_t delete_retention_ms, Oracle& oracle) const {
  std::map<std::string, std::pair<int64_t, bool>> last;  // by key: offset, tombstone
  for (const auto& [offset, record] : found) last[record.key] = {offset, record.tombstone};
  for (const auto& [key, newest] : newest_) {
    const auto at = last.find(key);
    if (at != last.end() && at->second.first >= newest.offset) continue;
    const std::string where = fmt::format("{}-{} key {}", id_.topic.to_string(), id_.index, key);
    if (!newest.record.tombstone) {
      oracle.violation(fmt::format("{}: its newest record, at offset {}, is lost", where, newest.offset));
    } else if (at != last.end() && !at->second.second) {
      oracle.violation(fmt::format("{}: deleted at offset {}, but offset {} is back", where, newest.offset, at->second.first));
    } else if (now_ms < newest.known_since_ms + delete_retention_ms) {
      oracle.violation(fmt::format("{}: its tombstone at offset {} is gone after {} ms", where, newest.offset,
                                   now_ms - newest.known_since_ms));
    }
  }
}

bool KeyedLog::collect(Bytes bytes, KeyedRecords& records, int64_t& next_offset, std::string& problem) {
  protocol::BatchSplitter splitter(bytes);
  protocol::Decompressor decompressor;
  while (splitter.next()) {
    protocol::BatchHeader header;
    const auto fault = protocol::check_batch(splitter.batch(), {.contiguous = false}, header);
    std::vector<uint8_t> unpacked;
    Bytes body = splitter.batch().subspan(protocol::BatchHeader::kSize);
    if (fault == protocol::BatchFault::kNone && header.compressed() && header.record_count > 0) {
      if (decompressor.decompress(header.compression(), body, 1 << 20, unpacked) != protocol::CompressionFault::kNone) {
        problem = fmt::format("the batch at {} does not unpack", header.base_offset);
        return false;
      }
      body = unpacked;
    }
    if (fault != protocol::BatchFault::kNone) {
      problem = fmt::format("the batch at {}: {}", header.base_offset, protocol::batch_fault_name(fault));
      return false;
    }
    protocol::RecordIterator iterator(header, body);
    protocol::Record record;
    while (iterator.next(record)) {
      if (!record.key) continue;
      records[record.offset] = keyed_record(*record.key, record.value, record.timestamp);
    }
    next_offset = header.next_offset();
  }
  if (splitter.fault() == protocol::BatchFault::kNone) return true;
  problem = std::string(protocol::batch_fault_name(splitter.fault()));
  return false;
}

}  // namespace weir::simulation
