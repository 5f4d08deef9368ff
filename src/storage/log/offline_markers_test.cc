#include "storage/log/offline_markers.h"

#include <gtest/gtest.h>

#include "storage/segment/test_batches.h"
#include "testing/sim_runtime.h"

namespace weir::storage::testing {
namespace {

const PartitionId kId = partition_id(1);

class OfflineMarkersTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(sim_.disk().create_directories("/log")); }
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

}  // namespace
}  // namespace weir::storage::testing
