#include "storage/log/batch_preparation.h"

#include <fmt/core.h>

#include <cstring>
#include <optional>
#include <vector>

#include "protocol/compression.h"
#include "protocol/record_batch.h"
#include "storage/log/append_validation.h"

namespace weir::storage {

using protocol::BatchFault;
using protocol::BatchHeader;
using protocol::CompressionFault;
using protocol::CompressionType;
using protocol::ErrorCode;

namespace {

bool refuse(AppendResult& refusal, ErrorCode error, std::string message) {
  refusal.error = error;
  refusal.message = std::move(message);
  return false;
}

CompressionType stored_type(const BatchHeader& header, const LogConfig& config) {
  return config.compression.value_or(header.compression());
}

// Kafka's default level of lz4, 9, is its fast mode; our library's default is the same, its own 9 is not.
std::optional<int> level_of(CompressionType type, const LogConfig& config) {
  constexpr int kKafkasFastLz4 = 9;
  switch (type) {
    case CompressionType::kGzip:
      return config.compression_gzip_level;
    case CompressionType::kLz4:
      if (config.compression_lz4_level == kKafkasFastLz4) return std::nullopt;
      return config.compression_lz4_level;
    case CompressionType::kZstd:
      return config.compression_zstd_level;
    default:
      return std::nullopt;
  }
}

// A pool thread's means to open batches. They are kept: fresh memory costs more than most codecs.
struct Opener {
  static constexpr size_t kKeptBytes = 4 << 20;
  protocol::Decompressor decompressor;
  std::vector<uint8_t> plain;

  static Opener& of_thread() {
    thread_local Opener opener;
    return opener;
  }
  void trim() {
    if (plain.capacity() > kKeptBytes) std::vector<uint8_t>().swap(plain);  // an assignment of {} keeps the memory
  }
};

// Leaves the batch with its records uncompressed in `opener`. Its CRC is not set.
bool decompress_batch(Bytes batch, const BatchHeader& header, Opener& opener, AppendResult& refusal) {
  std::vector<uint8_t>& plain = opener.plain;
  plain.resize(BatchHeader::kSize);
  const CompressionFault fault = opener.decompressor.decompress(header.compression(), batch.subspan(BatchHeader::kSize),
                                                         kDecompressedBytesMax, plain);
  if (fault == CompressionFault::kTooLarge) {
    return refuse(refusal, ErrorCode::kMessageTooLarge,
                  fmt::format("The records of the batch decompress to more than {} MiB; send smaller batches",
                              kDecompressedBytesMax >> 20));
  }
  if (fault != CompressionFault::kNone) {
    // Not CORRUPT_MESSAGE, which clients retry: the CRC was right, the producer made it so.
    return refuse(refusal, ErrorCode::kInvalidRecord,
                  fmt::format("The record batch cannot be decompressed: {}", protocol::compression_fault_name(fault)));
  }
  BatchHeader opened = header;
  opened.attributes = static_cast<int16_t>(header.attributes & ~BatchHeader::kCompressionMask);
  opened.batch_length = static_cast<int32_t>(plain.size() - BatchHeader::kLengthEnd);
  opened.store(plain.data());
  return true;
}

Slice stored(BatchHeader header, Bytes records) {
  const size_t size = BatchHeader::kSize + records.size();
  Slice slice{Buffer::allocate(size), nullptr, size};
  slice.data = slice.owner.data();
  header.batch_length = static_cast<int32_t>(size - BatchHeader::kLengthEnd);
  header.store(slice.owner.data());
  std::memcpy(slice.owner.data() + BatchHeader::kSize, records.data(), records.size());
  protocol::patch_crc({slice.owner.data(), size});
  return slice;
}

bool prepare_with(Opener& opener, Slice& records, const LogConfig& config, int64_t now_ms, AppendResult& refusal) {
  const Bytes batch = records.bytes();
  BatchHeader header;
  if (!check_client_batch(batch, config, now_ms, {}, header, refusal)) return false;
  if (!check_client_size(batch.size(), config, refusal)) return false;
  const CompressionType type = stored_type(header, config);

  Bytes plain = batch;
  if (header.compressed()) {
    if (!protocol::every_client_reads(header.compression(), batch.subspan(BatchHeader::kSize))) {
      return refuse(refusal, ErrorCode::kInvalidRecord,
                    "The record batch is compressed in a form that Java clients do not read: send gzip with gzip's own header, and "
                    "LZ4 as one frame of independent blocks");
    }
    if (!decompress_batch(batch, header, opener, refusal)) return false;
    plain = opener.plain;
    BatchHeader opened;
    if (!check_client_batch(plain, config, now_ms, {.crc_known = true}, opened, refusal)) return false;
    header.max_timestamp = opened.max_timestamp;
    if (type == header.compression()) {
      protocol::patch_timestamps({const_cast<uint8_t*>(batch.data()), batch.size()}, header.log_append_time(),
                                 header.max_timestamp);
      return true;
    }
  }
  const Bytes plain_records = plain.subspan(BatchHeader::kSize);
  header.attributes = static_cast<int16_t>((header.attributes & ~BatchHeader::kCompressionMask) | static_cast<int16_t>(type));
  if (type == CompressionType::kNone) {
    records = stored(header, plain_records);
    return true;
  }
  std::vector<uint8_t> compressed;
  if (!protocol::compress(type, plain_records, compressed, level_of(type, config))) {
    return refuse(refusal, ErrorCode::kUnknownServerError, "The broker could not compress the batch as compression.type says");
  }
  records = stored(header, compressed);
  return true;
}

}  // namespace

bool needs_preparation(Bytes records, const LogConfig& config) {
  BatchHeader header;
  // What is not a batch is refused by the append itself.
  if (protocol::peek_batch(records, header) != BatchFault::kNone || header.size() != records.size()) return false;
  if (header.control() || header.compression_bits() >= protocol::kCompressionTypes) return false;
  return header.compressed() || stored_type(header, config) != header.compression();
}

bool prepare_batch(Slice& records, const LogConfig& config, int64_t now_ms, AppendResult& refusal) {
  Opener& opener = Opener::of_thread();
  const bool done = prepare_with(opener, records, config, now_ms, refusal);
  opener.trim();
  return done;
}

}  // namespace weir::storage
