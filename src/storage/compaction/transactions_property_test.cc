// Cleanings at random points of random logs with transactions that overlap, against what was written. After each, a reader of
// committed records from any offset ends with the same values as before, and skips what the answers say. A log read anew knows
// producers and open transactions as before. In the end all that nobody needs has gone.
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <set>
#include <string>

#include "storage/compaction/cleaning_property_fixture.h"

namespace weir::storage::testing {
namespace {

class TransactionsProperty : public CleaningProperty {
 protected:
  TransactionsProperty() : CleaningProperty(6) {}

  static constexpr int64_t kProducers = 4;
  struct Written {
    std::string key;
    std::optional<std::string> value;
    bool committed = false;  // or outside of a transaction
  };
  struct Producer {
    int16_t epoch = 0;
    int32_t sequence = 0;
    std::vector<int64_t> open;  // offsets of its transaction
  };

  void SetUp() override {
    segment_bytes_ = random_.one_in(3) ? 1 : 300 + random_.below(3000);
    CleaningProperty::SetUp();
  }

  KeyedBatch data(int64_t id) {
    KeyedBatch batch;
    const size_t records = 1 + random_.below(4);
    for (size_t i = 0; i < records; ++i) {
      Written one{"k" + std::to_string(random_.below(10)), std::nullopt, id < 0};
      const int64_t offset = end_ + static_cast<int64_t>(i);
      if (!random_.one_in(5)) one.value = "v" + std::to_string(offset) + std::string(random_.below(40), '.');
      batch.records.push_back({one.key, one.value, now_ms_});
      written_[offset] = one;
      if (id >= 0) producers_[id].open.push_back(offset);
    }
    if (id < 0) return batch;
    batch.producer_id = id;
    batch.producer_epoch = producers_[id].epoch;
    batch.base_sequence = producers_[id].sequence;
    batch.transactional = true;
    producers_[id].sequence += static_cast<int32_t>(records);
    batch.compression = random_.one_in(3) ? protocol::CompressionType::kLz4 : protocol::CompressionType::kNone;
    return batch;
  }
  KeyedBatch marker(int64_t id) {
    Producer& producer = producers_[id];
    KeyedBatch batch;
    batch.producer_id = id;
    batch.transactional = true;
    batch.commit = random_.one_in(2);
    for (const int64_t offset : producer.open) written_.at(offset).committed = *batch.commit;
    producer.open.clear();
    if (raises_epochs_) {
      ++producer.epoch;
      producer.sequence = 0;
    }
    batch.producer_epoch = producer.epoch;
    return batch;
  }

  void write_segment() override {
    std::vector<KeyedBatch> batches;
    for (uint64_t left = 1 + random_.below(5); left > 0; --left) {
      const auto id = static_cast<int64_t>(random_.below(kProducers));
      batches.push_back(random_.one_in(3) ? data(-1) : random_.one_in(3) ? marker(id) : data(id));
      end_ += batches.back().offsets();
    }
    segment(batches);
  }

  ActiveProducers live_producers() override {
    ActiveProducers live;
    for (const ProducerEntry& entry : state_.producers().entries()) {
      if (forgotten_.contains(entry.producer_id)) continue;
      live[entry.producer_id] = {entry.batches.empty() ? -1 : entry.batches.back().last_offset, entry.producer_epoch};
    }
    return live;
  }

  Values written_from(int64_t offset) const override {
    Values values;
    for (auto it = written_.lower_bound(offset); it != written_.end() && it->first < last_stable_offset(); ++it) {
      if (it->second.committed) values[it->second.key] = it->second.value;
    }
    return values;
  }

  // As a consumer with isolation.level=read_committed.
  Values read_from(int64_t begin) override {
    Values values;
    for (int64_t offset = begin; offset < last_stable_offset();) {
      auto part =
          store_->read_now(manifest_, offset, {static_cast<uint32_t>(1 + random_.below(1500)), last_stable_offset(), true});
      EXPECT_TRUE(part) << part.error().message;
      if (!part || part->next_offset <= offset || size_of(part->bytes) == 0) break;
      std::multimap<int64_t, int64_t> aborted;  // first offset -> producer
      for (const AbortedTransaction& one : part->aborted) aborted.emplace(one.first_offset, one.producer_id);
      std::set<int64_t> skipped;
      const std::vector<uint8_t> bytes = bytes_of(part->bytes);
      for (protocol::BatchSplitter split(bytes); split.next();) {
        const BatchInfo info = info_of(split.header(), split.batch());
        while (!aborted.empty() && aborted.begin()->first <= info.last_offset()) {
          skipped.insert(aborted.begin()->second);
          aborted.erase(aborted.begin());
        }
        if (info.control_type == BatchInfo::kAbort) skipped.erase(info.producer_id);
        if (info.control() || (info.transactional() && skipped.contains(info.producer_id))) continue;
        std::vector<FoundRecord> records;
        collect(split.batch(), records);
        for (const FoundRecord& record : records) {
          if (record.offset < begin) continue;
          const Written& origin = written_.at(record.offset);
          EXPECT_TRUE(origin.committed) << record.offset;
          EXPECT_EQ(record.key, origin.key);
          EXPECT_EQ(record.tombstone, !origin.value);
          values[record.key] = origin.value;
        }
      }
      offset = part->next_offset;
    }
    return values;
  }

  std::vector<std::pair<BatchHeader, BatchInfo>> all_batches() {
    std::vector<std::pair<BatchHeader, BatchInfo>> all;
    for (int64_t offset = 0; offset < manifest_.end_offset;) {
      auto part = store_->read_now(manifest_, offset, 1 << 20);
      EXPECT_TRUE(part) << part.error().message;
      if (!part || part->next_offset <= offset) break;
      const std::vector<uint8_t> bytes = bytes_of(part->bytes);
      for (protocol::BatchSplitter split(bytes); split.next();) {
        all.emplace_back(split.header(), info_of(split.header(), split.batch()));
      }
      offset = part->next_offset;
    }
    return all;
  }

  void check_producers() override {
    PartitionState rebuilt;
    for (const auto& [header, info] : all_batches()) rebuilt.apply(info, now_ms_);
    EXPECT_EQ(rebuilt.open_transactions(), state_.open_transactions());
    for (const ProducerEntry& entry : state_.producers().entries()) {
      if (forgotten_.contains(entry.producer_id)) continue;
      const ProducerEntry* const again = rebuilt.producers().find(entry.producer_id);
      ASSERT_NE(again, nullptr) << "producer " << entry.producer_id;
      EXPECT_EQ(again->producer_epoch, entry.producer_epoch) << "producer " << entry.producer_id;
      ASSERT_EQ(again->batches.empty(), entry.batches.empty()) << "producer " << entry.producer_id;
      if (!entry.batches.empty()) {
        EXPECT_EQ(again->batches.back(), entry.batches.back());
      }
    }
  }

  // Nobody needs more than the newest record of each key, and markers of transactions that have a batch.
  void check_shortness() {
    check_one_record_per_key();
    std::set<int64_t> with_batches;
    for (const auto& [header, info] : all_batches()) {
      if (info.next_offset() > manifest_.first_dirty_offset || !info.transactional()) continue;
      if (!info.control()) {
        with_batches.insert(info.producer_id);
        EXPECT_GT(header.record_count, 0);
      } else {
        EXPECT_EQ(with_batches.erase(info.producer_id), 1u) << "marker at " << info.base_offset;
      }
    }
    for (const SegmentInfo& segment : manifest_.segments) {
      if (segment.next_offset > manifest_.first_dirty_offset) continue;
      EXPECT_EQ(segment.aborted, 0u);
    }
  }

  const bool raises_epochs_ = random_.one_in(2);  // transaction version 2
  std::map<int64_t, Written> written_;
  std::map<int64_t, Producer> producers_;
  std::set<int64_t> forgotten_;
};

TEST_P(TransactionsProperty, ReadersOfCommittedRecordsSeeTheSame) {
  write_and_clean();
  if (HasFailure()) return;
  for (int64_t id = 0; id < kProducers; ++id) {
    segment({marker(id)});
    ++end_;
    forgotten_.insert(id);
  }
  for (int round = 0; round < 40; ++round) {
    now_ms_ += 2'000;
    written_[end_++] = {"filler", "x", true};  // so that there is something to clean
    put("filler", "x");
    clean_here();
    check_reader(0);
    if (HasFailure()) return;
  }
  check_shortness();
  check_readers();
}

INSTANTIATE_TEST_SUITE_P(Seeds, TransactionsProperty, ::testing::Range<uint64_t>(1, 61));

}  // namespace
}  // namespace weir::storage::testing
