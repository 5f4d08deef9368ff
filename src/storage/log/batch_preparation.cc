#include "storage/log/batch_preparation.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "protocol/compression.h"
#include "protocol/record_batch.h"
#include "protocol/record_window.h"
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

// Kafka's default level of lz4 is 9, which is its fast mode. The default of our library is that mode, and its level 9 is not.
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

// Returns whether the codec compresses less than 10 MB/s.
bool takes_its_time(CompressionType type, const LogConfig& config) {
  constexpr int kLastQuickZstd = 9;
  return type == CompressionType::kZstd && config.compression_zstd_level > kLastQuickZstd;
}

// The codecs and memory with which a thread of the pool opens batches. The thread keeps them, but not large memory, because fresh
// memory costs more than most codecs.
struct Opener {
  static constexpr size_t kKeptBytes = 4 << 20;
  protocol::Decompressor decompressor;
  std::vector<uint8_t> window;
  std::vector<uint8_t> plain;

  static Opener& of_thread() {
    thread_local Opener opener;
    return opener;
  }
  void trim() {
    decompressor.trim(kKeptBytes);
    if (plain.capacity() > kKeptBytes) std::vector<uint8_t>().swap(plain);  // an assignment of {} keeps the memory
  }
};

bool refuse_too_large(AppendResult& refusal, const OpeningLimits& limits) {
  return refuse(refusal, ErrorCode::kMessageTooLarge,
                fmt::format("The records of the batch decompress to more than {} MiB, or to more than {} MiB that have to be in "
                            "memory at once (weir.max.memory.bytes); send smaller batches",
                            limits.decompressed_bytes >> 20, limits.memory_bytes / 2 >> 20));
}

bool refuse_fault(AppendResult& refusal, CompressionFault fault, const OpeningLimits& limits) {
  if (fault == CompressionFault::kTooLarge) return refuse_too_large(refusal, limits);
  // CORRUPT_MESSAGE would be wrong, because clients retry it. The CRC is right, so the producer made the batch like this.
  return refuse(refusal, ErrorCode::kInvalidRecord,
                fmt::format("The record batch cannot be decompressed: {}", protocol::compression_fault_name(fault)));
}

// Checks the records of a compressed batch. Sets the times of `header` by the records.
bool check_compressed(Bytes batch, Opener& opener, const LogConfig& config, int64_t now_ms, const OpeningLimits& limits,
                      BatchHeader& header, AppendResult& refusal) {
  const Bytes compressed = batch.subspan(BatchHeader::kSize);
  const uint64_t codec_bytes = limits.memory_bytes / 2;
  const auto open = [&] {
    opener.decompressor.open(header.compression(), compressed, limits.decompressed_bytes, codec_bytes);
    return protocol::RecordWindow(opener.decompressor, opener.window);
  };
  protocol::BatchRules rules;
  if (config.cleanup_compact) {
    rules.keys_required = true;
    rules.record_bytes_max = std::max(codec_bytes, static_cast<uint64_t>(std::max(config.max_message_bytes, 0)));
  }
  protocol::RecordWindow records = open();
  const BatchFault fault = protocol::check_records(header, records, rules, &header.max_timestamp);
  if (const CompressionFault why = opener.decompressor.fault(); why != CompressionFault::kNone) {
    return refuse_fault(refusal, why, limits);
  }
  const EachRecord each = [&](const RecordVisitor& visit) {
    protocol::RecordWindow again = open();
    protocol::RecordOutline record;
    for (int32_t i = 0; i < header.record_count && protocol::next_outline(header, again, record); ++i) visit(i, record);
  };
  return check_opened(fault, header, config, now_ms, each, refusal);
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

bool prepare_with(Opener& opener, Slice& records, const LogConfig& config, int64_t now_ms, const OpeningLimits& limits,
                  AppendResult& refusal) {
  const Bytes batch = records.bytes();
  const uint64_t half = limits.memory_bytes / 2;
  BatchHeader header;
  if (!check_client_batch(batch, config, now_ms, header, refusal)) return false;
  if (!check_client_size(batch.size(), config, refusal)) return false;
  const CompressionType type = stored_type(header, config);

  Bytes plain = batch.subspan(BatchHeader::kSize);
  if (header.compressed()) {
    if (!protocol::every_client_reads(header.compression(), plain)) {
      return refuse(
          refusal, ErrorCode::kInvalidRecord,
          "The record batch is compressed in a form that Java clients do not read: send gzip with gzip's own header, and "
          "LZ4 as one frame of independent blocks");
    }
    if (!check_compressed(batch, opener, config, now_ms, limits, header, refusal)) return false;
    if (type == header.compression()) {
      protocol::patch_timestamps({const_cast<uint8_t*>(batch.data()), batch.size()}, header.log_append_time(),
                                 header.max_timestamp);
      return true;
    }
    opener.plain.clear();
    const CompressionFault fault = opener.decompressor.decompress(header.compression(), plain, half, opener.plain, half);
    if (fault != CompressionFault::kNone) return refuse_fault(refusal, fault, limits);
    plain = opener.plain;
  }
  // As in Kafka, no compaction has seen a batch that is made anew.
  constexpr int kNotKept = BatchHeader::kCompressionMask | BatchHeader::kDeleteHorizon;
  header.attributes = static_cast<int16_t>((header.attributes & ~kNotKept) | static_cast<int16_t>(type));
  if (type == CompressionType::kNone) {
    if (!check_client_size(BatchHeader::kSize + plain.size(), config, refusal)) return false;
    records = stored(header, plain);
    return true;
  }
  if (plain.size() > (takes_its_time(type, config) ? limits.thoroughly_compressed_bytes : limits.compressed_bytes)) {
    return refuse_too_large(refusal, limits);
  }
  std::vector<uint8_t> compressed;
  if (!protocol::compress(type, plain, compressed, level_of(type, config))) {
    return refuse(refusal, ErrorCode::kUnknownServerError, "The broker could not compress the batch as compression.type says");
  }
  records = stored(header, compressed);
  return true;
}

}  // namespace

bool needs_preparation(Bytes records, const LogConfig& config) {
  BatchHeader header;
  // The append itself refuses bytes that are no batch.
  if (protocol::peek_batch(records, header) != BatchFault::kNone || header.size() != records.size()) return false;
  if (header.control() || header.compression_bits() >= protocol::kCompressionTypes) return false;
  return header.compressed() || stored_type(header, config) != header.compression();
}

OpeningMemory OpeningMemory::of(uint64_t total) {
  const uint64_t all = total / 16;
  const auto fit = [&](uint64_t each, uint64_t max) {
    return static_cast<unsigned>(std::clamp<uint64_t>(all / 2 / each, 1, max));
  };
  OpeningMemory memory;
  memory.large_limits.memory_bytes = std::clamp<uint64_t>(all / 8, kLeastLargeBytes, 2 * kDecompressedBytesMax);
  memory.large = fit(memory.large_limits.memory_bytes, kLargeMax);
  memory.turns = fit(kTurn.memory_bytes, UINT16_MAX);
  return memory;
}

bool prepare_batch(Slice& records, const LogConfig& config, int64_t now_ms, AppendResult& refusal, const OpeningLimits& limits) {
  Opener& opener = Opener::of_thread();
  const bool done = prepare_with(opener, records, config, now_ms, limits, refusal);
  opener.trim();
  return done;
}

void prepare_one(PreparedAppend& append, const LogConfig& config, const runtime::Clock& clock, const OpeningLimits& limits) {
  prepare_batch(append.records, config, clock.wall_ms(), append.refusal, limits);
  append.ready = true;
}

void prepare_turn(std::span<const std::shared_ptr<PreparedAppend>> appends, const LogConfig& config,
                  const runtime::Clock& clock) {
  constexpr int64_t kTurnNs = 5'000'000;
  const int64_t end_ns = clock.monotonic_ns() + kTurnNs;
  for (const std::shared_ptr<PreparedAppend>& append : appends) {
    prepare_one(*append, config, clock, OpeningMemory::kTurn);
    if (append->refusal.error == ErrorCode::kMessageTooLarge) {
      append->refusal = {};
      append->large = true;
      append->ready = false;
      return;
    }
    if (clock.monotonic_ns() >= end_ns) return;
  }
}

}  // namespace weir::storage
