#include "storage/log/partition_snapshot.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/crc32c.h"

namespace weir::storage {
namespace {

PartitionSnapshot example() {
  PartitionSnapshot state;
  PartitionManifest& manifest = state.manifest;
  for (size_t i = 0; i < 16; ++i) manifest.partition.topic.bytes[i] = static_cast<uint8_t>(i + 1);
  manifest.partition.index = 3;
  manifest.log_start_offset = 100;
  manifest.end_offset = 300;
  manifest.first_dirty_offset = 250;
  manifest.place = {1, 2};
  manifest.segments = {{.base_offset = 90,
                        .next_offset = 200,
                        .length = 5000,
                        .max_timestamp = 1'700'000'000'000,
                        .first_timestamp = -1,
                        .created_ms = 1'700'000'000'001,
                        .generation = 4,
                        .directory = 1,
                        .modified_ms = 1'700'000'000'002,
                        .times_known = true,
                        .aborted = 3,
                        .aborted_crc = 0x01020304},
                       {.base_offset = 210, .next_offset = 300, .length = 64, .age_known = true}};
  manifest.epochs = {{0, 0}, {5, 150}};
  state.producers = {{.producer_id = 7,
                      .producer_epoch = 1,
                      .coordinator_epoch = 2,
                      .last_timestamp = 8,
                      .transaction_first_offset = 299,
                      .batches = {}},
                     {.producer_id = 4000,
                      .producer_epoch = 0,
                      .last_timestamp = 9,
                      .batches = {{0, 9, 209, 9, 1'700'000'000'003}, {10, 10, 298, 0, -1}}}};
  return state;
}

std::string hex(Bytes bytes) {
  std::string text;
  for (const uint8_t byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

void restore_checksum(std::vector<uint8_t>& bytes) {
  const size_t body = bytes.size() - 4;
  store_be(bytes.data() + body, crc32c(Bytes(bytes).first(body)));
}

TEST(PartitionSnapshotTest, IsEncodedAsDocumented) {
  EXPECT_EQ(hex(encode_partition_snapshot(example())),
            "010102030405060708090a0b0c0d0e0f1006c801d804f403010202b4019003882780a0abfef9620182a0abfef96284a0abfe"
            "f9620401010301020304a403d804400101000000000200000000000200000aac02020e020410d60400c03e00011201020012"
            "a2031286a0abfef9621414d404000150045655");
}

TEST(PartitionSnapshotTest, ComesBackAsItWas) {
  EXPECT_EQ(*decode_partition_snapshot(encode_partition_snapshot(example())), example());
  const PartitionSnapshot empty;
  EXPECT_EQ(*decode_partition_snapshot(encode_partition_snapshot(empty)), empty);
  PartitionSnapshot extreme = example();
  extreme.manifest.partition.index = std::numeric_limits<int32_t>::max();
  extreme.manifest.end_offset = std::numeric_limits<int64_t>::max();
  extreme.manifest.segments.back().next_offset = std::numeric_limits<int64_t>::max();
  extreme.manifest.segments.front().length = std::numeric_limits<uint64_t>::max();
  extreme.manifest.segments.front().max_timestamp = std::numeric_limits<int64_t>::min();
  extreme.manifest.segments.front().generation = std::numeric_limits<uint32_t>::max();
  extreme.producers.front().producer_epoch = std::numeric_limits<int16_t>::max();
  EXPECT_EQ(*decode_partition_snapshot(encode_partition_snapshot(extreme)), extreme);
}

TEST(PartitionSnapshotTest, WhatIsCutShortOrChangedIsAnError) {
  const std::vector<uint8_t> good = encode_partition_snapshot(example());
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(decode_partition_snapshot(Bytes(good).first(size))) << size;
    std::vector<uint8_t> cut(good.begin(), good.begin() + static_cast<ptrdiff_t>(size));
    if (cut.size() < 5) continue;
    restore_checksum(cut);
    EXPECT_FALSE(decode_partition_snapshot(cut)) << size << ", with a checksum that fits";
  }
  for (size_t at = 0; at < good.size(); ++at) {
    for (const uint8_t mask : {0x01, 0x80, 0xff}) {
      std::vector<uint8_t> flipped = good;
      flipped[at] ^= mask;
      EXPECT_FALSE(decode_partition_snapshot(flipped)) << at;
    }
  }
  std::vector<uint8_t> longer = good;
  longer.insert(longer.end() - 4, 0);
  restore_checksum(longer);
  EXPECT_FALSE(decode_partition_snapshot(longer));
}

// Bytes with a checksum that fits are refused, or are the state that they encode.
TEST(PartitionSnapshotTest, ChangedBytesAreDecodedSafely) {
  const std::vector<uint8_t> good = encode_partition_snapshot(example());
  for (size_t at = 0; at + 4 < good.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::vector<uint8_t> changed = good;
      changed[at] = static_cast<uint8_t>(value);
      restore_checksum(changed);
      const auto state = decode_partition_snapshot(changed);
      if (!state) {
        EXPECT_EQ(state.error().code, ErrorCode::kCorrupt);
        continue;
      }
      EXPECT_EQ(*decode_partition_snapshot(encode_partition_snapshot(*state)), *state);
    }
  }
}

// A count for which there are too few bytes takes no memory.
TEST(PartitionSnapshotTest, CountsAreHeldAgainstTheBytesThatAreLeft) {
  std::vector<uint8_t> bytes = encode_partition_snapshot({});
  const size_t segments = bytes.size() - 4 - 3;  // three counts of 0 are last
  for (const size_t at : {segments, segments + 1, segments + 2}) {
    std::vector<uint8_t> many = bytes;
    many[at] = 0xff;
    many.insert(many.begin() + static_cast<ptrdiff_t>(at) + 1, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f});
    restore_checksum(many);
    EXPECT_FALSE(decode_partition_snapshot(many));
  }
}

TEST(PartitionSnapshotTest, AnotherVersionIsRefused) {
  std::vector<uint8_t> bytes = encode_partition_snapshot(example());
  bytes[0] = 2;
  restore_checksum(bytes);
  const auto state = decode_partition_snapshot(bytes);
  ASSERT_FALSE(state);
  EXPECT_NE(state.error().message.find("version"), std::string::npos);
}

TEST(PartitionSnapshotTest, PartsThatContradictEachOtherAreRefused) {
  const auto refused = [](auto change) {
    PartitionSnapshot state = example();
    change(state);
    return !decode_partition_snapshot(encode_partition_snapshot(state));
  };
  EXPECT_TRUE(refused([](PartitionSnapshot& state) { state.manifest.end_offset = 299; }));
  EXPECT_TRUE(refused([](PartitionSnapshot& state) { state.manifest.log_start_offset = -1; }));
  EXPECT_TRUE(refused([](PartitionSnapshot& state) { std::swap(state.manifest.segments[0], state.manifest.segments[1]); }));
  EXPECT_TRUE(refused([](PartitionSnapshot& state) { state.manifest.segments[0].next_offset = 211; }));
  EXPECT_TRUE(refused([](PartitionSnapshot& state) { state.manifest.segments[0].next_offset = 90; }));
  EXPECT_TRUE(refused([](PartitionSnapshot& state) { state.manifest.epochs[1].epoch = 0; }));
  EXPECT_TRUE(refused([](PartitionSnapshot& state) { state.producers[1].producer_id = 7; }));
  EXPECT_TRUE(refused([](PartitionSnapshot& state) { state.producers[1].batches[0].offset_delta = 300; }));
  EXPECT_TRUE(refused([](PartitionSnapshot& state) { state.producers[1].batches.assign(6, {}); }));
}

}  // namespace
}  // namespace weir::storage
