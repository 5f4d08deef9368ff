#include "storage/segment/segment_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "storage/segment/aborted_index.h"
#include "storage/segment/record_timestamps.h"
#include "storage/segment/segment_names.h"

namespace weir::storage {

SegmentReader::SegmentReader(runtime::FileSystem& files, const LogDirectories& directories, Options options)
    : files_(files),
      directories_(directories),
      options_(options),
      open_files_(options.open_files),
      indexes_(options.index_bytes),
      aborted_(options.aborted_bytes),
      hints_(options.position_hints) {}

std::string SegmentReader::folder(const SegmentKey& key) const {
  return directories_.path(key.directory) + "/" + partition_folder_name(key.partition) + "/";
}

std::string SegmentReader::path(const SegmentKey& key, bool index) const {
  return folder(key) +
         (index ? index_file_name(key.base_offset, key.generation) : segment_file_name(key.base_offset, key.generation));
}

Result<SegmentReader::Segment> SegmentReader::open(const PartitionId& partition, const SegmentInfo& info, bool active) {
  Segment opened{key_of(partition, info), &info, {}, active, {}};
  opened.path = path(opened.key, false);
  if (auto cached = open_files_.get(opened.key)) {
    opened.file = std::move(*cached);
    return opened;
  }
  auto file = files_.open(opened.path, {});
  if (!file) return std::unexpected(std::move(file.error()));
  // Otherwise a missing end would be noticed only when half of a response is sent.
  auto size = (*file)->size();
  if (!size) return std::unexpected(std::move(size.error()));
  if (*size < info.length) {
    return fail(ErrorCode::kCorrupt,
                fmt::format("{}: ends at {} though {} bytes of it are valid", opened.path, *size, info.length));
  }
  opened.file = std::move(*file);
  open_files_.put(opened.key, opened.file);
  return opened;
}

void SegmentReader::forget(const PartitionId& partition, const SegmentInfo& segment) {
  open_files_.erase(key_of(partition, segment));
  indexes_.erase(key_of(partition, segment));
  aborted_.erase(key_of(partition, segment));
}

SegmentReader::Target SegmentReader::target_of(const PartitionManifest& manifest, size_t number, ReadLimit limit) {
  Target target{manifest.partition, manifest.segments[number], number + 1 == manifest.segments.size()};
  for (size_t i = number; limit.with_aborted && i < manifest.segments.size(); ++i) {
    if (manifest.segments[i].aborted > 0) target.aborted_in.push_back(manifest.segments[i]);
  }
  return target;
}

Result<SegmentRead> SegmentReader::read(const PartitionManifest& manifest, int64_t offset, ReadLimit limit) {
  const size_t number = segment_of(manifest, offset);
  if (number < manifest.segments.size()) return read(target_of(manifest, number, limit), offset, limit);
  return fail(ErrorCode::kNotFound,
              fmt::format("offset {} of {} is not in its segments", offset, partition_folder_name(manifest.partition)));
}

Result<SegmentRead> SegmentReader::read(const Target& target, int64_t offset, ReadLimit limit) {
  auto segment = open(target.partition, target.segment, target.active);
  if (!segment) return std::unexpected(std::move(segment.error()));
  auto first = locate(*segment, offset);
  if (!first) return std::unexpected(std::move(first.error()));
  // No checksum covers the offset of a batch.
  if (first->header.next_offset() > segment->info->next_offset) {
    return fail(ErrorCode::kCorrupt, fmt::format("{}: batch at {} has offset {}, the segment ends before {}", segment->path,
                                                 first->offset, first->header.base_offset, segment->info->next_offset));
  }
  if (first->header.next_offset() > limit.end_offset) return SegmentRead{Slice(), offset, offset};
  const uint64_t wanted = std::max<uint64_t>(limit.bytes, first->header.size());
  const size_t length = static_cast<size_t>(std::min(wanted, segment->info->length - first->offset));
  if (!segment->file->resident(first->offset, length)) {
    if (auto done = segment->file->make_resident(first->offset, length); !done) return std::unexpected(std::move(done.error()));
  }
  Index index;
  if (!ends_with_segment(*segment, *first, limit)) {
    auto loaded = index_of(*segment, first->offset + wanted);
    if (!loaded) return std::unexpected(std::move(loaded.error()));
    index = std::move(*loaded);
  }
  auto read = whole_batches(*segment, index, *first, limit);
  if (!read) return read;
  auto added = add_aborted(target.partition, target.aborted_in, offset, true, *read);
  if (!added) return std::unexpected(std::move(added.error()));
  return read;
}

std::optional<SegmentRead> SegmentReader::read_cached(const PartitionManifest& manifest, size_t number, int64_t offset,
                                                      ReadLimit limit) {
  const SegmentInfo& info = manifest.segments[number];
  Segment segment{key_of(manifest.partition, info), &info, {}, number + 1 == manifest.segments.size(), {}};
  const auto hint = hints_.get({manifest.partition, offset, 0, 0});
  if (!hint || !hint->is_in(info) || hint->position + BatchHeader::kSize > info.length) return std::nullopt;
  auto file = open_files_.get(segment.key);
  const size_t length =
      static_cast<size_t>(std::min<uint64_t>(std::max<uint64_t>(limit.bytes, BatchHeader::kSize), info.length - hint->position));
  if (!file || !(*file)->resident(hint->position, length)) return std::nullopt;
  segment.file = std::move(*file);

  uint8_t bytes[BatchHeader::kSize];
  auto got = segment.file->read_at(hint->position, bytes);
  if (!got || *got < sizeof bytes) return std::nullopt;
  const auto header = parse_stored_header(bytes);
  if (!header || header->base_offset < offset || header->size() > length) return std::nullopt;
  const HeaderScanner::Position first{hint->position, *header};
  if (header->next_offset() > limit.end_offset) return SegmentRead{Slice(), offset, offset};
  Index index;
  if (!ends_with_segment(segment, first, limit)) {
    if (auto cached = indexes_.get(segment.key)) index = std::move(*cached);
    if (!index) return std::nullopt;
  }
  auto read = whole_batches(segment, index, first, limit);
  if (!read) return std::nullopt;  // read() says what is wrong
  if (limit.with_aborted) {
    const auto added = add_aborted(manifest.partition, std::span(manifest.segments).subspan(number), offset, false, *read);
    if (!added || !*added) return std::nullopt;
  }
  return std::move(*read);
}

Result<bool> SegmentReader::add_aborted(const PartitionId& partition, std::span<const SegmentInfo> segments, int64_t offset,
                                        bool load, SegmentRead& read) {
  for (const SegmentInfo& info : segments) {
    if (info.aborted == 0) continue;
    const SegmentKey key = key_of(partition, info);
    auto cached = aborted_.get(key);
    // The active segment gets more entries.
    if (!cached || (*cached)->size() < info.aborted) {
      if (!load) return false;
      auto loaded = aborted_of(key, info);
      if (!loaded) return std::unexpected(std::move(loaded.error()));
      cached = std::move(*loaded);
    }
    const auto entries = std::span(**cached).first(info.aborted);
    for (auto entry = std::ranges::lower_bound(entries, offset, {}, &AbortedTransaction::last_offset); entry != entries.end();
         ++entry) {
      if (entry->first_offset < read.next_offset) read.aborted.push_back(*entry);
      if (entry->last_stable_offset >= read.next_offset) return true;
    }
  }
  return true;
}

Result<SegmentReader::Aborted> SegmentReader::aborted_of(const SegmentKey& key, const SegmentInfo& info) {
  auto entries = load_aborted(files_, folder(key) + aborted_index_file_name(key.base_offset, key.generation), info);
  if (!entries) return std::unexpected(std::move(entries.error()));
  const size_t bytes = entries->size() * sizeof(AbortedTransaction);
  auto loaded = std::make_shared<const std::vector<AbortedTransaction>>(std::move(*entries));
  aborted_.put(key, loaded, bytes);
  return loaded;
}

Result<HeaderScanner::Position> SegmentReader::locate(const Segment& segment, int64_t offset) {
  if (const auto hint = hints_.get({segment.key.partition, offset, 0, 0});
      hint && hint->is_in(*segment.info) && hint->position < segment.info->length) {
    HeaderScanner scanner(*segment.file, segment.path, hint->position, segment.info->length, offset);
    auto position = scanner.next();
    // In a compacted segment the next batch may begin later. If anything is wrong here, the search below finds it, too.
    if (position && *position && (*position)->header.base_offset >= offset) return **position;
  }
  const auto from = position_before(segment, &SegmentIndex::before_offset, offset);
  if (!from) return std::unexpected(from.error());
  auto position = scan_to(segment, *from, offset);
  if (!position) return std::unexpected(std::move(position.error()));
  if (!*position) {
    return fail(ErrorCode::kCorrupt, fmt::format("{}: has no batch with offset {} though it goes to {}", segment.path, offset,
                                                 segment.info->next_offset));
  }
  if ((*position)->offset - *from > options_.rebuild_bytes) {
    if (auto rebuilt = rebuild_index(segment); !rebuilt) return std::unexpected(std::move(rebuilt.error()));
  }
  return **position;
}

Result<uint64_t> SegmentReader::position_before(const Segment& segment, Lookup lookup, int64_t key) {
  auto index = index_of(segment, segment.info->length);
  if (!index) return std::unexpected(std::move(index.error()));
  const IndexEntry* entry = ((*index)->index.*lookup)(key);
  if (!entry) return 0;
  const auto sound = confirmed(segment, *entry);
  if (!sound) return std::unexpected(sound.error());
  if (*sound) return entry->position;
  log_warn("storage", "{}: its index does not fit and is rebuilt", segment.path);
  auto rebuilt = rebuild_index(segment);
  if (!rebuilt) return std::unexpected(std::move(rebuilt.error()));
  entry = ((*rebuilt)->index.*lookup)(key);
  return entry ? entry->position : 0;
}

Result<std::optional<HeaderScanner::Position>> SegmentReader::scan_to(const Segment& segment, uint64_t from, int64_t offset) {
  HeaderScanner scanner(*segment.file, segment.path, from, segment.info->length, segment.info->base_offset);
  while (true) {
    auto position = scanner.next();
    if (!position || !*position || (*position)->header.last_offset() >= offset) return position;
  }
}

Result<bool> SegmentReader::confirmed(const Segment& segment, const IndexEntry& entry) {
  if (entry.position + BatchHeader::kSize > segment.info->length) return false;
  uint8_t bytes[BatchHeader::kSize];
  auto got = segment.file->read_at(entry.position, bytes);
  if (!got) return std::unexpected(std::move(got.error()));
  if (*got < sizeof bytes) return false;
  const auto header = parse_stored_header(bytes);
  return header && header->base_offset == entry.base_offset && header->size() <= segment.info->length - entry.position;
}

Result<SegmentReader::Index> SegmentReader::index_of(const Segment& segment, uint64_t wanted_position) {
  if (auto cached = indexes_.get(segment.key)) {
    // The active segment's file of entries grows with every written megabyte.
    if (!segment.active || wanted_position < (*cached)->valid_length + options_.spacing.write_bytes) return *cached;
  }
  auto loaded = std::make_shared<LoadedIndex>();
  loaded->valid_length = segment.info->length;
  if (segment.info->length >= options_.spacing.write_bytes) {  // smaller ones have none
    auto index = SegmentIndex::load(files_, path(segment.key, true), segment.key.base_offset, segment.info->length);
    if (!index) return std::unexpected(std::move(index.error()));
    loaded->index = std::move(*index);
  }
  indexes_.put(segment.key, loaded, loaded->index.memory_bytes());
  return loaded;
}

Result<SegmentReader::Index> SegmentReader::rebuild_index(const Segment& segment) {
  ++index_rebuilds_;
  auto rebuilt = std::make_shared<LoadedIndex>();
  rebuilt->valid_length = segment.info->length;
  HeaderScanner scanner(*segment.file, segment.path, 0, segment.info->length, segment.info->base_offset);
  uint64_t last_position = 0;
  int64_t max_timestamp = kNoTimestamp;
  while (true) {
    auto position = scanner.next();
    if (!position) return std::unexpected(std::move(position.error()));
    if (!*position) break;
    if ((*position)->offset - last_position >= options_.spacing.entry_bytes) {
      last_position = (*position)->offset;
      rebuilt->index.add({(*position)->header.base_offset, last_position, max_timestamp});
    }
    max_timestamp = std::max(max_timestamp, (*position)->header.max_timestamp);
  }
  // Checkpoints append to the index file of the active segment. So it is replaced only once the segment is complete.
  if (!segment.active) {
    auto written = rebuilt->index.write(files_, path(segment.key, true), segment.key.base_offset);
    if (!written) log_warn("storage", "could not write the rebuilt index of {}: {}", segment.path, written.error().message);
  }
  indexes_.put(segment.key, rebuilt, rebuilt->index.memory_bytes());
  return rebuilt;
}

bool SegmentReader::ends_with_segment(const Segment& segment, const HeaderScanner::Position& first, ReadLimit limit) {
  if (first.end() == segment.info->length) return true;
  return segment.info->length - first.offset <= limit.bytes && segment.info->next_offset <= limit.end_offset;
}

Result<SegmentRead> SegmentReader::whole_batches(const Segment& segment, const Index& index, const HeaderScanner::Position& first,
                                                 ReadLimit limit) {
  uint64_t end = first.end();
  int64_t next_offset = first.header.next_offset();
  if (ends_with_segment(segment, first, limit)) {
    end = segment.info->length;
    next_offset = segment.info->next_offset;
  } else {
    const uint64_t end_position = first.offset + limit.bytes;
    const IndexEntry* entry = index->index.before_position(end_position);
    if (entry && entry->base_offset > limit.end_offset) entry = index->index.before_offset(limit.end_offset);
    if (entry && entry->position > end && entry->base_offset >= next_offset) {
      auto sound = confirmed(segment, *entry);
      if (!sound) return std::unexpected(std::move(sound.error()));
      if (*sound) {
        end = entry->position;
        next_offset = entry->base_offset;
      }
    }
    HeaderScanner scanner(*segment.file, segment.path, end, segment.info->length, next_offset);
    scanner.read_below(end_position);
    while (scanner.position() + BatchHeader::kSize <= end_position) {
      auto position = scanner.next();
      if (!position) return std::unexpected(std::move(position.error()));
      if (!*position || (*position)->end() > end_position || (*position)->header.next_offset() > limit.end_offset) break;
      end = (*position)->end();
      next_offset = (*position)->header.next_offset();
    }
  }
  if (end < segment.info->length || segment.active) {
    hints_.put({segment.key.partition, next_offset, 0, 0},
               {segment.key.base_offset, end, segment.key.generation, segment.key.directory});
  }
  SegmentRead read;
  read.bytes = FileRange{segment.file, first.offset, end - first.offset};
  read.first_offset = first.header.base_offset;
  read.next_offset = next_offset;
  return read;
}

Result<TimestampPosition> SegmentReader::find_timestamp(const PartitionManifest& manifest, int64_t timestamp) {
  if (timestamp == SegmentData::kLargestTimestamp) {
    auto largest = largest_timestamp(manifest);
    if (!largest) return std::unexpected(std::move(largest.error()));
    timestamp = *largest;
  }
  for (size_t i = 0; i < manifest.segments.size(); ++i) {
    const SegmentInfo& info = manifest.segments[i];
    if (info.next_offset <= manifest.log_start_offset) continue;
    if (info.times_known && info.max_timestamp < timestamp) continue;
    auto segment = open(manifest.partition, info, i + 1 == manifest.segments.size());
    if (!segment) return std::unexpected(std::move(segment.error()));
    auto found = find_timestamp_in(*segment, timestamp, manifest.log_start_offset);
    if (!found) return std::unexpected(std::move(found.error()));
    if (*found) return **found;
  }
  return TimestampPosition{};
}

Result<std::optional<TimestampPosition>> SegmentReader::find_timestamp_in(const Segment& segment, int64_t timestamp,
                                                                          int64_t lowest_offset) {
  const bool known = segment.info->times_known;  // else all records are looked at
  const Result<uint64_t> from =
      known ? position_before(segment, &SegmentIndex::before_timestamp, timestamp) : Result<uint64_t>(0);
  if (!from) return std::unexpected(from.error());
  HeaderScanner scanner(*segment.file, segment.path, *from, segment.info->length, segment.info->base_offset);
  while (true) {
    auto position = scanner.next();
    if (!position) return std::unexpected(std::move(position.error()));
    if (!*position) return std::nullopt;
    const BatchHeader& header = (*position)->header;
    if ((known && header.max_timestamp < timestamp) || header.last_offset() < lowest_offset) continue;
    auto found = first_record_at(*segment.file, segment.path, **position, timestamp, lowest_offset);
    // Records that nobody can read hide no others.
    const bool passed_over = !found && !known && found.error().code == ErrorCode::kCorrupt && header.max_timestamp < timestamp;
    if (passed_over) continue;
    if (!found || *found) return found;
  }
}

Result<int64_t> SegmentReader::largest_timestamp(const PartitionManifest& manifest) {
  int64_t largest = kNoTimestamp;
  for (size_t i = 0; i < manifest.segments.size(); ++i) {
    const SegmentInfo& info = manifest.segments[i];
    if (info.next_offset <= manifest.log_start_offset) continue;
    if (info.times_known && info.base_offset >= manifest.log_start_offset) {
      largest = std::max(largest, info.max_timestamp);
      continue;
    }
    auto segment = open(manifest.partition, info, i + 1 == manifest.segments.size());
    if (!segment) return std::unexpected(std::move(segment.error()));
    const Result<uint64_t> from = info.times_known
                                      ? position_before(*segment, &SegmentIndex::before_offset, manifest.log_start_offset)
                                      : Result<uint64_t>(0);
    if (!from) return std::unexpected(from.error());
    HeaderScanner scanner(*segment->file, segment->path, *from, info.length, info.base_offset);
    while (true) {
      auto position = scanner.next();
      if (!position) return std::unexpected(std::move(position.error()));
      if (!*position) break;
      const BatchHeader& header = (*position)->header;
      if (header.last_offset() < manifest.log_start_offset || header.record_count == 0) continue;
      if (info.times_known && (header.max_timestamp <= largest || header.base_offset >= manifest.log_start_offset)) {
        largest = std::max(largest, header.max_timestamp);
        continue;
      }
      auto batch = read_batch(*segment->file, segment->path, **position);
      if (!batch) return std::unexpected(std::move(batch.error()));
      largest = std::max(largest, max_timestamp_in(batch->bytes(), manifest.log_start_offset).value_or(largest));
    }
  }
  return largest;
}

}  // namespace weir::storage
