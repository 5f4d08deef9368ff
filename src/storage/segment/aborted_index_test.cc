// The index of aborted transactions: its bytes, damage of every kind, and how it goes with its segment.
#include "storage/segment/aborted_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "storage/segment/local_segment_store.h"
#include "storage/segment/segment_names.h"
#include "storage/segment/test_batches.h"
#include "testing/fake_clock.h"
#include "testing/manual_loop.h"

namespace weir::storage {
namespace {

using namespace storage::testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(AbortedIndexTest, AnEntryHasKafkasBytes) {
  const AbortedTransaction entry{0x0102, 3, 0x0405, 6};
  const std::vector<uint8_t> expected = {0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0,
                                         3, 0, 0, 0, 0, 0, 0, 4, 5, 0, 0, 0, 0, 0, 0, 0, 6};
  EXPECT_EQ(encode_aborted({&entry, 1}), expected);
  EXPECT_THAT(decode_aborted(Bytes(expected)), ElementsAre(entry));
}

// The example of docs/formats/segments.md.
TEST(AbortedIndexTest, TheRowHasTheChecksumOfAllEntries) {
  const AbortedTransaction entry{7, 100, 103, 101}, next{8, 101, 105, 106};
  SegmentInfo segment;
  add_aborted(segment, {&entry, 1});
  EXPECT_EQ(segment.aborted, 1u);
  EXPECT_EQ(segment.aborted_crc, 0xa2f004c2);
  add_aborted(segment, {&next, 1});
  SegmentInfo at_once;
  const AbortedTransaction both[] = {entry, next};
  add_aborted(at_once, both);
  EXPECT_EQ(segment, at_once);
}

TEST(AbortedIndexTest, WhatNobodyWritesIsRefused) {
  const AbortedTransaction sound{1, 2, 3, 4};
  for (const AbortedTransaction& wrong :
       {AbortedTransaction{-1, 2, 3, 4}, {1, -2, 3, 4}, {1, 4, 3, 4}, {1, 2, 3, -1}, {1, 2, -3, 4}}) {
    EXPECT_THAT(decode_aborted(Bytes(encode_aborted({&wrong, 1}))), IsEmpty());
  }
  const AbortedTransaction twice[] = {sound, sound};
  EXPECT_THAT(decode_aborted(Bytes(encode_aborted(twice))), ElementsAre(sound)) << "a marker ends one transaction";
  auto version = encode_aborted({&sound, 1});
  version[1] = 1;
  EXPECT_THAT(decode_aborted(Bytes(version)), IsEmpty());
}

class AbortedTransactionsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    set_log_sink([](LogLevel, std::string_view, std::string_view) {});
    ASSERT_TRUE(world_.files().create_directories("/log"));
    open();
  }
  ~AbortedTransactionsTest() override { set_log_sink({}); }
  void open() {
    store_.reset();
    auto opened = LocalSegmentStore::open(world_.files(), world_.pool(), clock_, {.log_dir = "/log"});
    ASSERT_TRUE(opened) << opened.error().message;
    store_ = std::move(*opened);
    auto loaded = store_->load();
    ASSERT_TRUE(loaded) << loaded.error().message;
    if (!loaded->empty()) manifest_ = loaded->front().manifest;
  }
  // Checkpoints batches up to `end`, with markers at the ends of `aborted`. Returns whether that worked.
  bool checkpoint(int64_t end, const std::vector<AbortedTransaction>& aborted, uint64_t segment_bytes = 1 << 20,
                  int64_t log_start = 0) {
    CheckpointPartition checkpoint;
    checkpoint.partition = id_;
    checkpoint.epochs = {{0, 0}};
    checkpoint.segment_bytes = segment_bytes;
    checkpoint.log_start_offset = log_start;
    for (int64_t at = manifest_.end_offset; at < end; ++at) {
      const auto entry = std::ranges::find(aborted, at, &AbortedTransaction::last_offset);
      auto batch = make_batch(id_, {.base_offset = at});
      if (entry != aborted.end()) add_abort(checkpoint, std::move(batch), *entry);
      else checkpoint.batches.push_back(std::move(batch));
    }
    auto checkpointed = store_->checkpoint_now(checkpoints(std::move(checkpoint)));
    if (checkpointed) manifest_ = checkpointed->front();
    return checkpointed.has_value();
  }
  // Reads as a reader of committed records does.
  Result<SegmentRead> read(int64_t offset, uint32_t bytes = 1 << 20, int64_t end = INT64_MAX) {
    return store_->read_now(manifest_, offset, {bytes, end, true});
  }
  std::vector<AbortedTransaction> aborted(int64_t offset, uint32_t bytes = 1 << 20, int64_t end = INT64_MAX) {
    auto found = read(offset, bytes, end);
    EXPECT_TRUE(found) << found.error().message;
    return found ? found->aborted : std::vector<AbortedTransaction>();
  }
  std::string path(int64_t base_offset) const {
    return "/log/" + partition_folder_name(id_) + "/" + aborted_index_file_name(base_offset);
  }

  weir::testing::ManualLoop world_;
  weir::testing::FakeClock clock_;
  const PartitionId id_ = partition_id(1);
  std::unique_ptr<LocalSegmentStore> store_;
  PartitionManifest manifest_;
};

TEST_F(AbortedTransactionsTest, AReadNamesThoseThatItsRecordsMayBeOf) {
  const AbortedTransaction a{1, 0, 4, 2}, b{2, 2, 6, 7}, c{3, 8, 9, 10};
  ASSERT_TRUE(checkpoint(12, {a, b, c}));
  EXPECT_THAT(aborted(0), ElementsAre(a, b, c));
  EXPECT_THAT(aborted(4), ElementsAre(a, b, c)) << "a marker at the offset counts";
  EXPECT_THAT(aborted(5), ElementsAre(b, c));
  EXPECT_THAT(aborted(0, 1), ElementsAre(a)) << "b begins behind the one batch";
  EXPECT_THAT(aborted(0, 1 << 20, 8), ElementsAre(a, b)) << "c begins at the limit";
  EXPECT_THAT(aborted(10), IsEmpty());
  EXPECT_THAT(store_->read_now(manifest_, 0, 1 << 20)->aborted, IsEmpty()) << "nobody asked";
  open();
  EXPECT_THAT(aborted(0), ElementsAre(a, b, c));
}

TEST_F(AbortedTransactionsTest, MarkersInLaterSegmentsCount) {
  const AbortedTransaction a{1, 0, 5, 2}, b{2, 2, 7, 8}, c{3, 8, 9, 10};
  ASSERT_TRUE(checkpoint(12, {a, b, c}, 1));
  ASSERT_EQ(manifest_.segments.size(), 12u);
  EXPECT_THAT(aborted(1), ElementsAre(a));
  EXPECT_THAT(aborted(2), ElementsAre(a, b));
  EXPECT_THAT(aborted(6), ElementsAre(b));
  EXPECT_THAT(aborted(8), ElementsAre(c));
  EXPECT_EQ(manifest_.segments[5].aborted, 1u);
  EXPECT_EQ(manifest_.segments[4].aborted, 0u);
  EXPECT_FALSE(world_.disk().has(path(4))) << "made on first need";
}

TEST_F(AbortedTransactionsTest, CheckpointsAddToTheFileAndReadersSeeMore) {
  std::vector<AbortedTransaction> all;
  for (int64_t at = 1; at < 40; at += 2) {
    all.push_back({at % 3, at - 1, at, at + 1});
    ASSERT_TRUE(checkpoint(at + 1, {all.back()}));
    EXPECT_EQ(aborted(0), all);
  }
  EXPECT_EQ(world_.disk().contents(path(0)), encode_aborted(all));
  EXPECT_EQ(*store_->aborted_transactions(id_, manifest_.segments[0]), all);
}

TEST_F(AbortedTransactionsTest, ASecondReadNeedsNoDisk) {
  ASSERT_TRUE(checkpoint(6, {{1, 0, 3, 4}}));
  auto first = read(0, 1);
  ASSERT_TRUE(first);
  ASSERT_TRUE(world_.disk().remove(path(0)));
  bool got = false;
  store_->read(manifest_, first->next_offset, {1, INT64_MAX, true}, world_.loop(),
               [&](Result<SegmentRead> result) { got = result && result->aborted.size() == 1; });
  world_.run();
  EXPECT_TRUE(got);
}

TEST_F(AbortedTransactionsTest, WhatWasDeletedBeforeItsCheckpointLeavesNone) {
  const AbortedTransaction a{1, 0, 1, 2}, b{1, 4, 5, 6};
  ASSERT_TRUE(checkpoint(8, {a, b}, 1 << 20, 3));
  EXPECT_THAT(aborted(3), ElementsAre(b));
  EXPECT_EQ(manifest_.segments[0].aborted, 1u);
}

TEST_F(AbortedTransactionsTest, TheFileGoesWithItsSegment) {
  ASSERT_TRUE(checkpoint(4, {{1, 0, 1, 2}}, 1));
  ASSERT_TRUE(world_.disk().has(path(1)));
  ASSERT_TRUE(checkpoint(5, {}, 1, 3));
  EXPECT_FALSE(world_.disk().has(path(1)));
}

// A checkpoint ended between its files and its transaction. The bytes that it left do not exist.
TEST_F(AbortedTransactionsTest, BytesBehindTheLastEntryDoNotExist) {
  const AbortedTransaction a{1, 0, 1, 2}, b{1, 2, 3, 4}, c{2, 4, 5, 6};
  ASSERT_TRUE(checkpoint(2, {a}));
  const auto file = encode_aborted({&a, 1});
  for (const size_t torn : {size_t{1}, size_t{33}, size_t{34}, size_t{100}}) {
    auto longer = file;
    longer.resize(file.size() + torn, 0xff);
    ASSERT_TRUE((*world_.files().open(path(0), {.write = true}))->write_at(0, Bytes(longer)));
    open();
    EXPECT_THAT(aborted(0), ElementsAre(a));
  }
  ASSERT_TRUE(checkpoint(4, {b}));
  EXPECT_THAT(aborted(0), ElementsAre(a, b));
  ASSERT_TRUE(checkpoint(6, {c}));
  EXPECT_EQ(world_.disk().contents(path(0)).size(), 3 * kAbortedEntryBytes);
}

TEST_F(AbortedTransactionsTest, DamageOfAnyByteIsToldAndHarmsNoOtherReader) {
  ASSERT_TRUE(checkpoint(6, {{1, 0, 1, 2}, {2, 2, 4, 5}}));
  const auto sound = world_.disk().contents(path(0));
  const auto put = [&](const std::vector<uint8_t>& bytes) {
    auto file = world_.files().open(path(0), {.write = true, .create = true, .truncate = true});
    ASSERT_TRUE((*file)->write_at(0, Bytes(bytes)));
    open();
  };
  for (size_t at = 0; at < sound.size(); ++at) {
    auto damaged = sound;
    damaged[at] ^= 0x10;
    put(damaged);
    auto found = read(0);
    ASSERT_FALSE(found) << at;
    EXPECT_EQ(found.error().code, ErrorCode::kCorrupt);
    EXPECT_THAT(found.error().message, HasSubstr(path(0)));
    EXPECT_TRUE(store_->read_now(manifest_, 0, 1000)) << "others do not look at it";
  }
  auto shorter = sound;
  shorter.pop_back();
  put(shorter);
  EXPECT_THAT(read(0).error().message, HasSubstr("ends at 67 though 68 bytes of it are valid"));
  put(sound);
  EXPECT_TRUE(read(0));
}

// Later batches go to a new segment, so that one bad file does not hold up the rest.
TEST_F(AbortedTransactionsTest, AShortFileIsNotAddedTo) {
  ASSERT_TRUE(checkpoint(4, {{1, 0, 1, 2}}));
  ASSERT_TRUE((*world_.files().open(path(0), {.write = true}))->truncate(10));
  open();
  ASSERT_TRUE(checkpoint(6, {})) << "needs no index";
  EXPECT_EQ(manifest_.segments.size(), 1u);
  ASSERT_TRUE(checkpoint(8, {{1, 6, 7, 8}}));
  EXPECT_EQ(manifest_.segments.size(), 2u);
  EXPECT_THAT(aborted(6), ElementsAre(AbortedTransaction{1, 6, 7, 8}));
  EXPECT_FALSE(read(0));
}

TEST_F(AbortedTransactionsTest, EntriesAreThoseOfMarkersInTheCheckpoint) {
  EXPECT_FALSE(checkpoint(4, {{1, 3, 2, 3}})) << "begins behind its end";
  EXPECT_FALSE(checkpoint(4, {{-1, 0, 2, 3}}));
  CheckpointPartition checkpoint;
  checkpoint.partition = id_;
  checkpoint.epochs = {{0, 0}};
  checkpoint.batches.push_back(make_batch(id_, {}));
  checkpoint.aborted.push_back({1, 0, 0, 1});
  EXPECT_EQ(store_->checkpoint_now({checkpoint}).error().code, ErrorCode::kInvalid) << "no marker";
  checkpoint.aborted[0].last_offset = 7;
  EXPECT_EQ(store_->checkpoint_now({checkpoint}).error().code, ErrorCode::kInvalid) << "not in the checkpoint";
}

TEST_F(AbortedTransactionsTest, ASegmentHasSoManyAtMost) {
  SegmentInfo full;
  full.length = 100;
  full.times_known = true;
  full.aborted = kAbortedPerSegment - 1;
  const BatchInfo next = make_batch(id_, {}).info;
  EXPECT_FALSE(must_roll(full, next, 1 << 20, INT64_MAX));
  full.aborted = kAbortedPerSegment;
  EXPECT_TRUE(must_roll(full, next, 1 << 20, INT64_MAX));
}

}  // namespace
}  // namespace weir::storage
