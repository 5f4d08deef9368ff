// The bytes of WAL files: file header, chunk header, footer. Grammar and worked example: docs/formats/wal.md.
//
// Only encodes and checks: nothing here reads or writes a file. All integers are big-endian.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "storage/types.h"
#include "storage/wal/wal.h"

namespace weir::storage {

inline constexpr size_t kWalBlock = 4096;
inline constexpr uint32_t kWalFileVersion = 1;
inline constexpr uint16_t kChunkVersion = 2;
inline constexpr size_t kChunkHeaderBytes = 64;
inline constexpr size_t kFooterHeaderBytes = 32;
inline constexpr size_t kFooterEntryBytes = 88;
inline constexpr size_t kFooterEntryBytesOfVersion1 = 80;  // without the time of the append
inline constexpr size_t kRecordBatchHeaderBytes = 61;      // smallest record batch: no records
inline constexpr size_t kRecordBatchCrcStart = 21;         // first byte that a record batch's own checksum covers

// Every chunk of a file repeats this identity, so that recovery takes nothing else for a chunk of the file: neither a stale chunk
// of a recycled file nor bytes that a client sent (a client cannot know the salt).
struct WalFileIdentity {
  uint64_t incarnation = 0;
  uint64_t generation = 0;
  uint64_t salt = 0;  // random, drawn when the file is prepared
  bool operator==(const WalFileIdentity&) const = default;
};

// The first block of a file. Durable before the first chunk is written.
struct WalFileHeader {
  WalFileIdentity identity;
  uint32_t shard = 0;
  bool recycled = false;  // stale bytes may follow the chunks instead of zeros
  uint64_t file_bytes = 0;
  ChunkNumber durable_before = 0;  // chunks up to this one were durable when the file was prepared
  bool operator==(const WalFileHeader&) const = default;
};

// Writes a whole block.
void encode_file_header(const WalFileHeader& header, uint8_t* block);
// Nothing unless magic, version and checksum are right.
std::optional<WalFileHeader> decode_file_header(Bytes block);

// The first bytes of a chunk.
struct ChunkHeader {
  WalFileIdentity file;
  ChunkNumber number = 0;
  uint32_t length = 0;         // of the whole chunk, a multiple of kWalBlock
  uint32_t block = 0;          // of the file where the chunk begins, from 1: a misdirected write is not taken for a chunk
  uint32_t footer_offset = 0;  // from the chunk's start, a multiple of 8
  uint32_t footer_length = 0;
  uint32_t footer_crc = 0;
  uint16_t version = kChunkVersion;
  bool operator==(const ChunkHeader&) const = default;
  uint64_t offset() const { return uint64_t{block} * kWalBlock; }
  size_t entry_bytes() const { return version == 1 ? kFooterEntryBytesOfVersion1 : kFooterEntryBytes; }
  uint32_t batch_count() const { return static_cast<uint32_t>((footer_length - kFooterHeaderBytes) / entry_bytes()); }
};

void encode_chunk_header(const ChunkHeader& header, uint8_t* out);
// Nothing unless magic, version, checksum and the relations between the lengths are right.
std::optional<ChunkHeader> decode_chunk_header(Bytes bytes);
// True if the bytes look like a chunk header of `file`, whatever the checksum says: at least two of magic, incarnation,
// generation and salt are right. With a wrong checksum they are a damaged header.
bool resembles_chunk_header(Bytes bytes, const WalFileIdentity& file);

// One batch of a chunk.
struct FooterEntry {
  BatchInfo info;
  uint32_t position = 0;  // of the batch, from the chunk's start
  uint32_t crc = 0;       // the batch's own checksum field: binds the batch to this entry
  bool operator==(const FooterEntry&) const = default;
};

// The footer repeats salt, chunk number and its own place, so that recovery finds it when the chunk's header is lost.
struct ChunkFooter {
  uint64_t salt = 0;
  ChunkNumber number = 0;
  uint32_t offset = 0;  // of the footer, from the chunk's start
  size_t bytes = 0;     // length of the footer
  std::vector<FooterEntry> entries;
};

constexpr size_t footer_bytes(size_t batch_count, size_t entry_bytes = kFooterEntryBytes) {
  return kFooterHeaderBytes + batch_count * entry_bytes;
}
void encode_footer_entry(const FooterEntry& entry, uint8_t* out);
// Fills the footer's header in front of entries that are in place already. Returns the footer's checksum.
uint32_t encode_footer_header(uint64_t salt, ChunkNumber number, uint32_t offset, MutableBytes footer);
// Nothing unless magic, checksum and count fit. `bytes` begins with the footer and may go on behind it.
std::optional<ChunkFooter> decode_footer(Bytes bytes);

// True if `batch` (entry.info.size bytes) is the batch that the entry names. Compares the fields outside the batch's checksum
// with the entry, and everything else with the checksum.
bool batch_matches(const FooterEntry& entry, Bytes batch);

// Names of files: `<16 hex digits>.wal`; `.tmp` in preparation; `.spare` while it waits to be recycled. An operator who gives up
// a `.wal` puts a `.lost` in its place.
enum class WalFileKind { kLog, kPreparing, kSpare, kGivenUp };
std::string wal_file_name(uint64_t generation, WalFileKind kind);
struct WalFileName {
  uint64_t generation = 0;
  WalFileKind kind = WalFileKind::kLog;
};
std::optional<WalFileName> parse_wal_file_name(std::string_view name);

}  // namespace weir::storage
