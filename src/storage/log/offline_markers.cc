#include "storage/log/offline_markers.h"

#include <charconv>
#include <map>
#include <optional>

#include "base/crc32c.h"
#include "storage/segment/stored_batch.h"

namespace weir::storage {
namespace {

constexpr const char* kBatches = ".batches";

int64_t base_offset_of(const Slice& batch) { return BatchHeader::parse(batch.data).base_offset; }

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

Result<std::vector<std::pair<PartitionId, std::string>>> OfflineMarkers::load() {
  std::vector<std::pair<PartitionId, std::string>> found;
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
    if (reason.empty()) reason = "it was marked offline";
    found.emplace_back(*id, std::move(reason));
  }
  return found;
}

Result<void> OfflineMarkers::put(const PartitionId& partition, const std::string& reason) {
  const auto exists = files_.exists(path_of(partition));
  if (!exists) return std::unexpected(exists.error());
  if (*exists) return {};
  if (auto r = files_.create_directory(directory_); !r) return r;
  auto file = files_.open(path_of(partition), {.write = true, .create = true});
  if (!file) return std::unexpected(file.error());
  if (auto r = (*file)->write_at(0, as_bytes(reason)); !r) return r;
  if (auto r = (*file)->sync(); !r) return r;
  if (auto r = files_.sync_directory(directory_); !r) return r;
  return files_.sync_directory(parent_);
}

Result<void> OfflineMarkers::remove(const PartitionId& partition) {
  auto gone = files_.remove(path_of(partition) + kBatches);
  if (!gone && gone.error().code != ErrorCode::kNotFound) return gone;
  return files_.remove(path_of(partition));
}

Result<void> OfflineMarkers::keep(const PartitionId& partition, std::vector<Slice> batches) {
  auto before = kept(partition);
  if (!before) return std::unexpected(before.error());
  std::map<int64_t, Slice> all;
  for (auto* const each : {&*before, &batches}) {
    for (Slice& batch : *each) all.try_emplace(base_offset_of(batch), std::move(batch));
  }
  if (all.size() == before->size()) return {};
  if (auto r = files_.create_directory(directory_); !r) return r;
  const std::string path = path_of(partition) + kBatches, draft = path + ".tmp";
  auto file = files_.open(draft, {.write = true, .create = true, .truncate = true});
  if (!file) return std::unexpected(file.error());
  uint64_t at = 0;
  for (const auto& [offset, batch] : all) {
    if (auto r = (*file)->write_at(at, batch.bytes()); !r) return r;
    at += batch.size;
  }
  if (auto r = (*file)->sync(); !r) return r;
  file->reset();
  if (auto r = files_.rename(draft, path); !r) return r;
  if (auto r = files_.sync_directory(directory_); !r) return r;
  return files_.sync_directory(parent_);
}

Result<std::vector<Slice>> OfflineMarkers::kept(const PartitionId& partition) {
  std::vector<Slice> batches;
  const std::string path = path_of(partition) + kBatches;
  const auto exists = files_.exists(path);
  if (!exists) return std::unexpected(exists.error());
  if (!*exists) return batches;
  auto file = files_.open(path, {});
  if (!file) return std::unexpected(file.error());
  auto size = (*file)->size();
  if (!size) return std::unexpected(size.error());
  Buffer memory = Buffer::allocate(*size);
  const auto got = (*file)->read_at(0, {memory.data(), static_cast<size_t>(*size)});
  if (!got) return std::unexpected(got.error());
  for (size_t at = 0; at < *got;) {
    const auto header = parse_stored_header(Bytes(memory.data() + at, *got - at));
    if (!header || header->size() > *got - at) break;
    const Bytes batch(memory.data() + at, header->size());
    if (crc32c(batch.subspan(BatchHeader::kCrcStart)) == header->crc) batches.push_back(Slice::copy_of(batch));
    at += batch.size();
  }
  return batches;
}

}  // namespace weir::storage
