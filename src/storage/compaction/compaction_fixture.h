// A log of keyed batches in a segment store on a simulated disk, for the tests of compaction.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "protocol/compressed_batch_fixture.h"
#include "protocol/record_batch_builder.h"
#include "storage/batch_info.h"
#include "storage/compaction/partition_cleaning.h"
#include "storage/log/partition_state.h"
#include "storage/segment/local_segment_store.h"
#include "storage/segment/segment_names.h"
#include "storage/segment/test_batches.h"
#include "testing/fake_clock.h"
#include "testing/manual_loop.h"

namespace weir::storage::testing {

struct KeyedRecord {
  std::optional<std::string> key;
  std::optional<std::string> value;
  int64_t timestamp = 1000;
};

struct KeyedBatch {
  std::vector<KeyedRecord> records = {};
  protocol::CompressionType compression = protocol::CompressionType::kNone;
  int64_t producer_id = -1;
  int16_t producer_epoch = -1;
  int32_t base_sequence = -1;
  bool log_append_time = false;
  bool transactional = false;
  std::optional<bool> commit = {};  // of a marker, which has no records of its own
  int64_t offsets() const { return commit ? 1 : static_cast<int64_t>(records.size()); }
};

// A record as a reader sees it, with its batch's header.
struct FoundRecord {
  int64_t offset = 0;
  std::string key, value;
  bool has_key = true, tombstone = false;
  int64_t timestamp = 0;
  BatchHeader header;
};

inline std::optional<Bytes> optional_bytes(const std::optional<std::string>& text) {
  if (!text) return std::nullopt;
  return as_bytes(*text);
}

inline std::vector<uint8_t> encode(const KeyedBatch& batch, int64_t base_offset) {
  protocol::RecordBatchBuilder builder({.base_offset = base_offset,
                                        .partition_leader_epoch = 3,
                                        .producer_id = batch.producer_id,
                                        .producer_epoch = batch.producer_epoch,
                                        .base_sequence = batch.base_sequence,
                                        .transactional = batch.transactional,
                                        .control = batch.commit.has_value(),
                                        .log_append_time = batch.log_append_time});
  if (batch.commit) builder.append_end_marker(1000, *batch.commit, 0);
  const std::string trace = "trace";
  const std::vector<protocol::RecordHeader> headers{{trace, as_bytes(trace)}};
  for (const KeyedRecord& record : batch.records)
    builder.append(record.timestamp, optional_bytes(record.key), optional_bytes(record.value), headers);
  const Bytes plain = builder.finish();
  if (batch.compression != protocol::CompressionType::kNone) return protocol::compressed_batch(plain, batch.compression);
  return {plain.begin(), plain.end()};
}

inline CheckpointPartition::Batch checkpoint_batch(const PartitionId& partition, const std::vector<uint8_t>& bytes) {
  CheckpointPartition::Batch out;
  out.info = info_of(BatchHeader::parse(bytes.data()), bytes);
  out.info.partition = partition;
  out.bytes = Slice::copy_of(bytes);
  return out;
}

// Appends the records of whole batches to `found`, but no markers.
inline void collect(Bytes bytes, std::vector<FoundRecord>& found, std::vector<BatchHeader>* batches = nullptr) {
  protocol::BatchSplitter splitter(bytes);
  protocol::Decompressor decompressor;
  while (splitter.next()) {
    BatchHeader header;
    ASSERT_EQ(protocol::check_batch(splitter.batch(), {.contiguous = false}, header), protocol::BatchFault::kNone);
    if (batches) batches->push_back(header);
    if (header.control()) continue;
    std::vector<uint8_t> unpacked;
    Bytes records = splitter.batch().subspan(BatchHeader::kSize);
    if (header.compressed() && header.record_count > 0) {
      ASSERT_EQ(decompressor.decompress(header.compression(), records, 1 << 26, unpacked), protocol::CompressionFault::kNone);
      records = unpacked;
    }
    ASSERT_EQ(protocol::check_records(header, records, {.contiguous = false}), protocol::BatchFault::kNone);
    protocol::RecordIterator iterator(header, records);
    protocol::Record record;
    while (iterator.next(record)) {
      FoundRecord one;
      one.offset = record.offset;
      one.has_key = record.key.has_value();
      if (record.key) one.key = as_string(*record.key);
      one.tombstone = !record.value.has_value();
      if (record.value) one.value = as_string(*record.value);
      one.timestamp = record.timestamp;
      one.header = header;
      EXPECT_EQ(record.header_count, 1);
      found.push_back(std::move(one));
    }
  }
  ASSERT_EQ(splitter.fault(), protocol::BatchFault::kNone);
}

class CompactionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(world_.files().create_directories("/log"));
    open();
  }
  void open() {
    store_.reset();
    auto opened = LocalSegmentStore::open(world_.files(), world_.pool(), clock_, {.log_dir = "/log"});
    ASSERT_TRUE(opened) << opened.error().message;
    store_ = std::move(*opened);
    auto loaded = store_->load();
    ASSERT_TRUE(loaded) << loaded.error().message;
    if (!loaded->empty()) manifest_ = loaded->front().manifest;
  }
  // Appends the batches as a segment of their own.
  void segment(const std::vector<KeyedBatch>& batches) {
    CheckpointPartition checkpoint;
    checkpoint.partition = partition_;
    checkpoint.epochs = {{3, 0}};
    checkpoint.segment_bytes = 1;
    std::vector<std::vector<uint8_t>> encoded;
    for (const KeyedBatch& batch : batches) {
      const auto bytes = encode(batch, next_offset_);
      next_offset_ += batch.offsets();
      checkpoint.batches.push_back(checkpoint_batch(partition_, bytes));
      const size_t aborted = state_.aborted().size();
      state_.apply(checkpoint.batches.back().info, now_ms_);
      state_.note_durable(next_offset_);
      if (state_.aborted().size() > aborted) checkpoint.aborted.push_back(state_.aborted().back());
      checkpoint.log_start_offset = manifest_.log_start_offset;
      auto checkpointed = store_->checkpoint_now(checkpoints(std::move(checkpoint)));
      ASSERT_TRUE(checkpointed) << checkpointed.error().message;
      manifest_ = checkpointed->front();
      checkpoint = {};
      checkpoint.partition = partition_;
      checkpoint.epochs = {{3, 0}};
      checkpoint.segment_bytes = 1 << 30;
    }
  }
  void put(const std::string& key, const std::string& value, int64_t timestamp = 1000) {
    segment({{.records = {{key, value, timestamp}}}});
  }
  // Adds one more segment. It is the active one and stays as it is, so everything before it can be cleaned.
  void active() { segment({{.records = {{"active", "x"}}}}); }
  int64_t last_stable_offset() const { return std::min(manifest_.end_offset, state_.first_unstable_offset()); }
  CleanRange range() const { return clean_range(manifest_, last_stable_offset(), rules_, now_ms_); }
  CleaningInput input() {
    CleaningInput in;
    in.manifest = manifest_;
    in.now_ms = now_ms_;
    in.range = range();
    in.high_watermark = manifest_.end_offset;
    in.delete_retention_ms = 1000;
    in.segment_bytes = segment_bytes_;
    in.active_producers = active_producers_;
    return in;
  }
  Result<SegmentReplacement> run_cleaning(uint64_t step_bytes = 1 << 20) {
    limits_.secret = {7, 9};
    PartitionCleaning cleaning(*store_, input(), limits_);
    while (true) {
      auto step = cleaning.step(step_bytes);
      stats_ = cleaning.stats();
      if (!step) return std::unexpected(step.error());
      if (step->done) return cleaning.outcome();
    }
  }
  void clean(uint64_t step_bytes = 1 << 20) {
    auto outcome = run_cleaning(step_bytes);
    ASSERT_TRUE(outcome) << outcome.error().message;
    replace(*outcome);
  }
  void replace(const SegmentReplacement& outcome) {
    auto manifest = store_->replace_now(outcome);
    ASSERT_TRUE(manifest) << manifest.error().message;
    manifest_ = *manifest;
  }
  std::vector<FoundRecord> read(int64_t offset = 0, uint32_t max_bytes = 200, std::vector<BatchHeader>* batches = nullptr) {
    std::vector<FoundRecord> found;
    offset = std::max(offset, manifest_.log_start_offset);
    while (offset < manifest_.end_offset) {
      auto part = store_->read_now(manifest_, offset, max_bytes);
      EXPECT_TRUE(part) << part.error().message;
      if (!part) break;
      EXPECT_GT(part->next_offset, offset);
      if (part->next_offset <= offset) break;
      collect(bytes_of(part->bytes), found, batches);
      offset = part->next_offset;
    }
    return found;
  }
  // All records as "offset:key=value", tombstones as "offset:key!".
  std::string text(int64_t offset = 0) {
    std::string all;
    for (const FoundRecord& record : read(offset)) {
      if (record.offset < offset) continue;
      if (!all.empty()) all += ' ';
      all += std::to_string(record.offset) + ':' + (record.has_key ? record.key : "-") +
             (record.tombstone ? "!" : "=" + record.value);
    }
    return all;
  }
  std::vector<BatchHeader> batches() {
    std::vector<BatchHeader> all;
    read(0, 200, &all);
    return all;
  }
  std::vector<std::string> files() {
    std::vector<std::string> names;
    for (const auto& path : world_.disk().all_files()) {
      if (path.ends_with(".log") && path.find(partition_folder_name(partition_)) != std::string::npos)
        names.push_back(path.substr(path.rfind('/') + 1));
    }
    return names;
  }

  weir::testing::ManualLoop world_;
  weir::testing::FakeClock clock_;
  const PartitionId partition_ = partition_id(1);
  std::unique_ptr<LocalSegmentStore> store_;
  PartitionManifest manifest_;
  int64_t next_offset_ = 0;
  int64_t now_ms_ = 1'000'000;
  CompactionRules rules_;
  uint64_t segment_bytes_ = 1 << 20;
  ActiveProducers active_producers_;
  PartitionState state_;  // what the whole log tells, cleaned or not
  PartitionCleaning::Limits limits_;
  CleaningStats stats_;
};

}  // namespace weir::storage::testing
