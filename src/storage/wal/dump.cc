#include "storage/wal/dump.h"

#include <fmt/core.h>

#include <utility>

#include "base/counted.h"
#include "base/json.h"
#include "storage/wal/chunk.h"
#include "storage/wal/file_reader.h"

namespace weir::storage {
namespace {

class WalDump {
 public:
  WalDump(WalFileReader& reader, const std::string& path, const WalFileHeader& header, const WalDumpOptions& options,
          Function<void(std::string_view)>& line)
      : reader_(reader), path_(path), header_(header), options_(options), line_(line) {}

  Result<WalDumpSummary> run(bool header_damaged) {
    summary_.header_damaged = header_damaged;
    summary_.bytes = reader_.size();
    summary_.bytes_promised = header_.file_bytes;
    show_file();
    uint64_t offset = kWalBlock;
    uint64_t gap = 0;  // where chunks ceased, 0 while they follow each other
    while (offset < reader_.size()) {
      const Slice block = reader_.read(offset, kWalBlock);
      if (reader_.error()) return std::unexpected(*reader_.error());
      const auto chunk = decode_chunk_header(block.bytes());
      if (!chunk || chunk->file != header_.identity || chunk->offset() != offset || chunk->number <= summary_.last_chunk) {
        if (gap == 0) gap = offset;
        offset += kWalBlock;
        continue;
      }
      if (gap != 0 || (summary_.last_chunk != 0 && chunk->number != summary_.last_chunk + 1)) show_gap(*chunk, gap, offset);
      gap = 0;
      show_chunk(*chunk, offset);
      if (reader_.error()) return std::unexpected(*reader_.error());
      offset += chunk->length;
      summary_.end = offset;
    }
    show_end();
    return summary_;
  }

 private:
  void show_file() {
    if (options_.json) {
      show(
          R"({{"type":"file","path":{},"shard":{},"generation":{},"incarnation":{},"bytes":{},"recycled":{},"durable_before":{}}})",
          json_string(path_), header_.shard, header_.identity.generation, header_.identity.incarnation, header_.file_bytes,
          header_.recycled, header_.durable_before);
    } else {
      show("file: shard {}, generation {}, incarnation {}, {}{}, durable before {}", header_.shard, header_.identity.generation,
           header_.identity.incarnation, counted(header_.file_bytes, "byte"), header_.recycled ? ", recycled" : "",
           header_.durable_before);
    }
    if (summary_.header_damaged)
      line_(options_.json ? R"({"type":"damage","what":"file header"})" : "DAMAGED: the file's header");
    summary_.end = kWalBlock;
    if (!summary_.short_file()) return;
    show(options_.json ? R"({{"type":"damage","what":"file cut short","bytes":{},"of":{}}})"
                       : "DAMAGED: the file was cut short, {} bytes of {} are there",
         summary_.bytes, summary_.bytes_promised);
  }

  void show_gap(const ChunkHeader& next, uint64_t from, uint64_t to) {
    const uint64_t missing = summary_.last_chunk == 0 ? 1 : next.number - summary_.last_chunk - 1;
    summary_.missing_chunks += missing;
    const char* form = options_.json ? R"({{"type":"gap","offset":{},"bytes":{},"chunks":{}}})"
                                     : "DAMAGED at {}: {} bytes are no readable chunk; {} or more chunks are missing";
    show(form, from == 0 ? to : from, from == 0 ? 0 : to - from, missing);
  }

  void show_chunk(const ChunkHeader& chunk, uint64_t offset) {
    const Slice bytes = reader_.read(offset, chunk.length);
    std::optional<ChunkFooter> footer;
    if (bytes.size >= chunk.footer_offset + chunk.footer_length) {
      footer = decode_footer(bytes.bytes().subspan(chunk.footer_offset, chunk.footer_length));
    }
    uint64_t damaged = 0;
    if (footer) {
      for (const FooterEntry& entry : footer->entries) damaged += !intact(entry, bytes.bytes());
    }
    ++summary_.chunks;
    if (summary_.first_chunk == 0) summary_.first_chunk = chunk.number;
    summary_.last_chunk = chunk.number;
    summary_.last_is_damaged = !footer || damaged != 0;
    summary_.damaged_chunks += summary_.last_is_damaged;
    const char* state = !footer ? "footer damaged" : damaged != 0 ? "batches damaged" : "ok";
    if (options_.json) {
      show(R"({{"type":"chunk","chunk":{},"offset":{},"bytes":{},"batches":{},"state":"{}"}})", chunk.number, offset,
           chunk.length, chunk.batch_count(), state);
    } else {
      show("chunk {} at {}: {}, {}: {}", chunk.number, offset, counted(chunk.length, "byte"),
           counted(chunk.batch_count(), "batch", "batches"), state);
    }
    if (!footer) return;
    for (const FooterEntry& entry : footer->entries) show_batch(entry, intact(entry, bytes.bytes()), offset);
  }

  static bool intact(const FooterEntry& entry, Bytes chunk) {
    if (uint64_t{entry.position} + entry.info.size > chunk.size()) return false;
    return batch_matches(entry, chunk.subspan(entry.position, entry.info.size));
  }

  void show_batch(const FooterEntry& entry, bool good, uint64_t chunk_offset) {
    good ? ++summary_.batches : ++summary_.damaged_batches;
    if (!options_.batches) return;
    const BatchInfo& info = entry.info;
    const std::string name = options_.topic_name ? options_.topic_name(info.partition.topic) : std::string();
    if (!options_.json) return line_(batch_text(info, chunk_offset + entry.position, name, good));
    show(
        R"({{"type":"batch","offset":{},"topic_id":"{}","topic":"{}","partition":{},"base_offset":{},"last_offset":{},"leader_epoch":{},"bytes":{},"max_timestamp":{},"appended_ms":{},"attributes":{},"producer_id":{},"producer_epoch":{},"base_sequence":{},"control_type":{},"intact":{}}})",
        chunk_offset + entry.position, info.partition.topic.to_string(), name, info.partition.index, info.base_offset,
        info.last_offset(), info.leader_epoch, info.size, info.max_timestamp, info.appended_ms, info.attributes, info.producer_id,
        info.producer_epoch, info.base_sequence, info.control_type, good);
  }

  // Only what is so.
  static std::string batch_text(const BatchInfo& info, uint64_t position, const std::string& topic, bool good) {
    std::string out = fmt::format("  at {}: topic {}{}, partition {}, offsets {} to {}, {}, epoch {}, time {}, appended {}",
                                  position, info.partition.topic.to_string(), topic.empty() ? "" : " (" + topic + ")",
                                  info.partition.index, info.base_offset, info.last_offset(), counted(info.size, "byte"),
                                  info.leader_epoch, info.max_timestamp, info.appended_ms);
    if (info.attributes != 0) out += fmt::format(", attributes {:#x}", info.attributes);
    if (info.producer_id != kNoProducerId) {
      out += fmt::format(", producer {} epoch {} sequence {}", info.producer_id, info.producer_epoch, info.base_sequence);
    }
    if (info.control_type >= 0) out += fmt::format(", control {}", info.control_type);
    return out + (good ? "" : ": DAMAGED");
  }

  void show_end() {
    if (options_.json) {
      return show(
          R"({{"type":"end","offset":{},"chunks":{},"batches":{},"damaged_chunks":{},"damaged_batches":{},"missing_chunks":{}}})",
          summary_.end, summary_.chunks, summary_.batches, summary_.damaged_chunks, summary_.damaged_batches,
          summary_.missing_chunks);
    }
    show("end at {}: {}, {}; damaged: {}, {}; missing: {}", summary_.end, counted(summary_.chunks, "chunk"),
         counted(summary_.batches, "batch", "batches"), counted(summary_.damaged_chunks, "chunk"),
         counted(summary_.damaged_batches, "batch", "batches"), counted(summary_.missing_chunks, "chunk"));
  }

  template <typename... Args>
  void show(const char* form, const Args&... args) {
    line_(fmt::format(fmt::runtime(form), args...));
  }

  WalFileReader& reader_;
  const std::string& path_;
  const WalFileHeader header_;
  const WalDumpOptions options_;
  Function<void(std::string_view)>& line_;
  WalDumpSummary summary_;
};

}  // namespace

Result<WalDumpSummary> dump_wal_file(runtime::FileSystem& files, const std::string& path, const WalDumpOptions& options,
                                     Function<void(std::string_view line)> line) {
  auto reader = WalFileReader::open(files, path, false);
  if (!reader) return std::unexpected(reader.error());
  const Slice block = (*reader)->read(0, kWalBlock);
  if ((*reader)->error()) return std::unexpected(*(*reader)->error());
  auto header = decode_file_header(block.bytes());
  const bool header_damaged = !header;
  if (!header) {
    // The first chunk repeats the identity.
    const Slice first = (*reader)->read(kWalBlock, kWalBlock);
    const auto chunk = decode_chunk_header(first.bytes());
    if (!chunk) return fail(ErrorCode::kCorrupt, path + " is not a WAL file, or its header is damaged");
    header = WalFileHeader{.identity = chunk->file, .file_bytes = (*reader)->size()};
  }
  return WalDump(**reader, path, *header, options, line).run(header_damaged);
}

}  // namespace weir::storage
