#include "storage/log/offline_markers.h"

#include <charconv>
#include <optional>

namespace weir::storage {
namespace {

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
  if (auto r = files_.create_directories(directory_); !r) return r;
  auto file = files_.open(path_of(partition), {.write = true, .create = true});
  if (!file) return std::unexpected(file.error());
  if (auto r = (*file)->write_at(0, as_bytes(reason)); !r) return r;
  if (auto r = (*file)->sync(); !r) return r;
  if (auto r = files_.sync_directory(directory_); !r) return r;
  return files_.sync_directory(parent_);
}

Result<void> OfflineMarkers::remove(const PartitionId& partition) { return files_.remove(path_of(partition)); }

}  // namespace weir::storage
