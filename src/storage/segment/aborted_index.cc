#include "storage/segment/aborted_index.h"

#include <fmt/format.h>

#include "base/crc32c.h"

namespace weir::storage {

namespace {

constexpr int16_t kVersion = 0;

}  // namespace

std::vector<uint8_t> encode_aborted(std::span<const AbortedTransaction> entries) {
  std::vector<uint8_t> bytes(entries.size() * kAbortedEntryBytes);
  uint8_t* at = bytes.data();
  for (const AbortedTransaction& entry : entries) {
    store_be(at, kVersion);
    store_be(at + 2, entry.producer_id);
    store_be(at + 10, entry.first_offset);
    store_be(at + 18, entry.last_offset);
    store_be(at + 26, entry.last_stable_offset);
    at += kAbortedEntryBytes;
  }
  return bytes;
}

std::vector<AbortedTransaction> decode_aborted(Bytes bytes) {
  std::vector<AbortedTransaction> entries;
  entries.reserve(bytes.size() / kAbortedEntryBytes);
  int64_t last_offset = -1;
  for (; bytes.size() >= kAbortedEntryBytes; bytes = bytes.subspan(kAbortedEntryBytes)) {
    const uint8_t* at = bytes.data();
    const AbortedTransaction entry{load_be<int64_t>(at + 2), load_be<int64_t>(at + 10), load_be<int64_t>(at + 18),
                                   load_be<int64_t>(at + 26)};
    const bool sound = load_be<int16_t>(at) == kVersion && entry.producer_id >= 0 && entry.first_offset >= 0 &&
                       entry.first_offset <= entry.last_offset && entry.last_offset > last_offset &&
                       entry.last_stable_offset >= 0;
    if (!sound) break;
    last_offset = entry.last_offset;
    entries.push_back(entry);
  }
  return entries;
}

void add_aborted(SegmentInfo& segment, std::span<const AbortedTransaction> entries) {
  segment.aborted += static_cast<uint32_t>(entries.size());
  segment.aborted_crc = crc32c(encode_aborted(entries), segment.aborted_crc);
}

Result<std::vector<AbortedTransaction>> load_aborted(runtime::FileSystem& files, const std::string& path,
                                                     const SegmentInfo& segment) {
  if (segment.aborted == 0) return std::vector<AbortedTransaction>();
  auto file = files.open(path, {});
  if (!file) return std::unexpected(std::move(file.error()));
  std::vector<uint8_t> bytes(segment.aborted * kAbortedEntryBytes);
  auto got = (*file)->read_at(0, bytes);
  if (!got) return std::unexpected(std::move(got.error()));
  if (*got < bytes.size()) {
    return fail(ErrorCode::kCorrupt, fmt::format("{}: ends at {} though {} bytes of it are valid", path, *got, bytes.size()));
  }
  if (crc32c(bytes) != segment.aborted_crc) {
    return fail(ErrorCode::kCorrupt, fmt::format("{}: its checksum is wrong", path));
  }
  auto entries = decode_aborted(bytes);
  if (entries.size() == segment.aborted) return entries;
  return fail(ErrorCode::kCorrupt, fmt::format("{}: entry {} is none of an aborted transaction", path, entries.size()));
}

Result<std::unique_ptr<runtime::File>> write_aborted(runtime::FileSystem& files, const std::string& path, uint32_t before,
                                                     std::span<const AbortedTransaction> entries) {
  const bool create = before == 0;
  const uint64_t position = before * kAbortedEntryBytes;
  auto file = files.open(path, {.write = true, .create = create, .truncate = create});
  if (!file && file.error().code == ErrorCode::kNotFound) {
    return fail(ErrorCode::kCorrupt, fmt::format("{}: is missing, though {} of its entries are valid", path, before));
  }
  if (!file) return file;
  auto size = (*file)->size();
  if (!size) return std::unexpected(std::move(size.error()));
  if (*size < position) {
    return fail(ErrorCode::kCorrupt, fmt::format("{}: has {} bytes though {} of it are valid", path, *size, position));
  }
  // A checkpoint that did not commit left the rest.
  if (*size > position) {
    if (auto done = (*file)->truncate(position); !done) return std::unexpected(std::move(done.error()));
  }
  if (auto done = (*file)->write_at(position, Bytes(encode_aborted(entries))); !done)
    return std::unexpected(std::move(done.error()));
  return file;
}

}  // namespace weir::storage
