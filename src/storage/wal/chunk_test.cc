#include "storage/wal/chunk.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/crc32c.h"
#include "storage/wal/open_chunk.h"
#include "storage/wal/wal_fixture.h"

namespace weir::storage {
namespace {

std::string hex(Bytes bytes) {
  std::string out;
  for (const uint8_t byte : bytes) {
    out += "0123456789abcdef"[byte >> 4];
    out += "0123456789abcdef"[byte & 15];
  }
  return out;
}

std::vector<uint8_t> unhex(std::string_view text) {
  std::vector<uint8_t> out;
  for (size_t i = 0; i < text.size(); i += 2)
    out.push_back(static_cast<uint8_t>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  return out;
}

// The worked example of docs/formats/wal.md.
const WalFileIdentity kExampleFile{0x0102030405060708, 9, 0xa0a1a2a3a4a5a6a7};

TEST(ChunkFormat, FileHeaderIsTheDocumentedOne) {
  const WalFileHeader header{kExampleFile, 3, true, 67108864, 41};
  std::vector<uint8_t> block(kWalBlock, 0xff);
  encode_file_header(header, block.data());
  EXPECT_EQ(hex(Bytes(block).first(60)),
            "574549525"
            "7414c0a00000001000000030102030405060708"
            "0000000000000009a0a1a2a3a4a5a6a7"
            "0000000004000000000000000000002900000001");
  EXPECT_EQ(load_be<uint32_t>(block.data() + 60), crc32c(Bytes(block).first(60)));
  EXPECT_EQ(decode_file_header(block), header);
  for (size_t i = 64; i < kWalBlock; ++i) ASSERT_EQ(block[i], 0);
}

TEST(ChunkFormat, ChunkHeaderIsTheDocumentedOne) {
  const ChunkHeader header{kExampleFile, 42, 4096, 3, 168, 120, 0xdeadbeef};
  std::vector<uint8_t> bytes(kChunkHeaderBytes);
  encode_chunk_header(header, bytes.data());
  EXPECT_EQ(hex(Bytes(bytes).first(60)),
            "57414c430002000001020304050607080000000000000009a0a1a2a3a4a5a6a7"
            "000000000000002a0000100000000003000000a800000078deadbeef");
  EXPECT_EQ(decode_chunk_header(bytes), header);
}

TEST(ChunkFormat, FooterIsTheDocumentedOne) {
  FooterEntry entry{make_batch(5, 1000, 100).info, 64, 0x11223344};
  entry.info.attributes = 0x10;
  entry.info.control_type = 1;
  entry.info.coordinator_epoch = 6;
  entry.info.transaction_version = 2;
  entry.info.appended_ms = 1'700'000'000'005;
  std::vector<uint8_t> bytes(footer_bytes(1));
  encode_footer_entry(entry, bytes.data() + kFooterHeaderBytes);
  const uint32_t crc = encode_footer_header(kExampleFile.salt, 42, 168, bytes);
  EXPECT_EQ(crc, crc32c(Bytes(bytes).subspan(8)));
  EXPECT_EQ(hex(bytes), "57414c47" + hex(Bytes(bytes).subspan(4, 4)) +
                            "a0a1a2a3a4a5a6a7000000000000002a000000a800000001"
                            "0102030405060708090a0b0c0d0e0f100000000500000007"
                            "00000000000003e80000000200000064000000401122334"
                            "40000018bcfe56be80000000000000fa500010010000003e800010002000000060000018bcfe56805");
  const auto footer = decode_footer(bytes);
  ASSERT_TRUE(footer);
  EXPECT_EQ(footer->salt, kExampleFile.salt);
  EXPECT_EQ(footer->number, 42u);
  EXPECT_EQ(footer->offset, 168u);
  EXPECT_EQ(footer->entries, std::vector<FooterEntry>{entry});
}

// The chunk of the document: one batch with one record, value "hello".
TEST(ChunkFormat, ChunkIsTheDocumentedOne) {
  Buffer frame = Buffer::allocate(73);
  uint8_t* p = frame.data();
  store_be(p, int64_t{1000});
  store_be(p + 8, int32_t{61});
  store_be(p + 12, int32_t{7});
  p[16] = 2;
  store_be(p + 21, int16_t{0});
  store_be(p + 23, int32_t{0});
  store_be(p + 27, int64_t{1'700'000'000'000});
  store_be(p + 35, int64_t{1'700'000'000'000});
  store_be(p + 43, int64_t{-1});
  store_be(p + 51, int16_t{-1});
  store_be(p + 53, int32_t{-1});
  store_be(p + 57, int32_t{1});
  std::memcpy(p + 61, "\x16\0\0\0\x01\x0ahello\0", 12);
  store_be(p + 17, crc32c({p + 21, 52}));
  BatchInfo info;
  for (size_t i = 0; i < 16; ++i) info.partition.topic.bytes[i] = static_cast<uint8_t>(i + 1);
  info.partition.index = 5;
  info.leader_epoch = 7;
  info.base_offset = 1000;
  info.size = 73;
  info.max_timestamp = 1'700'000'000'000;
  info.appended_ms = 1'700'000'000'005;

  PackedMemory memory(64 * 1024);
  OpenChunk chunk(memory);
  chunk.add(info, {frame, p, 73});
  chunk.seal();
  chunk.address(kExampleFile, 3 * kWalBlock, 42);
  ASSERT_EQ(chunk.pieces().size(), 1u);
  ASSERT_EQ(chunk.pieces()[0].iov_len, kWalBlock);
  const Bytes block(static_cast<const uint8_t*>(chunk.pieces()[0].iov_base), kWalBlock);
  EXPECT_EQ(hex(block.first(64)),
            "57414c430002000001020304050607080000000000000009a0a1a2a3a4a5a6a7000000000000002a"
            "00001000000000030000009000000078bf1d9d6037e5e9bd");
  EXPECT_EQ(hex(block.subspan(64, 80)),
            "00000000000003e80000003d0000000702e641a44b0000000000000000018bcfe568000000018bcf"
            "e56800ffffffffffffffffffffffffffff0000000116000000010a68656c6c6f0000000000000000");
  EXPECT_EQ(hex(block.subspan(144, 120)),
            "57414c47bf1d9d60a0a1a2a3a4a5a6a7000000000000002a00000090000000010102030405060708"
            "090a0b0c0d0e0f10000000050000000700000000000003e8000000000000004900000040e641a44b"
            "0000018bcfe56800ffffffffffffffffffff0000ffffffffffff0000ffffffff0000018bcfe56805");
  for (size_t i = 264; i < kWalBlock; ++i) ASSERT_EQ(block[i], 0);
}

// The document's example of the time when footer entries had no time of the append.
TEST(ChunkFormat, Version1IsRead) {
  const std::vector<uint8_t> header = unhex(
      "57414c430001000001020304050607080000000000000009a0a1a2a3a4a5a6a7000000000000002a"
      "00001000000000030000009000000070da871cd6b2f05130");
  const auto read = decode_chunk_header(header);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->batch_count(), 1u);
  const std::vector<uint8_t> bytes = unhex(
      "57414c46da871cd6a0a1a2a3a4a5a6a7000000000000002a00000090000000010102030405060708"
      "090a0b0c0d0e0f10000000050000000700000000000003e8000000000000004900000040e641a44b"
      "0000018bcfe56800ffffffffffffffffffff0000ffffffffffff0000ffffffff");
  const auto footer = decode_footer(bytes);
  ASSERT_TRUE(footer);
  EXPECT_EQ(footer->bytes, bytes.size());
  ASSERT_EQ(footer->entries.size(), 1u);
  EXPECT_EQ(footer->entries[0].crc, 0xe641a44b);
  EXPECT_EQ(footer->entries[0].info.coordinator_epoch, -1);
  EXPECT_EQ(footer->entries[0].info.appended_ms, 0);
}

// The checksum is right all the same. Readers of a footer add offsets up.
TEST(ChunkFormat, AFooterWithImpossibleOffsetsIsDamaged) {
  const auto decodes = [](int64_t base_offset, int32_t last_offset_delta) {
    FooterEntry entry{make_batch(5, base_offset, 100).info, 64, 1};
    entry.info.last_offset_delta = last_offset_delta;
    std::vector<uint8_t> footer(footer_bytes(1));
    encode_footer_entry(entry, footer.data() + kFooterHeaderBytes);
    encode_footer_header(1, 42, 168, footer);
    return decode_footer(footer).has_value();
  };
  EXPECT_TRUE(decodes(0, 0));
  EXPECT_TRUE(decodes(INT64_MAX - 3, 2));
  EXPECT_FALSE(decodes(INT64_MAX - 2, 2));
  EXPECT_FALSE(decodes(INT64_MAX - 2, INT32_MAX));
  EXPECT_FALSE(decodes(-1, 2));
  EXPECT_FALSE(decodes(0, -1));
}

TEST(ChunkFormat, EveryFlippedBitIsNoticed) {
  std::vector<uint8_t> file(kWalBlock);
  encode_file_header({kExampleFile, 3, false, 65536, 0}, file.data());
  std::vector<uint8_t> header(kChunkHeaderBytes);
  encode_chunk_header({kExampleFile, 42, 4096, 1, 168, 120, 1}, header.data());
  std::vector<uint8_t> footer(footer_bytes(2));
  const TestBatch batch = make_batch(5, 1000, 100);
  const FooterEntry entry{batch.info, 64, load_be<uint32_t>(batch.bytes.data + 17)};
  encode_footer_entry(entry, footer.data() + kFooterHeaderBytes);
  encode_footer_entry(entry, footer.data() + kFooterHeaderBytes + kFooterEntryBytes);
  encode_footer_header(1, 42, 168, footer);
  std::vector<uint8_t> body(batch.bytes.data, batch.bytes.data + 100);
  ASSERT_TRUE(batch_matches(entry, body));
  for (int bit = 0; bit < 8; ++bit) {
    const auto mask = static_cast<uint8_t>(1 << bit);
    for (size_t i = 0; i < 64; ++i) {
      file[i] ^= mask;
      EXPECT_FALSE(decode_file_header(file)) << i;
      file[i] ^= mask;
      header[i] ^= mask;
      EXPECT_FALSE(decode_chunk_header(header)) << i;
      EXPECT_TRUE(resembles_chunk_header(header, kExampleFile)) << i;
      header[i] ^= mask;
    }
    for (size_t i = 0; i < footer.size(); ++i) {
      footer[i] ^= mask;
      EXPECT_FALSE(decode_footer(footer)) << i;
      footer[i] ^= mask;
    }
    for (size_t i = 0; i < body.size(); ++i) {
      body[i] ^= mask;
      EXPECT_FALSE(batch_matches(entry, body)) << i;
      body[i] ^= mask;
    }
  }
}

TEST(ChunkFormat, RefusesLengthsThatDoNotFit) {
  const ChunkHeader good{kExampleFile, 42, 4096, 1, 168, 120, 1};
  std::vector<uint8_t> bytes(kChunkHeaderBytes);
  const auto accepted = [&](ChunkHeader header) {
    encode_chunk_header(header, bytes.data());
    return decode_chunk_header(bytes).has_value();
  };
  EXPECT_TRUE(accepted(good));
  for (auto change : std::vector<void (*)(ChunkHeader&)>{
           [](ChunkHeader& h) { h.length = 0; }, [](ChunkHeader& h) { h.length = 4097; }, [](ChunkHeader& h) { h.number = 0; },
           [](ChunkHeader& h) { h.block = 0; }, [](ChunkHeader& h) { h.footer_length = 121; },
           [](ChunkHeader& h) { h.footer_length = 32; }, [](ChunkHeader& h) { h.footer_length = 0; },
           [](ChunkHeader& h) { h.footer_offset = 4000; }, [](ChunkHeader& h) { h.footer_offset = 0xfffffff8; },
           [](ChunkHeader& h) { h.footer_offset = 8; }, [](ChunkHeader& h) { h.footer_offset = 170; },
           [](ChunkHeader& h) { h.footer_length = 0xfffffff0; }}) {
    ChunkHeader bad = good;
    change(bad);
    EXPECT_FALSE(accepted(bad));
  }
  EXPECT_FALSE(decode_chunk_header(Bytes(bytes).first(63)));
  EXPECT_FALSE(decode_footer(Bytes(bytes).first(10)));
  EXPECT_FALSE(decode_file_header(Bytes(bytes)));
}

TEST(ChunkFormat, FileNames) {
  EXPECT_EQ(wal_file_name(0x1f, WalFileKind::kLog), "000000000000001f.wal");
  EXPECT_EQ(wal_file_name(UINT64_MAX, WalFileKind::kSpare), "ffffffffffffffff.spare");
  EXPECT_EQ(parse_wal_file_name("000000000000001f.tmp")->generation, 0x1fu);
  EXPECT_EQ(parse_wal_file_name("000000000000001f.tmp")->kind, WalFileKind::kPreparing);
  for (const char* bad :
       {"", "1f.wal", "000000000000001F.wal", "000000000000001f.wal2", "000000000000001f", "00000000000000-f.wal"}) {
    EXPECT_FALSE(parse_wal_file_name(bad)) << bad;
  }
}

}  // namespace
}  // namespace weir::storage
