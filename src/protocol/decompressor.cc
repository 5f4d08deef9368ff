#include <lz4frame.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "protocol/compression.h"
#include "protocol/xerial.h"

namespace weir::protocol {
namespace {

// What LZ4's largest blocks and zstd's windows up to level 19 need is always there.
constexpr uint64_t kLeastMemory = 8 << 20;

class StoredCodec : public Decompressor::Codec {
 public:
  CompressionFault open(Bytes in, uint64_t& /*limit_bytes*/, uint64_t /*memory_bytes*/) override {
    rest_ = in;
    return CompressionFault::kNone;
  }
  CompressionFault read(MutableBytes out, size_t& produced) override {
    produced = std::min(out.size(), rest_.size());
    if (produced > 0) std::memcpy(out.data(), rest_.data(), produced);
    rest_ = rest_.subspan(produced);
    return CompressionFault::kNone;
  }
  uint64_t memory_bytes() const override { return 0; }

 private:
  Bytes rest_;
};

class GzipCodec : public Decompressor::Codec {
 public:
  ~GzipCodec() override {
    if (ready_) inflateEnd(&stream_);
  }
  CompressionFault open(Bytes in, uint64_t& /*limit_bytes*/, uint64_t /*memory_bytes*/) override {
    constexpr int kDetectHeader = 15 + 32;  // 32 KB window; gzip or zlib
    if (ready_ ? inflateReset(&stream_) != Z_OK : inflateInit2(&stream_, kDetectHeader) != Z_OK)
      return CompressionFault::kCorrupt;
    ready_ = true;
    finished_ = false;
    if (in.size() > std::numeric_limits<uInt>::max()) return CompressionFault::kCorrupt;
    stream_.next_in = const_cast<Bytef*>(in.data());
    stream_.avail_in = static_cast<uInt>(in.size());
    return CompressionFault::kNone;
  }
  CompressionFault read(MutableBytes out, size_t& produced) override {
    produced = 0;
    const auto room = static_cast<uInt>(std::min<size_t>(out.size(), std::numeric_limits<int32_t>::max()));
    stream_.next_out = out.data();
    stream_.avail_out = room;
    while (!finished_ && stream_.avail_out > 0) {
      const int status = inflate(&stream_, Z_NO_FLUSH);
      if (status == Z_STREAM_END) {
        // Members may follow each other; their contents are one. What is no member is passed over, as Java does.
        if (!member_follows()) finished_ = true;
        else if (inflateReset(&stream_) != Z_OK) return CompressionFault::kCorrupt;
      } else if (status != Z_OK) {
        return CompressionFault::kCorrupt;
      }
    }
    produced = room - stream_.avail_out;
    return CompressionFault::kNone;
  }
  uint64_t memory_bytes() const override { return 48 * 1024; }  // the window and tables, always the same

 private:
  // Java looks no further if there are too few bytes for the shortest member.
  bool member_follows() const {
    constexpr size_t kShortestMember = 18;
    return stream_.avail_in >= kShortestMember && stream_.next_in[0] == 0x1f && stream_.next_in[1] == 0x8b &&
           stream_.next_in[2] == Z_DEFLATED;
  }

  z_stream stream_{};
  bool ready_ = false;
  bool finished_ = true;
};

class SnappyCodec : public Decompressor::Codec {
 public:
  CompressionFault open(Bytes in, uint64_t& limit_bytes, uint64_t memory_bytes) override {
    rest_ = in;
    block_.clear();
    position_ = 0;
    limit_ = std::min(limit_bytes, std::max(memory_bytes, kLeastMemory));
    if (in.size() >= xerial::kHeaderSize && std::equal(std::begin(xerial::kMagic), std::end(xerial::kMagic), in.begin())) {
      rest_ = rest_.subspan(xerial::kHeaderSize);
      return CompressionFault::kNone;
    }
    rest_ = {};
    return uncompress(in);  // plain snappy is one block
  }
  CompressionFault read(MutableBytes out, size_t& produced) override {
    produced = 0;
    while (produced < out.size()) {
      if (position_ == block_.size()) {
        if (rest_.empty()) break;
        if (const CompressionFault fault = next_block(); fault != CompressionFault::kNone) return fault;
        continue;
      }
      const size_t size = std::min(out.size() - produced, block_.size() - position_);
      std::memcpy(out.data() + produced, block_.data() + position_, size);
      produced += size;
      position_ += size;
    }
    return CompressionFault::kNone;
  }
  uint64_t memory_bytes() const override { return block_.capacity(); }

 private:
  CompressionFault next_block() {
    // A stream may follow another; its header's first bytes are no possible length.
    if (rest_.size() >= xerial::kHeaderSize && std::memcmp(rest_.data(), xerial::kMagic, sizeof xerial::kMagic) == 0) {
      rest_ = rest_.subspan(xerial::kHeaderSize);
      return CompressionFault::kNone;
    }
    if (rest_.size() < 4) return CompressionFault::kCorrupt;
    const auto size = load_be<uint32_t>(rest_.data());
    rest_ = rest_.subspan(4);
    if (size > rest_.size()) return CompressionFault::kCorrupt;
    const Bytes block = rest_.first(size);
    rest_ = rest_.subspan(size);
    return uncompress(block);
  }
  CompressionFault uncompress(Bytes block) {
    // A copy of 3 bytes makes at most 64, so a claim above this is a lie, and is not believed with memory.
    constexpr size_t kMostExpansion = 22;
    position_ = 0;
    block_.clear();
    const auto* data = reinterpret_cast<const char*>(block.data());
    size_t size = 0;
    if (!snappy::GetUncompressedLength(data, block.size(), &size)) return CompressionFault::kCorrupt;
    if (size > block.size() * kMostExpansion) return CompressionFault::kCorrupt;
    if (size > limit_) return CompressionFault::kTooLarge;
    block_.resize(size);
    const bool fine = snappy::RawUncompress(data, block.size(), reinterpret_cast<char*>(block_.data()));
    return fine ? CompressionFault::kNone : CompressionFault::kCorrupt;
  }

  Bytes rest_;
  std::vector<uint8_t> block_;
  size_t position_ = 0;
  uint64_t limit_ = 0;
};

class Lz4Codec : public Decompressor::Codec {
 public:
  Lz4Codec() {
    if (LZ4F_isError(LZ4F_createDecompressionContext(&context_, LZ4F_VERSION))) context_ = nullptr;
  }
  ~Lz4Codec() override { LZ4F_freeDecompressionContext(context_); }
  CompressionFault open(Bytes in, uint64_t& /*limit_bytes*/, uint64_t /*memory_bytes*/) override {
    if (context_ == nullptr) return CompressionFault::kCorrupt;
    LZ4F_resetDecompressionContext(context_);
    largest_block_ = std::max(largest_block_, block_size_of(in));
    rest_ = in;
    inside_ = true;  // no frame at all is not a valid input
    return CompressionFault::kNone;
  }
  CompressionFault read(MutableBytes out, size_t& produced) override {
    produced = 0;
    while (produced < out.size() && (!rest_.empty() || inside_)) {
      size_t room = out.size() - produced;
      size_t used = rest_.size();
      const size_t hint = LZ4F_decompress(context_, out.data() + produced, &room, rest_.data(), &used, nullptr);
      if (LZ4F_isError(hint)) return CompressionFault::kCorrupt;
      produced += room;
      rest_ = rest_.subspan(used);
      inside_ = hint != 0;
      if (room == 0 && used == 0) return CompressionFault::kCorrupt;  // cut short
    }
    return CompressionFault::kNone;
  }
  uint64_t memory_bytes() const override { return 2 * largest_block_; }  // one that comes and one that goes

 private:
  // As its descriptor says, after the magic number and the flags: 4 is 64 KiB, each more is four times as much.
  static uint64_t block_size_of(Bytes in) {
    constexpr size_t kDescriptorAt = 5;
    constexpr int kLargest = 7;
    if (in.size() <= kDescriptorAt) return 0;
    const int code = in[kDescriptorAt] >> 4 & kLargest;
    return uint64_t{1} << (2 * code + 8);
  }

  LZ4F_dctx* context_ = nullptr;
  uint64_t largest_block_ = 0;
  Bytes rest_;
  bool inside_ = false;
};

class ZstdCodec : public Decompressor::Codec {
 public:
  ZstdCodec() : context_(ZSTD_createDCtx()) {}
  ~ZstdCodec() override { ZSTD_freeDCtx(context_); }
  CompressionFault open(Bytes in, uint64_t& limit_bytes, uint64_t memory_bytes) override {
    if (context_ == nullptr || ZSTD_isError(ZSTD_DCtx_reset(context_, ZSTD_reset_session_and_parameters)))
      return CompressionFault::kCorrupt;
    // Of a window only as much is touched as comes out.
    const uint64_t memory = std::max(memory_bytes, kLeastMemory);
    if (window_of(in) > memory) {
      limit_bytes = std::min(limit_bytes, memory);
    } else if (const int log = std::bit_width(memory) - 1; log < kWindowLogMax) {
      if (ZSTD_isError(ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, log))) return CompressionFault::kCorrupt;
    }
    in_ = {in.data(), in.size(), 0};
    inside_ = true;
    return CompressionFault::kNone;
  }
  CompressionFault read(MutableBytes out, size_t& produced) override {
    ZSTD_outBuffer buffer{out.data(), out.size(), 0};
    produced = 0;
    while (buffer.pos < buffer.size && (in_.pos < in_.size || inside_)) {
      const size_t before_in = in_.pos;
      const size_t before_out = buffer.pos;
      const size_t hint = ZSTD_decompressStream(context_, &buffer, &in_);
      if (ZSTD_isError(hint)) {
        const bool large = ZSTD_getErrorCode(hint) == ZSTD_error_frameParameter_windowTooLarge;
        return large ? CompressionFault::kTooLarge : CompressionFault::kCorrupt;
      }
      inside_ = hint != 0;
      if (inside_ && in_.pos == before_in && buffer.pos == before_out) return CompressionFault::kCorrupt;  // cut short
    }
    produced = buffer.pos;
    return CompressionFault::kNone;
  }
  uint64_t memory_bytes() const override { return ZSTD_sizeof_DCtx(context_); }

 private:
  static constexpr int kWindowLogMax = 27;  // the library's own bound

  // The window of the first frame (RFC 8878, 3.1.1.1). The output's limit bounds those of later frames.
  static uint64_t window_of(Bytes in) {
    constexpr size_t kFlagsAt = 4, kWindowAt = 5;
    constexpr uint8_t kSingleSegment = 0x20;
    if (in.size() <= kWindowAt) return 0;
    if ((in[kFlagsAt] & kSingleSegment) != 0) {
      const unsigned long long content = ZSTD_getFrameContentSize(in.data(), in.size());
      return content == ZSTD_CONTENTSIZE_ERROR || content == ZSTD_CONTENTSIZE_UNKNOWN ? 0 : content;
    }
    const uint64_t base = uint64_t{1} << (10 + (in[kWindowAt] >> 3));
    return base + base / 8 * (in[kWindowAt] & 7);
  }

  ZSTD_DCtx* context_;
  ZSTD_inBuffer in_{};
  bool inside_ = false;
};

std::unique_ptr<Decompressor::Codec> make_codec(CompressionType type) {
  switch (type) {
    case CompressionType::kNone:
      return std::make_unique<StoredCodec>();
    case CompressionType::kGzip:
      return std::make_unique<GzipCodec>();
    case CompressionType::kSnappy:
      return std::make_unique<SnappyCodec>();
    case CompressionType::kLz4:
      return std::make_unique<Lz4Codec>();
    case CompressionType::kZstd:
      return std::make_unique<ZstdCodec>();
  }
  return nullptr;
}

}  // namespace

Decompressor::Decompressor() = default;
Decompressor::~Decompressor() = default;

void Decompressor::open(CompressionType type, Bytes in, uint64_t limit_bytes, uint64_t memory_bytes) {
  fault_ = CompressionFault::kNone;
  current_ = nullptr;
  const auto index = static_cast<size_t>(type);
  if (index >= kCompressionTypes) {
    fault_ = CompressionFault::kUnknownType;
    return;
  }
  if (codecs_[index] == nullptr) codecs_[index] = make_codec(type);
  current_ = codecs_[index].get();
  fault_ = current_->open(in, limit_bytes, memory_bytes);
  left_ = limit_bytes;
}

void Decompressor::trim(uint64_t kept_bytes) {
  current_ = nullptr;
  for (auto& codec : codecs_) {
    if (codec != nullptr && codec->memory_bytes() > kept_bytes) codec.reset();
  }
}

size_t Decompressor::read(MutableBytes out) {
  if (fault_ != CompressionFault::kNone || current_ == nullptr || out.empty()) return 0;
  // At the limit one more byte is asked for, to tell an input that ends there from one that goes on.
  uint8_t beyond = 0;
  const bool at_limit = left_ == 0;
  const MutableBytes room = at_limit ? MutableBytes(&beyond, 1) : out.first(std::min<uint64_t>(out.size(), left_));
  size_t produced = 0;
  fault_ = current_->read(room, produced);
  if (fault_ != CompressionFault::kNone) return 0;
  if (at_limit) {
    if (produced > 0) fault_ = CompressionFault::kTooLarge;
    return 0;
  }
  left_ -= produced;
  return produced;
}

CompressionFault Decompressor::decompress(CompressionType type, Bytes in, uint64_t limit_bytes, std::vector<uint8_t>& out,
                                          uint64_t memory_bytes) {
  constexpr size_t kFirstRoom = 16 * 1024;
  constexpr size_t kLargestRoom = 1024 * 1024;
  open(type, in, limit_bytes, memory_bytes);
  size_t room = std::clamp(in.size() * 2, kFirstRoom, kLargestRoom);
  while (fault_ == CompressionFault::kNone) {
    const size_t at = out.size();
    out.resize(at + room);
    const size_t produced = read(MutableBytes(out).subspan(at));
    out.resize(at + produced);
    if (produced == 0) break;
    room = std::clamp(out.size(), kFirstRoom, kLargestRoom);
  }
  return fault_;
}

}  // namespace weir::protocol
