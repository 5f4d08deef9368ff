#include "storage/wal/chunk.h"

#include <charconv>
#include <cstring>

#include "base/check.h"
#include "base/crc32c.h"

namespace weir::storage {
namespace {

constexpr uint64_t kFileMagic = 0x57454952'57414C0A;     // "WEIRWAL\n"
constexpr uint32_t kChunkMagic = 0x57414C43;             // "WALC"
constexpr uint32_t kFooterMagic = 0x57414C47;            // "WALG"
constexpr uint32_t kFooterMagicOfVersion1 = 0x57414C46;  // "WALF"
constexpr uint32_t kFlagRecycled = 1;
constexpr size_t kFileHeaderCrcAt = 60;
constexpr size_t kChunkHeaderCrcAt = 60;

}  // namespace

void encode_file_header(const WalFileHeader& header, uint8_t* block) {
  std::memset(block, 0, kWalBlock);
  store_be(block, kFileMagic);
  store_be(block + 8, kWalFileVersion);
  store_be(block + 12, header.shard);
  store_be(block + 16, header.identity.incarnation);
  store_be(block + 24, header.identity.generation);
  store_be(block + 32, header.identity.salt);
  store_be(block + 40, header.file_bytes);
  store_be(block + 48, header.durable_before);
  store_be(block + 56, header.recycled ? kFlagRecycled : 0u);
  store_be(block + kFileHeaderCrcAt, crc32c({block, kFileHeaderCrcAt}));
}

std::optional<WalFileHeader> decode_file_header(Bytes block) {
  const uint8_t* p = block.data();
  if (block.size() < kWalBlock || load_be<uint64_t>(p) != kFileMagic) return std::nullopt;
  if (load_be<uint32_t>(p + kFileHeaderCrcAt) != crc32c({p, kFileHeaderCrcAt})) return std::nullopt;
  if (load_be<uint32_t>(p + 8) != kWalFileVersion) return std::nullopt;
  WalFileHeader header;
  header.shard = load_be<uint32_t>(p + 12);
  header.identity.incarnation = load_be<uint64_t>(p + 16);
  header.identity.generation = load_be<uint64_t>(p + 24);
  header.identity.salt = load_be<uint64_t>(p + 32);
  header.file_bytes = load_be<uint64_t>(p + 40);
  header.durable_before = load_be<uint64_t>(p + 48);
  header.recycled = (load_be<uint32_t>(p + 56) & kFlagRecycled) != 0;
  return header;
}

void encode_chunk_header(const ChunkHeader& header, uint8_t* out) {
  store_be(out, kChunkMagic);
  store_be(out + 4, header.version);
  store_be(out + 6, uint16_t{0});
  store_be(out + 8, header.file.incarnation);
  store_be(out + 16, header.file.generation);
  store_be(out + 24, header.file.salt);
  store_be(out + 32, header.number);
  store_be(out + 40, header.length);
  store_be(out + 44, header.block);
  store_be(out + 48, header.footer_offset);
  store_be(out + 52, header.footer_length);
  store_be(out + 56, header.footer_crc);
  store_be(out + kChunkHeaderCrcAt, crc32c({out, kChunkHeaderCrcAt}));
}

std::optional<ChunkHeader> decode_chunk_header(Bytes bytes) {
  const uint8_t* p = bytes.data();
  if (bytes.size() < kChunkHeaderBytes || load_be<uint32_t>(p) != kChunkMagic) return std::nullopt;
  if (load_be<uint32_t>(p + kChunkHeaderCrcAt) != crc32c({p, kChunkHeaderCrcAt})) return std::nullopt;
  ChunkHeader header;
  header.version = load_be<uint16_t>(p + 4);
  if (header.version == 0 || header.version > kChunkVersion) return std::nullopt;
  header.file.incarnation = load_be<uint64_t>(p + 8);
  header.file.generation = load_be<uint64_t>(p + 16);
  header.file.salt = load_be<uint64_t>(p + 24);
  header.number = load_be<uint64_t>(p + 32);
  header.length = load_be<uint32_t>(p + 40);
  header.block = load_be<uint32_t>(p + 44);
  header.footer_offset = load_be<uint32_t>(p + 48);
  header.footer_length = load_be<uint32_t>(p + 52);
  header.footer_crc = load_be<uint32_t>(p + 56);
  const bool consistent = header.number != 0 && header.block != 0 && header.length != 0 && header.length % kWalBlock == 0 &&
                          header.footer_offset >= kChunkHeaderBytes && header.footer_offset % 8 == 0 &&
                          header.footer_length >= footer_bytes(1, header.entry_bytes()) &&
                          uint64_t{header.footer_offset} + header.footer_length <= header.length &&
                          header.footer_length == footer_bytes(header.batch_count(), header.entry_bytes());
  if (!consistent) return std::nullopt;
  return header;
}

bool resembles_chunk_header(Bytes bytes, const WalFileIdentity& file) {
  // Two of the four fields are enough: a flipped bit damages one.
  if (bytes.size() < kChunkHeaderBytes) return false;
  const uint8_t* p = bytes.data();
  const int matches = (load_be<uint32_t>(p) == kChunkMagic) + (load_be<uint64_t>(p + 8) == file.incarnation) +
                      (load_be<uint64_t>(p + 16) == file.generation) + (load_be<uint64_t>(p + 24) == file.salt);
  return matches >= 2 && (load_be<uint32_t>(p) != 0 || load_be<uint64_t>(p + 24) != 0);
}

void encode_footer_entry(const FooterEntry& entry, uint8_t* out) {
  const BatchInfo& info = entry.info;
  std::memcpy(out, info.partition.topic.bytes.data(), 16);
  store_be(out + 16, info.partition.index);
  store_be(out + 20, info.leader_epoch);
  store_be(out + 24, info.base_offset);
  store_be(out + 32, info.last_offset_delta);
  store_be(out + 36, info.size);
  store_be(out + 40, entry.position);
  store_be(out + 44, entry.crc);
  store_be(out + 48, info.max_timestamp);
  store_be(out + 56, info.producer_id);
  store_be(out + 64, info.producer_epoch);
  store_be(out + 66, info.attributes);
  store_be(out + 68, info.base_sequence);
  store_be(out + 72, info.control_type);
  store_be(out + 74, info.transaction_version);
  store_be(out + 76, info.coordinator_epoch);
  store_be(out + 80, info.appended_ms);
}

namespace {

FooterEntry decode_footer_entry(const uint8_t* p, size_t bytes) {
  FooterEntry entry;
  BatchInfo& info = entry.info;
  std::memcpy(info.partition.topic.bytes.data(), p, 16);
  info.partition.index = load_be<int32_t>(p + 16);
  info.leader_epoch = load_be<int32_t>(p + 20);
  info.base_offset = load_be<int64_t>(p + 24);
  info.last_offset_delta = load_be<int32_t>(p + 32);
  info.size = load_be<uint32_t>(p + 36);
  entry.position = load_be<uint32_t>(p + 40);
  entry.crc = load_be<uint32_t>(p + 44);
  info.max_timestamp = load_be<int64_t>(p + 48);
  info.producer_id = load_be<int64_t>(p + 56);
  info.producer_epoch = load_be<int16_t>(p + 64);
  info.attributes = load_be<int16_t>(p + 66);
  info.base_sequence = load_be<int32_t>(p + 68);
  info.control_type = load_be<int16_t>(p + 72);
  info.transaction_version = load_be<int16_t>(p + 74);
  info.coordinator_epoch = load_be<int32_t>(p + 76);
  if (bytes > kFooterEntryBytesOfVersion1) info.appended_ms = load_be<int64_t>(p + 80);
  return entry;
}

}  // namespace

uint32_t encode_footer_header(uint64_t salt, ChunkNumber number, uint32_t offset, MutableBytes footer) {
  WEIR_CHECK(footer.size() >= kFooterHeaderBytes && (footer.size() - kFooterHeaderBytes) % kFooterEntryBytes == 0);
  uint8_t* p = footer.data();
  store_be(p, kFooterMagic);
  store_be(p + 8, salt);
  store_be(p + 16, number);
  store_be(p + 24, offset);
  store_be(p + 28, static_cast<uint32_t>((footer.size() - kFooterHeaderBytes) / kFooterEntryBytes));
  const uint32_t crc = crc32c(Bytes(footer).subspan(8));
  store_be(p + 4, crc);
  return crc;
}

std::optional<ChunkFooter> decode_footer(Bytes bytes) {
  const uint8_t* p = bytes.data();
  if (bytes.size() < kFooterHeaderBytes) return std::nullopt;
  const uint32_t magic = load_be<uint32_t>(p);
  if (magic != kFooterMagic && magic != kFooterMagicOfVersion1) return std::nullopt;
  const size_t entry_bytes = magic == kFooterMagic ? kFooterEntryBytes : kFooterEntryBytesOfVersion1;
  const uint32_t count = load_be<uint32_t>(p + 28);
  if (count == 0 || count > (bytes.size() - kFooterHeaderBytes) / entry_bytes) return std::nullopt;
  ChunkFooter footer;
  footer.bytes = footer_bytes(count, entry_bytes);
  if (load_be<uint32_t>(p + 4) != crc32c(bytes.subspan(8, footer.bytes - 8))) return std::nullopt;
  footer.salt = load_be<uint64_t>(p + 8);
  footer.number = load_be<uint64_t>(p + 16);
  footer.offset = load_be<uint32_t>(p + 24);
  footer.entries.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    footer.entries.push_back(decode_footer_entry(p + footer_bytes(i, entry_bytes), entry_bytes));
    // The code behind this adds offsets up.
    const BatchInfo& info = footer.entries.back().info;
    const bool possible =
        info.base_offset >= 0 && info.last_offset_delta >= 0 && info.base_offset <= INT64_MAX - 1 - info.last_offset_delta;
    if (!possible) return std::nullopt;
  }
  return footer;
}

bool batch_matches(const FooterEntry& entry, Bytes batch) {
  const uint8_t* p = batch.data();
  if (batch.size() != entry.info.size || batch.size() < kRecordBatchHeaderBytes) return false;
  return load_be<int64_t>(p) == entry.info.base_offset && load_be<uint32_t>(p + 8) == batch.size() - 12 &&
         load_be<int32_t>(p + 12) == entry.info.leader_epoch && p[16] == 2 && load_be<uint32_t>(p + 17) == entry.crc &&
         crc32c(batch.subspan(kRecordBatchCrcStart)) == entry.crc;
}

std::string wal_file_name(uint64_t generation, WalFileKind kind) {
  std::string name(16, '0');
  for (size_t i = 0; i < 16; ++i) name[15 - i] = "0123456789abcdef"[(generation >> (4 * i)) & 15];
  switch (kind) {
    case WalFileKind::kLog:
      return name + ".wal";
    case WalFileKind::kPreparing:
      return name + ".tmp";
    case WalFileKind::kSpare:
      return name + ".spare";
    case WalFileKind::kGivenUp:
      return name + ".lost";
  }
  return name;
}

std::optional<WalFileName> parse_wal_file_name(std::string_view name) {
  if (name.size() < 17) return std::nullopt;
  WalFileName parsed;
  const auto [end, error] = std::from_chars(name.data(), name.data() + 16, parsed.generation, 16);
  if (error != std::errc() || end != name.data() + 16) return std::nullopt;
  for (const WalFileKind kind : {WalFileKind::kLog, WalFileKind::kPreparing, WalFileKind::kSpare, WalFileKind::kGivenUp}) {
    parsed.kind = kind;
    if (name == wal_file_name(parsed.generation, kind)) return parsed;
  }
  return std::nullopt;
}

}  // namespace weir::storage
