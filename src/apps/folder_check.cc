#include "apps/folder_check.h"

#include <fmt/format.h>

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "apps/temporary_folder.h"
#include "storage/segment/manifest_database.h"
#include "storage/segment/segment_names.h"

namespace weir::apps {

namespace {

constexpr const char* kDatabase = "manifest.db";

Result<void> copy_file(runtime::FileSystem& files, const std::string& from, const std::string& to) {
  auto source = files.open(from, {});
  if (!source) return std::unexpected(source.error());
  auto target = files.open(to, {.write = true, .create = true});
  if (!target) return std::unexpected(target.error());
  std::vector<uint8_t> piece(1 << 20);
  for (uint64_t at = 0;;) {
    auto got = (*source)->read_at(at, piece);
    if (!got) return std::unexpected(got.error());
    if (*got == 0) return {};
    if (auto ok = (*target)->write_at(at, Bytes(piece.data(), *got)); !ok) return ok;
    at += *got;
  }
}

struct Manifests {
  std::vector<storage::ManifestDatabase::Loaded> partitions;
  std::map<uint32_t, std::string> log_dirs;  // by number; where they were last
};

Result<Manifests> load_manifests(runtime::FileSystem& files, const std::string& folder) {
  auto place = TemporaryFolder::create();
  if (!place) return std::unexpected(place.error());
  for (const std::string& name : {std::string(kDatabase), std::string(kDatabase) + "-wal"}) {
    auto exists = files.exists(folder + "/" + name);
    if (!exists) return std::unexpected(exists.error());
    if (!*exists) continue;
    if (auto ok = copy_file(files, folder + "/" + name, place->path() + "/" + name); !ok) return std::unexpected(ok.error());
  }
  auto database = storage::ManifestDatabase::open(files, place->path() + "/" + kDatabase, nullptr);
  if (!database) {
    return fail(database.error().code, fmt::format("{}/{} (read from a copy): {}", folder, kDatabase, database.error().message));
  }
  auto partitions = (*database)->load();
  if (!partitions) return std::unexpected(std::move(partitions.error()));
  auto directories = (*database)->directories();
  if (!directories) return std::unexpected(std::move(directories.error()));
  Manifests manifests{std::move(*partitions), {{0, folder}}};
  for (const auto& directory : *directories) manifests.log_dirs[directory.number] = directory.path;
  return manifests;
}

// Adds what is to be expected of one partition's files, and what of it is not there.
Result<void> compare(runtime::FileSystem& files, const std::map<uint32_t, std::string>& log_dirs,
                     const storage::PartitionManifest& manifest, FolderCheck& check) {
  std::map<std::string, std::map<std::string, uint64_t>> found;  // sizes by folder and name
  for (const storage::SegmentInfo& segment : manifest.segments) {
    const auto log_dir = log_dirs.find(segment.directory);
    const std::string root = log_dir == log_dirs.end() ? "(unknown log directory)" : log_dir->second;
    const std::string place = root + "/" + storage::partition_folder_name(manifest.partition);
    const auto [there, fresh] = found.try_emplace(place);
    if (fresh) {
      // Without the folder, every file of it is missing.
      if (auto entries = files.list(place)) {
        for (const runtime::DirectoryEntry& entry : *entries) {
          if (!entry.is_directory) there->second[entry.name] = entry.size;
        }
      } else if (entries.error().code != ErrorCode::kNotFound) {
        return std::unexpected(entries.error());
      }
    }
    const std::string name = storage::segment_file_name(segment.base_offset, segment.generation);
    const std::string path = place + "/" + name;
    check.valid_bytes[path] = segment.length;
    const auto file = there->second.find(name);
    const std::string lost = fmt::format("offsets {} to {}", segment.base_offset, segment.next_offset - 1);
    if (file == there->second.end()) {
      check.problems.push_back(fmt::format("{}: MISSING, with {}", path, lost));
    } else if (file->second < segment.length) {
      check.problems.push_back(fmt::format("{}: DAMAGED: cut short, {} bytes of {} are there (of {})", path, file->second,
                                           segment.length, lost));
    }
  }
  return {};
}

}  // namespace

Result<FolderCheck> check_folder(runtime::FileSystem& files, const std::string& folder) {
  FolderCheck check;
  const auto has = [&](const char* name) { return files.exists(folder + "/" + name).value_or(false); };
  if (!has(kDatabase)) {
    if (has("meta.db")) check.problems.push_back(fmt::format("{}/{}: MISSING, and with it what the segments hold", folder, kDatabase));
    return check;
  }
  std::unique_ptr<runtime::File> lock;
  if (has(".lock")) {
    auto locked = files.lock(folder + "/.lock");
    if (locked) {
      lock = std::move(*locked);
    } else if (locked.error().code == ErrorCode::kExists) {
      check.note = fmt::format("{} is in use by a broker: missing and shortened files are found only when it is stopped", folder);
      return check;
    }
    // Where we may not lock (a snapshot that is mounted read-only), nobody else writes either.
  }
  auto loaded = load_manifests(files, folder);
  if (!loaded) return std::unexpected(loaded.error());
  check.has_manifests = true;
  for (const auto& each : loaded->partitions) {
    if (auto ok = compare(files, loaded->log_dirs, each.partition.manifest, check); !ok) return std::unexpected(ok.error());
  }
  return check;
}

}  // namespace weir::apps
