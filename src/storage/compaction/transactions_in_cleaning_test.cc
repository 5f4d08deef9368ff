// Transactions in segments that are cleaned: records of aborted ones go at once, markers and entries when nobody needs them any
// more.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/compaction/compaction_fixture.h"
#include "storage/compaction/partition_cleaning.h"

namespace weir::storage::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kDeleteRetentionMs = 1000;  // of the fixture

class TransactionsInCleaningTest : public CompactionTest {
 protected:
  // Each batch is a segment of its own.
  void in_transaction(int64_t producer, const std::string& key, const std::string& value, int16_t epoch = 0) {
    segment({{.records = {{key, value}},
              .producer_id = producer,
              .producer_epoch = epoch,
              .base_sequence = sequences_[producer]++,
              .transactional = true}});
  }
  void marker(int64_t producer, bool commit, int16_t epoch = 0) {
    segment({{.producer_id = producer, .producer_epoch = epoch, .transactional = true, .commit = commit}});
  }
  // Something has to be dirty.
  void clean_again() {
    active();
    clean();
  }
  std::vector<AbortedTransaction> aborted() {
    std::vector<AbortedTransaction> all;
    for (const SegmentInfo& segment : manifest_.segments) {
      auto entries = store_->aborted_transactions(partition_, segment);
      EXPECT_TRUE(entries) << entries.error().message;
      if (entries) all.insert(all.end(), entries->begin(), entries->end());
    }
    return all;
  }
  // "offset" of a marker, with "h" if it has a delete horizon, or "e" if nothing of it is left but its header.
  std::vector<std::string> markers() {
    std::vector<std::string> all;
    for (const BatchHeader& header : batches()) {
      if (!header.control()) continue;
      all.push_back(std::to_string(header.base_offset) + (header.delete_horizon() ? "h" : header.record_count == 0 ? "e" : ""));
    }
    return all;
  }
  std::map<int64_t, int32_t> sequences_;
};

TEST_F(TransactionsInCleaningTest, RecordsOfAnAbortedOneGoAndReplaceNoValue) {
  put("a", "1");                      // 0
  in_transaction(5, "a", "aborted");  // 1
  marker(5, false);                   // 2
  in_transaction(5, "b", "1");        // 3
  marker(5, true);                    // 4
  active();                           // 5
  clean();
  EXPECT_EQ(text(), "0:a=1 3:b=1 5:active=x");
  EXPECT_THAT(markers(), ElementsAre("2", "4"));
  EXPECT_THAT(aborted(), ElementsAre(AbortedTransaction{5, 1, 2, 3})) << "its data was there until now";
}

TEST_F(TransactionsInCleaningTest, AnAbortMarkerGoesTwoCleaningsLater) {
  in_transaction(5, "a", "aborted");  // 0
  marker(5, false);                   // 1
  clean_again();                      // 2
  EXPECT_THAT(markers(), ElementsAre("1"));
  EXPECT_EQ(aborted().size(), 1u);
  clean_again();
  EXPECT_THAT(markers(), ElementsAre("1h"));
  EXPECT_THAT(aborted(), IsEmpty());
  EXPECT_EQ(batches()[0].base_timestamp, now_ms_ + kDeleteRetentionMs);
  now_ms_ += kDeleteRetentionMs - 1;
  clean_again();
  EXPECT_THAT(markers(), ElementsAre("1h"));
  EXPECT_EQ(batches()[0].base_timestamp, now_ms_ + 1) << "the horizon is not moved";
  ++now_ms_;
  clean_again();
  EXPECT_THAT(markers(), IsEmpty());
}

TEST_F(TransactionsInCleaningTest, ACommitMarkerStaysAsLongAsABatchOfItsTransaction) {
  in_transaction(5, "a", "1");  // 0
  in_transaction(5, "b", "1");  // 1
  marker(5, true);              // 2
  put("a", "2");                // 3
  clean_again();                // 4
  EXPECT_EQ(text(), "1:b=1 3:a=2 4:active=x");
  EXPECT_THAT(markers(), ElementsAre("2"));
  now_ms_ += 10 * kDeleteRetentionMs;
  clean_again();  // 5
  EXPECT_THAT(markers(), ElementsAre("2"));
  put("b", "2");  // 6
  clean_again();
  EXPECT_EQ(text(), "3:a=2 5:active=x 6:b=2 7:active=x") << "the last of its batches goes";
  EXPECT_THAT(markers(), ElementsAre("2"));
  clean_again();
  EXPECT_THAT(markers(), ElementsAre("2h"));
  now_ms_ += kDeleteRetentionMs;
  clean_again();
  EXPECT_THAT(markers(), IsEmpty());
}

// Each segment is a group, so each goes into a file of its own.
TEST_F(TransactionsInCleaningTest, ATransactionMayBeginInAnotherSegmentThanItsMarker) {
  segment_bytes_ = 1;
  in_transaction(5, "a", "aborted");    // 0
  in_transaction(6, "a", "committed");  // 1
  put("b", "1");                        // 2
  in_transaction(5, "b", "aborted");    // 3
  marker(6, true);                      // 4
  marker(5, false);                     // 5
  clean_again();                        // 6
  EXPECT_EQ(text(), "1:a=committed 2:b=1 6:active=x");
  EXPECT_THAT(markers(), ElementsAre("4", "5"));
  EXPECT_THAT(aborted(), ElementsAre(AbortedTransaction{5, 0, 5, 6}));
  open();
  now_ms_ += kDeleteRetentionMs;
  clean_again();
  EXPECT_THAT(markers(), ElementsAre("4", "5h"));
  EXPECT_THAT(aborted(), IsEmpty());
}

// Then the owner of the log knows the transaction.
TEST_F(TransactionsInCleaningTest, TheMarkerMayBeInNoSegmentYet) {
  put("a", "1");
  in_transaction(5, "a", "aborted");  // 1
  in_transaction(6, "a", "2");        // 2
  active();
  CleaningInput in = input();
  in.range = clean_range(manifest_, manifest_.end_offset, rules_, now_ms_);
  in.aborted = {{5, 1, 9, 10}};
  PartitionCleaning cleaning(*store_, std::move(in), {});
  const auto step = cleaning.step(1 << 20);
  ASSERT_TRUE(step && step->done);
  replace(cleaning.outcome());
  EXPECT_EQ(text(), "2:a=2 3:active=x");
}

TEST_F(TransactionsInCleaningTest, NothingOfAnOpenOneIsCleaned) {
  put("a", "1");
  in_transaction(5, "a", "2");
  put("a", "3");
  active();
  clean();
  EXPECT_EQ(text(), "0:a=1 1:a=2 2:a=3 3:active=x");
  marker(5, true);
  active();
  clean();
  EXPECT_EQ(text(), "2:a=3 3:active=x 5:active=x");
}

// A full map ends a cleaning within a segment, and the rest of the segment is written anew as well.
TEST_F(TransactionsInCleaningTest, TheUncleanedRestOfASegmentKeepsItsEntries) {
  const auto aborted_by = [](int64_t producer, int32_t sequence) -> KeyedBatch {
    return {.records = {{"x", "aborted"}},
            .producer_id = producer,
            .producer_epoch = 0,
            .base_sequence = sequence,
            .transactional = true};
  };
  const auto abort_of = [](int64_t producer) -> KeyedBatch {
    return {.producer_id = producer, .producer_epoch = 0, .transactional = true, .commit = false};
  };
  std::vector<KeyedBatch> batches{aborted_by(5, 0), abort_of(5)};  // 0, 1
  for (int i = 0; i < 40; ++i) batches.push_back({.records = {{"k" + std::to_string(i), "1"}}});
  batches.push_back(aborted_by(6, 0));  // 42
  batches.push_back(abort_of(6));       // 43
  segment(batches);
  active();
  limits_.map_bytes = 10 * OffsetMap::kEntryBytes;
  clean();
  EXPECT_LT(manifest_.first_dirty_offset, 40);
  EXPECT_THAT(aborted(), ElementsAre(AbortedTransaction{5, 0, 1, 2}, AbortedTransaction{6, 42, 43, 44}));
  EXPECT_THAT(markers(), ElementsAre("1", "43"));
  clean();
  EXPECT_THAT(aborted(), IsEmpty());
  EXPECT_THAT(markers(), ElementsAre("1h", "43h"));
}

// From it the log knows the epoch that the marker raised.
TEST_F(TransactionsInCleaningTest, TheLastMarkerOfALiveProducerWithoutBatchesStaysAsAHeader) {
  in_transaction(5, "a", "1");  // 0
  marker(5, true, 1);           // 1
  put("a", "2");
  active_producers_ = {{5, {-1, 1}}};
  clean_again();
  clean_again();
  now_ms_ += kDeleteRetentionMs;
  EXPECT_THAT(markers(), ElementsAre("1h"));
  for (int i = 0; i < 3; ++i) {
    clean_again();
    EXPECT_THAT(markers(), ElementsAre("1e"));
  }
  EXPECT_EQ(batches()[0].producer_epoch, 1);
  EXPECT_TRUE(batches()[0].transactional());
  active_producers_ = {{5, {-1, 2}}};
  clean_again();
  EXPECT_THAT(markers(), IsEmpty());
}

TEST_F(TransactionsInCleaningTest, TheLastBatchOfALiveProducerStaysAsAHeaderThoughItWasAborted) {
  put("a", "1");
  in_transaction(5, "a", "aborted");  // 1
  marker(5, false);                   // 2
  active_producers_ = {{5, {1, 0}}};
  for (int i = 0; i < 3; ++i) {
    clean_again();
    now_ms_ += kDeleteRetentionMs;
    EXPECT_EQ(batches()[1].base_offset, 1);
    EXPECT_EQ(batches()[1].record_count, 0);
    EXPECT_TRUE(batches()[1].transactional());
    EXPECT_THAT(markers(), ElementsAre("2")) << "a batch of its transaction is left";
    EXPECT_EQ(aborted().size(), 1u);
  }
  active_producers_.clear();
  clean_again();
  clean_again();
  now_ms_ += kDeleteRetentionMs;
  clean_again();
  EXPECT_THAT(markers(), IsEmpty());
  EXPECT_THAT(aborted(), IsEmpty());
}

TEST_F(TransactionsInCleaningTest, ADamagedIndexStopsTheCleaning) {
  in_transaction(5, "a", "aborted");  // 0
  marker(5, false);                   // 1
  active();
  const std::string path = "/log/" + partition_folder_name(partition_) + "/" + aborted_index_file_name(1);
  world_.disk().flip_bits(path, 5, 1);
  auto outcome = run_cleaning();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(outcome.error().message.find(path), std::string::npos);
}

}  // namespace
}  // namespace weir::storage::testing
