#include "apps/folder_properties.h"

#include <fmt/format.h>

#include <cerrno>

#include "broker/config/properties_file.h"
#include "storage/segment/segment_names.h"

namespace weir::apps {

namespace {

constexpr uint64_t kPropertiesBytesMax = 64 * 1024;

Result<std::string> read_small_file(runtime::FileSystem& files, const std::string& path) {
  auto file = files.open(path, {});
  if (!file) return std::unexpected(file.error());
  auto size = (*file)->size();
  if (!size) return std::unexpected(size.error());
  if (*size > kPropertiesBytesMax) return fail(ErrorCode::kCorrupt, path + " is too large to be what it should be");
  std::string text(*size, '\0');
  auto read = (*file)->read_at(0, {reinterpret_cast<uint8_t*>(text.data()), text.size()});
  if (!read) return std::unexpected(read.error());
  text.resize(*read);
  return text;
}

}  // namespace

Result<FolderProperties> read_folder_properties(runtime::FileSystem& files, const std::string& folder) {
  const std::string path = folder + "/meta.properties";
  auto text = read_small_file(files, path);
  if (!text) return std::unexpected(text.error());
  auto parsed = broker::parse_properties(*text);
  if (!parsed) return fail(ErrorCode::kCorrupt, path + ": " + parsed.error().message);
  FolderProperties values;
  for (const broker::Property& property : *parsed) values[property.key] = property.value;
  return values;
}

Result<void> write_folder_properties(runtime::FileSystem& files, const std::string& folder, const std::string& text) {
  const std::string path = folder + "/meta.properties";
  const std::string temporary = path + ".tmp";
  auto file = files.open(temporary, {.write = true, .create = true, .truncate = true});
  if (!file) return std::unexpected(file.error());
  if (auto ok = (*file)->write_at(0, as_bytes(text)); !ok) return ok;
  if (auto ok = (*file)->sync(); !ok) return ok;
  file->reset();
  if (auto ok = files.rename(temporary, path); !ok) return ok;
  return files.sync_directory(folder);
}

Result<std::string> folder_of_weir_in(runtime::FileSystem& files, const std::string& folder) {
  auto entries = files.list(folder);
  if (!entries) return std::unexpected(entries.error());
  for (const runtime::DirectoryEntry& entry : *entries) {
    if (!entry.is_directory || storage::parse_partition_folder_name(entry.name)) continue;
    const auto properties = read_folder_properties(files, folder + "/" + entry.name);
    if (properties && properties->contains("weir.format.version")) return entry.name;
  }
  return "";
}

Result<void> refuse_folder_of_weir_in(runtime::FileSystem& files, const std::string& folder) {
  const auto below = folder_of_weir_in(files, folder);
  if (!below) return std::unexpected(below.error());
  if (below->empty()) return {};
  return fail(ErrorCode::kInvalid, fmt::format("{0} is no folder of Weir, but {0}/{1} in it is one: a copy went into the folder "
                                               "instead of into its place. Name {0}/{1}, or put it in the place of {0}; nothing "
                                               "was changed",
                                               folder, *below));
}

Result<void> sync_parents(runtime::FileSystem& files, const std::string& path) {
  for (std::string at = path; !at.empty();) {
    const size_t slash = at.rfind('/');
    at = slash == std::string::npos ? "" : at.substr(0, slash);
    const bool absolute_top = at.empty() && path.starts_with('/');
    auto synced = files.sync_directory(absolute_top ? "/" : at.empty() ? "." : at);
    // Where we may not even look we have made nothing.
    if (!synced && synced.error().os_errno != EACCES) return synced;
  }
  return {};
}

}  // namespace weir::apps
