#include "storage/log/offline_markers.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "base/crc32c.h"
#include "storage/segment/stored_batch.h"

namespace weir::storage {
namespace {

// The first line of a marker.
constexpr std::string_view kKindLine = "damaged: ";
constexpr std::pair<OfflineKind, std::string_view> kKinds[] = {{OfflineKind::kSegment, "segment"},
                                                               {OfflineKind::kWriteAheadLog, "write-ahead log"}};

std::string text_of(OfflineKind kind, const std::string& reason) {
  for (const auto& [each, name] : kKinds) {
    if (each == kind) return fmt::format("{}{}\n{}", kKindLine, name, reason);
  }
  return reason;
}

// Takes the line of the kind off, if the text has one.
OfflineKind take_kind(std::string& text) {
  for (const auto& [kind, name] : kKinds) {
    const std::string line = fmt::format("{}{}\n", kKindLine, name);
    if (!text.starts_with(line)) continue;
    text.erase(0, line.size());
    return kind;
  }
  return OfflineKind::kUnknown;
}

int64_t base_offset_of(const Slice& batch) { return BatchHeader::parse(batch.data).base_offset; }

struct KeptBatch {
  int64_t base_offset;
  uint64_t at;
  uint64_t size;
};

// Calls `use` with the bytes of the file from `at` on, a window at a time. Returns whether all were there.
Result<bool> read_windows(runtime::File& file, uint64_t at, uint64_t size, const std::function<Result<void>(Bytes)>& use) {
  std::vector<uint8_t> window(std::min<uint64_t>(size, 64 * 1024));
  while (size > 0) {
    const MutableBytes into = MutableBytes(window).first(std::min<uint64_t>(size, window.size()));
    const auto got = file.read_at(at, into);
    if (!got) return std::unexpected(got.error());
    if (*got < into.size()) return false;
    if (auto used = use(into); !used) return std::unexpected(used.error());
    at += into.size();
    size -= into.size();
  }
  return true;
}

// Calls `use` for each intact batch of a file.
Result<void> for_each_kept(runtime::File& file, const std::function<Result<void>(const KeptBatch&)>& use) {
  for (uint64_t at = 0;;) {
    uint8_t start[BatchHeader::kSize];
    const auto got = file.read_at(at, start);
    if (!got) return std::unexpected(got.error());
    const auto header = parse_stored_header(Bytes(start, *got));
    if (!header) return {};
    uint32_t crc = 0;
    const auto whole = read_windows(file, at + BatchHeader::kCrcStart, header->size() - BatchHeader::kCrcStart,
                                    [&](Bytes bytes) -> Result<void> {
                                      crc = crc32c(bytes, crc);
                                      return {};
                                    });
    if (!whole) return std::unexpected(whole.error());
    if (!*whole) return {};
    if (crc == header->crc) {
      if (auto used = use({header->base_offset, at, header->size()}); !used) return used;
    }
    at += header->size();
  }
}

std::optional<PartitionId> parse_name(const std::string& name) {
  constexpr size_t kIdLength = 22;
  if (name.size() < kIdLength + 2 || name[kIdLength] != '-') return std::nullopt;
  const auto topic = Uuid::parse(std::string_view(name).substr(0, kIdLength));
  if (!topic) return std::nullopt;
  PartitionId id{*topic, 0};
  const char* end = name.data() + name.size();
  const auto [at, error] = std::from_chars(name.data() + kIdLength + 1, end, id.index);
  if (error != std::errc() || at != end) return std::nullopt;
  return id;
}

}  // namespace

Result<std::vector<OfflineMarker>> OfflineMarkers::load() {
  std::vector<OfflineMarker> found;
  const auto exists = files_.exists(directory_);
  if (!exists) return std::unexpected(exists.error());
  if (!*exists) return found;
  const auto entries = files_.list(directory_);
  if (!entries) return std::unexpected(entries.error());
  for (const auto& entry : *entries) {
    const auto id = parse_name(entry.name);
    if (!id) continue;
    auto file = files_.open(directory_ + "/" + entry.name, {});
    if (!file) return std::unexpected(file.error());
    std::string reason(4096, '\0');
    const auto read = (*file)->read_at(0, {reinterpret_cast<uint8_t*>(reason.data()), reason.size()});
    if (!read) return std::unexpected(read.error());
    reason.resize(*read);
    const OfflineKind kind = take_kind(reason);
    if (reason.empty()) reason = "it was marked offline";
    found.push_back({*id, kind, std::move(reason)});
  }
  return found;
}

Result<void> OfflineMarkers::put(const PartitionId& partition, const std::string& reason, OfflineKind kind) {
  const auto exists = files_.exists(path_of(partition));
  if (!exists) return std::unexpected(exists.error());
  if (*exists) return {};
  const std::string text = text_of(kind, reason);
  return put_in_place(path_of(partition), [&](runtime::File& file) { return file.write_at(0, as_bytes(text)); });
}

Result<void> OfflineMarkers::put_in_place(const std::string& path, const std::function<Result<void>(runtime::File&)>& write) {
  const std::string draft = path + ".tmp";
  if (auto r = files_.create_directory(directory_); !r) return r;
  auto file = files_.open(draft, {.write = true, .create = true, .truncate = true});
  if (!file) return std::unexpected(file.error());
  if (auto r = write(**file); !r) return r;
  if (auto r = (*file)->sync(); !r) return r;
  file->reset();
  if (auto r = files_.rename(draft, path); !r) return r;
  if (auto r = files_.sync_directory(directory_); !r) return r;
  return files_.sync_directory(parent_);
}

Result<void> OfflineMarkers::remove(const PartitionId& partition) {
  auto gone = files_.remove(kept_path(partition));
  if (!gone && gone.error().code != ErrorCode::kNotFound) return gone;
  return files_.remove(path_of(partition));
}

Result<void> OfflineMarkers::keep(const PartitionId& partition, std::vector<Slice> batches) {
  std::map<int64_t, Slice> added;
  for (Slice& batch : batches) added.try_emplace(base_offset_of(batch), std::move(batch));
  const std::string path = kept_path(partition);
  auto before = files_.open(path, {});
  const bool first = !before && before.error().code == ErrorCode::kNotFound;
  if (!before && !first) return std::unexpected(before.error());
  const auto for_each_before = [&](const std::function<Result<void>(const KeptBatch&)>& use) {
    return first ? Result<void>() : for_each_kept(**before, use);
  };
  // Every start comes here with the same batches, until the write-ahead log lets them go.
  auto r = for_each_before([&](const KeptBatch& batch) -> Result<void> {
    added.erase(batch.base_offset);
    return {};
  });
  if (!r || added.empty()) return r;
  return put_in_place(path, [&](runtime::File& file) -> Result<void> {
    uint64_t end = 0;
    const auto write = [&](Bytes bytes) {
      auto written = file.write_at(end, bytes);
      end += bytes.size();
      return written;
    };
    const auto write_added_below = [&](int64_t offset) -> Result<void> {
      for (; !added.empty() && added.begin()->first < offset; added.erase(added.begin())) {
        if (auto written = write(added.begin()->second.bytes()); !written) return written;
      }
      return {};
    };
    auto copied = for_each_before([&](const KeptBatch& batch) -> Result<void> {
      if (auto written = write_added_below(batch.base_offset); !written) return written;
      auto whole = read_windows(**before, batch.at, batch.size, write);
      return whole ? Result<void>() : std::unexpected(whole.error());
    });
    return copied ? write_added_below(INT64_MAX) : copied;
  });
}

Result<Buffer> OfflineMarkers::kept(const PartitionId& partition, size_t& size) {
  size = 0;
  const std::string path = kept_path(partition);
  const auto exists = files_.exists(path);
  if (!exists) return std::unexpected(exists.error());
  if (!*exists) return Buffer();
  auto file = files_.open(path, {});
  if (!file) return std::unexpected(file.error());
  auto bytes = (*file)->size();
  if (!bytes) return std::unexpected(bytes.error());
  Buffer memory = Buffer::allocate(std::max<uint64_t>(*bytes, 1));
  const auto got = (*file)->read_at(0, {memory.data(), static_cast<size_t>(*bytes)});
  if (!got) return std::unexpected(got.error());
  size = *got;
  return memory;
}

}  // namespace weir::storage
