#include "storage/segment/segment_dump.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/buffer.h"
#include "base/counted.h"
#include "storage/segment/aborted_index.h"
#include "storage/segment/batch_check.h"
#include "storage/segment/header_scanner.h"
#include "storage/segment/segment_index.h"
#include "storage/segment/segment_names.h"

namespace weir::storage {

namespace {

// Returns the bytes as a JSON string. Bytes that are no printable ASCII become \u00xx.
std::string quoted(const std::optional<Bytes>& bytes) {
  if (!bytes) return "null";
  std::string out = "\"";
  for (const uint8_t byte : *bytes) {
    if (byte == '"' || byte == '\\') {
      out += '\\';
      out += static_cast<char>(byte);
    } else if (byte >= 0x20 && byte < 0x7f) {
      out += static_cast<char>(byte);
    } else {
      out += fmt::format("\\u{:04x}", byte);
    }
  }
  return out + '"';
}

std::string compression_text(int bits) {
  static constexpr const char* kNames[] = {"uncompressed", "gzip", "snappy", "lz4", "zstd"};
  return static_cast<size_t>(bits) < std::size(kNames) ? kNames[bits] : fmt::format("compression {}", bits);
}

Result<std::vector<uint8_t>> read_if_there(runtime::FileSystem& files, const std::string& path) {
  std::vector<uint8_t> bytes;
  auto file = files.open(path, {});
  if (!file && file.error().code == ErrorCode::kNotFound) return bytes;
  if (!file) return std::unexpected(std::move(file.error()));
  auto size = (*file)->size();
  if (!size) return std::unexpected(std::move(size.error()));
  bytes.resize(*size);
  auto got = (*file)->read_at(0, bytes);
  if (!got) return std::unexpected(std::move(got.error()));
  bytes.resize(*got);
  return bytes;
}

class SegmentDump {
 public:
  SegmentDump(runtime::File& file, const std::string& path, uint64_t size, int64_t base_offset, const SegmentDumpOptions& options,
              Function<void(std::string_view)>& line)
      : file_(file), path_(path), size_(size), base_offset_(base_offset), options_(options), line_(line) {}

  Result<SegmentDumpSummary> run() {
    HeaderScanner scanner(file_, path_, 0, size_, base_offset_);
    while (true) {
      auto position = scanner.next();
      if (!position) {
        if (position.error().code != ErrorCode::kCorrupt) return std::unexpected(std::move(position.error()));
        show_break(scanner.position(), position.error().message);
        break;
      }
      if (!*position) break;
      if (auto shown = show_batch(**position); !shown) return std::unexpected(std::move(shown.error()));
    }
    summary_.valid_bytes = scanner.position();
    summary_.trailing_bytes = size_ - scanner.position();
    if (options_.manifest != nullptr && !summary_.damaged()) compare(*options_.manifest);
    return summary_;
  }

  // Hints that lead nowhere are no damage, but worth a line.
  Result<void> check_index(const SegmentIndex& index) {
    for (const IndexEntry& entry : index.entries()) {
      ++summary_.index_entries;
      uint8_t bytes[BatchHeader::kSize];
      auto got = file_.read_at(entry.position, bytes);
      if (!got) return std::unexpected(std::move(got.error()));
      const auto header = *got == sizeof bytes ? parse_stored_header(bytes) : std::nullopt;
      if (header && header->base_offset == entry.base_offset) continue;
      ++summary_.wrong_index_entries;
      show(options_.json ? R"({{"type":"index","offset":{},"position":{},"state":"does not fit"}})"
                         : "index entry for offset {} does not fit position {} (it will not be used)",
           entry.base_offset, entry.position);
    }
    return {};
  }

  void show_aborted(Bytes file) {
    for (const AbortedTransaction& entry : decode_aborted(file)) {
      ++summary_.aborted_transactions;
      if (options_.verify_only) continue;
      show(options_.json ? R"({{"type":"aborted","producer_id":{},"first_offset":{},"last_offset":{},"last_stable_offset":{}}})"
                         : "aborted: producer {}, offsets {} to {}, last stable offset then {}",
           entry.producer_id, entry.first_offset, entry.last_offset, entry.last_stable_offset);
    }
  }

  SegmentDumpSummary end() {
    if (!options_.verify_only) {
      if (!options_.json) {
        line_(fmt::format(
            "end at {}: {}, {}, next offset {}; damaged: {}, {} at the end; index: {}, {} wrong; aborted: {}",
            summary_.valid_bytes, counted(summary_.batches, "batch", "batches"), counted(summary_.records, "record"),
            summary_.next_offset, counted(summary_.damaged_batches, "batch", "batches"), counted(summary_.trailing_bytes, "byte"),
            counted(summary_.index_entries, "entry", "entries"), summary_.wrong_index_entries, summary_.aborted_transactions));
        return summary_;
      }
      show(
          R"({{"type":"end","position":{},"batches":{},"records":{},"next_offset":{},"damaged_batches":{},"trailing_bytes":{},"index_entries":{},"wrong_index_entries":{},"aborted_transactions":{}}})",
          summary_.valid_bytes, summary_.batches, summary_.records, summary_.next_offset, summary_.damaged_batches,
          summary_.trailing_bytes, summary_.index_entries, summary_.wrong_index_entries, summary_.aborted_transactions);
    }
    return summary_;
  }

 private:
  void compare(const ManifestedSegment& manifest) {
    const SegmentInfo& info = manifest.info;
    if (summary_.next_offset != info.next_offset) {
      contradiction(fmt::format("the last batch ends before offset {}, but manifest.db says {}",
                                std::max(summary_.next_offset, base_offset_), info.next_offset));
    }
    // The time of a batch without records counts if no record has one (docs/formats/segments.md).
    const bool without_times = max_timestamp_ == kNoTimestamp && info.max_timestamp == max_of_empty_;
    if (info.times_known && max_timestamp_ != info.max_timestamp && !without_times) {
      contradiction(fmt::format("the largest time is {}, but manifest.db says {}", max_timestamp_, info.max_timestamp));
    }
    if (wrong_epochs_ > 0) {
      contradiction(fmt::format("{}: the first one, at offset {}, says {}, but manifest.db says {}",
                                counted(wrong_epochs_, "batch has another leader epoch", "batches have other leader epochs"),
                                wrong_epoch_.start_offset, wrong_epoch_.epoch,
                                epoch_at(manifest.epochs, wrong_epoch_.start_offset)));
    }
  }

  void note_epoch(const BatchHeader& header) {
    if (options_.manifest == nullptr || header.base_offset < options_.manifest->log_start_offset) return;
    if (!other_epoch(header, options_.manifest->epochs)) return;
    if (wrong_epochs_++ == 0) wrong_epoch_ = {header.partition_leader_epoch, header.base_offset};
  }

  void contradiction(const std::string& what) {
    summary_.contradictions.push_back(what);
    if (options_.json) show(R"({{"type":"damage","what":{}}})", quoted(as_bytes(what)));
    else show("DAMAGED: {}", what);
  }

  Result<void> show_batch(const HeaderScanner::Position& position) {
    const BatchHeader& header = position.header;
    const Buffer memory = Buffer::allocate(header.size());
    const MutableBytes bytes{memory.data(), header.size()};
    auto got = file_.read_at(position.offset, bytes);
    if (!got) return std::unexpected(std::move(got.error()));
    if (*got < bytes.size()) return fail(ErrorCode::kCorrupt, path_ + ": was cut while it was read");
    ++summary_.batches;
    if (summary_.first_offset < 0) summary_.first_offset = header.base_offset;
    summary_.next_offset = header.next_offset();
    int64_t& highest = header.record_count > 0 ? max_timestamp_ : max_of_empty_;
    highest = std::max(highest, header.max_timestamp);
    note_epoch(header);

    const std::string_view fault = check_.fault(header, bytes);
    if (!fault.empty()) ++summary_.damaged_batches;
    if (fault.empty()) summary_.records += static_cast<uint64_t>(header.record_count);
    if (fault.empty() && options_.verify_only) return {};
    if (options_.json) show_batch_as_object(position, fault);
    else line_(batch_text(position, fault));
    if (options_.records && fault.empty()) show_records(header, bytes);
    return {};
  }

  void show_batch_as_object(const HeaderScanner::Position& position, std::string_view fault) {
    const BatchHeader& header = position.header;
    show(
        R"({{"type":"batch","position":{},"bytes":{},"base_offset":{},"last_offset":{},"records":{},"leader_epoch":{},"compression":{},"log_append_time":{},"transactional":{},"control":{},"delete_horizon":{},"base_timestamp":{},"max_timestamp":{},"producer_id":{},"producer_epoch":{},"base_sequence":{},"crc":{},"state":"{}"}})",
        position.offset, header.size(), header.base_offset, header.last_offset(), header.record_count,
        header.partition_leader_epoch, header.compression_bits(), header.log_append_time(), header.transactional(),
        header.control(), header.delete_horizon(), header.base_timestamp, header.max_timestamp, header.producer_id,
        header.producer_epoch, header.base_sequence, header.crc, fault.empty() ? "ok" : fault);
  }

  // The line leaves out absent properties. Most batches have no compression, no transaction and no producer id.
  static std::string batch_text(const HeaderScanner::Position& position, std::string_view fault) {
    const BatchHeader& header = position.header;
    std::string out =
        fmt::format("at {}: offsets {} to {}, {}, {}, epoch {}", position.offset, header.base_offset, header.last_offset(),
                    counted(header.record_count, "record"), counted(header.size(), "byte"), header.partition_leader_epoch);
    if (header.compression_bits() != 0) out += ", " + compression_text(header.compression_bits());
    if (header.transactional()) out += ", transactional";
    if (header.control()) out += ", control";
    if (header.delete_horizon()) out += ", delete horizon";
    out += fmt::format(", {} {}", header.log_append_time() ? "append time" : "time", header.base_timestamp);
    if (header.max_timestamp != header.base_timestamp) out += fmt::format(" to {}", header.max_timestamp);
    if (header.producer_id != -1) {
      out += fmt::format(", producer {} epoch {} sequence {}", header.producer_id, header.producer_epoch, header.base_sequence);
    }
    return out + fmt::format(", crc {}: {}", header.crc, fault.empty() ? "ok" : fault);
  }

  void show_records(const BatchHeader& header, Bytes batch) {
    check_.each_record(header, batch, [&](const protocol::Record& record) {
      show(options_.json ? R"({{"type":"record","offset":{},"timestamp":{},"headers":{},"key":{},"value":{}}})"
                         : "  offset {} time {} headers {} key {} value {}",
           record.offset, header.log_append_time() ? header.max_timestamp : record.timestamp, record.header_count,
           quoted(record.key), quoted(record.value));
    });
  }

  void show_break(uint64_t position, const std::string& why) {
    if (options_.json) {
      show(R"({{"type":"damage","position":{},"bytes":{},"what":{}}})", position, size_ - position, quoted(as_bytes(why)));
    } else {
      show("DAMAGED at {}: the last {} bytes are no chain of batches ({})", position, size_ - position, why);
    }
  }

  template <typename... Args>
  void show(const char* form, const Args&... args) {
    line_(fmt::format(fmt::runtime(form), args...));
  }

  runtime::File& file_;
  const std::string& path_;
  const uint64_t size_;
  const int64_t base_offset_;
  const SegmentDumpOptions options_;
  Function<void(std::string_view)>& line_;
  BatchCheck check_;
  int64_t max_timestamp_ = kNoTimestamp, max_of_empty_ = kNoTimestamp;  // of batches with and without records
  uint64_t wrong_epochs_ = 0;
  EpochStart wrong_epoch_;  // the first one
  SegmentDumpSummary summary_;
};

}  // namespace

Result<SegmentDumpSummary> dump_segment_file(runtime::FileSystem& files, const std::string& path,
                                             const SegmentDumpOptions& options, Function<void(std::string_view line)> line) {
  const size_t slash = path.rfind('/');
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  const auto parsed = parse_segment_file_name(name);
  if (!parsed || !name.ends_with(".log")) {
    return fail(ErrorCode::kInvalid, path + " is not named as a segment: 20 digits, perhaps a generation, and .log");
  }
  auto file = files.open(path, {});
  if (!file) return std::unexpected(std::move(file.error()));
  auto size = (*file)->size();
  if (!size) return std::unexpected(std::move(size.error()));
  const uint64_t valid_bytes = options.manifest != nullptr ? options.manifest->info.length : UINT64_MAX;
  SegmentDump dump(**file, path, std::min(*size, valid_bytes), parsed->base_offset, options, line);
  auto summary = dump.run();
  if (!summary) return summary;
  const std::string folder = slash == std::string::npos ? std::string() : path.substr(0, slash + 1);
  auto index = SegmentIndex::load(files, folder + index_file_name(parsed->base_offset, parsed->generation), parsed->base_offset,
                                  summary->valid_bytes);
  if (!index) return std::unexpected(std::move(index.error()));
  if (auto checked = dump.check_index(*index); !checked) return std::unexpected(std::move(checked.error()));
  auto aborted = read_if_there(files, folder + aborted_index_file_name(parsed->base_offset, parsed->generation));
  if (!aborted) return std::unexpected(std::move(aborted.error()));
  dump.show_aborted(Bytes(*aborted));
  return dump.end();
}

}  // namespace weir::storage
