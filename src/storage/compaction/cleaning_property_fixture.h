// Property tests of compaction: a random log that is cleaned at random points. After each step its readers and producers are
// compared with what was written.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "storage/compaction/compaction_fixture.h"
#include "testing/seeded_random.h"

namespace weir::storage::testing {

// A parameter is a seed.
class CleaningProperty : public CompactionTest, public ::testing::WithParamInterface<uint64_t> {
 protected:
  // The value of each key, as somebody knows it who read the log from an offset on. Nothing: the key is deleted.
  using Values = std::map<std::string, std::optional<std::string>>;

  // `stream` makes the random numbers of one test independent of those of others.
  explicit CleaningProperty(uint64_t stream) : random_(GetParam(), stream) {}

  void SetUp() override {
    CompactionTest::SetUp();
    limits_.map_bytes = random_.one_in(2) ? (20 + random_.below(40)) * OffsetMap::kEntryBytes : 1 << 20;
  }

  virtual void write_segment() = 0;              // moves end_
  virtual ActiveProducers live_producers() = 0;  // the cleaner knows of them
  virtual Values written_from(int64_t offset) const = 0;
  virtual Values read_from(int64_t offset) = 0;
  virtual void check_producers() = 0;

  void clean_here() {
    active_producers_ = live_producers();
    if (range().cleanable_bytes > 0) clean(1 + random_.below(5000));
  }
  void check_reader(int64_t offset) {
    const Values found = read_from(offset);
    for (const auto& [key, value] : written_from(offset)) {
      const auto at = found.find(key);
      const std::optional<std::string> seen = at == found.end() ? std::nullopt : at->second;
      ASSERT_EQ(seen, value) << key << " read from " << offset;
    }
  }
  void check_readers() {
    for (int64_t offset = 0; offset <= end_; offset += 3) check_reader(offset);
  }
  // Ends at the first failure.
  void write_and_clean() {
    for (int step = 0; step < 25 && !HasFailure(); ++step) {
      for (uint64_t i = random_.below(4); i > 0; --i) write_segment();
      now_ms_ += static_cast<int64_t>(random_.below(1500));
      if (random_.one_in(2)) clean_here();
      if (random_.one_in(6)) open();
      if (HasFatalFailure()) return;
      check_reader(0);
      check_reader(static_cast<int64_t>(random_.below(static_cast<uint64_t>(end_) + 1)));
      check_producers();
    }
  }
  void check_one_record_per_key() {
    std::map<std::string, int> per_key;
    for (const FoundRecord& record : read()) {
      if (record.offset < manifest_.first_dirty_offset) ++per_key[record.key];
    }
    for (const auto& [key, count] : per_key) EXPECT_EQ(count, 1) << key;
  }

  weir::testing::SeededRandom random_;
  int64_t end_ = 0;
};

}  // namespace weir::storage::testing
