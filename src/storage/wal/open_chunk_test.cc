#include "storage/wal/open_chunk.h"

#include <gtest/gtest.h>

#include "storage/wal/wal_fixture.h"

namespace weir::storage {
namespace {

constexpr size_t kPacked = 256 * 1024;
const WalFileIdentity kFile{11, 12, 13};

std::vector<uint8_t> gathered(const OpenChunk& chunk) {
  std::vector<uint8_t> all;
  for (const iovec& piece : chunk.pieces()) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(piece.iov_base) % kWalBlock, 0u);
    EXPECT_EQ(piece.iov_len % kWalBlock, 0u);
    const auto* bytes = static_cast<const uint8_t*>(piece.iov_base);
    all.insert(all.end(), bytes, bytes + piece.iov_len);
  }
  return all;
}

// Seals and addresses the chunk and reads it back; the batches must be those given.
void expect_readable(OpenChunk& chunk, const std::vector<TestBatch>& batches) {
  const uint64_t announced = chunk.length();
  chunk.seal();
  chunk.address(kFile, 7 * kWalBlock, 5);
  const std::vector<uint8_t> bytes = gathered(chunk);
  ASSERT_EQ(bytes.size(), announced);
  ASSERT_EQ(chunk.length(), announced);
  const auto header = decode_chunk_header(bytes);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->file, kFile);
  EXPECT_EQ(header->number, 5u);
  EXPECT_EQ(header->offset(), 7 * kWalBlock);
  EXPECT_EQ(header->batch_count(), batches.size());
  EXPECT_EQ(header->length, bytes.size());
  const auto footer = decode_footer(Bytes(bytes).subspan(header->footer_offset, header->footer_length));
  ASSERT_TRUE(footer);
  EXPECT_EQ(footer->offset, header->footer_offset);
  ASSERT_EQ(footer->entries.size(), batches.size());
  for (size_t i = 0; i < batches.size(); ++i) {
    const FooterEntry& entry = footer->entries[i];
    EXPECT_EQ(entry.info, batches[i].info);
    ASSERT_LE(entry.position + entry.info.size, bytes.size());
    const Bytes stored = Bytes(bytes).subspan(entry.position, entry.info.size);
    EXPECT_TRUE(batch_matches(entry, stored));
    EXPECT_TRUE(std::ranges::equal(stored, batches[i].bytes.bytes()));
  }
}

TEST(OpenChunk, ALoneSmallBatchTakesOneBlock) {
  PackedMemory memory(kPacked);
  for (const uint32_t size : {61u, 100u, 1000u, 3900u}) {
    OpenChunk chunk(memory);
    const TestBatch batch = make_batch(0, 0, size);
    const Slice placed = chunk.add(batch.info, batch.bytes);
    EXPECT_NE(placed.data, batch.bytes.data);
    EXPECT_TRUE(std::ranges::equal(placed.bytes(), batch.bytes.bytes()));
    EXPECT_EQ(chunk.length(), kWalBlock) << size;
    expect_readable(chunk, {batch});
  }
}

TEST(OpenChunk, LargeBatchesAreWrittenFromTheirFrame) {
  PackedMemory memory(kPacked);
  OpenChunk chunk(memory);
  // A frame with two adjacent batches that share a block, and one far behind.
  Buffer frame = Buffer::allocate(1 << 20);
  std::memset(frame.data(), 0x5a, frame.capacity());
  const TestBatch a = make_batch(0, 0, 70'001, frame, 123);
  const TestBatch b = make_batch(1, 0, 80'000, frame, 123 + 70'001);
  const TestBatch c = make_batch(2, 0, 90'000, frame, 500'000);
  const TestBatch small = make_batch(3, 0, 300);
  std::vector<uint8_t> before(frame.data(), frame.data() + frame.capacity());
  for (const TestBatch* batch : {&a, &b, &small, &c}) {
    const Slice placed = chunk.add(batch->info, batch->bytes);
    EXPECT_EQ(placed.data == batch->bytes.data, batch != &small);
  }
  expect_readable(chunk, {a, b, small, c});
  EXPECT_EQ(chunk.pieces().size(), 10u);                                // packed; of a, b and c two ends and a middle each
  EXPECT_TRUE(std::equal(before.begin(), before.end(), frame.data()));  // nothing in it was touched
}

// Batches of other shards lie around the batch. Those shards patch them while this chunk is being written.
TEST(OpenChunk, NothingAroundALargeBatchIsRead) {
  PackedMemory memory(kPacked);
  for (const size_t at : {size_t{0}, size_t{1}, size_t{4095}, size_t{4096}, size_t{123}}) {
    for (const uint32_t size : {65'537u, 69'632u, 69'631u, 70'000u}) {
      OpenChunk chunk(memory);
      Buffer frame = Buffer::allocate(1 << 18);
      std::memset(frame.data(), 0x5a, frame.capacity());
      const TestBatch batch = make_batch(0, 0, size, frame, at);
      chunk.add(batch.info, batch.bytes);
      expect_readable(chunk, {batch});
      for (const iovec& piece : chunk.pieces()) {
        const auto* from = static_cast<const uint8_t*>(piece.iov_base);
        if (from < frame.data() || from >= frame.data() + frame.capacity()) continue;
        EXPECT_GE(from, batch.bytes.data);
        EXPECT_LE(from + piece.iov_len, batch.bytes.data + size);
      }
      const std::vector<uint8_t> bytes = gathered(chunk);
      const uint64_t blocks = align_up(at + size, kWalBlock) - align_down(at, kWalBlock);
      ASSERT_EQ(bytes.size(), kWalBlock + blocks);
      const auto begin = bytes.begin() + static_cast<ptrdiff_t>(kWalBlock + at % kWalBlock);
      EXPECT_TRUE(std::all_of(bytes.begin() + kWalBlock, begin, [](uint8_t byte) { return byte == 0; }));
      EXPECT_TRUE(std::all_of(begin + size, bytes.end(), [](uint8_t byte) { return byte == 0; }));
    }
  }
}

TEST(OpenChunk, LargeBatchAddedBeforeItsLowerNeighbour) {
  PackedMemory memory(kPacked);
  OpenChunk chunk(memory);
  Buffer frame = Buffer::allocate(1 << 19);
  std::memset(frame.data(), 1, frame.capacity());
  const TestBatch low = make_batch(0, 0, 70'000, frame, 5000);
  const TestBatch high = make_batch(1, 0, 70'000, frame, 75'000);
  chunk.add(high.info, high.bytes);
  chunk.add(low.info, low.bytes);
  expect_readable(chunk, {high, low});
  EXPECT_EQ(chunk.pieces().size(), 7u);
}

TEST(OpenChunk, AnyMixtureReadsBackAndItsLengthIsKnownBefore) {
  testing::SeededRandom random(42);
  PackedMemory memory(kPacked);
  for (int round = 0; round < 200; ++round) {
    OpenChunk chunk(memory);
    std::vector<TestBatch> batches;
    std::vector<Slice> placed;
    const uint64_t count = 1 + random.next() % 40;
    for (uint64_t i = 0; i < count; ++i) {
      uint32_t size = 61 + static_cast<uint32_t>(random.next() % 2000);
      if (random.next() % 8 == 0) size = 61 + static_cast<uint32_t>(random.next() % 65'000);
      if (random.next() % 16 == 0) size = 65'537 + static_cast<uint32_t>(random.next() % 100'000);
      batches.push_back(make_batch(static_cast<int32_t>(i), static_cast<int64_t>(i), size));
      const uint64_t bound = chunk.length_with(size);
      placed.push_back(chunk.add(batches.back().info, batches.back().bytes));
      ASSERT_LE(chunk.length(), bound);
    }
    expect_readable(chunk, batches);
    for (size_t i = 0; i < batches.size(); ++i) {
      ASSERT_TRUE(std::ranges::equal(placed[i].bytes(), batches[i].bytes.bytes()));
    }
  }
}

TEST(OpenChunk, FooterLargerThanABuffer) {
  PackedMemory memory(kPacked);
  OpenChunk chunk(memory);
  std::vector<TestBatch> batches;
  for (int i = 0; i < 4000; ++i) {
    batches.push_back(make_batch(i, i, 61));
    chunk.add(batches.back().info, batches.back().bytes);
  }
  expect_readable(chunk, batches);
}

TEST(OpenChunk, IsReusable) {
  PackedMemory memory(kPacked);
  OpenChunk chunk(memory);
  for (int i = 0; i < 3; ++i) {
    const TestBatch batch = make_batch(i, i, 500);
    chunk.add(batch.info, batch.bytes);
    expect_readable(chunk, {batch});
    chunk.reset();
    EXPECT_TRUE(chunk.empty());
    EXPECT_EQ(chunk.length(), 0u);
  }
}

}  // namespace
}  // namespace weir::storage
