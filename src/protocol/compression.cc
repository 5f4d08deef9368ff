#include "protocol/compression.h"

#include <lz4frame.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>

#include "protocol/xerial.h"

namespace weir::protocol {
namespace {

constexpr int kGzipWindow = 15 + 16;  // 32 KB window, gzip header

bool compress_gzip(Bytes in, std::vector<uint8_t>& out, std::optional<int> level) {
  const int chosen = level.value_or(Z_DEFAULT_COMPRESSION);
  if (chosen < Z_DEFAULT_COMPRESSION || chosen > Z_BEST_COMPRESSION) return false;
  z_stream stream{};
  if (deflateInit2(&stream, chosen, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) != Z_OK) return false;
  const size_t start = out.size();
  out.resize(start + deflateBound(&stream, in.size()));
  stream.next_in = const_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = out.data() + start;
  stream.avail_out = static_cast<uInt>(out.size() - start);
  const int status = deflate(&stream, Z_FINISH);
  out.resize(start + stream.total_out);
  deflateEnd(&stream);
  return status == Z_STREAM_END;
}

void append_be32(std::vector<uint8_t>& out, uint32_t value) {
  uint8_t raw[4];
  store_be(raw, value);
  out.insert(out.end(), raw, raw + 4);
}

bool compress_snappy(Bytes in, std::vector<uint8_t>& out) {
  out.insert(out.end(), std::begin(xerial::kMagic), std::end(xerial::kMagic));
  append_be32(out, 1);  // version
  append_be32(out, 1);  // oldest version that can read it
  while (!in.empty()) {
    const Bytes block = in.first(std::min(in.size(), xerial::kBlockSize));
    in = in.subspan(block.size());
    const size_t at = out.size();
    out.resize(at + 4 + snappy::MaxCompressedLength(block.size()));
    size_t size = 0;
    snappy::RawCompress(reinterpret_cast<const char*>(block.data()), block.size(),
                        reinterpret_cast<char*>(out.data() + at + 4), &size);
    store_be(out.data() + at, static_cast<uint32_t>(size));
    out.resize(at + 4 + size);
  }
  return true;
}

bool compress_lz4(Bytes in, std::vector<uint8_t>& out, std::optional<int> level) {
  constexpr int kHighestLevel = 17;
  if (level && (*level < 1 || *level > kHighestLevel)) return false;
  LZ4F_preferences_t preferences{};
  preferences.frameInfo.blockSizeID = LZ4F_max64KB;
  preferences.frameInfo.blockMode = LZ4F_blockIndependent;  // Java clients read no other
  preferences.compressionLevel = level.value_or(0);
  const size_t start = out.size();
  out.resize(start + LZ4F_compressFrameBound(in.size(), &preferences));
  const size_t size =
      LZ4F_compressFrame(out.data() + start, out.size() - start, in.data(), in.size(), &preferences);
  if (LZ4F_isError(size)) return false;
  out.resize(start + size);
  return true;
}

bool compress_zstd(Bytes in, std::vector<uint8_t>& out, std::optional<int> level) {
  const int chosen = level.value_or(ZSTD_CLEVEL_DEFAULT);
  if (chosen < ZSTD_minCLevel() || chosen > ZSTD_maxCLevel()) return false;
  const size_t start = out.size();
  out.resize(start + ZSTD_compressBound(in.size()));
  const size_t size = ZSTD_compress(out.data() + start, out.size() - start, in.data(), in.size(), chosen);
  if (ZSTD_isError(size)) return false;
  out.resize(start + size);
  return true;
}

}  // namespace

std::string_view compression_fault_name(CompressionFault fault) {
  switch (fault) {
    case CompressionFault::kNone:
      return "no fault";
    case CompressionFault::kUnknownType:
      return "the compression type is unknown";
    case CompressionFault::kCorrupt:
      return "the compressed bytes are corrupt";
    case CompressionFault::kTooLarge:
      return "the bytes decompress to more than is allowed";
  }
  return "unknown fault";
}

namespace {

uint32_t load_le32(const uint8_t* p) {
  return uint32_t{p[0]} | uint32_t{p[1]} << 8 | uint32_t{p[2]} << 16 | uint32_t{p[3]} << 24;
}

// One frame, from its magic number to its end: https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md
bool is_plain_lz4_frame(Bytes in) {
  constexpr uint8_t kReservedBits = 0x03, kContentChecksum = 0x04, kContentSize = 0x08, kBlockChecksum = 0x10, kIndependent = 0x20;
  constexpr size_t kMagicBytes = 4, kDescriptorBytes = 3;
  constexpr uint32_t kNotCompressed = 1u << 31;
  if (in.size() < kMagicBytes + kDescriptorBytes || load_le32(in.data()) != 0x184d2204) return false;
  const uint8_t flags = in[kMagicBytes];
  if (flags >> 6 != 1 || (flags & kIndependent) == 0 || (flags & kReservedBits) != 0) return false;
  size_t at = kMagicBytes + kDescriptorBytes + (flags & kContentSize ? 8 : 0);
  while (at + 4 <= in.size()) {
    const size_t size = load_le32(in.data() + at) & ~kNotCompressed;
    at += 4;
    if (size == 0) return at + (flags & kContentChecksum ? 4 : 0) == in.size();
    if (size > in.size() - at) return false;
    at += size + (flags & kBlockChecksum ? 4 : 0);
  }
  return false;
}

}  // namespace

bool every_client_reads(CompressionType type, Bytes compressed) {
  switch (type) {
    case CompressionType::kGzip:
      return compressed.size() >= 2 && compressed[0] == 0x1f && compressed[1] == 0x8b;
    case CompressionType::kLz4:
      return is_plain_lz4_frame(compressed);
    default:
      return true;
  }
}

bool compress(CompressionType type, Bytes in, std::vector<uint8_t>& out, std::optional<int> level) {
  switch (type) {
    case CompressionType::kNone:
      out.insert(out.end(), in.begin(), in.end());
      return true;
    case CompressionType::kGzip:
      return compress_gzip(in, out, level);
    case CompressionType::kSnappy:
      return compress_snappy(in, out);
    case CompressionType::kLz4:
      return compress_lz4(in, out, level);
    case CompressionType::kZstd:
      return compress_zstd(in, out, level);
  }
  return false;
}

}  // namespace weir::protocol
