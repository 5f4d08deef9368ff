// The compression types of record batches, as Kafka's clients frame them: gzip, snappy in the blocks of the
// xerial library (plain snappy is read too), LZ4 frames of independent blocks, zstd.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "protocol/record_batch.h"

namespace weir::protocol {

enum class CompressionFault : uint8_t {
  kNone,
  kUnknownType,
  kCorrupt,   // not what the type says, or cut short
  kTooLarge,  // decompresses to more than the limit
};
std::string_view compression_fault_name(CompressionFault fault);

// Compresses the pieces written to it, at the end of a buffer that outlives it. False: it cannot go on.
class Compressor {
 public:
  virtual ~Compressor() = default;
  virtual bool write(Bytes in) = 0;
  virtual bool finish() = 0;
};
// nullptr if the level or type does not exist. `size`: of all that will be written, where it is known.
std::unique_ptr<Compressor> make_compressor(CompressionType type, std::vector<uint8_t>& out,
                                            std::optional<int> level = std::nullopt, std::optional<uint64_t> size = std::nullopt);

// Appends `in`, compressed, to `out`. `level` as in Kafka's compression.*.level; the codec's default if
// absent. Returns false if the level or type does not exist.
bool compress(CompressionType type, Bytes in, std::vector<uint8_t>& out, std::optional<int> level = std::nullopt);

// Whether clients of every language can open it, as far as the header tells. Java reads LZ4 only as one frame of independent
// blocks without a dictionary, and gzip only with gzip's own header; the libraries here read more.
bool every_client_reads(CompressionType type, Bytes compressed);

// Decompresses one input after the other; keeps the codecs' state for the next one, so keep one per thread.
// A codec's memory is bounded, whatever the input claims: by `memory_bytes`, or 9 MiB if that is less. Not thread-safe.
class Decompressor {
 public:
  Decompressor();
  ~Decompressor();
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;

  // Begins with `in`, which must stay in place. kTooLarge: more than `limit_bytes` would come out, or the codec would need more
  // than `memory_bytes`. That is a larger block of snappy, or a larger window of zstd if as much comes out.
  void open(CompressionType type, Bytes in, uint64_t limit_bytes, uint64_t memory_bytes = UINT64_MAX);
  // The next bytes; 0 at the end and on a fault. Never 0 before, if `out` is not empty.
  size_t read(MutableBytes out);
  CompressionFault fault() const { return fault_; }

  // All at once, appended to `out`.
  CompressionFault decompress(CompressionType type, Bytes in, uint64_t limit_bytes, std::vector<uint8_t>& out,
                              uint64_t memory_bytes = UINT64_MAX);
  // Gives back the memory of each codec that holds more than `kept_bytes`.
  void trim(uint64_t kept_bytes);

  // What one codec does between open() and the end; the Decompressor counts
  // against the limit, a codec uses it only to size its own memory.
  class Codec {
   public:
    virtual ~Codec() = default;
    // May lower the limit.
    virtual CompressionFault open(Bytes in, uint64_t& limit_bytes, uint64_t memory_bytes) = 0;
    // Fills `out` as far as the input goes and sets `produced`.
    virtual CompressionFault read(MutableBytes out, size_t& produced) = 0;
    virtual uint64_t memory_bytes() const = 0;  // held now
  };

 private:
  std::unique_ptr<Codec> codecs_[kCompressionTypes];
  Codec* current_ = nullptr;
  uint64_t left_ = 0;
  CompressionFault fault_ = CompressionFault::kNone;
};

}  // namespace weir::protocol
