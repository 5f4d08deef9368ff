#include "storage/segment/segment_index.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/crc32c.h"

namespace weir::storage {

namespace {

constexpr std::string_view kMagic = "WEIRIDX1";
// Index files are small: an entry of 28 bytes for each 64 KiB of at most 2 GiB. A larger file is damaged.
constexpr uint64_t kMaxFileBytes = 64 << 20;

void encode_entry(const IndexEntry& entry, std::vector<uint8_t>& out) {
  const size_t start = out.size();
  out.resize(start + SegmentIndex::kEntryBytes);
  uint8_t* p = out.data() + start;
  store_be(p, entry.base_offset);
  store_be(p + 8, entry.position);
  store_be(p + 16, entry.max_timestamp_before);
  store_be(p + 24, crc32c({p, 24}));
}

bool decode_entry(const uint8_t* p, IndexEntry& entry) {
  if (load_be<uint32_t>(p + 24) != crc32c({p, 24})) return false;
  entry = {load_be<int64_t>(p), load_be<uint64_t>(p + 8), load_be<int64_t>(p + 16)};
  return true;
}

std::vector<uint8_t> encode_header(int64_t segment_base_offset) {
  std::vector<uint8_t> out(SegmentIndex::kHeaderBytes);
  std::memcpy(out.data(), kMagic.data(), kMagic.size());
  store_be(out.data() + kMagic.size(), segment_base_offset);
  return out;
}

}  // namespace

Result<SegmentIndex> SegmentIndex::load(runtime::FileSystem& files, const std::string& path, int64_t segment_base_offset,
                                        uint64_t valid_length) {
  SegmentIndex index;
  auto file = files.open(path, {});
  if (!file) {
    if (file.error().code == ErrorCode::kNotFound) return index;
    return std::unexpected(std::move(file.error()));
  }
  auto size = (*file)->size();
  if (!size) return std::unexpected(std::move(size.error()));
  if (*size < kHeaderBytes || *size > kMaxFileBytes) return index;
  std::vector<uint8_t> bytes(static_cast<size_t>(*size));
  auto got = (*file)->read_at(0, bytes);
  if (!got) return std::unexpected(std::move(got.error()));
  if (*got != bytes.size() || !std::ranges::equal(encode_header(segment_base_offset), std::span(bytes).first(kHeaderBytes)))
    return index;
  index.entries_.reserve((bytes.size() - kHeaderBytes) / kEntryBytes);
  for (size_t at = kHeaderBytes; at + kEntryBytes <= bytes.size(); at += kEntryBytes) {
    IndexEntry entry;
    if (!decode_entry(bytes.data() + at, entry)) continue;
    const bool ascends = index.entries_.empty() || (entry.base_offset > index.entries_.back().base_offset &&
                                                    entry.position > index.entries_.back().position);
    if (ascends && entry.position < valid_length && entry.base_offset >= segment_base_offset) index.entries_.push_back(entry);
  }
  return index;
}

Result<void> SegmentIndex::append(runtime::FileSystem& files, const std::string& path, int64_t segment_base_offset,
                                  std::span<const IndexEntry> entries) {
  auto file = files.open(path, {.write = true, .create = true});
  if (!file) return std::unexpected(std::move(file.error()));
  auto size = (*file)->size();
  if (!size) return std::unexpected(std::move(size.error()));
  std::vector<uint8_t> bytes;
  uint64_t at = 0;
  if (*size < kHeaderBytes) {
    bytes = encode_header(segment_base_offset);
  } else {
    at = kHeaderBytes + (*size - kHeaderBytes) / kEntryBytes * kEntryBytes;  // over a torn last entry
  }
  for (const IndexEntry& entry : entries) encode_entry(entry, bytes);
  return (*file)->write_at(at, Bytes(bytes));
}

Result<void> SegmentIndex::write(runtime::FileSystem& files, const std::string& path, int64_t segment_base_offset) const {
  auto file = files.open(path, {.write = true, .create = true, .truncate = true});
  if (!file) return std::unexpected(std::move(file.error()));
  std::vector<uint8_t> bytes = encode_header(segment_base_offset);
  for (const IndexEntry& entry : entries_) encode_entry(entry, bytes);
  return (*file)->write_at(0, Bytes(bytes));
}

const IndexEntry* SegmentIndex::before_offset(int64_t offset) const {
  const auto after = std::ranges::upper_bound(entries_, offset, {}, &IndexEntry::base_offset);
  return after == entries_.begin() ? nullptr : &*(after - 1);
}

const IndexEntry* SegmentIndex::before_position(uint64_t position) const {
  const auto after = std::ranges::upper_bound(entries_, position, {}, &IndexEntry::position);
  return after == entries_.begin() ? nullptr : &*(after - 1);
}

const IndexEntry* SegmentIndex::before_timestamp(int64_t timestamp) const {
  const auto after =
      std::ranges::partition_point(entries_, [&](const IndexEntry& entry) { return entry.max_timestamp_before < timestamp; });
  return after == entries_.begin() ? nullptr : &*(after - 1);
}

}  // namespace weir::storage
