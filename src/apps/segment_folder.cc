#include "apps/segment_folder.h"

#include <fmt/format.h>

#include "apps/data_folder.h"
#include "apps/folder_properties.h"
#include "broker/config/config_key.h"

namespace weir::apps {

Result<std::unique_ptr<SegmentFolder>> SegmentFolder::look(runtime::FileSystem& files, const std::string& path, int32_t node_id,
                                                           const std::string& cluster_id, Uuid fresh_id) {
  std::unique_ptr<SegmentFolder> folder(new SegmentFolder(files, path, node_id, cluster_id, fresh_id));
  if (auto ok = folder->check(); !ok) return std::unexpected(ok.error());
  return folder;
}

Result<void> SegmentFolder::take() {
  if (auto ok = files_.create_directories(path_); !ok) return ok;
  auto lock = files_.lock(path_ + "/.lock");
  if (!lock) {
    if (lock.error().code != ErrorCode::kExists) return std::unexpected(lock.error());
    return fail(ErrorCode::kExists,
                fmt::format("log directory {} is in use by another process; one broker per directory", path_));
  }
  lock_ = std::move(*lock);
  const bool fresh = fresh_;
  const Uuid id = id_;
  if (auto ok = check(); !ok) return ok;
  if (fresh_ == fresh && id_ == id) return {};
  return fail(ErrorCode::kExists,
              fmt::format("log directory {} became another one while the broker started; start it again", path_));
}

Result<void> SegmentFolder::check() {
  auto read = read_folder_properties(files_, path_);
  if (!read) return read.error().code == ErrorCode::kNotFound ? check_unmarked() : std::unexpected(read.error());
  FolderProperties& values = *read;
  if (!values.contains("weir.format.version")) {
    return fail(ErrorCode::kUnsupported,
                fmt::format("{} holds the data of Apache Kafka, not of Weir; nothing was changed", path_));
  }
  const int64_t format = broker::parse_config_integer(values["weir.format.version"]);
  if (format > DataFolder::kFormat) {
    return fail(ErrorCode::kUnsupported, fmt::format("{} was written by a newer version of Weir (format {}, this one knows up to "
                                                     "{}); nothing was changed, use the newer version",
                                                     path_, format, DataFolder::kFormat));
  }
  if (values["weir.holds"] != "segments") {
    return fail(ErrorCode::kInvalid, fmt::format("{} is the first log directory of a broker; name it first in log.dirs, or leave "
                                                 "it out",
                                                 path_));
  }
  if (values["cluster.id"] != cluster_id_ || values["node.id"] != std::to_string(node_id_)) {
    return fail(ErrorCode::kInvalid,
                fmt::format("log directory {} belongs to node.id {} of cluster {}, but this broker is node.id "
                            "{} of cluster {}; is the right disk mounted there?",
                            path_, values["node.id"], values["cluster.id"], node_id_, cluster_id_));
  }
  const auto id = Uuid::parse(values["directory.id"]);
  if (!id) return fail(ErrorCode::kCorrupt, path_ + "/meta.properties has no directory.id");
  id_ = *id;
  fresh_ = false;
  return {};
}

Result<void> SegmentFolder::check_unmarked() {
  fresh_ = true;
  auto entries = files_.list(path_);
  if (!entries && entries.error().code == ErrorCode::kNotFound) return {};
  if (!entries) return std::unexpected(entries.error());
  for (const runtime::DirectoryEntry& entry : *entries) {
    if (entry.name == ".lock" || entry.name == "meta.properties.tmp" || entry.name == "lost+found") continue;
    if (auto below = refuse_folder_of_weir_in(files_, path_); !below) return below;
    return fail(ErrorCode::kInvalid, fmt::format("{} is not empty and is no log directory of Weir (it has '{}', but no "
                                                 "meta.properties); take an empty or a new folder",
                                                 path_, entry.name));
  }
  return {};
}

std::string SegmentFolder::marker() const { return path_ + "/meta.properties"; }

Result<void> SegmentFolder::mark() {
  if (!fresh_) return {};
  if (auto ok = sync_parents(files_, path_); !ok) return ok;
  const std::string text = fmt::format(
      "# What this folder is. Written by Weir; do not edit.\nversion=1\nweir.format.version={}\nweir.holds=segments\n"
      "node.id={}\ncluster.id={}\ndirectory.id={}\n",
      DataFolder::kFormat, node_id_, cluster_id_, id_.to_string());
  if (auto ok = write_folder_properties(files_, path_, text); !ok) return ok;
  fresh_ = false;
  return {};
}

}  // namespace weir::apps
