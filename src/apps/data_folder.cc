#include "apps/data_folder.h"

#include <fmt/format.h>

#include "apps/folder_properties.h"
#include "base/log.h"
#include "broker/config/config_key.h"

namespace weir::apps {

namespace {

std::string remedy() {
  return fmt::format(
      "Nothing was changed. Restore the file from a backup, or write it anew with the three lines "
      "version=1, weir.format.version={} and node.id=<the broker's>; the data itself is elsewhere",
      DataFolder::kFormat);
}

}  // namespace

Result<std::unique_ptr<DataFolder>> DataFolder::open(runtime::FileSystem& files, const std::string& path, int32_t node_id) {
  std::unique_ptr<DataFolder> folder(new DataFolder(files, path, node_id));
  if (auto ok = files.create_directories(path); !ok) return std::unexpected(ok.error());
  if (auto ok = folder->check(); !ok) return std::unexpected(ok.error());
  auto lock = files.lock(path + "/.lock");
  if (!lock) {
    if (lock.error().code != ErrorCode::kExists) return std::unexpected(lock.error());
    return fail(ErrorCode::kExists, fmt::format("data folder {} is in use by another process; one broker per folder", path));
  }
  folder->lock_ = std::move(*lock);
  if (const auto below = folder_of_weir_in(files, path); below && !below->empty()) {
    log_event(LogLevel::kWarn, "server",
              {.what = fmt::format("{0} has another folder of Weir in it, {0}/{1}, which is not served", path, *below),
               .reason = "a copy that goes into a folder that exists lands in it, not in its place",
               .remedy = "If it was to be restored: stop the broker, move this folder away, and put that one in its place"});
  }
  // Once more: the previous holder of the lock may have written it in between.
  if (auto ok = folder->check(); !ok) return std::unexpected(ok.error());
  if (!folder->marked_) {
    if (auto ok = sync_parents(files, path); !ok) return std::unexpected(ok.error());
    if (auto ok = folder->write_properties(); !ok) return std::unexpected(ok.error());
  }
  return folder;
}

Result<void> DataFolder::write_initial_properties(runtime::FileSystem& files, const std::string& path,
                                                  const std::string& cluster_id) {
  DataFolder folder(files, path, std::nullopt);
  folder.cluster_id_ = cluster_id;
  return folder.write_properties();
}

Result<void> DataFolder::check() {
  auto exists = files_.exists(properties_path());
  if (!exists) return std::unexpected(exists.error());
  marked_ = *exists;
  if (!marked_) return check_unmarked();

  auto read = read_folder_properties(files_, path_);
  if (!read) return std::unexpected(read.error());
  FolderProperties& values = *read;
  if (auto ok = check_format(values); !ok) return ok;
  if (values["weir.holds"] == "segments") {
    return fail(ErrorCode::kInvalid, fmt::format("{} is a further log directory of a broker and not its first one: name that one "
                                                 "first in log.dirs",
                                                 path_));
  }
  if (values.contains("node.id") && values["node.id"] != std::to_string(*node_id_)) {
    return fail(ErrorCode::kInvalid, fmt::format("{} belongs to node.id {}, but this broker is configured as {}", path_,
                                                 values["node.id"], *node_id_));
  }
  cluster_id_ = values["cluster.id"];
  return {};
}

Result<void> DataFolder::check_format(const std::map<std::string, std::string>& values) {
  const auto found = values.find("weir.format.version");
  if (found == values.end()) {
    const auto ours = data_of_ours();
    if (!ours) return std::unexpected(ours.error());
    const bool of_kafka = values.contains("directory.id") || values.contains("node.id") || values.contains("broker.id");
    if (ours->empty() && of_kafka) {
      return fail(ErrorCode::kUnsupported,
                  fmt::format("{} holds the data of Apache Kafka, not of Weir; `weir log import {} --data-dir DIR` makes a "
                              "data folder of it",
                              path_, path_));
    }
    return fail(ErrorCode::kCorrupt,
                fmt::format("{} is damaged: it does not say weir.format.version. {}", properties_path(), remedy()));
  }
  const int64_t format = broker::parse_config_integer(found->second);
  if (format > kFormat) {
    return fail(ErrorCode::kUnsupported, fmt::format("{} was written by a newer version of Weir (format {}, this one "
                                                     "knows up to {}); nothing was changed, use the newer version",
                                                     path_, format, kFormat));
  }
  if (format < 1) {
    return fail(ErrorCode::kCorrupt,
                fmt::format("{} is damaged: weir.format.version is not a number. {}", properties_path(), remedy()));
  }
  return {};
}

// The name of a file or folder that only Weir's data has; empty if there is none.
Result<std::string> DataFolder::data_of_ours() {
  for (const char* name : {"meta.db", "manifest.db", "wal"}) {
    auto exists = files_.exists(path_ + "/" + name);
    if (!exists) return std::unexpected(exists.error());
    if (*exists) return name;
  }
  return "";
}

Result<void> DataFolder::check_unmarked() {
  const auto ours = data_of_ours();
  if (!ours) return std::unexpected(ours.error());
  if (!ours->empty()) {
    return fail(ErrorCode::kCorrupt, fmt::format("{} holds data of Weir (it has '{}'), but its meta.properties is missing. "
                                                 "{}",
                                                 path_, *ours, remedy()));
  }
  auto entries = files_.list(path_);
  if (!entries) return std::unexpected(entries.error());
  for (const runtime::DirectoryEntry& entry : *entries) {
    const bool of_a_start = entry.name == ".lock" || entry.name == "meta.properties.tmp" || entry.name == "lost+found";
    if (!of_a_start) {
      if (auto below = refuse_folder_of_weir_in(files_, path_); !below) return below;
      return fail(ErrorCode::kInvalid,
                  fmt::format("{} is not empty and is no data folder of Weir (it has '{}', but no meta.properties); take "
                              "an empty or a new folder",
                              path_, entry.name));
    }
  }
  return {};
}

Result<void> DataFolder::settle(const std::string& cluster_id) {
  if (cluster_id_ == cluster_id) return {};
  if (!cluster_id_.empty()) {
    return fail(ErrorCode::kInvalid, fmt::format("{} belongs to cluster {}, but its metadata to cluster {}; parts of "
                                                 "different folders were mixed",
                                                 path_, cluster_id_, cluster_id));
  }
  cluster_id_ = cluster_id;
  return write_properties();
}

Result<void> DataFolder::write_properties() {
  std::string text =
      fmt::format("# What this folder is. Written by Weir; do not edit.\nversion=1\nweir.format.version={}\n", kFormat);
  if (node_id_) text += fmt::format("node.id={}\n", *node_id_);
  if (!cluster_id_.empty()) text += fmt::format("cluster.id={}\n", cluster_id_);

  if (auto ok = write_folder_properties(files_, path_, text); !ok) return ok;
  marked_ = true;
  return {};
}

}  // namespace weir::apps
