#include "apps/folder_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "apps/folder_properties.h"
#include "apps/overlay_files.h"
#include "apps/server.h"
#include "base/bytes.h"
#include "base/counted.h"
#include "base/log.h"
#include "base/printable.h"
#include "runtime/real_runtime.h"
#include "storage/segment/aborted_index.h"
#include "storage/segment/manifest_database.h"
#include "storage/segment/segment_names.h"

namespace weir::apps {

namespace {

constexpr const char* kDatabase = "manifest.db";

struct Manifests {
  std::vector<storage::ManifestDatabase::Loaded> partitions;
  std::map<uint32_t, std::string> log_dirs;  // by number; where they were last
  unsigned shards = 1;                       // of the last process
};

Result<Manifests> load_manifests(runtime::FileSystem& files, const std::string& folder) {
  auto database = storage::ManifestDatabase::open(files, folder + "/" + kDatabase, nullptr);
  if (!database) return std::unexpected(std::move(database.error()));
  auto partitions = (*database)->load();
  if (!partitions) return std::unexpected(std::move(partitions.error()));
  auto directories = (*database)->directories();
  if (!directories) return std::unexpected(std::move(directories.error()));
  auto sessions = (*database)->wal_sessions();
  if (!sessions) return std::unexpected(std::move(sessions.error()));
  Manifests manifests{std::move(*partitions), {{0, folder}}};
  for (const auto& session : *sessions) manifests.shards = std::max(manifests.shards, session.shard + 1);
  for (const auto& directory : *directories) manifests.log_dirs[directory.number] = directory.path;
  return manifests;
}

// Adds the files that one partition must have, and those of them that are missing.
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
    check.segments[path] = {segment, manifest.log_start_offset, manifest.epochs};
    const auto file = there->second.find(name);
    const std::string lost = fmt::format("offsets {} to {}", segment.base_offset, segment.next_offset - 1);
    if (file == there->second.end()) {
      check.problems.push_back({"missing", path, fmt::format("{}: MISSING, with {}", path, lost)});
    } else if (file->second < segment.length) {
      check.problems.push_back(
          {"cut short", path,
           fmt::format("{}: DAMAGED: cut short, {} bytes of {} are there (of {})", path, file->second, segment.length, lost)});
    }
    const std::string index = place + "/" + storage::aborted_index_file_name(segment.base_offset, segment.generation);
    if (auto aborted = storage::load_aborted(files, index, segment); !aborted) {
      const bool missing = aborted.error().code == ErrorCode::kNotFound;
      check.problems.push_back(
          {missing ? "missing" : "damaged", index,
           fmt::format("{}, with {} of offsets {} to {}", missing ? index + ": MISSING" : "DAMAGED: " + aborted.error().message,
                       counted(segment.aborted, "aborted transaction"), segment.base_offset, segment.next_offset - 1)});
    }
  }
  return {};
}

// The header of the database's write-ahead log. Its salts are others in each run of the log.
std::string log_run(runtime::FileSystem& files, const std::string& folder) {
  constexpr size_t kHeaderBytes = 32;
  auto log = files.open(folder + "/" + kDatabase + "-wal", {});
  if (!log) return {};
  uint8_t header[kHeaderBytes];
  const auto read = (*log)->read_at(0, header);
  return std::string(as_string(Bytes(header).first(read ? *read : 0)));
}

// The manifests of a folder that a broker is writing in, of some moment since the call. The database is copied first and its log
// then. While the log is of one run, it has all pages that were moved into the database meanwhile, so the copies agree.
Result<Manifests> load_manifests_in_use(runtime::FileSystem& files, const std::string& folder) {
  constexpr int kAttempts = 10;
  std::string why = "its log began anew each time";
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    auto overlay = OverlayFiles::create(files);
    if (!overlay) return std::unexpected(overlay.error());
    const std::string before = log_run(files, folder);
    auto loaded = load_manifests(**overlay, folder);
    if (loaded && log_run(files, folder) == before) return loaded;
    if (!loaded) why = loaded.error().message;
  }
  return fail(ErrorCode::kUnknown,
              fmt::format("{0}/{1} could not be read beside the broker that uses it ({2}). Try again, or stop the broker first.",
                          folder, kDatabase, why));
}

// What the log says while the object lives, from `lowest` on.
class LogLines {
 public:
  explicit LogLines(LogLevel lowest) {
    set_log_sink([this, lowest](LogLevel level, std::string_view, std::string_view line) {
      const std::lock_guard lock(mutex_);
      if (level >= lowest) lines_.emplace_back(line);
    });
  }
  ~LogLines() { set_log_sink({}); }
  std::vector<std::string> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(lines_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

// Starts the storage on `overlay` as a broker would, with as many shards as wrote the log. Tells what it refuses or takes
// offline.
void try_start(OverlayFiles& overlay, const std::string& folder, const Manifests& manifests, FolderCheck& check) {
  runtime::RealRuntime machine({.loops = manifests.shards, .pool_threads = 1});
  runtime::Runtime runtime = machine.runtime();
  runtime.files = &overlay;
  ServerOptions options;
  options.data_dir = folder;
  options.disk_reserve = false;
  for (const auto& [number, path] : manifests.log_dirs) {
    if (number != 0) options.more_dirs.push_back(path);
  }
  // Whose folder it is only the configuration knows.
  if (const auto properties = read_folder_properties(overlay, folder)) {
    const auto node_id = properties->find("node.id");
    if (node_id != properties->end()) (void)options.config.set("node.id", node_id->second);
  }
  LogLines lines(LogLevel::kError);
  const auto tried = Server::try_storage(runtime, std::move(options));
  machine.stop();
  for (std::string& line : lines.take()) check.problems.push_back({"damaged", folder, one_line(line)});
  if (!tried) {
    check.problems.push_back(
        {"refused", folder, fmt::format("{}: weir serve would refuse it: {}", folder, tried.error().message)});
  }
}

// Only what the manifests hold is judged: behind it the broker may be writing, and files that they do not name are new.
Result<FolderCheck> check_folder_in_use(runtime::FileSystem& files, const std::string& folder) {
  FolderCheck check;
  check.in_use = true;
  check.note = fmt::format("{} is in use by a broker: missing and shortened files are found only when it is stopped", folder);
  const auto loaded = load_manifests_in_use(files, folder);
  if (!loaded) return std::unexpected(loaded.error());
  check.has_manifests = true;
  for (const auto& each : loaded->partitions) {
    if (auto ok = compare(files, loaded->log_dirs, each.partition.manifest, check); !ok) return std::unexpected(ok.error());
  }
  check.problems.clear();  // a file may have gone since, by compaction or retention
  return check;
}

}  // namespace

Result<FolderCheck> check_folder(runtime::FileSystem& files, const std::string& folder) {
  FolderCheck check;
  const auto has = [&](const char* name) { return files.exists(folder + "/" + name).value_or(false); };
  if (!has(kDatabase)) {
    const std::string path = folder + "/" + kDatabase;
    if (has("meta.db")) {
      check.problems.push_back({"missing", path, path + ": MISSING, and with it what the segments hold"});
    } else if (const auto below = folder_of_weir_in(files, folder); below && !below->empty()) {
      check.note = fmt::format(
          "{0} is no data folder, but {0}/{1} is one: verify that, to have its files held against its manifests", folder, *below);
    }
    return check;
  }
  std::unique_ptr<runtime::File> lock;
  if (has(".lock")) {
    auto locked = files.lock(folder + "/.lock");
    if (locked) {
      lock = std::move(*locked);
    } else if (locked.error().code == ErrorCode::kExists) {
      return check_folder_in_use(files, folder);
    }
    // Where we may not lock (a snapshot that is mounted read-only), nobody else writes either.
  }
  auto overlay = OverlayFiles::create(files);
  if (!overlay) return std::unexpected(overlay.error());
  auto loaded = load_manifests(**overlay, folder);
  if (!loaded) {
    check.problems.push_back({"refused", folder + "/" + kDatabase, loaded.error().message});
    return check;
  }
  check.has_manifests = true;
  for (const auto& each : loaded->partitions) {
    if (auto ok = compare(files, loaded->log_dirs, each.partition.manifest, check); !ok) return std::unexpected(ok.error());
  }
  lock.reset();  // as the start takes it
  if (has("meta.properties")) {
    try_start(**overlay, folder, *loaded, check);
  } else if (has("meta.db")) {
    check.problems.push_back({"missing", folder + "/meta.properties",
                              fmt::format("{}: MISSING: no meta.properties; weir serve would refuse it", folder)});
  }
  return check;
}

}  // namespace weir::apps
