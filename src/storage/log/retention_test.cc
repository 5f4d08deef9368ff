// Retention and rolling of what is not checkpointed yet, beside a model of Kafka's log (UnifiedLog, LogSegment): the same records
// are kept whether they lie in segments or in the tail.
#include <vector>

#include "storage/log/log_shard_fixture.h"
#include "testing/seeded_random.h"

namespace weir::storage {
namespace {

// Kafka 4.4 on one replica.
class KafkaLog {
 public:
  explicit KafkaLog(int64_t created_ms) { segments_.push_back({.created_ms = created_ms, .modified_ms = created_ms}); }

  // UnifiedLog.maybeRoll, LogSegment.shouldRoll and append.
  void append(const BatchInfo& batch, const LogConfig& config, int64_t now_ms) {
    const Segment& active = segments_.back();
    const int64_t waited_ms =
        active.first_timestamp >= 0 ? batch.max_timestamp - active.first_timestamp : now_ms - active.created_ms;
    if (active.size + batch.size > config.segment_bytes || (active.size > 0 && waited_ms > config.roll_ms())) roll(now_ms);
    Segment& segment = segments_.back();
    if (segment.size == 0) {
      segment.first_timestamp = batch.max_timestamp;
      // Kafka's file may be there before its first record. Weir's segments begin with it; it matters to records without times
      // only.
      segment.created_ms = now_ms;
    }
    segment.size += batch.size;
    segment.max_timestamp = std::max(segment.max_timestamp, batch.max_timestamp);
    segment.modified_ms = now_ms;
    end_ = batch.next_offset();
  }

  // UnifiedLog.deleteOldSegments.
  void delete_old(const LogConfig& config, int64_t high_watermark, int64_t now_ms) {
    if (!config.cleanup_delete) return;
    if (config.retention_bytes >= 0 && size() >= static_cast<uint64_t>(config.retention_bytes)) {
      auto excess = static_cast<int64_t>(size()) - config.retention_bytes;
      delete_while(high_watermark, now_ms, [&](const Segment& segment) {
        if (excess < static_cast<int64_t>(segment.size)) return false;
        excess -= static_cast<int64_t>(segment.size);
        return true;
      });
    }
    if (config.retention_ms < 0) return;
    delete_while(high_watermark, now_ms, [&](const Segment& segment) {
      const int64_t largest = segment.max_timestamp >= 0 ? segment.max_timestamp : segment.modified_ms;
      return now_ms - largest > config.retention_ms;
    });
  }

  int64_t log_start() const { return segments_.front().base_offset; }
  uint64_t size() const {
    uint64_t total = 0;
    for (const Segment& segment : segments_) total += segment.size;
    return total;
  }
  size_t segments() const { return segments_.size(); }

 private:
  struct Segment {
    int64_t base_offset = 0;
    uint64_t size = 0;
    int64_t first_timestamp = -1;
    int64_t max_timestamp = -1;
    int64_t created_ms = 0;
    int64_t modified_ms = 0;
  };
  void roll(int64_t now_ms) {
    // An empty one that is rolled begins anew.
    if (segments_.back().size == 0) segments_.pop_back();
    segments_.push_back({.base_offset = end_, .created_ms = now_ms, .modified_ms = now_ms});
  }
  template <typename Predicate>
  void delete_while(int64_t high_watermark, int64_t now_ms, Predicate predicate) {
    size_t gone = 0;
    for (; gone < segments_.size(); ++gone) {
      const bool last = gone + 1 == segments_.size();
      const int64_t upper = last ? end_ : segments_[gone + 1].base_offset;
      if (high_watermark < upper || (last && segments_[gone].size == 0) || !predicate(segments_[gone])) break;
    }
    if (gone == segments_.size()) roll(now_ms);
    segments_.erase(segments_.begin(), segments_.begin() + static_cast<ptrdiff_t>(gone));
  }

  std::vector<Segment> segments_;
  int64_t end_ = 0;
};

class RetentionTest : public LogShardTest {
 protected:
  void set_config(const LogConfig& config) {
    config_ = config;
    shard_->set_config(partition_->id(), config);
  }
  int64_t now_ms() { return runtime_.clock->wall_ms(); }
  void append_at(int64_t timestamp, size_t bytes) {
    append(batch(1, {}, timestamp, bytes));
    kafka_.append(wal_->info_.back(), config_, now_ms());
  }
  void retain() {
    shard_->run_retention();
    kafka_.delete_old(config_, partition_->high_watermark(), now_ms());
    note_durable();
  }
  void note_durable() {
    ASSERT_TRUE(world_.run_until([&] { return partition_->pending_log_start() == partition_->log_start_offset(); }));
  }
  void expect_as_kafka() {
    EXPECT_EQ(partition_->log_start_offset(), kafka_.log_start());
    EXPECT_EQ(partition_->size_bytes(), kafka_.size());
  }
  void checkpoint_all() {
    bool checkpointed = false;
    shard_->checkpoint_all([&](Result<void> result) { checkpointed = result.has_value(); });
    ASSERT_TRUE(world_.run_until([&] { return checkpointed; }));
  }

  LogConfig config_;
  KafkaLog kafka_{runtime_.clock->wall_ms()};
};

TEST_F(RetentionTest, TimeReachesSegmentsThatAreNotCheckpointed) {
  LogShardOptions options;
  options.retention_check_interval_ms = 1000;
  open(options);
  LogConfig config;
  config.retention_ms = 3000;
  config.segment_ms = 1000;
  set_config(config);
  shard_->start_timers();
  const int64_t began_ms = now_ms();
  int64_t checked_s = 0;
  for (int i = 0; i < 28; ++i) {  // for 14 seconds, every half of one
    if (i > 0) world_.advance(501 * runtime::kMillisecond);
    if (const int64_t passed_s = (now_ms() - began_ms) / 1000; std::exchange(checked_s, passed_s) < passed_s) {
      kafka_.delete_old(config_, partition_->high_watermark(), began_ms + passed_s * 1000);
    }
    append_at(now_ms(), 8);
    wal_->complete();
  }
  EXPECT_EQ(partition_->high_watermark(), 28);
  EXPECT_EQ(partition_->manifest().end_offset, 0);  // nothing was checkpointed for it
  EXPECT_EQ(partition_->log_start_offset(), 20);
  EXPECT_EQ(kafka_.log_start(), 20);
  EXPECT_EQ(read(19).error, protocol::ErrorCode::kOffsetOutOfRange);
  EXPECT_GT(read(20).bytes, 0u);
}

TEST_F(RetentionTest, SizeReachesSegmentsThatAreNotCheckpointed) {
  LogConfig config;
  config.retention_bytes = 1'000'000;
  config.segment_bytes = 1 << 20;
  set_config(config);
  for (int i = 0; i < 14; ++i) append_at(now_ms(), 300'000 - 72);
  wal_->complete();
  ASSERT_EQ(wal_->info_.back().size, 300'000u);
  EXPECT_EQ(partition_->size_bytes(), 4'200'000u);
  retain();
  EXPECT_EQ(partition_->log_start_offset(), 9);
  EXPECT_EQ(partition_->size_bytes(), 1'500'000u);
  EXPECT_EQ(partition_->manifest().end_offset, 0);
  expect_as_kafka();
  // What was deleted does not count any more, and is not written when the rest is checkpointed.
  retain();
  EXPECT_EQ(partition_->log_start_offset(), 9);
  checkpoint_all();
  EXPECT_EQ(partition_->manifest().segments.front().base_offset, 9);
  EXPECT_EQ(partition_->size_bytes(), 1'500'000u);
}

TEST_F(RetentionTest, TheActiveSegmentGoesOnceAllOfItIsOld) {
  LogConfig config;
  config.retention_ms = 1000;
  set_config(config);
  append_at(now_ms(), 8);
  wal_->complete();
  checkpoint_all();  // one half of the active segment is checkpointed, the other is not
  world_.advance(900 * runtime::kMillisecond);
  append_at(now_ms(), 8);
  wal_->complete();
  world_.advance(900 * runtime::kMillisecond);
  retain();
  EXPECT_EQ(partition_->log_start_offset(), 0);
  world_.advance(200 * runtime::kMillisecond);
  append_at(now_ms() - 2000, 8);  // is not durable: the segment it is in stays
  retain();
  EXPECT_EQ(partition_->log_start_offset(), 0);
  wal_->complete();
  retain();
  EXPECT_EQ(partition_->log_start_offset(), 3);
  EXPECT_EQ(partition_->size_bytes(), 0u);
}

TEST_F(RetentionTest, RecordsWithoutTimesAreAsOldAsTheirAppend) {
  LogConfig config;
  config.retention_ms = 5000;
  config.segment_ms = 1000;
  set_config(config);
  append_at(-1, 8);
  world_.advance(3 * runtime::kSecond);
  append_at(-1, 8);
  wal_->complete();
  world_.advance(3 * runtime::kSecond);
  checkpoint_all();  // makes nothing younger
  EXPECT_EQ(partition_->manifest().segments.size(), 2u);
  retain();
  EXPECT_EQ(partition_->log_start_offset(), 1);
  expect_as_kafka();
}

TEST_F(RetentionTest, WhatIsAppendedWhileASegmentGoesIsNotPartOfIt) {
  LogConfig config;
  config.retention_ms = 1000;
  set_config(config);
  append_at(now_ms() - 5000, 8);
  wal_->complete();
  shard_->run_retention();
  kafka_.delete_old(config_, partition_->high_watermark(), now_ms());
  append_at(now_ms(), 8);  // before the deletion is durable
  wal_->complete();
  note_durable();
  EXPECT_EQ(partition_->log_start_offset(), 1);
  expect_as_kafka();
}

TEST_F(RetentionTest, OtherPoliciesKeepEverything) {
  LogConfig config;
  config.retention_ms = 0;
  config.retention_bytes = 0;
  config.cleanup_delete = false;
  set_config(config);
  append_at(now_ms() - 5000, 8);
  wal_->complete();
  retain();
  EXPECT_EQ(partition_->log_start_offset(), 0);
}

// Whatever is checkpointed when, durable when and checked when.
TEST_F(RetentionTest, KeepsWhatKafkaKeeps) {
  size_t rolled = 0, moved = 0;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    weir::testing::SeededRandom random(seed);
    open({});
    world_.advance(runtime::kSecond);  // a checkpoint of the last round may be under way
    store_.manifests_.clear();
    kafka_ = KafkaLog(now_ms());
    LogConfig config;
    config.segment_bytes = random.between(400, 2000);  // any batch fits
    config.segment_ms = static_cast<int64_t>(random.between(50, 2000));
    config.retention_ms = random.one_in(4) ? -1 : static_cast<int64_t>(random.between(0, 5000));
    config.retention_bytes = random.one_in(2) ? -1 : static_cast<int64_t>(random.between(0, 5000));
    set_config(config);
    const bool times = !random.one_in(4);
    for (int step = 0; step < 60; ++step) {
      switch (random.below(8)) {
        case 0:
          wal_->complete();
          checkpoint_all();
          break;
        case 1:
          if (!wal_->info_.empty() && wal_->durable_ > 0) wal_->end_file();
          break;
        case 2:
          retain();
          break;
        case 3:
          world_.advance(static_cast<int64_t>(random.between(1, 1500)) * runtime::kMillisecond);
          break;
        case 4:
          wal_->complete();
          break;
        default:
          append_at(times ? now_ms() - static_cast<int64_t>(random.below(1000)) : -1, random.below(300));
          break;
      }
      if (step % 8 == 7) {  // a checkpoint takes what is complete only
        wal_->complete();
        world_.advance(runtime::kMillisecond);
        retain();
        expect_as_kafka();
      }
      rolled += kafka_.segments() > 1;
    }
    moved += kafka_.log_start() > 0;
    if (HasFailure()) return;
  }
  EXPECT_GT(rolled, 1000u);
  EXPECT_GT(moved, 100u);
}

TEST_F(RetentionTest, WhatLooksLikeOneSegmentByItsNewestRecordIsTwo) {
  LogConfig config;
  config.cleanup_delete = false;
  config.cleanup_compact = true;
  config.max_compaction_lag_ms = 1000;
  set_config(config);
  const auto keyed = [&](int64_t timestamp) {
    protocol::RecordBatchBuilder builder;
    builder.append(timestamp, as_bytes("k"), Bytes());
    append(Slice::copy_of(builder.finish()));
  };
  for (const int64_t timestamp : {10'000, 12'000, 10'001}) keyed(timestamp);  // the second one rolled
  wal_->complete();
  std::vector<LogShard::Cleanable> cleanable;
  bool looked = false;
  shard_->find_cleanable([&](std::vector<LogShard::Cleanable> found) {
    cleanable = std::move(found);
    looked = true;
  });
  ASSERT_TRUE(world_.run_until([&] { return looked; }));
  EXPECT_EQ(partition_->manifest().segments.size(), 2u);
  ASSERT_EQ(cleanable.size(), 1u);
  EXPECT_TRUE(cleanable[0].due);
}

}  // namespace
}  // namespace weir::storage
