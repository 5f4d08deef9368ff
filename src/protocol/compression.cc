#include "protocol/compression.h"

#include <lz4frame.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>

#include "protocol/xerial.h"

namespace weir::protocol {
namespace {

// Room at the end of a buffer, for a library that says how much of it was used.
class Room {
 public:
  Room(std::vector<uint8_t>& out, size_t bytes) : out_(out), at_(out.size()) { out.resize(at_ + bytes); }
  uint8_t* data() { return out_.data() + at_; }
  size_t size() const { return out_.size() - at_; }
  void used(size_t bytes) { out_.resize(at_ + bytes); }

 private:
  std::vector<uint8_t>& out_;
  const size_t at_;
};
constexpr size_t kLeastRoom = 4096;

class StoringCompressor : public Compressor {
 public:
  explicit StoringCompressor(std::vector<uint8_t>& out) : out_(out) {}
  bool write(Bytes in) override {
    out_.insert(out_.end(), in.begin(), in.end());
    return true;
  }
  bool finish() override { return true; }

 private:
  std::vector<uint8_t>& out_;
};

class GzipCompressor : public Compressor {
 public:
  GzipCompressor(std::vector<uint8_t>& out, std::optional<int> level) : out_(out) {
    constexpr int kGzipWindow = 15 + 16;  // 32 KB window, gzip header
    const int chosen = level.value_or(Z_DEFAULT_COMPRESSION);
    ready_ = chosen >= Z_DEFAULT_COMPRESSION && chosen <= Z_BEST_COMPRESSION &&
             deflateInit2(&stream_, chosen, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) == Z_OK;
  }
  ~GzipCompressor() override {
    if (ready_) deflateEnd(&stream_);
  }
  bool ready() const { return ready_; }
  bool write(Bytes in) override { return run(in, Z_NO_FLUSH); }
  bool finish() override { return run({}, Z_FINISH); }

 private:
  bool run(Bytes in, int flush) {
    stream_.next_in = const_cast<Bytef*>(in.data());
    stream_.avail_in = static_cast<uInt>(in.size());
    while (true) {
      Room room(out_, kLeastRoom + stream_.avail_in / 4);
      stream_.next_out = room.data();
      stream_.avail_out = static_cast<uInt>(room.size());
      const int status = deflate(&stream_, flush);
      room.used(room.size() - stream_.avail_out);
      if (flush == Z_FINISH ? status == Z_STREAM_END : stream_.avail_in == 0) return true;
      if (status != Z_OK) return false;
    }
  }

  std::vector<uint8_t>& out_;
  z_stream stream_{};
  bool ready_ = false;
};

class SnappyCompressor : public Compressor {
 public:
  explicit SnappyCompressor(std::vector<uint8_t>& out) : out_(out) {
    out.insert(out.end(), std::begin(xerial::kMagic), std::end(xerial::kMagic));
    append_be32(1);  // version
    append_be32(1);  // oldest version that can read it
  }
  bool write(Bytes in) override {
    while (!in.empty()) {
      const Bytes part = in.first(std::min(in.size(), xerial::kBlockSize - block_.size()));
      in = in.subspan(part.size());
      if (part.size() == xerial::kBlockSize) {
        put_block(part);
        continue;
      }
      block_.insert(block_.end(), part.begin(), part.end());
      if (block_.size() == xerial::kBlockSize) end_block();
    }
    return true;
  }
  bool finish() override {
    if (!block_.empty()) end_block();
    return true;
  }

 private:
  void append_be32(uint32_t value) {
    uint8_t raw[4];
    store_be(raw, value);
    out_.insert(out_.end(), raw, raw + 4);
  }
  void end_block() {
    put_block(block_);
    block_.clear();
  }
  void put_block(Bytes block) {
    Room room(out_, 4 + snappy::MaxCompressedLength(block.size()));
    size_t size = 0;
    snappy::RawCompress(reinterpret_cast<const char*>(block.data()), block.size(), reinterpret_cast<char*>(room.data() + 4),
                        &size);
    store_be(room.data(), static_cast<uint32_t>(size));
    room.used(4 + size);
  }

  std::vector<uint8_t>& out_;
  std::vector<uint8_t> block_;
};

class Lz4Compressor : public Compressor {
 public:
  Lz4Compressor(std::vector<uint8_t>& out, std::optional<int> level) : out_(out) {
    constexpr int kHighestLevel = 17;
    if (level && (*level < 1 || *level > kHighestLevel)) return;
    preferences_.frameInfo.blockSizeID = LZ4F_max64KB;
    preferences_.frameInfo.blockMode = LZ4F_blockIndependent;  // Java clients read no other
    preferences_.compressionLevel = level.value_or(0);
    if (LZ4F_isError(LZ4F_createCompressionContext(&context_, LZ4F_VERSION))) return;
    Room room(out_, LZ4F_HEADER_SIZE_MAX);
    ready_ = took(room, LZ4F_compressBegin(context_, room.data(), room.size(), &preferences_));
  }
  ~Lz4Compressor() override { LZ4F_freeCompressionContext(context_); }
  bool ready() const { return ready_; }
  bool write(Bytes in) override {
    constexpr size_t kPiece = 1 << 20;
    while (!in.empty()) {
      const Bytes part = in.first(std::min(in.size(), kPiece));
      in = in.subspan(part.size());
      Room room(out_, LZ4F_compressBound(part.size(), &preferences_));
      if (!took(room, LZ4F_compressUpdate(context_, room.data(), room.size(), part.data(), part.size(), nullptr))) return false;
    }
    return true;
  }
  bool finish() override {
    Room room(out_, LZ4F_compressBound(0, &preferences_));
    return took(room, LZ4F_compressEnd(context_, room.data(), room.size(), nullptr));
  }

 private:
  static bool took(Room& room, size_t size) {
    const bool fine = !LZ4F_isError(size);
    room.used(fine ? size : 0);
    return fine;
  }

  std::vector<uint8_t>& out_;
  LZ4F_preferences_t preferences_{};
  LZ4F_cctx* context_ = nullptr;
  bool ready_ = false;
};

class ZstdCompressor : public Compressor {
 public:
  ZstdCompressor(std::vector<uint8_t>& out, std::optional<int> level, std::optional<uint64_t> size)
      : out_(out), context_(ZSTD_createCCtx()) {
    const int chosen = level.value_or(ZSTD_CLEVEL_DEFAULT);
    ready_ = context_ != nullptr && chosen >= ZSTD_minCLevel() && chosen <= ZSTD_maxCLevel() &&
             !ZSTD_isError(ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, chosen)) &&
             !ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(context_, size.value_or(ZSTD_CONTENTSIZE_UNKNOWN)));
  }
  ~ZstdCompressor() override { ZSTD_freeCCtx(context_); }
  bool ready() const { return ready_; }
  bool write(Bytes in) override { return run(in, ZSTD_e_continue); }
  bool finish() override { return run({}, ZSTD_e_end); }

 private:
  bool run(Bytes in, ZSTD_EndDirective directive) {
    ZSTD_inBuffer from{in.data(), in.size(), 0};
    while (true) {
      Room room(out_, kLeastRoom + (from.size - from.pos) / 4);
      ZSTD_outBuffer to{room.data(), room.size(), 0};
      const size_t left = ZSTD_compressStream2(context_, &to, &from, directive);
      room.used(to.pos);
      if (ZSTD_isError(left)) return false;
      if (directive == ZSTD_e_end ? left == 0 : from.pos == from.size) return true;
    }
  }

  std::vector<uint8_t>& out_;
  ZSTD_CCtx* context_;
  bool ready_ = false;
};

template <typename T>
std::unique_ptr<Compressor> if_ready(std::unique_ptr<T> compressor) {
  return compressor->ready() ? std::move(compressor) : nullptr;
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
  constexpr uint8_t kReservedBits = 0x03, kContentChecksum = 0x04, kContentSize = 0x08, kBlockChecksum = 0x10,
                    kIndependent = 0x20;
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

std::unique_ptr<Compressor> make_compressor(CompressionType type, std::vector<uint8_t>& out, std::optional<int> level,
                                            std::optional<uint64_t> size) {
  switch (type) {
    case CompressionType::kNone:
      return std::make_unique<StoringCompressor>(out);
    case CompressionType::kGzip:
      return if_ready(std::make_unique<GzipCompressor>(out, level));
    case CompressionType::kSnappy:
      return std::make_unique<SnappyCompressor>(out);
    case CompressionType::kLz4:
      return if_ready(std::make_unique<Lz4Compressor>(out, level));
    case CompressionType::kZstd:
      return if_ready(std::make_unique<ZstdCompressor>(out, level, size));
  }
  return nullptr;
}

bool compress(CompressionType type, Bytes in, std::vector<uint8_t>& out, std::optional<int> level) {
  const auto compressor = make_compressor(type, out, level, in.size());
  return compressor != nullptr && compressor->write(in) && compressor->finish();
}

}  // namespace weir::protocol
