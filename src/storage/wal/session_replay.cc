#include "storage/wal/session_replay.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace weir::storage {
namespace {

constexpr const char* kMissing = "chunks are missing or unreadable";
constexpr size_t kSector = 512;

bool all_zero(Bytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte == 0; });
}

// The bytes of the entry's batch inside its chunk; empty if the entry points outside.
Bytes batch_in(const FooterEntry& entry, Bytes chunk) {
  if (uint64_t{entry.position} + entry.info.size > chunk.size()) return {};
  return chunk.subspan(entry.position, entry.info.size);
}

bool intact(const FooterEntry& entry, Bytes chunk) { return batch_matches(entry, batch_in(entry, chunk)); }

// True if a write that was cut off may have left these bytes of a chunk in a file that was zero before: at least one of their
// sectors is zero. Devices write a sector as a whole or not at all.
bool lacks_a_sector(Bytes chunk, size_t begin, size_t size) {
  const size_t end = std::min(align_up(begin + size, kSector), chunk.size());
  for (size_t at = align_down(begin, kSector); at < end; at += kSector) {
    if (all_zero(chunk.subspan(at, std::min(kSector, end - at)))) return true;
  }
  return false;
}

// True if a write that was cut off may have left the chunk as it is. False if the chunk was written in full and damaged
// afterwards.
// `footer` is empty if it is unreadable.
bool may_be_torn(const ChunkHeader& header, const std::optional<ChunkFooter>& footer, Bytes chunk) {
  if (!footer) return lacks_a_sector(chunk, header.footer_offset, header.footer_length);
  return std::ranges::all_of(footer->entries, [&](const FooterEntry& entry) {
    return intact(entry, chunk) || lacks_a_sector(chunk, entry.position, entry.info.size);
  });
}

}  // namespace

SessionReplay::SessionReplay(const WalSession& session, std::vector<WalLogFile*> files, WalReplayVisitor& visitor,
                             const WalReplayOptions& options, WalReplayResult& result)
    : session_(session), files_(std::move(files)), visitor_(visitor), options_(options), result_(result) {
  expected_ = std::max(session_.first_chunk, files_.front()->header.durable_before + 1);
  known_durable_ = session_.last_chunk;
  if (!session_.sealed) {
    known_durable_ = 0;
    for (const WalLogFile* log : files_) known_durable_ = std::max(known_durable_, log->header.durable_before);
  }
}

Result<ChunkNumber> SessionReplay::run() {
  while (!done_) {
    step();
    for (const WalLogFile* log : files_) {
      if (log->reader->error()) return std::unexpected(*log->reader->error());
    }
  }
  return expected_ - 1;
}

bool SessionReplay::device_failed() const {
  return std::any_of(files_.begin(), files_.end(), [](const WalLogFile* log) { return log->reader->error().has_value(); });
}

void SessionReplay::step() {
  if (session_.sealed && expected_ > session_.last_chunk) {
    done_ = true;
    return;
  }
  if (const auto header = header_at(place_, expected_)) {
    // The first chunk of the oldest file is the first one that was not released.
    if (header->number > expected_ && first_seen_) lose(header->number - 1, place_);
    expected_ = header->number;
    return read_chunk(*header);
  }
  const bool damaged = damaged_header_at(place_);
  const auto found = find_chunk(place_, expected_);
  if (device_failed()) return;
  if (!found) return end_without_later_chunk(damaged);
  if (found->number > expected_) lose(found->number - 1, found->place);
  first_seen_ = true;
  place_ = found->place;
}

// The header of a chunk of this session at `place`, not below `least`.
std::optional<ChunkHeader> SessionReplay::header_at(const Place& place, ChunkNumber least) {
  WalLogFile& log = file(place);
  const Slice bytes = log.reader->read(place.offset, kWalBlock);
  auto header = decode_chunk_header(bytes.bytes());
  if (!header || header->file != log.header.identity || header->number < least) return std::nullopt;
  if (header->offset() != place.offset) return std::nullopt;
  if (session_.sealed && header->number > session_.last_chunk) return std::nullopt;  // never accepted, never served
  return header;
}

bool SessionReplay::damaged_header_at(const Place& place) {
  const Slice bytes = file(place).reader->read(place.offset, kWalBlock);
  return resembles_chunk_header(bytes.bytes(), file(place).header.identity) && !decode_chunk_header(bytes.bytes());
}

void SessionReplay::read_chunk(const ChunkHeader& header) {
  first_seen_ = true;
  WalLogFile& log = file(place_);
  const Slice chunk = log.reader->read(place_.offset, header.length);
  if (device_failed()) return;
  std::optional<ChunkFooter> footer;
  if (chunk.size >= header.footer_offset + header.footer_length) {
    footer = decode_footer(chunk.bytes().subspan(header.footer_offset, header.footer_length));
    if (footer && (footer->salt != header.file.salt || footer->number != header.number ||
                   footer->offset != header.footer_offset || footer->entries.size() != header.batch_count())) {
      footer.reset();
    }
  }
  const bool whole = footer && std::all_of(footer->entries.begin(), footer->entries.end(),
                                           [&](const FooterEntry& entry) { return intact(entry, chunk.bytes()); });
  if (whole) {
    for (const FooterEntry& entry : footer->entries) deliver(header.number, entry, chunk);
    return accept(header);
  }
  const Place behind{place_.file, place_.offset + header.length};
  const bool was_complete = header.number <= known_durable_ || cut_short(place_, place_.offset + header.length) ||
                            header_at(behind, header.number + 1) || find_chunk(behind, header.number + 1) ||
                            (!log.header.recycled && !may_be_torn(header, footer, chunk.bytes()));
  if (device_failed()) return;
  if (!was_complete) {
    log_info("wal",
             "{}: the newest chunk ({}, at {}) is not whole and is dropped, {} bytes. So looks a write that was cut off "
             "when the process or the machine ended, and nothing of that was acknowledged; damage done to it later would "
             "look the same",
             log.path, header.number, place_.offset, header.length);
    result_.torn_bytes += header.length;
    done_ = true;
    return;
  }
  if (footer) {
    deliver_damaged(*footer, place_, chunk.bytes(), chunk, "batches do not match their checksums");
  } else {
    report(place_, header.number, header.number, {}, true, "the footer of a chunk is damaged");
  }
  accept(header);
}

void SessionReplay::accept(const ChunkHeader& header) {
  WalLogFile& log = file(place_);
  ++result_.chunks;
  log.last_chunk = header.number;
  place_.offset += header.length;
  log.used_bytes = place_.offset;
  expected_ = header.number + 1;
}

// --- Looking for later chunks

// The next chunk behind `from`, at which no readable chunk begins. In the normal course it is the first chunk of the next file.
std::optional<SessionReplay::Found> SessionReplay::find_chunk(const Place& from, ChunkNumber least) {
  if (from.file + 1 < files_.size()) {
    const Place next{from.file + 1, kWalBlock};
    if (const auto header = header_at(next, least); header && header->number == least) return Found{next, least};
  }
  // There must be a later chunk if the wanted one is known to have been durable. There may well be one if a chunk was here once.
  const bool exists = (first_seen_ && least <= known_durable_) || damaged_header_at(from);
  for (Place at = from; at.file < files_.size(); at = {at.file + 1, kWalBlock}) {
    if (auto found = scan(at, least, exists ? UINT64_MAX : options_.probe_bytes)) return found;
    if (device_failed()) return std::nullopt;
  }
  return std::nullopt;
}

std::optional<SessionReplay::Found> SessionReplay::scan(const Place& from, ChunkNumber least, uint64_t limit) {
  WalLogFile& log = file(from);
  const uint64_t end =
      limit < log.reader->size() - std::min(from.offset, log.reader->size()) ? from.offset + limit : log.reader->size();
  uint64_t zeros = 0;
  for (Place at = from; at.offset < end; at.offset += kWalBlock) {
    const Slice block = log.reader->read(at.offset, kWalBlock);
    if (block.size == 0) return std::nullopt;
    zeros = all_zero(block.bytes()) ? zeros + kWalBlock : 0;
    if (limit != UINT64_MAX && !log.header.recycled && zeros >= options_.zero_probe_bytes) return std::nullopt;
    if (zeros != 0) continue;
    if (const auto header = header_at(at, least)) return Found{at, header->number};
  }
  return std::nullopt;
}

bool SessionReplay::cut_short(const Place& place, uint64_t end) {
  const WalLogFile& log = file(place);
  return log.reader->size() < log.header.file_bytes && log.reader->size() < end;
}

// `damaged`: the bytes at place_ were a chunk's header once.
void SessionReplay::end_without_later_chunk(bool damaged) {
  done_ = true;
  const bool first_file_present = files_.front()->header.durable_before < session_.first_chunk;
  if (session_.sealed && !first_seen_ && !damaged && !first_file_present) {
    // These files were prepared and never used. The files with chunks were released.
    expected_ = session_.last_chunk + 1;
  } else if (expected_ <= known_durable_) {
    lose(known_durable_, std::nullopt);
  } else if (!first_seen_ && !first_file_present) {
    lose(expected_, std::nullopt);  // a running session does not release the file with its newest chunk
  } else if (cut_short(place_, place_.offset + kWalBlock)) {
    lose(expected_, std::nullopt);
  } else if (damaged && !file(place_).header.recycled) {
    lose(expected_, std::nullopt);  // a header is written as a whole or not at all
  } else if (damaged) {
    log_info("wal",
             "{}: the newest chunk ({}, at {}) is not whole and is dropped. So looks a write that was cut off when the "
             "process or the machine ended, and nothing of that was acknowledged; damage done to it later would look the "
             "same",
             file(place_).path, expected_, place_.offset);
    result_.torn_bytes += kWalBlock;
  }
}

// --- Damage

// Chunks expected_ to `last` are not where they should be, between place_ and `until` (the end of the log if that is empty).
void SessionReplay::lose(ChunkNumber last, const std::optional<Place>& until) {
  ChunkNumber first = expected_;
  std::vector<Saved> saved;
  const size_t last_file = until ? until->file : files_.size() - 1;
  for (size_t i = place_.file; i <= last_file; ++i) {
    const uint64_t begin = i == place_.file ? place_.offset : kWalBlock;
    const uint64_t end = until && i == until->file ? until->offset : files_[i]->reader->size();
    if (begin >= end) continue;
    // This file may hold some of the missing chunks: it is released with them, not before.
    files_[i]->last_chunk = std::max(files_[i]->last_chunk, last);
    files_[i]->used_bytes = std::max(files_[i]->used_bytes, end);
    for (const Saved& chunk : salvage(i, begin, end, first, last)) saved.push_back(chunk);
    if (device_failed()) return;
  }
  // The first saved chunk lies at the very start of the oldest file: the chunks in front of it were released.
  if (!first_seen_ && !saved.empty() && saved[0].place.file == 0 && saved[0].place.offset == kWalBlock) {
    first = saved[0].number;
  }
  for (const Saved& chunk : saved) {
    if (chunk.number > first) report(place_, first, chunk.number - 1, {}, true, kMissing);
    first = chunk.number + 1;
  }
  if (first <= last) report(place_, first, last, {}, true, kMissing);
  expected_ = last + 1;
}

// Finds chunks without a readable header by their footers, and delivers their batches.
std::vector<SessionReplay::Saved> SessionReplay::salvage(size_t index, uint64_t begin, uint64_t end, ChunkNumber first,
                                                         ChunkNumber last) {
  std::vector<Saved> saved;
  WalLogFile& log = *files_[index];
  const Slice region = log.reader->read(begin, static_cast<size_t>(end - begin));
  uint64_t chunk_from = 0;  // in the region: behind the last saved chunk
  for (size_t at = 0; at + kFooterHeaderBytes <= region.size; at += 8) {
    auto footer = decode_footer(region.bytes().subspan(at));
    if (!footer || footer->salt != log.header.identity.salt || footer->number < first || footer->number > last) continue;
    if (footer->offset > at - chunk_from || (at - footer->offset) % kWalBlock != 0) continue;
    const size_t start = at - footer->offset;
    const Place place{index, begin + start};
    deliver_damaged(*footer, place, region.bytes().subspan(start), Slice{region.owner, region.data + start, region.size - start},
                    "the header of a chunk is damaged");
    saved.push_back({footer->number, place});
    first = footer->number + 1;
    chunk_from = align_up(at + footer->bytes, kWalBlock);
    ++result_.chunks;
  }
  return saved;
}

void SessionReplay::deliver_damaged(const ChunkFooter& footer, const Place& place, Bytes chunk, const Slice& memory,
                                    const char* what) {
  std::vector<BatchInfo> lost;
  std::vector<bool> good;
  for (const FooterEntry& entry : footer.entries) {
    good.push_back(intact(entry, chunk));
    if (!good.back()) lost.push_back(entry.info);
  }
  report(place, footer.number, footer.number, std::move(lost), false, what);
  for (size_t i = 0; i < good.size(); ++i) {
    if (good[i]) deliver(footer.number, footer.entries[i], memory);
  }
}

void SessionReplay::deliver(ChunkNumber number, const FooterEntry& entry, const Slice& chunk) {
  ++result_.batches;
  result_.batch_bytes += entry.info.size;
  visitor_.on_batch(number, entry.info, Slice{chunk.owner, chunk.data + entry.position, entry.info.size});
}

void SessionReplay::report(const Place& place, ChunkNumber first, ChunkNumber last, std::vector<BatchInfo> lost, bool unknown,
                           std::string message) {
  ++result_.corruptions;
  const std::string numbers = first == last ? fmt::format("chunk {}", first) : fmt::format("chunks {} to {}", first, last);
  WalCorruption corruption;
  corruption.file = file(place).path;
  corruption.offset = place.offset;
  corruption.first_chunk = first;
  corruption.last_chunk = last;
  for (const BatchInfo& info : lost) corruption.partitions.push_back(info.partition);
  auto& partitions = corruption.partitions;
  std::sort(partitions.begin(), partitions.end());
  partitions.erase(std::unique(partitions.begin(), partitions.end()), partitions.end());
  corruption.lost = std::move(lost);
  corruption.unknown_partitions = unknown;
  corruption.message = fmt::format("{} at {}: {}: {}", corruption.file, place.offset, numbers, message);
  visitor_.on_corruption(corruption);
}

}  // namespace weir::storage
