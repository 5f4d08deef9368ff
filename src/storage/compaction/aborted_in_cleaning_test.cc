// Aborted transactions in segments that are cleaned: their entries stay, and their records replace no value.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/compaction/compaction_fixture.h"
#include "storage/compaction/partition_cleaning.h"

namespace weir::storage::testing {
namespace {

using ::testing::ElementsAre;

class AbortedInCleaningTest : public CompactionTest {
 protected:
  // A segment of its own.
  void marker(const std::string& key, const AbortedTransaction& entry) {
    CheckpointPartition checkpoint;
    checkpoint.partition = partition_;
    checkpoint.epochs = {{3, 0}};
    checkpoint.segment_bytes = 1;
    add_abort(checkpoint, checkpoint_batch(partition_, encode({.records = {{key, "marker"}}}, next_offset_++)), entry);
    auto checkpointed = store_->checkpoint_now(checkpoints(std::move(checkpoint)));
    ASSERT_TRUE(checkpointed) << checkpointed.error().message;
    manifest_ = checkpointed->front();
  }
  std::vector<AbortedTransaction> aborted() {
    auto found = store_->read_now(manifest_, manifest_.segments.front().base_offset, {1 << 20, INT64_MAX, true});
    EXPECT_TRUE(found) << found.error().message;
    return found ? found->aborted : std::vector<AbortedTransaction>();
  }
};

TEST_F(AbortedInCleaningTest, TheEntriesOfAllSourcesStay) {
  put("a", "1");
  marker("m1", {5, 0, 1, 2});
  put("b", "1");
  put("a", "2");
  marker("m2", {6, 2, 4, 5});
  active();
  clean();
  ASSERT_EQ(manifest_.segments.size(), 2u);
  EXPECT_EQ(manifest_.segments[0].aborted, 2u);
  const auto both = ElementsAre(AbortedTransaction{5, 0, 1, 2}, AbortedTransaction{6, 2, 4, 5});
  EXPECT_THAT(aborted(), both);
  open();
  EXPECT_THAT(aborted(), both);
  put("a", "3");
  active();
  clean();
  EXPECT_THAT(aborted(), both) << "once more";
}

TEST_F(AbortedInCleaningTest, SegmentsThatNothingIsLeftOfStayForTheirEntries) {
  marker("a", {5, 0, 0, 1});
  put("a", "2");
  active();
  segment_bytes_ = 1;
  clean();
  EXPECT_THAT(aborted(), ElementsAre(AbortedTransaction{5, 0, 0, 1}));
  EXPECT_EQ(text(), "0:a=marker 1:a=2 2:active=x");
}

// The marker may be in no segment yet. Then the owner of the log knows the transaction.
TEST_F(AbortedInCleaningTest, AnAbortedRecordReplacesNoValue) {
  const auto transactional = [&](const std::string& key) {
    protocol::RecordBatchBuilder builder({.base_offset = next_offset_++,
                                          .partition_leader_epoch = 3,
                                          .producer_id = 5,
                                          .producer_epoch = 0,
                                          .base_sequence = 0,
                                          .transactional = true});
    const std::vector<protocol::RecordHeader> headers{{"trace", as_bytes("trace")}};
    builder.append(1000, as_bytes(key), as_bytes("aborted"), headers);
    const Bytes bytes = builder.finish();
    CheckpointPartition checkpoint;
    checkpoint.partition = partition_;
    checkpoint.epochs = {{3, 0}};
    checkpoint.segment_bytes = 1;
    checkpoint.batches.push_back(checkpoint_batch(partition_, {bytes.begin(), bytes.end()}));
    auto checkpointed = store_->checkpoint_now(checkpoints(std::move(checkpoint)));
    ASSERT_TRUE(checkpointed) << checkpointed.error().message;
    manifest_ = checkpointed->front();
  };
  put("a", "1");
  put("b", "1");
  transactional("a");
  marker("m", {5, 2, 3, 4});
  transactional("b");
  put("c", "1");
  active();
  CleaningInput in = input();
  in.aborted = {{5, 4, 9, 10}};
  PartitionCleaning cleaning(*store_, std::move(in), {});
  for (bool done = false; !done;) {
    auto step = cleaning.step(1 << 20);
    ASSERT_TRUE(step) << step.error().message;
    done = step->done;
  }
  auto replaced = store_->replace_now(cleaning.outcome());
  ASSERT_TRUE(replaced) << replaced.error().message;
  manifest_ = *replaced;
  EXPECT_EQ(text(), "0:a=1 1:b=1 2:a=aborted 3:m=marker 4:b=aborted 5:c=1 6:active=x");
}

TEST_F(AbortedInCleaningTest, ADamagedIndexStopsTheCleaning) {
  put("a", "1");
  marker("m1", {5, 0, 1, 2});
  put("a", "2");
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
