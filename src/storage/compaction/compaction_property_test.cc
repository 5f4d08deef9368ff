// Cleanings at random points of random logs. After each, the newest value of each key is there. A reader from any offset sees
// only records that were written, and ends with the same values. And a log read anew judges every live producer as before.
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>

#include "storage/compaction/cleaning_property_fixture.h"
#include "storage/log/producer_state.h"

namespace weir::storage::testing {
namespace {

using protocol::CompressionType;

constexpr int64_t kProducers = 4;

class CompactionProperty : public CleaningProperty {
 protected:
  CompactionProperty() : CleaningProperty(5) {}

  struct Written {
    std::string key;
    std::optional<std::string> value;
    int64_t timestamp = 0;
  };

  void SetUp() override {
    segment_bytes_ = 400 + random_.below(3000);
    CleaningProperty::SetUp();
  }

  void write_segment() override {
    std::vector<KeyedBatch> batches(1 + random_.below(4));
    for (KeyedBatch& batch : batches) fill(batch);
    segment(batches);
  }

  void fill(KeyedBatch& batch) {
    const size_t records = 1 + random_.below(5);
    for (size_t i = 0; i < records; ++i) {
      Written one{"k" + std::to_string(random_.below(12)), std::nullopt, now_ms_ - 5 + static_cast<int64_t>(random_.below(10))};
      const int64_t offset = end_ + static_cast<int64_t>(i);
      if (!random_.one_in(5)) one.value = "v" + std::to_string(offset) + std::string(random_.below(60), '.');
      batch.records.push_back({one.key, one.value, one.timestamp});
      written_[offset] = one;
    }
    batch.compression = static_cast<CompressionType>(random_.one_in(2) ? 0 : random_.below(5));
    if (!random_.one_in(3)) {
      batch.producer_id = static_cast<int64_t>(random_.below(kProducers));
      int32_t& next = sequences_[batch.producer_id];
      batch.producer_epoch = 1;
      batch.base_sequence = next;
      next = sequence_after(next, static_cast<int32_t>(records));
      BatchInfo info;
      info.base_offset = end_;
      info.last_offset_delta = static_cast<int32_t>(records) - 1;
      info.producer_id = batch.producer_id;
      info.producer_epoch = 1;
      info.base_sequence = batch.base_sequence;
      producers_.update(info, now_ms_);
    }
    end_ += static_cast<int64_t>(records);
  }

  ActiveProducers live_producers() override {
    ActiveProducers live;
    for (const ProducerEntry& entry : producers_.entries()) {
      live[entry.producer_id] = {entry.batches.back().last_offset, entry.producer_epoch};
    }
    return live;
  }

  Values written_from(int64_t offset) const override {
    Values values;
    for (auto it = written_.lower_bound(offset); it != written_.end(); ++it) values[it->second.key] = it->second.value;
    return values;
  }

  Values read_from(int64_t offset) override {
    Values found;
    int64_t last = -1;
    for (const FoundRecord& record : read(offset, static_cast<uint32_t>(1 + random_.below(2000)))) {
      if (record.offset < offset) continue;
      EXPECT_GT(record.offset, last);
      last = record.offset;
      const Written& origin = written_.at(record.offset);
      EXPECT_EQ(record.key, origin.key);
      EXPECT_EQ(record.tombstone, !origin.value);
      if (!record.tombstone) {
        EXPECT_EQ(record.value, *origin.value);
      }
      EXPECT_EQ(record.timestamp, origin.timestamp);
      found[record.key] = origin.value;
    }
    return found;
  }

  void check_producers() override {
    ProducerState rebuilt;
    for (const BatchHeader& header : batches()) {
      if (header.producer_id < 0) continue;
      BatchInfo info;
      info.base_offset = header.base_offset;
      info.last_offset_delta = header.last_offset_delta;
      info.producer_id = header.producer_id;
      info.producer_epoch = header.producer_epoch;
      info.base_sequence = header.base_sequence;
      rebuilt.update(info, header.max_timestamp);
    }
    for (const ProducerEntry& entry : producers_.entries()) {
      const ProducerBatch& last = entry.batches.back();
      for (int32_t distance = -1; distance <= 2; ++distance) {
        BatchInfo next;
        next.producer_id = entry.producer_id;
        next.producer_epoch = 1;
        next.base_sequence = sequence_after(last.last_sequence, 1) + distance;
        next.last_offset_delta = 70;  // no batch has so many records
        ASSERT_EQ(rebuilt.check(next).check, producers_.check(next).check) << "producer " << entry.producer_id;
      }
      BatchInfo again;
      again.producer_id = entry.producer_id;
      again.producer_epoch = 1;
      again.base_sequence = last.base_sequence;
      again.last_offset_delta = last.offset_delta;
      ASSERT_EQ(rebuilt.check(again).check, ProducerCheck::kDuplicate) << "producer " << entry.producer_id;
      ASSERT_EQ(rebuilt.check(again).original.last_offset, last.last_offset);
      again.producer_epoch = 0;
      ASSERT_EQ(rebuilt.check(again).check, ProducerCheck::kStaleEpoch);
    }
  }

  std::map<int64_t, Written> written_;
  std::map<int64_t, int32_t> sequences_;
  ProducerState producers_;
};

TEST_P(CompactionProperty, NothingThatCountsIsLost) {
  write_and_clean();
  if (HasFailure()) return;
  check_readers();
  // A log of 12 keys is short once it is cleaned.
  now_ms_ += 10'000;
  write_segment();
  write_segment();
  for (int round = 0; round < 40; ++round) clean_here();
  check_reader(0);
  check_producers();
  check_one_record_per_key();
}

INSTANTIATE_TEST_SUITE_P(Seeds, CompactionProperty, ::testing::Range<uint64_t>(1, 41));

}  // namespace
}  // namespace weir::storage::testing
