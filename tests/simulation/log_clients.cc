#include "simulation/log_clients.h"

#include <algorithm>

namespace weir::simulation {

namespace {

OutgoingBatch make_batch(const storage::PartitionId& partition, const protocol::BatchOptions& options,
                         testing::SeededRandom& random, Oracle& oracle, int64_t now_ms) {
  OutgoingBatch batch;
  batch.base_sequence = options.base_sequence;
  protocol::RecordBatchBuilder builder(options);
  const uint64_t records = random.one_in(3) ? random.between(2, 20) : 1;
  for (uint64_t i = 0; i < records; ++i) {
    size_t size = random.between(16, 2'000);
    if (records == 1 && random.one_in(30)) size = random.between(60'000, 120'000);  // not copied into the chunk
    std::vector<uint8_t> payload(size);
    const uint64_t word = random.next();
    for (size_t at = 0; at < size; ++at) payload[at] = static_cast<uint8_t>(testing::mix(word + at / 8) >> (at % 8 * 8));
    const uint64_t hash = payload_hash(payload);
    oracle.sent(name_of(partition), hash);
    batch.payloads.push_back(hash);
    builder.append(now_ms, std::nullopt, payload);
  }
  const Bytes bytes = builder.finish();
  batch.bytes.assign(bytes.begin(), bytes.end());
  return batch;
}

}  // namespace

TopicPartition name_of(const storage::PartitionId& id) { return {id.topic, id.index}; }

const OutgoingBatch& LogProducer::next(testing::SeededRandom& random, Oracle& oracle, int64_t now_ms) {
  if (!pending_) {
    pending_ = true;
    batch_ = make_batch(partition_, {.producer_id = producer_id_, .producer_epoch = 0, .base_sequence = sequence_}, random,
                        oracle, now_ms);
  }
  return batch_;
}

void LogProducer::acked(int64_t base_offset, bool over, Oracle& oracle) {
  const TopicPartition partition = name_of(partition_);
  oracle.producer_acked(partition, producer_id_, 0, batch_.base_sequence, base_offset);
  for (size_t i = 0; i < batch_.payloads.size(); ++i) {
    oracle.acked(partition, base_offset + static_cast<int64_t>(i), batch_.payloads[i]);
  }
  if (!over) return;
  pending_ = false;
  sequence_ += static_cast<int32_t>(batch_.payloads.size());
  last_ = std::move(batch_);
  last_offset_ = base_offset;
  batch_ = {};
}

OutgoingBatch LogProducer::plain(const storage::PartitionId& partition, testing::SeededRandom& random, Oracle& oracle,
                                 int64_t now_ms) {
  return make_batch(partition, {}, random, oracle, now_ms);
}

bool collect_records(Bytes bytes, std::map<int64_t, uint64_t>& records, std::string& problem) {
  protocol::BatchSplitter splitter(bytes);
  while (splitter.next()) {
    protocol::BatchHeader header;
    const auto fault = protocol::check_batch(splitter.batch(), {}, header);
    if (fault != protocol::BatchFault::kNone) {
      problem = "batch at offset " + std::to_string(splitter.header().base_offset) + ": " +
                std::string(protocol::batch_fault_name(fault));
      return false;
    }
    protocol::RecordIterator iterator(splitter.batch());
    for (protocol::Record record; iterator.next(record);) records[record.offset] = payload_hash(*record.value);
  }
  if (!splitter.rest().empty()) problem = "bytes after the last batch";
  return splitter.rest().empty();
}

}  // namespace weir::simulation
