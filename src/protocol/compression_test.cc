#include "protocol/compression.h"

#include <gtest/gtest.h>
#include <lz4frame.h>

#include <algorithm>
#include <random>
#include <string>

namespace weir::protocol {
namespace {

using Raw = std::vector<uint8_t>;
constexpr uint64_t kNoLimit = uint64_t{1} << 40;

Raw sample(size_t size) {
  std::mt19937 random(size);
  Raw out(size);
  for (size_t i = 0; i < size; ++i) out[i] = i % 3 == 0 ? static_cast<uint8_t>(random()) : static_cast<uint8_t>(i / 100);
  return out;
}

class Compression : public testing::TestWithParam<CompressionType> {};

TEST_P(Compression, RoundTrip) {
  Decompressor decompressor;
  for (const size_t size : {0, 1, 100, 32 * 1024, 32 * 1024 + 1, 3'000'000}) {
    const Raw in = sample(size);
    Raw compressed;
    ASSERT_TRUE(compress(GetParam(), in, compressed));
    Raw out = {0xee};
    ASSERT_EQ(decompressor.decompress(GetParam(), compressed, kNoLimit, out), CompressionFault::kNone) << size;
    EXPECT_EQ(Raw(out.begin() + 1, out.end()), in) << size;
  }
}

TEST_P(Compression, StreamsInSmallPieces) {
  const Raw in = sample(100'000);
  Raw compressed;
  ASSERT_TRUE(compress(GetParam(), in, compressed));
  Decompressor decompressor;
  decompressor.open(GetParam(), compressed, kNoLimit);
  Raw out;
  uint8_t piece[777];
  while (const size_t size = decompressor.read(piece)) out.insert(out.end(), piece, piece + size);
  EXPECT_EQ(decompressor.fault(), CompressionFault::kNone);
  EXPECT_EQ(out, in);
  EXPECT_EQ(decompressor.read(piece), 0u);
  EXPECT_EQ(decompressor.fault(), CompressionFault::kNone);
}

TEST_P(Compression, LimitIsExact) {
  const Raw in = sample(50'000);
  Raw compressed;
  ASSERT_TRUE(compress(GetParam(), in, compressed));
  Decompressor decompressor;
  Raw out;
  EXPECT_EQ(decompressor.decompress(GetParam(), compressed, in.size(), out), CompressionFault::kNone);
  out.clear();
  EXPECT_EQ(decompressor.decompress(GetParam(), compressed, in.size() - 1, out), CompressionFault::kTooLarge);
  EXPECT_LT(out.size(), in.size());
  out.clear();
  EXPECT_EQ(decompressor.decompress(GetParam(), compressed, kNoLimit, out), CompressionFault::kNone);
  EXPECT_EQ(out, in);
}

TEST_P(Compression, BombsAreBounded) {
  Raw compressed;
  ASSERT_TRUE(compress(GetParam(), Raw(64 << 20), compressed));
  Decompressor decompressor;
  Raw out;
  EXPECT_EQ(decompressor.decompress(GetParam(), compressed, 1 << 20, out), CompressionFault::kTooLarge);
  EXPECT_LE(out.size(), size_t{1} << 20);
  EXPECT_LE(out.capacity(), size_t{4} << 20);
}

TEST_P(Compression, TruncatedInputIsCorrupt) {
  if (GetParam() == CompressionType::kNone) return;
  const Raw in = sample(2000);
  Raw compressed;
  ASSERT_TRUE(compress(GetParam(), in, compressed));
  Decompressor decompressor;
  for (size_t size = 0; size < compressed.size(); ++size) {
    // A xerial header without blocks is an empty stream.
    if (GetParam() == CompressionType::kSnappy && size == 16) continue;
    const Raw prefix(compressed.begin(), compressed.begin() + static_cast<ptrdiff_t>(size));
    Raw out;
    EXPECT_EQ(decompressor.decompress(GetParam(), prefix, kNoLimit, out), CompressionFault::kCorrupt) << size;
  }
}

TEST_P(Compression, FlippedBitsNeverCrash) {
  const Raw in = sample(5000);
  Raw compressed;
  ASSERT_TRUE(compress(GetParam(), in, compressed));
  Decompressor decompressor;
  for (size_t i = 0; i < compressed.size(); ++i) {
    for (const uint8_t bit : {0x01, 0x80}) {
      Raw damaged = compressed;
      damaged[i] ^= bit;
      Raw out;
      decompressor.decompress(GetParam(), damaged, 1 << 20, out);
      ASSERT_LE(out.size(), size_t{1} << 20);
    }
  }
}

TEST_P(Compression, ConcatenatedStreamsAreOne) {
  const Raw in = sample(5000);
  Raw compressed;
  ASSERT_TRUE(compress(GetParam(), in, compressed));
  ASSERT_TRUE(compress(GetParam(), in, compressed));
  Raw twice = in;
  twice.insert(twice.end(), in.begin(), in.end());
  Decompressor decompressor;
  Raw out;
  EXPECT_EQ(decompressor.decompress(GetParam(), compressed, kNoLimit, out), CompressionFault::kNone);
  EXPECT_EQ(out, twice);
}

INSTANTIATE_TEST_SUITE_P(AllTypes, Compression,
                         testing::Values(CompressionType::kNone, CompressionType::kGzip, CompressionType::kSnappy,
                                         CompressionType::kLz4, CompressionType::kZstd));

TEST(CompressionTypes, PlainSnappyIsRead) {
  const Raw plain = {5, 4 << 2, 'h', 'e', 'l', 'l', 'o'};
  Decompressor decompressor;
  Raw out;
  EXPECT_EQ(decompressor.decompress(CompressionType::kSnappy, plain, 100, out), CompressionFault::kNone);
  EXPECT_EQ(as_string(out), "hello");
}

// A few bytes that claim four gigabytes must not be believed with memory.
TEST(CompressionTypes, SnappyLengthIsNotBelieved) {
  const Raw lie = {0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0};
  Decompressor decompressor;
  Raw out;
  EXPECT_EQ(decompressor.decompress(CompressionType::kSnappy, lie, kNoLimit, out), CompressionFault::kCorrupt);
}

TEST(CompressionTypes, WhatJavaDoesNotReadIsSeen) {
  const Raw in = sample(200'000);
  for (const CompressionType type : {CompressionType::kNone, CompressionType::kGzip, CompressionType::kSnappy,
                                     CompressionType::kLz4, CompressionType::kZstd}) {
    Raw out;
    ASSERT_TRUE(compress(type, in, out));
    EXPECT_TRUE(every_client_reads(type, out));
  }
  const auto lz4 = [&](LZ4F_blockMode_t mode, bool checks) {
    LZ4F_preferences_t preferences{};
    preferences.frameInfo.blockMode = mode;
    preferences.frameInfo.contentSize = checks ? in.size() : 0;
    preferences.frameInfo.contentChecksumFlag = checks ? LZ4F_contentChecksumEnabled : LZ4F_noContentChecksum;
    preferences.frameInfo.blockChecksumFlag = checks ? LZ4F_blockChecksumEnabled : LZ4F_noBlockChecksum;
    Raw out(LZ4F_compressFrameBound(in.size(), &preferences));
    out.resize(LZ4F_compressFrame(out.data(), out.size(), in.data(), in.size(), &preferences));
    return out;
  };
  EXPECT_TRUE(every_client_reads(CompressionType::kLz4, lz4(LZ4F_blockIndependent, true)));
  EXPECT_FALSE(every_client_reads(CompressionType::kLz4, lz4(LZ4F_blockLinked, false)));
  Raw frames = lz4(LZ4F_blockIndependent, false);
  const Raw one = frames;
  for (size_t size = 0; size < one.size(); size += 97) {
    EXPECT_FALSE(every_client_reads(CompressionType::kLz4, Bytes(one).first(size))) << size;
  }
  frames.insert(frames.end(), one.begin(), one.end());
  EXPECT_FALSE(every_client_reads(CompressionType::kLz4, frames));
  EXPECT_FALSE(every_client_reads(CompressionType::kGzip, Raw{0x78, 0x9c, 0x03, 0x00}));  // zlib's header
}

// As Java's GZIPInputStream; what looks like a member and is none is an error there too.
TEST(CompressionTypes, BytesBehindGzipAreNoError) {
  const Raw in = sample(5000);
  Raw compressed;
  ASSERT_TRUE(compress(CompressionType::kGzip, in, compressed));
  Decompressor decompressor;
  for (const size_t size : {1, 17, 18, 300}) {
    Raw with_rest = compressed;
    with_rest.resize(with_rest.size() + size, 0x77);
    Raw out;
    EXPECT_EQ(decompressor.decompress(CompressionType::kGzip, with_rest, kNoLimit, out), CompressionFault::kNone) << size;
    EXPECT_EQ(out, in);
  }
  Raw cut = compressed;
  cut.insert(cut.end(), compressed.begin(), compressed.end() - 20);
  Raw out;
  EXPECT_EQ(decompressor.decompress(CompressionType::kGzip, cut, kNoLimit, out), CompressionFault::kCorrupt);
}

TEST(CompressionTypes, PiecesAreCompressedAsOne) {
  const Raw in = sample(300'000);
  for (const CompressionType type : {CompressionType::kNone, CompressionType::kGzip, CompressionType::kSnappy,
                                     CompressionType::kLz4, CompressionType::kZstd}) {
    for (const size_t piece : {1'000u, 70'000u}) {
      Raw compressed;
      const auto compressor = make_compressor(type, compressed);
      for (Bytes rest = in; !rest.empty(); rest = rest.subspan(std::min(piece, rest.size()))) {
        ASSERT_TRUE(compressor->write(rest.first(std::min(piece, rest.size()))));
      }
      ASSERT_TRUE(compressor->finish());
      EXPECT_TRUE(every_client_reads(type, compressed));
      Decompressor decompressor;
      Raw out;
      ASSERT_EQ(decompressor.decompress(type, compressed, kNoLimit, out), CompressionFault::kNone);
      EXPECT_EQ(out, in);
    }
  }
}

TEST(CompressionTypes, UnknownTypesAndLevels) {
  Decompressor decompressor;
  Raw out;
  EXPECT_EQ(decompressor.decompress(static_cast<CompressionType>(5), {}, 1, out), CompressionFault::kUnknownType);
  EXPECT_FALSE(compress(static_cast<CompressionType>(5), {}, out));
  EXPECT_FALSE(compress(CompressionType::kGzip, {}, out, 10));
  EXPECT_FALSE(compress(CompressionType::kLz4, {}, out, 18));
  EXPECT_FALSE(compress(CompressionType::kZstd, {}, out, 23));
  EXPECT_TRUE(compress(CompressionType::kGzip, {}, out, 9));
}

}  // namespace
}  // namespace weir::protocol
