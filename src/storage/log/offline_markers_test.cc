#include "storage/log/offline_markers.h"

#include <gtest/gtest.h>

#include <map>

#include "storage/segment/segment_names.h"
#include "storage/segment/test_batches.h"
#include "testing/sim_runtime.h"

namespace weir::storage::testing {
namespace {

const PartitionId kId = partition_id(1), kOther = partition_id(2, 3);

class OfflineMarkersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(sim_.disk().create_directories("/log"));
    ASSERT_TRUE(sim_.disk().sync_directory("/"));
  }
  static std::vector<Slice> batches(const std::vector<int64_t>& offsets, size_t bytes = 100) {
    std::vector<Slice> all;
    for (const int64_t offset : offsets) all.push_back(make_batch(kId, {.base_offset = offset, .value_bytes = bytes}).bytes);
    return all;
  }
  static std::vector<uint8_t> bytes_of(const std::vector<Slice>& all) {
    std::vector<uint8_t> bytes;
    for (const Slice& one : all) bytes.insert(bytes.end(), one.data, one.data + one.size);
    return bytes;
  }
  std::vector<uint8_t> kept() {
    size_t size = 0;
    const auto memory = markers_.kept(kId, size);
    EXPECT_TRUE(memory);
    return memory ? std::vector<uint8_t>(memory->data(), memory->data() + size) : std::vector<uint8_t>();
  }

  std::map<PartitionId, OfflineMarker> loaded() {
    std::map<PartitionId, OfflineMarker> found;
    const auto all = markers_.load();
    EXPECT_TRUE(all);
    if (!all) return found;
    for (const OfflineMarker& one : *all) found.emplace(one.partition, one);
    return found;
  }
  static std::string path_of(const PartitionId& id) { return "/log/offline/" + partition_folder_name(id); }
  std::string text_of(const PartitionId& id) {
    const std::vector<uint8_t> bytes = sim_.disk().contents(path_of(id));
    return {bytes.begin(), bytes.end()};
  }
  // Writes a marker as an earlier version did.
  void write(const PartitionId& id, const std::string& text) {
    auto file = sim_.disk().open(path_of(id), {.write = true, .create = true, .truncate = true});
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->write_at(0, as_bytes(text)));
    ASSERT_TRUE((*file)->sync());
  }

  weir::testing::SimRuntime sim_{1};
  OfflineMarkers markers_{sim_.disk(), "/log"};
};

TEST_F(OfflineMarkersTest, WhatIsKeptIsAddedToInOrder) {
  EXPECT_TRUE(kept().empty());
  ASSERT_TRUE(markers_.keep(kId, batches({5, 6, 9})));
  ASSERT_TRUE(markers_.keep(kId, batches({4, 6, 7, 12})));
  EXPECT_EQ(kept(), bytes_of(batches({4, 5, 6, 7, 9, 12})));
}

TEST_F(OfflineMarkersTest, ABatchLargerThanTheWindowIsCopied) {
  ASSERT_TRUE(markers_.keep(kId, batches({5}, 200'000)));
  ASSERT_TRUE(markers_.keep(kId, batches({4})));
  std::vector<uint8_t> expected = bytes_of(batches({4}));
  const std::vector<uint8_t> large = bytes_of(batches({5}, 200'000));
  expected.insert(expected.end(), large.begin(), large.end());
  EXPECT_EQ(kept(), expected);
}

TEST_F(OfflineMarkersTest, ADamagedBatchIsKeptAnew) {
  ASSERT_TRUE(markers_.keep(kId, batches({5, 6, 7})));
  sim_.disk().flip_bits(markers_.kept_path(kId), batches({5}).front().size + 100, 1);
  ASSERT_TRUE(markers_.keep(kId, batches({5, 6, 7})));
  EXPECT_EQ(kept(), bytes_of(batches({5, 6, 7})));
}

TEST_F(OfflineMarkersTest, AMarkerSaysWhereTheRecordsWere) {
  ASSERT_TRUE(markers_.put(kId, "0.log ends early"));
  ASSERT_TRUE(markers_.put(kOther, "it lacks a chunk", OfflineKind::kWriteAheadLog));
  const auto found = loaded();
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found.at(kId).kind, OfflineKind::kSegment);
  EXPECT_EQ(found.at(kId).reason, "0.log ends early");
  EXPECT_EQ(found.at(kOther).kind, OfflineKind::kWriteAheadLog);
  EXPECT_EQ(found.at(kOther).reason, "it lacks a chunk");
  EXPECT_EQ(text_of(kOther), "damaged: write-ahead log\nit lacks a chunk");
}

TEST_F(OfflineMarkersTest, TheFirstMarkerOfAPartitionStays) {
  ASSERT_TRUE(markers_.put(kId, "first", OfflineKind::kWriteAheadLog));
  ASSERT_TRUE(markers_.put(kId, "second"));
  EXPECT_EQ(loaded().at(kId).kind, OfflineKind::kWriteAheadLog);
  EXPECT_EQ(loaded().at(kId).reason, "first");
  ASSERT_TRUE(markers_.remove(kId));
  EXPECT_TRUE(loaded().empty());
}

// A path may contain anything.
TEST_F(OfflineMarkersTest, OnlyTheReasonsOfEarlierVersionsTellWhereTheRecordsWere) {
  const std::string reason = "/data.wal/0.log ends early";
  ASSERT_TRUE(markers_.put(kId, reason));
  EXPECT_FALSE(loaded().at(kId).lost_in_write_ahead_log());
  ASSERT_TRUE(markers_.put(kOther, "it lacks a chunk", OfflineKind::kWriteAheadLog));
  EXPECT_TRUE(loaded().at(kOther).lost_in_write_ahead_log());
  for (const std::string& text : {reason, std::string("0.log ends early"), std::string()}) {
    ASSERT_TRUE(markers_.remove(kId));
    write(kId, text);
    EXPECT_EQ(loaded().at(kId).kind, OfflineKind::kUnknown);
    EXPECT_EQ(loaded().at(kId).lost_in_write_ahead_log(), text == reason) << text;
  }
}

TEST_F(OfflineMarkersTest, APowerCutLeavesAWholeMarkerOrNone) {
  bool whole = false;
  for (uint64_t cut = 1; cut <= 20 && !whole; ++cut) {
    SCOPED_TRACE(::testing::Message() << "cut at write " << cut);
    (void)sim_.disk().remove_all("/log/offline");
    ASSERT_TRUE(sim_.disk().sync_directory("/log"));
    sim_.disk().cut_at_write(cut);
    whole = markers_.put(kId, "why", OfflineKind::kWriteAheadLog).has_value();
    sim_.end_server(weir::testing::Death::kPowerCut);
    sim_.start_server();
    const auto found = loaded();
    if (whole || !found.empty()) {
      ASSERT_EQ(found.size(), 1u);
      EXPECT_EQ(found.at(kId).kind, OfflineKind::kWriteAheadLog);
      EXPECT_EQ(found.at(kId).reason, "why");
    }
  }
  EXPECT_TRUE(whole);
}

}  // namespace
}  // namespace weir::storage::testing
